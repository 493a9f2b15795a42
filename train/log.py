"""Where numbers go besides metrics.jsonl: TensorBoard, Weights & Biases, Trackio, a profile.

Each is a function write(step, {name: number}). Their libraries are optional: the extras
`tensorboard`, `wandb` and `trackio` of pyproject.toml.
"""

import importlib
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import jax

Write = Callable[[int, dict[str, float]], None]
Kind = Literal["tensorboard", "wandb", "trackio"]


def writer(kind: Kind, folder: pathlib.Path, spec: Any) -> Write:
    """What writes to one of them; files go into `folder`, and `spec` (JSON) is the run's record."""
    if kind == "tensorboard":
        board = _library("tensorboardX", kind).SummaryWriter(str(folder / "tensorboard"))

        def write(step, values):
            for name, value in values.items():
                board.add_scalar(name, value, step)
            board.flush()

        return write
    library = _library(kind, kind)
    more = {"dir": str(folder)} if kind == "wandb" else {}
    library.init(project="diglossia", name=folder.name, config=spec, **more)
    return lambda step, values: library.log(values, step=step)


def _library(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"logging to {extra} needs {name}, which is not installed: pip install {name}"
        ) from None


class Trace:
    """A profile of the steps `first` to `last`, to the calls they fall into, in folder/trace.

    For xprof or Perfetto. Call it with the step that was reached; the profile ends with the run.
    """

    def __init__(self, folder: pathlib.Path, first: int, last: int):
        if not 0 <= first < last:
            raise ValueError(f"trace of steps {first} to {last}; the first is from 0 to the last")
        self.folder, self.first, self.last = folder / "trace", first, last
        self._on = False

    def __call__(self, step: int) -> None:
        if not self._on and self.first <= step < self.last:
            jax.profiler.start_trace(self.folder)
            self._on = True
        elif self._on and step >= self.last:
            self.close()

    def close(self) -> None:
        if self._on:
            jax.profiler.stop_trace()
        self._on = False
