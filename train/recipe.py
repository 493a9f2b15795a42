"""How long, how many, how fast: the recipe of one stage of training.

Recipes that differ in numbers only share one compiled program: the learning rate of every step, and
every `float` field of an optimizer, are its arguments (`numbers`). So `transform` may not branch
on them: inside the program they are traced.
"""

import copy
import dataclasses
import math
import re
from typing import Any

import jax
import numpy as np
import optax
import optax.contrib
from jaxtyping import Float

from train.adapter import MAPS, Adapter, Full, Masked
from train.mesh import pathname
from train.objective import NextToken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up over `warmup` steps to the learning rate, cosine down to `final` of it."""

    warmup: int = 100
    final: float = 0.05

    def schedule(self, lr: float, steps: int) -> optax.Schedule:
        _check_final(self.final)
        if not 0 <= self.warmup < steps:
            raise ValueError(
                f"warmup={self.warmup} does not fit into steps={steps}; "
                f"choose a warm-up from 0 to {steps - 1}"
            )
        curve = optax.warmup_cosine_decay_schedule(0.0, lr, self.warmup, steps, lr * self.final)
        # optax gives its first step the rate 0, a step that trains nothing; ours are 1..steps.
        return lambda step: curve(step + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WSD:
    """Warm-up, stable, decay (Hu et al. 2024, 2404.06395, section 4): up over `warmup` steps, the
    learning rate, then down to `final` of it over the last `decay` of all steps; in lines."""

    warmup: int = 100
    decay: float = 0.1
    final: float = 0.0

    def schedule(self, lr: float, steps: int) -> optax.Schedule:
        _check_final(self.final)
        fits = self.warmup >= 0 and 0 < self.decay <= 1
        last = round(self.decay * steps) if fits else 0
        if not 0 < last <= steps - self.warmup:
            raise ValueError(
                f"warmup={self.warmup} and decay={self.decay} of steps={steps} do not fit; choose "
                "a warm-up of 0 or more and a share of one step or more that leave the steps "
                "between them"
            )
        parts = [
            optax.linear_schedule(0.0, lr, max(self.warmup, 1)),
            optax.constant_schedule(lr),
            optax.linear_schedule(lr, lr * self.final, last),
        ]
        curve = optax.join_schedules(parts, [self.warmup, steps - last])
        return lambda step: curve(step + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """The learning rate from the first step to the last."""

    def schedule(self, lr: float, steps: int) -> optax.Schedule:
        return optax.constant_schedule(lr)


def _check_final(final: float) -> None:
    if not 0 <= final <= 1:
        raise ValueError(f"final={final} is no share of the learning rate; choose 0 to 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019) after clipping the gradient's norm to `clip`.

    Only matrices decay: not norms, biases or any other leaf of one axis, nor the rates at which
    Mamba forgets, which its authors spare too.
    """

    lr: float = 3e-3
    b1: float = 0.9
    b2: float = 0.98
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self):
        _check(self, "b1", "b2")

    def transform(self, rate: Any) -> optax.GradientTransformation:
        """One step at the learning rate `rate`, a number that may be traced."""
        matrix = lambda keys, leaf: leaf.ndim >= 2 and not pathname(keys).endswith("mixer/a")
        decays = lambda params: jax.tree_util.tree_map_with_path(matrix, params)
        step = optax.adamw(rate, self.b1, self.b2, weight_decay=self.weight_decay, mask=decays)
        return optax.chain(optax.clip_by_global_norm(self.clip), step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for all else.

    An update is scaled to a root mean square of 0.2 (Liu et al. 2025, 2502.16982, section 2.2), so
    that AdamW's learning rates serve both. What is not Muon's does not decay.

    A matrix is what the model holds as one (model/layer.py): q, k, v, u and r of a GLA are made
    orthogonal together, where the authors take each apart. So 0.2 is that of the whole, and a part
    whose gradient is small stays small: 0.22 for q and 0.03 for r in the first step of a toy GLA.
    """

    lr: float = 3e-3
    momentum: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self):
        _check(self, "momentum")

    def transform(self, rate: Any) -> optax.GradientTransformation:
        """One step at the learning rate `rate`, a number that may be traced."""
        maps = optax.contrib.muon(
            rate, beta=self.momentum, weight_decay=self.weight_decay, consistent_rms=0.2
        )
        # Not muon's own for other leaves: that one is Adam with Nesterov's momentum.
        other = optax.adamw(rate, b2=AdamW().b2, weight_decay=0.0)
        own = optax.partition({"muon": maps, "adamw": other}, _labels)
        return optax.chain(optax.clip_by_global_norm(self.clip), own)


def _check(optimizer: AdamW | Muon, *averages: str) -> None:
    """ValueError unless an optimizer's numbers make sense; NaN makes none."""
    if not (0 < optimizer.lr < math.inf and optimizer.clip > 0):
        raise ValueError(
            f"lr={optimizer.lr} and clip={optimizer.clip} must be above 0, and the lr finite"
        )
    if not 0 <= optimizer.weight_decay < math.inf:
        raise ValueError(f"weight_decay={optimizer.weight_decay} must be 0 or more")
    for name in averages:
        if not 0 <= getattr(optimizer, name) < 1:
            raise ValueError(
                f"{name}={getattr(optimizer, name)} is how much a running average keeps in a step; "
                "choose 0 or more, and less than 1"
            )


def _labels(params: Any) -> Any:
    """Of each leaf whose it is."""
    label = lambda keys, _: "muon" if re.fullmatch(MAPS, pathname(keys)) else "adamw"
    return jax.tree_util.tree_map_with_path(label, params)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """`steps` steps of `batch` rows on an objective, from the parameters that `seed` draws or those
    of a base; the adapter says what of them is trained."""

    steps: int
    batch: int
    optimizer: AdamW | Muon = AdamW()
    schedule: Cosine | WSD | Constant = Cosine()
    objective: NextToken = dataclasses.field(default=NextToken())
    adapter: Adapter = dataclasses.field(default=Full())
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.seed < 2**32:  # JAX takes 32 bits of it
            raise ValueError(f"seed={self.seed} is another one's double; choose 0 to 2^32 - 1")
        self.schedule.schedule(self.optimizer.lr, self.steps)

    def rates(self) -> Float[np.ndarray, " N"]:
        """The learning rate of each step."""
        curve = self.schedule.schedule(self.optimizer.lr, self.steps)
        found = np.asarray(curve(np.arange(self.steps)), np.float32)
        return np.broadcast_to(found, self.steps)

    def structure(self) -> "Recipe":
        """The recipe without what a compiled program takes as arguments: equal for recipes whose
        members can train together."""
        plain = with_numbers(self.optimizer, dict.fromkeys(numbers(self.optimizer), 0.0))
        adapter = Masked(".*") if isinstance(self.adapter, Masked) else self.adapter
        return dataclasses.replace(
            self, steps=1, optimizer=plain, schedule=Constant(), adapter=adapter, seed=0
        )


def numbers(spec: Any) -> dict[str, float]:
    """The fields of type float of a frozen dataclass."""
    return {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.type is float}


def with_numbers(spec: Any, values: dict[str, Any]) -> Any:
    """The same with other numbers, traced ones too: they were checked when they were numbers."""
    own = copy.copy(spec)
    for name, value in values.items():
        object.__setattr__(own, name, value)
    return own
