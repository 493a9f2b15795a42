"""How long, how many, how fast: the recipe of one stage of training.

Recipes that differ in numbers only share one compiled program: the learning rate of every step, and
every `float` field of an optimizer, are its arguments (`numbers`). So `transform` may not branch
on them: inside the program they are traced.
"""

import copy
import dataclasses
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up over `warmup` steps to the learning rate, cosine down to `final` of it."""

    warmup: int = 100
    final: float = 0.05

    def schedule(self, lr: float, steps: int) -> optax.Schedule:
        if not 0 <= self.warmup < steps:
            raise ValueError(
                f"warmup={self.warmup} does not fit into steps={steps}; "
                f"choose a warm-up from 0 to {steps - 1}"
            )
        curve = optax.warmup_cosine_decay_schedule(0.0, lr, self.warmup, steps, lr * self.final)
        # optax gives its first step the rate 0, a step that trains nothing; ours are 1..steps.
        return lambda step: curve(step + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """The learning rate from the first step to the last."""

    def schedule(self, lr: float, steps: int) -> optax.Schedule:
        return optax.constant_schedule(lr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019) after clipping the gradient's norm to `clip`.

    Only matrices decay: not norms, biases or any other leaf of one axis.
    """

    lr: float = 3e-3
    b1: float = 0.9
    b2: float = 0.98
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self):
        if self.lr <= 0 or self.clip <= 0:
            raise ValueError(f"lr={self.lr} and clip={self.clip} must be above 0")

    def transform(self, rate: Any) -> optax.GradientTransformation:
        """One step at the learning rate `rate`, a number that may be traced."""
        decays = lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
        step = optax.adamw(rate, self.b1, self.b2, weight_decay=self.weight_decay, mask=decays)
        return optax.chain(optax.clip_by_global_norm(self.clip), step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """`steps` steps of `batch` rows, from the parameters that `seed` draws."""

    steps: int
    batch: int
    optimizer: AdamW = AdamW()
    schedule: Cosine | Constant = Cosine()
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
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
        return dataclasses.replace(self, steps=1, optimizer=plain, schedule=Constant(), seed=0)


def numbers(spec: Any) -> dict[str, float]:
    """The fields of type float of a frozen dataclass."""
    return {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.type is float}


def with_numbers(spec: Any, values: dict[str, Any]) -> Any:
    """The same with other numbers, traced ones too: they were checked when they were numbers."""
    own = copy.copy(spec)
    for name, value in values.items():
        object.__setattr__(own, name, value)
    return own
