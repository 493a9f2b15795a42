"""Figures show all they are given."""

import re

import pytest

from experiments import figure


def test_curves_shows_every_label_however_many_there_are():
    lines = {f"arm {n}": [([1, 2], [0.0, float(n)])] for n in range(2 * len(figure.COLORS) + 1)}
    drawn = figure.curves({"panel": lines})
    assert all(f"arm {n}" in drawn for n in range(len(lines)))


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
