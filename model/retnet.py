"""Retention (Sun et al. 2023, arXiv 2307.08621, section 2).

q, k rotate with the position (their Theta; xPos without its own decay, which gamma replaces)
S_t = gamma S_{t-1} + k_t v_t^T,  gamma_h = 1 - 2^(-5-h)       (equations 6 and 8)
y = (norm(o_t) per head * silu(u_t)) W_out                     (equation 8)

The norm per head is RMSNorm, as in the authors' code; V = 2K, as in section 3.1.
"""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from model.layer import Recurrence
from model.mixer import Recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetNet(Recurrent):
    expand_v: float = 2.0
    rotary: float = 1.0

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "RetNetModule":
        return RetNetModule(self, D, scale=scale, rngs=rngs)


class RetNetModule(Recurrence):
    def __init__(self, mixer: RetNet, D: int, *, scale: float, rngs: nnx.Rngs):
        self.project(mixer, D, 0, rngs)
        self.finish(mixer, D, scale, rngs)

    def decay(self, r: Float[Array, "B T 0"]) -> Float[Array, "1 1 G 1"]:
        g = jnp.log1p(-(2.0 ** (-5.0 - jnp.arange(self.kv_heads))))
        return g[None, None, :, None]
