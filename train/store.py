"""What is kept of a run: its identity, its checkpoints, its metrics, its parameters.

    folder/checkpoints/<step>/    states, by Orbax; the two newest and the one of the lowest loss
    folder/metrics.jsonl          one row a step
    folder/params/                the parameters a finished stage hands on, by Orbax
    folder/lock                   who is writing (train/lock.py)

This is the only file that imports Orbax.
"""

import dataclasses
import functools
import hashlib
import importlib
import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from train.damage import Damaged, hindrance, noted, quiet, verified
from train.lock import Lock, whole, writing
from train.mesh import pathname


def keep_compiled() -> None:
    """Compiled programs outlive the process: a run that continues does not compile again."""
    folder = pathlib.Path(__file__).parent.parent / ".cache" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))


def how(default: Any) -> Any:
    """A dataclass field that may not change results and so is left out of the identity."""
    return dataclasses.field(default=default, metadata={"identity": False})


def identity(spec: Any) -> str:
    """12 hex digits that name what was computed: a hash of `describe(spec)`."""
    text = json.dumps(describe(spec), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def describe(spec: Any) -> Any:
    """A frozen dataclass as JSON: {"is": qualified class name, field: ...}, recursively."""
    if dataclasses.is_dataclass(spec) and not isinstance(spec, type):
        fields = [f.name for f in dataclasses.fields(spec) if f.metadata.get("identity", True)]
        name = f"{type(spec).__module__}.{type(spec).__qualname__}"
        return {"is": name} | {f: describe(getattr(spec, f)) for f in fields}
    if isinstance(spec, tuple):
        return [describe(part) for part in spec]
    if spec is None or isinstance(spec, bool | int | float | str):
        return spec
    if isinstance(spec, pathlib.PurePath):
        return str(spec)
    raise ValueError(
        f"a spec holds {spec!r} of type {type(spec).__name__}; use numbers, strings, tuples and "
        "frozen dataclasses, or mark the field `how(...)` if it cannot change results"
    )


def rebuild(description: Any) -> Any:
    """What `describe` was given; fields of `how` as they are by default."""
    if isinstance(description, list):
        return tuple(map(rebuild, description))
    if not isinstance(description, dict):
        return description
    fields = {name: rebuild(value) for name, value in description.items() if name != "is"}
    if "is" not in description:
        return fields
    module, _, name = description["is"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**fields)


class Store:
    """The checkpoints and metrics of one stage in `folder`; `every` steps a checkpoint is due."""

    def __init__(self, folder: str | pathlib.Path, *, every: int = 200):
        if every < 1:
            raise ValueError(f"every={every} must be at least 1 step")
        self.folder, self.every = pathlib.Path(folder).absolute(), every
        self._lock: Lock | None = None
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def _checkpoints(self) -> ocp.training.Checkpointer:
        """Opened when first asked for, behind the lock: who reads only metrics never does."""
        try:
            return self._opened()
        except (KeyError, ValueError, TypeError, OSError) as error:  # of notes that are damaged
            hindrance(error, self.folder)
            found = [step for step in self._steps() if not readable(self._path(step))]
            if not found:
                raise
            for step in found:
                self._set_aside(step, str(error))
            return self._opened()

    def _opened(self) -> ocp.training.Checkpointer:
        keep = ocp.training.preservation_policies
        best = keep.BestN(
            n=1, get_metric_fn=lambda metrics: metrics.get("loss", float("inf")), reverse=True,
            keep_checkpoints_without_metrics=False,
        )  # fmt: skip
        with writing(self.folder), quiet():
            return ocp.training.Checkpointer(
                self.folder / "checkpoints",
                preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(2), best]),
            )

    def _path(self, step: int) -> pathlib.Path:
        return self.folder / "checkpoints" / str(step)

    def _steps(self) -> list[int]:
        """Of the checkpoints there are, the newest first."""
        names = [path.name for path in (self.folder / "checkpoints").glob("*")]
        return sorted(map(int, filter(str.isdigit, names)), reverse=True)

    def save(self, step: int, state: Any, *, loss: float | None = None) -> None:
        """Save in the background; the state of the lowest `loss` so far stays when newer ones come.

        Nothing here reads that one: it is there for whoever finds that a run went wrong later on.
        `Checkpointer(folder / "checkpoints")` of orbax.checkpoint.v1.training has `checkpoints`,
        each with its step and metrics["loss"], and load_checkpointables(step, {"state": like}).
        """
        with writing(self.folder):
            self._checkpoints.save_checkpointables_async(
                step, {"state": state}, force=True, overwrite=True, custom_metadata=noted(state),
                metrics=None if loss is None else {"loss": float(loss)},
            )  # fmt: skip

    def restore(self, like: Any) -> Any | None:
        """The newest good state, None if there is none; metrics after it are dropped. From now
        until `close`, or the end of the process however it comes, no other process may.

        A damaged one is named on stderr and set aside, and the one before is taken. ValueError: a
        good checkpoint of another shape than `like` (arrays or ShapeDtypeStructs), or one that
        cannot be read for a reason outside of it; and a damaged one, of several processes.
        """
        first = jax.process_index() == 0  # one process writes what all of them read
        if first and self._lock is None:
            self._lock = Lock(self.folder)
        found = self._newest(like)
        step = 0 if found is None else found[0]
        rows = [row for row in self.metrics() if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if first and self._metrics.exists() and text != self._metrics.read_text():
            whole(self._metrics, text)
        return None if found is None else found[1]

    def _newest(self, like: Any) -> tuple[int, Any] | None:
        steps = sorted((c.step for c in self._checkpoints.checkpoints), reverse=True)
        for step in steps:
            try:
                return step, self._load(step, like)
            except Damaged as error:
                why = str(error)
            self._shut()
            self._set_aside(step, why)
        return None

    def _set_aside(self, step: int, why: str) -> None:
        aside, why = self.folder / f"damaged-{step}", why.split("\n")[0][:120]
        said = f"checkpoint {step} in {self.folder} is damaged ({why})"
        if jax.process_count() > 1:  # not all of them need have seen it
            raise ValueError(
                f"{said}; move it to {aside.name}, and the same command goes on from the one before"
            )
        print(f"{said}; moved to {aside.name}, going on without it", file=sys.stderr)
        self._path(step).rename(_free(aside))

    def _load(self, step: int, like: Any) -> Any:
        notes = lambda: self._checkpoints.metadata(step).custom_metadata or {}
        read = lambda target: self._checkpoints.load_checkpointables(step, {"state": target})
        return verified(notes, like, lambda target: read(target)["state"], self.folder)

    @property
    def _metrics(self) -> pathlib.Path:
        return self.folder / "metrics.jsonl"

    def log(self, rows: list[dict]) -> None:
        """Append rows; each has a "step"."""
        with writing(self.folder), self._metrics.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def metrics(self) -> list[dict]:
        """The rows so far; a line cut short by a kill is left out."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text().split("\n")
        try:
            return [json.loads(line) for line in lines if line.endswith("}")]
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{self._metrics} is damaged ({error}); mend or remove the line, and the same "
                "command goes on"
            ) from error

    def wait(self) -> None:
        """Until nothing is being saved; raises what went wrong in it."""
        with writing(self.folder):
            self._checkpoints.wait()

    def _shut(self) -> None:
        if "_checkpoints" in vars(self):
            self._checkpoints.close()
            del self._checkpoints

    def close(self) -> None:
        self._shut()
        if self._lock is not None:
            self._lock.release()
        self._lock = None


def save_params(folder: str | pathlib.Path, params: Any) -> None:
    """Write parameters to folder/params, replacing those there."""
    path = pathlib.Path(folder).absolute() / "params"
    with writing(folder):
        ocp.save(path, params, overwrite=True, custom_metadata=noted(params))


def load_params(folder: str | pathlib.Path, like: Any) -> Any:
    """The parameters in folder/params; `like` has their shapes (arrays or ShapeDtypeStructs).

    Where `like` says nothing of it they lie on the first device; of several processes, whole on
    every one. ValueError if there are none, if they have other shapes, or if they are damaged.
    """
    path = pathlib.Path(folder).absolute() / "params"
    if not path.is_dir():
        raise ValueError(f"{folder} holds no finished parameters (no folder {path.name} in it)")
    notes = lambda: ocp.metadata(path).custom_metadata or {}
    try:
        return verified(notes, like, lambda target: ocp.load(path, target), path)
    except Damaged as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it, and the command of the run makes it again"
        ) from error


def readable(path: pathlib.Path) -> bool:
    """Whether what Orbax notes beside a checkpoint is whole; ValueError if that cannot be seen."""
    metrics = path / "metrics" / "metrics"
    try:
        with quiet():
            ocp.checkpointables_metadata(path)
            return not metrics.exists() or "loss" in json.loads(metrics.read_text())
    except Exception as error:
        hindrance(error, path)
        return False


def dump(path: pathlib.Path, spec: Any, **arrays: Any) -> None:
    """A numpy archive of trees, leaves named by their path, and a spec (JSON): what is looked at
    after a failure (train/replay.py). Of several processes all call it, and the first writes."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    named = {pathname(keys): _whole(leaf) for keys, leaf in leaves}
    if jax.process_index() == 0:
        with writing(path.parent):
            np.savez(path, spec=np.array(json.dumps(spec)), **named)


def _whole(leaf: Any) -> np.ndarray:
    """On the host, with what other processes have of it."""
    apart = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
    return multihost_utils.process_allgather(leaf, tiled=True) if apart else np.asarray(leaf)


def _free(path: pathlib.Path) -> pathlib.Path:
    names = [path, *(path.with_name(f"{path.name}-{i}") for i in range(2, 100))]
    return next(p for p in names if not p.exists())
