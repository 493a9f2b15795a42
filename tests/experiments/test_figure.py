"""Figures show all they are given."""

import re

from experiments import figure


def test_curves_shows_every_label_however_many_there_are():
    lines = {f"arm {n}": [([1, 2], [0.0, float(n)])] for n in range(2 * len(figure.COLORS) + 1)}
    drawn = figure.curves({"panel": lines})
    assert all(f"arm {n}" in drawn for n in range(len(lines)))


def test_many_panels_stand_in_rows_a_page_is_wide_enough_for():
    panels = {f"arm {n}": {"loss": [([1, 2], [1.0, 0.5])]} for n in range(9)}
    drawn = figure.curves(panels)
    assert all(f"arm {n}" in drawn for n in range(9))
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups())
    assert width < 5.5 * 4.2 * 72 and height > 2 * 2.6 * 72
