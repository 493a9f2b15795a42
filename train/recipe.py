"""How long, how many, how fast: the recipe of one stage of training."""

import dataclasses

import jax
import optax


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

    def transform(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        decays = lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
        step = optax.adamw(schedule, self.b1, self.b2, weight_decay=self.weight_decay, mask=decays)
        return optax.chain(optax.clip_by_global_norm(self.clip), step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """`steps` steps of `batch` rows; `seed` is the first member's, the next ones count up."""

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

    def transform(self) -> optax.GradientTransformation:
        schedule = self.schedule.schedule(self.optimizer.lr, self.steps)
        return self.optimizer.transform(schedule)
