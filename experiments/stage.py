"""A stage: one training and what is asked of the model on the way, kept under its identity.

    OUT/stages/<identity>/   checkpoints, metrics.jsonl, params (train/store.py)
                             ledger.parquet      exposures of every fact in this stage's rows
                             <measure>-<step>.parquet   one row an item
A stage whose files are all there is not run again; ten tunings of one base train it once. What is
measured is no part of the identity: a new measure of a finished stage does not train it anew.
"""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Protocol

import jax
import pyarrow as pa
import pyarrow.parquet as pq
import rich.console
import rich.progress

from data.corpus import Corpus
from data.ledger import ledger as count
from data.stream import stream
from data.text import Text
from model.lm import LM, shapes
from train.loop import fit
from train.recipe import Recipe
from train.store import Store, how, identity, load_params, save_params


class Measure(Protocol):
    """A frozen dataclass that asks a model its questions: one row an item.

    Metrics are the table's float columns; text and integer columns are slices (experiments/run.py).
    """

    def __call__(self, cfg: LM, params: dict) -> pa.Table: ...


def extent(default):
    """A field of an experiment's Settings that says how many stages there are, not what they are:
    an output folder may grow along it."""
    return dataclasses.field(default=default, metadata={"extent": True})


def seeds(count: int) -> range:
    """The seeds 0..count-1 of an experiment's runs."""
    if count < 1:
        raise ValueError(
            f"seeds={count} trains nothing; choose 1 or more (5 to screen, 8 to claim)"
        )
    return range(count)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Training of `model` on `corpus` by `recipe`, from `base`'s parameters or from scratch.

    `measures` run at the steps `at`; `labels` become columns of everything the stage yields.
    """

    model: LM
    corpus: Corpus | Text
    recipe: Recipe
    base: "Stage | None" = None
    measures: tuple[Measure, ...] = how(())
    at: tuple[int, ...] = how(())
    labels: tuple[tuple[str, str | int], ...] = how(())

    @property
    def title(self) -> str:
        return " · ".join(str(value) for _, value in self.labels)

    @property
    def tokens(self) -> int:
        return self.recipe.steps * self.recipe.batch * self.corpus.T


def home(out: pathlib.Path, stage: Stage) -> pathlib.Path:
    """The folder of a stage."""
    return out / "stages" / identity(stage)


def complete(stage: Stage, out: pathlib.Path, display: "Display") -> None:
    """Trains and measures what is missing of a stage; its base must be complete."""
    folder, last = home(out, stage), stage.recipe.steps
    display.begin(stage)
    missing = [
        step for step in stage.at if not all(p.exists() for p in _files(folder, stage, step))
    ]
    finished = (folder / "params").is_dir()
    if finished and set(missing) <= {last}:
        if missing:
            params = load_params(folder, _stacked(stage.model))
            _measure(stage, folder, last, params)
    else:
        _train(stage, out, folder, missing, display)
    exposures = folder / "ledger.parquet"
    if isinstance(stage.corpus, Corpus) and stage.corpus.mixture.facts and not exposures.exists():
        _write(count(stage.corpus, 0, last * stage.recipe.batch), exposures)
    display.end(stage)


def _train(stage, out, folder, missing, display) -> None:
    resumed = [int(p.name) for p in (folder / "checkpoints").glob("[0-9]*") if p.name.isdigit()]
    if (folder / "params").is_dir() or any(step < max(resumed, default=0) for step in missing):
        shutil.rmtree(folder)  # asked for a step that has gone by: only a new training passes it
    store = Store(folder)
    base = stage.base and load_params(home(out, stage.base), _stacked(stage.base.model))
    state = fit(
        stage.model,
        stage.recipe,
        [stream(stage.corpus, stage.recipe.batch)],
        params=base,
        store=store,
        on_step=lambda step, metrics: display.advance(stage, step, metrics),
        evaluate_at=stage.at,
        evaluate=lambda step, params: _measure(stage, folder, step, params),
    )
    store.close()
    save_params(folder, state.trained)


def _stacked(cfg: LM) -> dict:
    """The parameters' shapes with the members' axis, here of one, on the first device."""
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    own = lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype, sharding=place)
    return jax.tree.map(own, shapes(cfg))


def _files(folder: pathlib.Path, stage: Stage, step: int) -> list[pathlib.Path]:
    names = [f"{type(m).__name__.lower()}-{identity(m)}" for m in stage.measures]
    return [folder / f"{name}-{step}.parquet" for name in names]


def _measure(stage: Stage, folder: pathlib.Path, step: int, params: dict) -> None:
    own = jax.tree.map(lambda leaf: leaf[0], params)
    for measure, path in zip(stage.measures, _files(folder, stage, step), strict=True):
        _write(measure(stage.model, own), path)


def _write(table: pa.Table, path: pathlib.Path) -> None:
    """Whole or not at all: a kill between leaves no half file under the final name."""
    part = path.with_suffix(".part")
    pq.write_table(table, part)
    part.rename(path)


def items(out: pathlib.Path, stage: Stage) -> pa.Table | None:
    """All items of a stage with its labels, the step, and the measure's name as columns."""
    tables = []
    for step in stage.at:
        for path in _files(home(out, stage), stage, step):
            name = path.name.split("-")[0]
            tables.append(_labelled(pq.read_table(path), stage, step=step, measure=name))
    return pa.concat_tables(tables, promote_options="default") if tables else None


def curve(out: pathlib.Path, stage: Stage) -> pa.Table | None:
    """The training's metrics by step, with the stage's labels."""
    store = Store(home(out, stage))
    rows = [{"step": row["step"], "loss": row["loss"][0]} for row in store.metrics()]
    store.close()
    return _labelled(pa.Table.from_pylist(rows), stage) if rows else None


def ledger(out: pathlib.Path, stage: Stage) -> pa.Table | None:
    """The exposures of a stage, with its labels."""
    path = home(out, stage) / "ledger.parquet"
    return _labelled(pq.read_table(path), stage) if path.exists() else None


def _labelled(table: pa.Table, stage: Stage, **more: str | int) -> pa.Table:
    for name, value in (dict(stage.labels) | more).items():
        table = table.append_column(name, pa.array([value] * len(table)))
    return table


class Display:
    """Where a run is: the stage, its loss, tokens/s, and the time left of stage and run."""

    def __init__(self, stages: Sequence[Stage]) -> None:
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
        self.count, self.number = len(stages), 0

    def __enter__(self) -> "Display":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, stage: Stage) -> None:
        self.number += 1
        name = f"{self.number}/{self.count} {stage.title}"
        self.task = self.progress.add_task(name, total=stage.recipe.steps, note="")
        self.started, self.done, self.note = time.monotonic(), 0, "already there"

    def advance(self, stage: Stage, step: int, metrics: dict) -> None:
        loss, speed = float(metrics["loss"][0]), metrics["tokens_per_second"]
        self.note = f"loss {loss:.3f}  {speed / 1e3:.1f}k tok/s"
        self.progress.update(self.task, completed=step, note=self.note)
        self._spent(stage, step)

    def _spent(self, stage: Stage, step: int) -> None:
        self.progress.advance(self.all, stage.tokens * (step - self.done) / stage.recipe.steps)
        self.done = step

    def end(self, stage: Stage) -> None:
        self._spent(stage, stage.recipe.steps)
        self.progress.remove_task(self.task)
        seconds = time.monotonic() - self.started
        self.console.print(f"{stage.title:28s} {self.note:28s} {seconds:6.1f} s", highlight=False)
