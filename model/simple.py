"""Simple GLA: one decay a head, from the token (ablated by Yang et al. 2024; fla's simple_gla).

g = logsigmoid(x w + b) / 16 per head; all else as in GLA. Without the vector's freedom, what a head
forgets it forgets in all channels; the gate costs D + 1 parameters a head.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from model.layer import Recurrence
from model.mixer import Recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimpleGLA(Recurrent):
    expand_k: float = 0.5
    normaliser: float = 16.0

    def check(self, D: int) -> None:
        super().check(D)
        if self.normaliser <= 0:
            raise ValueError(f"normaliser={self.normaliser} must be above 0")

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "SimpleGLAModule":
        return SimpleGLAModule(self, D, scale=scale, rngs=rngs)

    def parameters(self, D: int) -> int:
        return super().parameters(D) + (D + 1) * (self.kv_heads or self.heads)


class SimpleGLAModule(Recurrence):
    def __init__(self, mixer: SimpleGLA, D: int, *, scale: float, rngs: nnx.Rngs):
        self.project(mixer, D, mixer.kv_heads or mixer.heads, rngs)
        self.normaliser = mixer.normaliser
        self.bias = nnx.Param(jnp.zeros(self.kv_heads))
        self.finish(mixer, D, scale, rngs)

    def decay(self, r: Float[Array, "B T G"]) -> Float[Array, "B T G 1"]:
        g = r.astype(jnp.float32) + self.bias[...][None, None]
        return jax.nn.log_sigmoid(g)[..., None] / self.normaliser
