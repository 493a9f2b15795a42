"""A stage: one training and what is asked of the model on the way, kept under its identity.

    OUT/stages/<identity>/   checkpoints, metrics.jsonl, params (train/store.py)
                             ledger.parquet      exposures of every fact in this stage's rows
                             <measure>-<step>.parquet   one row an item
A stage whose files are all there is not run again; ten tunings of one base train it once. What is
measured is no part of the identity: a new measure after the last step does not train a finished
stage anew; one at a step before does, since only a training passes it, and stderr says so.

Stages that differ only in seeds, text and numbers train together as members of one ensemble
(`groups`); each keeps its own folder, and nothing in it tells who trained beside it.
"""

import collections
import dataclasses
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.ledger import ledger as count
from data.ledger import speakers
from data.preference import Preference
from data.stream import Documented, stream
from experiments.display import Display
from model.lm import LM, shapes
from train.lock import Held, Lock, writing
from train.loop import fit
from train.member import Member, NotFinite
from train.mesh import Layout
from train.plan import memory
from train.recipe import Recipe
from train.step import result, stacked
from train.store import Store, how, identity, load_params, save_params


class Measure(Protocol):
    """A frozen dataclass that asks a model its questions: one row an item.

    Metrics are the table's float columns; text and integer columns are slices (experiments/run.py).
    Of a stage with another one `beside` it, a measure is given the parameters of both.
    """

    def __call__(self, cfg: LM, params: dict, *beside: dict) -> pa.Table: ...


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

    `measures` run at the steps `at`; `labels` become columns of everything the stage yields. The
    stage `beside`, of an equal model, is complete before: its measures compare the two.
    """

    model: LM
    corpus: Documented | Preference
    recipe: Recipe
    base: "Stage | None" = None
    measures: tuple[Measure, ...] = how(())
    at: tuple[int, ...] = how(())
    labels: tuple[tuple[str, str | int], ...] = how(())
    beside: "Stage | None" = how(None)  # noqa: RUF009  (a field, as those above)

    @property
    def needs(self) -> tuple["Stage", ...]:
        """The stages that are complete before this one begins."""
        return tuple(stage for stage in (self.base, self.beside) if stage is not None)

    @property
    def title(self) -> str:
        return " · ".join(str(value) for _, value in self.labels)

    @property
    def tokens(self) -> int:
        return self.recipe.steps * self.recipe.batch * self.corpus.T


def home(out: pathlib.Path, stage: Stage) -> pathlib.Path:
    """The folder of a stage."""
    return out / "stages" / identity(stage)


def groups(stages: Sequence[Stage], room: Callable[[Stage], int]) -> list[list[Stage]]:
    """Stages that can train together, after those that they need.

    One group has one model, one length of rows and one structure of recipe; `room(stage)` is how
    many members like it the machine holds.
    """
    found: dict[tuple, list[Stage]] = {}
    folders: collections.Counter[str] = collections.Counter()
    for stage in sorted(stages, key=_depth):
        alike = (stage.model, stage.corpus.T, stage.recipe.structure(), stage.base is None)
        again = folders[identity(stage)]  # the same training asked for twice is found done
        folders[identity(stage)] += 1
        found.setdefault((_depth(stage), again, *alike), []).append(stage)
    split = lambda group, size: [group[i : i + size] for i in range(0, len(group), size)]
    return [part for group in found.values() for part in split(group, room(group[0]))]


def _depth(stage: Stage) -> int:
    return max((1 + _depth(needed) for needed in stage.needs), default=0)


def room(stage: Stage) -> int:
    """How many members like this one fit: 4/5 of the accelerators' memory, half of a host's."""
    device = jax.local_devices()[0]
    together = device.platform != "cpu"  # on a CPU members take turns: one's activations at a time
    objective = stage.recipe.objective
    pair = (2,) if isinstance(stage.corpus, Preference) else ()
    blank = np.zeros((stage.recipe.batch, *pair, stage.corpus.T), np.int32)  # no text is made
    rows = objective.rows({"tokens": blank, "weights": blank, "segments": blank + 1}, 0)
    held, used = memory(stage.model, *rows["tokens"].shape)
    if objective.relative:  # to the base, which stays
        held += sum(4 * leaf.size for leaf in jax.tree.leaves(shapes(stage.model)))
    if together:
        free = 0.8 * device.memory_stats()["bytes_limit"]
        return _accelerators() * max(1, int(free / (held + used)))
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, int((0.5 * host - used) / held))


def even(group: Sequence[Stage], devices: int) -> list[Sequence[Stage]]:
    """Those that the devices share evenly, and the rest of them, one a device."""
    rest = len(group) - len(group) % devices
    return [part for part in (group[:rest], group[rest:]) if part]


def _accelerators() -> int:
    """A CPU counts as one: more of it than its cores there is not."""
    devices = jax.local_devices()
    return 1 if devices[0].platform == "cpu" else len(devices)


def complete(group: Sequence[Stage], out: pathlib.Path, display: Display) -> dict[Stage, NotFinite]:
    """Trains and measures what is missing of a group; what it needs must be complete.

    Returns the stages that were lost, with the reason; the others are complete.
    """
    display.begin(group)
    missing = {stage: _missing(out, stage) for stage in group}
    train = []
    for stage in group:
        folder, last = home(out, stage), stage.recipe.steps
        if not (folder / "params").is_dir() or not set(missing[stage]) <= {last}:
            train.append(stage)
        elif missing[stage]:
            params = load_params(folder, stacked(stage.model))
            _measure(stage, folder, last, jax.tree.map(lambda leaf: leaf[0], params))
    lost: dict[Stage, NotFinite] = {}
    for part in even(train, _accelerators()):
        lost |= _train(part, out, missing, display)
    for stage in group:
        if stage not in lost:
            _count(stage, home(out, stage) / "ledger.parquet")
            display.end(stage)
    return lost


def _missing(out: pathlib.Path, stage: Stage) -> list[int]:
    """The steps whose measurements are not all there."""
    there = lambda step: all(path.exists() for path in _files(home(out, stage), stage, step))
    return [step for step in stage.at if not there(step)]


def _count(stage: Stage, path: pathlib.Path) -> None:
    stating = any(corpus.mixture.facts for corpus in speakers(stage.corpus))
    if stating and not path.exists():
        write(count(stage.corpus, 0, stage.recipe.steps * stage.recipe.batch), path)


def _train(train, out, missing, display) -> dict[Stage, NotFinite]:
    """The stages as one ensemble; their parameters as soon as all are through."""
    members = [_member(stage, home(out, stage), missing[stage]) for stage in train]
    params = None
    if train[0].base is not None:
        bases = [load_params(home(out, s.base), stacked(s.base.model)) for s in train]
        params = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *bases)
    layout = Layout(member=min(len(train), _accelerators()))
    show = lambda progress: display.advance(train, progress)
    try:
        state, lost = fit(train[0].model, members, params=params, layout=layout, on_step=show)
    except Held:
        for member in members:
            member.store.close()  # who waits holds nothing that another may wait for
        raise
    for s, (stage, member) in enumerate(zip(train, members, strict=True)):
        member.store.close()
        if s not in lost:
            own = lambda tree, s=s: jax.tree.map(lambda leaf: leaf[s : s + 1], tree)
            end = state._replace(trained=jax.device_put(own(state.trained), jax.devices()[0]))
            start = None if params is None else own(params)
            save_params(home(out, stage), result(stage.model, (stage.recipe,), end, start))
    return {train[s]: error for s, error in lost.items()}


def _member(stage: Stage, folder: pathlib.Path, missing: Sequence[int]) -> Member:
    resumed = [int(p.name) for p in (folder / "checkpoints").glob("[0-9]*") if p.name.isdigit()]
    if (folder / "params").is_dir() or any(step < max(resumed, default=0) for step in missing):
        lock = Lock(folder)  # refuses where another process is at it
        steps = ", ".join(map(str, missing))
        print(
            f"{stage.title}: measurements of steps {steps} are missing, which have gone by; what "
            f"is in {folder} is removed, and trained anew", file=sys.stderr,
        )  # fmt: skip
        shutil.rmtree(folder)
        lock.release()
    return Member(
        recipe=stage.recipe,
        batches=stream(stage.corpus, stage.recipe.batch),
        name=stage.title,
        store=Store(folder),
        evaluate_at=stage.at,
        evaluate=lambda step, params: _measure(stage, folder, step, params),
    )


def _files(folder: pathlib.Path, stage: Stage, step: int) -> list[pathlib.Path]:
    beside = "" if stage.beside is None else f"-{identity(stage.beside)}"
    names = [f"{type(m).__name__.lower()}-{identity(m)}{beside}" for m in stage.measures]
    return [folder / f"{name}-{step}.parquet" for name in names]


def _measure(stage: Stage, folder: pathlib.Path, step: int, params: dict) -> None:
    beside = []
    if stage.beside is not None:
        other = load_params(folder.parent / identity(stage.beside), stacked(stage.beside.model))
        beside.append(jax.tree.map(lambda leaf: leaf[0], other))
    for measure, path in zip(stage.measures, _files(folder, stage, step), strict=True):
        write(measure(stage.model, params, *beside), path)


def write(table: pa.Table, path: pathlib.Path) -> None:
    """Whole or not at all: a kill between leaves no half file under the final name."""
    part = path.with_suffix(".part")
    with writing(path.parent):
        pq.write_table(table, part)
        part.rename(path)


def read(path: pathlib.Path) -> pa.Table:
    """A table that `write` wrote."""
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it, and the command of the run makes it again"
        ) from error


def items(out: pathlib.Path, stage: Stage) -> pa.Table | None:
    """All items of a stage with its labels, the step, and the measure's name as columns."""
    tables = []
    for step in stage.at:
        for path in _files(home(out, stage), stage, step):
            name = path.name.split("-")[0]
            tables.append(_labelled(read(path), stage, step=step, measure=name))
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
    return _labelled(read(path), stage) if path.exists() else None


def _labelled(table: pa.Table, stage: Stage, **more: str | int) -> pa.Table:
    for name, value in (dict(stage.labels) | more).items():
        table = table.append_column(name, pa.array([value] * len(table)))
    return table
