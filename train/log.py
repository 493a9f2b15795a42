"""Where numbers go besides metrics.jsonl: TensorBoard, Weights & Biases, Trackio, a profile.

Each is a function write(step, {name: number}). Their libraries are optional: the extras
`tensorboard`, `wandb` and `trackio` of pyproject.toml.
"""

import hashlib
import importlib
import json
import pathlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import jax

Write = Callable[[int, dict[str, float]], None]
Kind = Literal["tensorboard", "wandb", "trackio"]


def writer(kind: Kind, folder: pathlib.Path, spec: Any) -> Write:
    """What writes to one of them; files go into `folder`, and `spec` (JSON) is the run's record.

    A run that continues goes on as the same one: it is known by its folder and spec, Trackio's by
    its name. From the first step that is written, TensorBoard forgets what it was told before.
    """
    if kind == "tensorboard":
        library, board = _library("tensorboardX", kind), None

        def write(step, values):
            nonlocal board
            if board is None:
                board = library.SummaryWriter(str(folder / "tensorboard"), purge_step=step)
            for name, value in values.items():
                board.add_scalar(name, value, step)
            board.flush()

        return write
    library = _library(kind, kind)
    known = json.dumps([str(folder.resolve()), spec])
    own = hashlib.sha256(known.encode()).hexdigest()[:12]
    more = {"id": own, "dir": str(folder)} if kind == "wandb" else {}
    library.init(
        project="diglossia", name=f"{folder.name}-{own}", config=spec, resume="allow", **more
    )
    return lambda step, values: library.log(values, step=step)


def _library(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"logging to {extra} needs {name}, which is not installed: pip install {name}"
        ) from None


class Trace:
    """A profile of the steps `first` to `last` in folder/trace, with all of the calls of at most
    `size` steps that they fall into. For xprof or Perfetto.

    Call it with every step that was reached, 0 before the first. It is told a call late, so it
    begins two calls early; the first two after a checkpoint come too early for it.
    """

    def __init__(self, folder: pathlib.Path, first: int, last: int, size: int):
        if not 0 <= first < last:
            raise ValueError(f"trace of steps {first} to {last}; the first is from 0 to the last")
        self.folder, self.first, self.last, self.size = folder / "trace", first, last, size
        self._on = self._was = False

    def __call__(self, step: int) -> None:
        if not self._on and self.first - 2 * self.size < step < self.last:
            jax.profiler.start_trace(self.folder)
            self._on = self._was = True
        elif self._on and step >= self.last:
            self.close()

    def close(self) -> None:
        if self._on:
            jax.profiler.stop_trace()
        elif not self._was:
            steps = f"{self.first} to {self.last}"
            print(f"no profile: steps {steps} were not seen to begin", file=sys.stderr)
        self._on = False
