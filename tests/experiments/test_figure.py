"""Figures show all they are given."""

from experiments import figure


def test_curves_shows_every_label_however_many_there_are():
    lines = {f"arm {n}": [([1, 2], [0.0, float(n)])] for n in range(2 * len(figure.COLORS) + 1)}
    drawn = figure.curves({"panel": lines})
    assert all(f"arm {n}" in drawn for n in range(len(lines)))
