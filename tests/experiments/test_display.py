"""What a terminal shows of a run."""

import types

import numpy as np
import pytest

from experiments.display import Display, sparkline
from train.member import Progress


def toy(seed, steps=4):
    """What is shown of a stage; each is another one."""
    recipe = types.SimpleNamespace(steps=steps)
    fields = dict(recipe=recipe, title=f"seed {seed}", tokens=100 * steps)
    return type("Training", (), fields)()


def test_a_sparkline_spans_lowest_to_highest():
    assert sparkline([4.0, 3.0, 2.0, 1.0]) == "█▆▃▁"
    assert len(sparkline(list(range(100)))) == 16 and sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"


@pytest.mark.parametrize("steps", [5, 40])
def test_the_display_shows_members_as_rows_with_their_losses(steps, tmp_path):
    pair = [toy(0), toy(1, steps=steps)]
    display = Display(pair)
    display.console.width = 120
    display.begin(pair)
    display.advance(pair, Progress([2, 3], np.array([3.0, np.nan]), np.zeros(2), 1e4))
    display.advance(pair, Progress([4, 3], np.array([2.5, 2.0]), np.zeros(2), 1e4))
    with display.console.capture() as text:
        display.console.print(display)
    shown = text.get()
    assert "█▁" in shown and "loss 2.500" in shown and "4/4" in shown
    assert f"3/{steps}" in shown and "10.0k tok/s" in shown and "left" in shown


def test_what_was_done_before_is_no_part_of_what_the_time_left_is_told_by():
    pair = [toy(0, steps=200), toy(1, steps=200)]
    display = Display(pair)
    display.begin(pair)
    told = lambda *steps: display.advance(pair, Progress([*steps], np.ones(2), np.zeros(2), 1e4))
    told(180, 20)  # the one goes on from a checkpoint
    told(200, 40)
    (task,) = display.progress.tasks
    assert task.completed == 100 * 40 and task.total == 100 * 200
