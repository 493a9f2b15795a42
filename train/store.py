"""What is kept of a run: its identity, its checkpoints, its metrics, its parameters.

    folder/checkpoints/<step>/    states, by Orbax; the two newest
    folder/metrics.jsonl          one row a step
    folder/params/                the parameters a finished stage hands on, by Orbax
    folder/lock                   who is writing (train/lock.py)

This is the only file that imports Orbax.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import logging
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from train.lock import Lock, whole, writing


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


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two descriptions differ, one line each: "recipe.steps: 800, not 900"."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        parts = [(f"{path}.{k}".lstrip("."), one.get(k), other.get(k)) for k in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [f"{path}: {json.dumps(one)}, not {json.dumps(other)}"]
    return [line for where, a, b in parts for line in differences(a, b, where)]


class Store:
    """The checkpoints and metrics of one stage in `folder`; `every` steps a checkpoint is due."""

    def __init__(self, folder: str | pathlib.Path, *, every: int = 200):
        if every < 1:
            raise ValueError(f"every={every} must be at least 1 step")
        self.folder, self.every = pathlib.Path(folder).absolute(), every
        self._lock: Lock | None = None
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()

    def _open(self) -> None:
        policies = ocp.training
        self._checkpoints = policies.Checkpointer(
            self.folder / "checkpoints",
            # The default policy skips steps silently while a save is running.
            save_decision_policy=policies.save_decision_policies.FixedIntervalPolicy(self.every),
            preservation_policy=policies.preservation_policies.LatestN(2),
        )

    def save(self, step: int, state: Any, *, force: bool = False) -> None:
        """Save in the background if `step` is due, or now because `force`."""
        if not force and step % self.every:
            return
        with writing(self.folder):
            self._checkpoints.save_checkpointables_async(
                step, {"state": state}, force=True, overwrite=True, custom_metadata=_notes(state)
            )

    def restore(self, like: Any) -> Any | None:
        """The newest good state, None if there is none; metrics after it are dropped. From now
        until `close`, or the end of the process however it comes, no other process may.

        A damaged one is named on stderr and set aside, and the one before is taken. ValueError: a
        good checkpoint of another shape than `like` (arrays or ShapeDtypeStructs).
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
                with _reading():
                    return step, self._load(step, like)
            except _Damaged as error:
                why = str(error)
            aside = self.folder / f"damaged-{step}"
            print(f"checkpoint {step} in {self.folder} is damaged ({why}); moved to {aside.name}, "
                  "going on from the one before", file=sys.stderr)  # fmt: skip
            self._checkpoints.close()
            (self.folder / "checkpoints" / str(step)).rename(_free(aside))
            self._open()
        return None

    def _load(self, step: int, like: Any) -> Any:
        notes = self._checkpoints.metadata(step).custom_metadata or {}
        read = lambda target: self._checkpoints.load_checkpointables(step, {"state": target})
        return _verified(notes, like, lambda target: read(target)["state"], self.folder)

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
        return [json.loads(line) for line in lines if line.endswith("}")]

    def wait(self) -> None:
        """Until nothing is being saved; raises what went wrong in it."""
        with writing(self.folder):
            self._checkpoints.wait()

    def close(self) -> None:
        self._checkpoints.close()
        if self._lock is not None:
            self._lock.release()
        self._lock = None


def save_params(folder: str | pathlib.Path, params: Any) -> None:
    """Write parameters to folder/params, replacing those there."""
    path = pathlib.Path(folder).absolute() / "params"
    with writing(folder):
        ocp.save(path, params, overwrite=True, custom_metadata=_notes(params))


def load_params(folder: str | pathlib.Path, like: Any) -> Any:
    """The parameters in folder/params; `like` has their shapes (arrays or ShapeDtypeStructs).

    ValueError if there are none, if they have other shapes, or if they are damaged.
    """
    path = pathlib.Path(folder).absolute() / "params"
    if not path.is_dir():
        raise ValueError(f"{folder} holds no finished parameters (no folder {path.name} in it)")
    try:
        with _reading():
            notes = ocp.metadata(path).custom_metadata or {}
            return _verified(notes, like, lambda target: ocp.load(path, target), path)
    except _Damaged as error:
        raise ValueError(f"{path} is damaged ({error}); train it again") from error


def dump(path: pathlib.Path, spec: Any, **arrays: Any) -> None:
    """A numpy archive of trees, leaves named by their path, and a spec (JSON): what is looked at
    after a failure (train/replay.py)."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    name = lambda keys: jax.tree_util.keystr(keys, simple=True, separator="/")
    named = {name(keys): np.asarray(leaf) for keys, leaf in leaves}
    with writing(path.parent):
        np.savez(path, spec=np.array(json.dumps(spec)), **named)


class _OtherShape(ValueError):
    """A good checkpoint, of another run."""


class _Damaged(Exception):
    """A checkpoint whose files are not what was written."""


@contextlib.contextmanager
def _reading():
    """What Orbax says of damaged files as one error: it raises any of four, by the byte."""
    try:
        with _quiet():
            yield
    except _OtherShape:
        raise
    except Exception as error:
        known = type(error) is Exception or isinstance(error, KeyError | ValueError | OSError)
        if not known:
            raise
        while error.__cause__ is not None:
            error = error.__cause__
        raise _Damaged(str(error).split("\n")[0][:120]) from None


def _notes(tree: Any) -> dict[str, Any]:
    return {"fingerprint": _fingerprint(tree), "leaves": _leaves(tree)}


def _verified(notes: dict, like: Any, load: Callable[[Any], Any], where: pathlib.Path) -> Any:
    """What `load` gives for the shapes of `like`, if it is what was saved."""
    if "fingerprint" not in notes:
        raise ValueError("its metadata are unreadable")
    wrong = differences(notes["leaves"], _leaves(like))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise _OtherShape(
            f"{where} holds other shapes than asked for ({'; '.join(wrong[:3])}{more}); choose "
            "another folder, or the spec that made it"
        )
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    place = lambda x: getattr(x, "sharding", None) or here
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)), like)
    tree = load(target)
    if _fingerprint(tree) != notes["fingerprint"]:
        raise ValueError("its contents are not what was saved")
    return tree


def _leaves(tree: Any) -> dict[str, str]:
    named = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda keys: jax.tree_util.keystr(keys, simple=True, separator="/")
    return {name(keys): f"{leaf.dtype}{list(leaf.shape)}" for keys, leaf in named}


def _free(path: pathlib.Path) -> pathlib.Path:
    names = [path, *(path.with_name(f"{path.name}-{i}") for i in range(2, 100))]
    return next(p for p in names if not p.exists())


@contextlib.contextmanager
def _quiet():
    """Orbax logs hundreds of lines about one damaged file; ours says it in one."""
    asynchronous = logging.getLogger("asyncio")
    before = absl.logging.get_verbosity(), asynchronous.level
    absl.logging.set_verbosity(absl.logging.FATAL)
    asynchronous.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before[0])
        asynchronous.setLevel(before[1])


def _fingerprint(tree: Any) -> int:
    """A checksum that any changed bit changes; Orbax itself reads a flipped bit without a word."""
    return int(_checksum(jax.tree.leaves(tree)))


@jax.jit
def _checksum(leaves: list) -> jax.Array:
    total = jnp.uint32(0)
    for leaf in leaves:
        bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * leaf.dtype.itemsize}"))
        bits = bits.astype(jnp.uint32).ravel()
        # Odd weights: a single changed bit cannot vanish modulo 2^32, a swap of values shows.
        place = jnp.arange(bits.size, dtype=jnp.uint32) * jnp.uint32(2654435761) | jnp.uint32(1)
        total = total * jnp.uint32(31) + jnp.sum(bits * place)
    return total
