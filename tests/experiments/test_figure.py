"""Figures show all they are given."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from experiments import figure


def test_curves_shows_every_label_however_many_there_are():
    lines = {f"arm {n}": [([1, 2], [0.0, float(n)])] for n in range(2 * len(figure.COLORS) + 1)}
    drawn = figure.curves({"panel": lines})
    assert all(f"arm {n}" in drawn for n in range(len(lines)))


# What of red, green and blue (linear) is seen without one kind of cone (Machado et al. 2009).
SEEN = {
    "all": np.eye(3),
    "no M": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no L": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no S": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, seen):
    """CIELAB of a colour as somebody sees it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ (np.array(seen) @ linear).clip(0, 1) / XYZ.sum(1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
def test_the_colour_blind_tell_all_colours_apart(seen):
    found = [lab(color, SEEN[seen]) for color in figure.COLORS]
    assert len(found) == 8
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(found, 2)) > 15


def test_a_label_looks_the_same_in_all_panels_and_is_explained_once():
    line = [([1, 2], [1.0, 0.5])]
    drawn = figure.curves({"one": {"a": line, "b": line}, "two": {"b": line}})
    strokes = lambda color: drawn.count(f"stroke: {color}")
    assert strokes(figure.COLORS[1]) == 3 and strokes(figure.COLORS[0]) == 2  # lines and legend
    assert drawn.count(">b<") == 1


@pytest.mark.parametrize("kind", ["curves", "dots"])
def test_many_panels_stand_in_rows_a_page_is_wide_enough_for(kind):
    panels = {f"arm {n}": {"loss": [([1, 2], [1.0, 0.5])]} for n in range(9)}
    if kind == "dots":
        panels = {name: {"loss": ([1.0, 0.5], True)} for name in panels}
    drawn = figure.curves(panels) if kind == "curves" else figure.dots(panels, "accuracy")
    assert all(f"arm {n}" in drawn for n in range(9))
    shape = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups())
    (width, height), (one, high) = shape, (4.2, 2.6) if kind == "curves" else (2.4, 1.1)
    assert width < 5.5 * one * 72 and height > 2 * high * 72


@pytest.mark.parametrize(
    ("interval", "regions", "shaded"),
    [
        ((0.4, 0.2, 0.6), {"reproduced": [[0.3, None]], "opposite": [[None, 0.1]]}, 2),
        ((-2.0, -3.0, -1.5), {"reproduced": [[-1, 1]], "opposite": [[None, -1], [1, None]]}, 3),
        ((None, None, None), {"reproduced": [[0.0, None]], "opposite": [[None, 0.0]]}, 2),
    ],
)
def test_an_estimate_lies_before_the_regions_that_decide_it(interval, regions, shaded):
    drawn = figure.decided(interval, regions, reference=0.5)
    boxes = re.findall(r"class='(\w+)' d='M([\d.]+) 0H([\d.]+)V", drawn)
    assert len(boxes) == shaded and drawn.count("stroke='#555'") == 1
    dots = re.findall(r"cx='([\d.]+)'", drawn)
    assert len(dots) == (interval[0] is not None)
    inside = lambda region: all(
        x is None or sign * (interval[0] - x) > 0 for sign, x in zip((1, -1), region, strict=True)
    )
    for dot in dots:
        found = {verdict for verdict, low, high in boxes if float(low) < float(dot) < float(high)}
        assert found == {verdict for verdict, r in regions.items() if any(map(inside, r))}
