"""Gated linear attention (Yang et al. 2024, arXiv 2312.06635, sections 4.1 and 4.4).

q, k in R^(H K), v, u in R^(H V):  projections of x            (K = D/2H, V = D/H by default)
g = logsigmoid(x W1 W2 + b) / 16                               (rank 16; their alpha is exp g)
S_t = diag(exp g_t) S_{t-1} + k_t v_t^T,  o_t = S_t^T q_t / sqrt(K)
y = (RMSNorm(o_t) per head * silu(u_t)) W_out                  (their r is u; as in fla, no bias)
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from model.layer import Linear, Recurrence
from model.mixer import Recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class GLA(Recurrent):
    """A decay per key channel, of `rank`, with log sigmoid over `normaliser`."""

    expand_k: float = 0.5
    rank: int = 16
    normaliser: float = 16.0

    def check(self, D: int) -> None:
        super().check(D)
        if self.rank < 1 or self.normaliser <= 0:
            raise ValueError(
                f"GLA(rank={self.rank}, normaliser={self.normaliser}): rank >= 1, normaliser > 0"
            )

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "GLAModule":
        return GLAModule(self, D, scale=scale, rngs=rngs)

    def parameters(self, D: int) -> int:
        gate = self.inputs(D)[1]
        return super().parameters(D) + D * self.rank + self.rank * gate + gate


class GLAModule(Recurrence):
    def __init__(self, mixer: GLA, D: int, *, scale: float, rngs: nnx.Rngs):
        self.project(mixer, D, mixer.rank, rngs)
        self.normaliser = mixer.normaliser
        self.gate = Linear(mixer.rank, self.widths[1], rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(self.widths[1]))
        self.finish(mixer, D, scale, rngs)

    def decay(self, r: Float[Array, "B T R"]) -> Float[Array, "B T G K"]:
        g = self.gate(r).astype(jnp.float32) + self.bias[...][None, None]
        g = jax.nn.log_sigmoid(g) / self.normaliser
        return g.reshape(*r.shape[:2], self.kv_heads, -1)
