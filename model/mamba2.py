"""Mamba-2 (Dao & Gu 2024, arXiv 2405.21060, section 7): SSD as gated linear attention.

z, x, B, C, dt = u W;  x, B, C = silu(conv(.));  dt = softplus(dt + b)
S_t = exp(-dt_t e^a) S_{t-1} + B_t (dt_t x_t)^T,  o_t = S_t^T C_t + d x_t      per head
y = RMSNorm(o_t * silu(z_t)) W_out

C and B are the queries and keys all heads share; a, b and d are a number a head; the decay is a
scalar a head. K is their "state size" N, V their "head dimension" P.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from model.collect import NOTHING, Tap
from model.layer import Linear, RMSNorm, ShortConvolution, remember, split, time_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mamba2:
    """H = D expand / `width` heads of V = `width`; K = `state`."""

    state: int = 128
    width: int = 64
    expand: int = 2
    convolution: int = 4

    def check(self, D: int) -> None:
        if min(self.state, self.width, self.expand, self.convolution) < 1:
            raise ValueError(f"every field of {self} must be at least 1")
        if self.expand * D % self.width:
            fits = [n for n in range(1, self.expand * D + 1) if self.expand * D % n == 0]
            raise ValueError(
                f"width={self.width} does not divide {self.expand} D = {self.expand * D}; choose "
                f"{', '.join(map(str, fits))}"
            )

    def sizes(self, D: int) -> tuple[int, int]:
        """Channels H V, and heads H."""
        return self.expand * D, self.expand * D // self.width

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "Mamba2Module":
        return Mamba2Module(self, D, scale=scale, rngs=rngs)

    def fresh(self, D: int, B: int, room: int, dtype: str) -> dict[str, Array]:
        HV, H = self.sizes(D)
        inputs = jnp.zeros((B, self.convolution - 1, HV + 2 * self.state), dtype)
        return {"memory": jnp.zeros((B, H, self.state, self.width)), "inputs": inputs}

    def flops(self, D: int, T: int) -> float:
        HV, H = self.sizes(D)
        C = min(T, 64)
        return 4.0 * HV * self.state + C * (H * self.state + HV)

    def parameters(self, D: int) -> int:
        HV, H = self.sizes(D)
        convolution = (self.convolution + 1) * (HV + 2 * self.state)
        return D * (3 * HV + 2 * self.state + H) + convolution + 3 * H + HV


class Mamba2Module(nnx.Module):
    def __init__(self, mixer: Mamba2, D: int, *, scale: float, rngs: nnx.Rngs):
        HV, H = mixer.sizes(D)
        self.heads, self.state = H, mixer.state
        self.widths = (HV, HV + 2 * mixer.state, H)
        self.inputs = Linear(D, sum(self.widths), rngs=rngs)
        self.convolution = ShortConvolution(
            self.widths[1], mixer.convolution, rngs=rngs, biased=True
        )
        # a from 1 to 16 as in the paper, evenly here.
        self.a = nnx.Param(jnp.log(jnp.linspace(1.0, 16.0, H)))
        self.b = nnx.Param(time_steps(rngs, H))
        self.d = nnx.Param(jnp.ones(H))
        self.norm = RMSNorm(HV)
        self.out = Linear(HV, D, rngs=rngs, scale=scale)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: dict[str, Array] | None = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], dict[str, Array]]:
        (B, T, _), HV, K = x.shape, self.widths[0], self.state
        after: dict[str, Array] = {}
        z, xbc, dt = split(self.inputs(x), self.widths)
        xbc, after["inputs"] = self.convolution(xbc, documents, state and state["inputs"])
        dt = jax.nn.softplus(dt.astype(jnp.float32) + self.b[...][None, None])[..., None]
        values, k, q = split(xbc, (HV, K, K))
        values = values.reshape(B, T, self.heads, -1)
        v = (dt * values).astype(x.dtype)
        g = -dt * jnp.exp(self.a[...])[None, None, :, None]
        memory = None if state is None else state["memory"]
        q, k = q[:, :, None], k[:, :, None]
        o, after["memory"] = remember(q, k, v, g, memory, documents, see, scale=1.0)
        o = see("heads", o + (self.d[...][None, None, :, None] * values).astype(x.dtype))
        return self.out(self.norm(o.reshape(B, T, HV) * jax.nn.silu(z))), after
