"""Where a run is, on the terminal: members that train together as rows, and the time left."""

import math
import time
from collections.abc import Sequence
from typing import Protocol

import rich.console
import rich.live
import rich.progress
import rich.table

from train.member import Progress
from train.recipe import Recipe


class Training(Protocol):
    """What is shown of a stage (experiments/stage.py)."""

    recipe: Recipe

    @property
    def title(self) -> str: ...

    @property
    def tokens(self) -> int: ...


class Display:
    """One row a member, with its losses; below, tokens/s and the time left of all stages."""

    def __init__(self, stages: Sequence[Training]) -> None:
        self.console = rich.console.Console()
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[note]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
        )
        self.progress = rich.progress.Progress(*columns, console=self.console)
        total = sum(stage.tokens for stage in stages)
        self.all = self.progress.add_task("all stages", total=total, note="")
        self.live = rich.live.Live(self, console=self.console, refresh_per_second=2)
        self.losses: dict[Training, list[float]] = {}
        self.done: dict[Training, int] = {}

    def __enter__(self) -> "Display":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        (task,) = self.progress.tasks
        if not task.total:  # all was already there
            self.progress.update(self.all, total=1, completed=1)
        self.live.stop()
        if not self.console.is_terminal:
            self.console.line()  # what comes next is no part of the bar

    def __rich__(self) -> rich.console.Group:
        rows = rich.table.Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for stage, losses in self.losses.items():
            loss = f"loss {losses[-1]:.3f}" if losses else ""
            step = f"{self.done.get(stage, 0)}/{stage.recipe.steps}"
            rows.add_row(stage.title, sparkline(losses), loss, step)
        return rich.console.Group(rows, self.progress)

    def begin(self, group: Sequence[Training]) -> None:
        self.started = time.monotonic()
        self.losses = {stage: [] for stage in group}
        self.done = {}

    def advance(self, group: Sequence[Training], progress: Progress) -> None:
        for stage, step, loss in zip(group, progress.step, progress.loss, strict=True):
            self._spent(stage, step)
            if not math.isnan(loss):
                self.losses[stage].append(float(loss))
        note = f"{progress.tokens_per_second / 1e3:.1f}k tok/s"
        self.progress.update(self.all, note=note)

    def _spent(self, stage: Training, step: int) -> None:
        tokens = stage.tokens * (step - self.done.get(stage, 0)) / stage.recipe.steps
        if stage in self.done:
            self.progress.advance(self.all, tokens)
        else:  # it may have gone on from a checkpoint: what took no time says nothing of what will
            (task,) = self.progress.tasks
            self.progress.update(self.all, total=task.total - tokens)
        self.done[stage] = step

    def end(self, stage: Training) -> None:
        self._spent(stage, stage.recipe.steps)
        losses = self.losses.pop(stage)  # its line stays above, its row goes
        note = f"{sparkline(losses)}  loss {losses[-1]:.3f}" if losses else "already there"
        seconds = time.monotonic() - self.started
        self.console.print(f"{stage.title:28s} {note:28s} {seconds:6.1f} s", highlight=False)


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """At most `width` values spread over the series, from the lowest to the highest bar.

    >>> sparkline([4.0, 3.0, 2.0, 1.0])
    '█▆▃▁'
    """
    bars = "▁▂▃▄▅▆▇█"
    if not values:
        return ""
    count = min(width, len(values))
    shown = [values[i * len(values) // count] for i in range(count)]
    low, high = min(shown), max(shown)
    scale = (len(bars) - 1) / (high - low) if high > low else 0
    return "".join(bars[round((value - low) * scale)] for value in shown)
