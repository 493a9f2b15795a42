"""TransNormer's attention (Qin et al. 2023, arXiv 2307.14995): a fixed decay by head and layer.

q, k = silu of projections,  S_t = exp(-lambda) S_{t-1} + k_t v_t^T
lambda_h = 8 h/H (1 - depth)     for h = 0 .. H-1, depth = layer / layers

The first head forgets nothing and the last layers little. `transnormer(layers, ...)` gives the
mixers of a whole model. As in GLA the output is normed per head and gated by silu.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from model.layer import Recurrence
from model.mixer import Recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransNormer(Recurrent):
    """`depth` is the share of the model's layers that come before this one."""

    depth: float = 0.0

    def check(self, D: int) -> None:
        super().check(D)
        if not 0 <= self.depth < 1:
            raise ValueError(f"depth={self.depth} must be layer / layers, from 0 to below 1")

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "TransNormerModule":
        return TransNormerModule(self, D, scale=scale, rngs=rngs)


def transnormer(layers: int, **fields) -> tuple[TransNormer, ...]:
    """One mixer per layer, each with its own depth."""
    return tuple(TransNormer(depth=layer / layers, **fields) for layer in range(layers))


class TransNormerModule(Recurrence):
    def __init__(self, mixer: TransNormer, D: int, *, scale: float, rngs: nnx.Rngs):
        self.project(mixer, D, 0, rngs)
        self.depth = mixer.depth
        self.finish(mixer, D, scale, rngs)

    def decay(self, r: Float[Array, "B T 0"]) -> Float[Array, "1 1 G 1"]:
        g = -8 / self.kv_heads * (1 - self.depth) * jnp.arange(self.kv_heads)
        return g[None, None, :, None]

    def feature(self, x: Float[Array, "B T H K"]) -> Float[Array, "B T H K"]:
        return jax.nn.silu(x)
