"""Linear attention without decay (Katharopoulos et al. 2020, arXiv 2006.16236, in the normed form).

S_t = S_{t-1} + k_t v_t^T and o_t = S_t^T q_t / sqrt(K), without their feature map elu + 1: q and k
are as projected, as in GLA. The denominator of their equation 4 is the norm after the sum instead
(Qin et al. 2022, arXiv 2210.10340, section 4.1), as in GLA too: the two differ by the gate alone.
"""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from model.layer import Recurrence
from model.mixer import Recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearAttention(Recurrent):
    expand_k: float = 0.5

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "LinearAttentionModule":
        return LinearAttentionModule(self, D, scale=scale, rngs=rngs)


class LinearAttentionModule(Recurrence):
    def __init__(self, mixer: LinearAttention, D: int, *, scale: float, rngs: nnx.Rngs):
        self.project(mixer, D, 0, rngs)
        self.finish(mixer, D, scale, rngs)

    def decay(self, r: Float[Array, "B T 0"]) -> Float[Array, "1 1 1 1"]:
        return jnp.zeros((1, 1, 1, 1))
