"""Mamba (Gu & Dao 2023, arXiv 2312.00752, sections 3.4 and 3.6, algorithm 2).

x, z = u W;  x = silu(conv(x));  r, B, C = x W_x;  dt = softplus(r W_dt + b)
h_t = exp(-dt_t e^a) h_{t-1} + dt_t B_t x_t,  o_t = C_t h_t + d x_t        per channel
y = (o_t * silu(z_t)) W_out

A state of K numbers for each of D `expand` channels, decaying at a rate of its own for each: the
op is `kernels.scan`, which takes the T tokens one after the other, on accelerators too. The other
recurrent mixers go by chunks there.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from kernels.scan import read, scan, update
from model.collect import NOTHING, Tap
from model.layer import Linear, ShortConvolution, split, starts, time_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mamba:
    """I = D `expand` channels, K = `state` numbers each; the rank of dt is D / 16 if not given."""

    state: int = 16
    expand: int = 2
    convolution: int = 4
    rank: int | None = None

    def check(self, D: int) -> None:
        if min(self.state, self.expand, self.convolution, self.sizes(D)[1]) < 1:
            raise ValueError(f"every field of {self} must be at least 1")

    def sizes(self, D: int) -> tuple[int, int]:
        """Channels I, and the rank R of dt."""
        return self.expand * D, math.ceil(D / 16) if self.rank is None else self.rank

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "MambaModule":
        return MambaModule(self, D, scale=scale, rngs=rngs)

    def fresh(self, D: int, B: int, room: int, dtype: str) -> dict[str, Array]:
        I, _ = self.sizes(D)
        inputs = jnp.zeros((B, self.convolution - 1, I), dtype)
        return {"memory": jnp.zeros((B, I, self.state)), "inputs": inputs}

    def flops(self, D: int, T: int) -> float:
        return 6.0 * self.sizes(D)[0] * self.state  # decay, input, output of each number

    def parameters(self, D: int) -> int:
        I, R = self.sizes(D)
        maps = D * 2 * I + I * (R + 2 * self.state) + R * I + I * D
        return maps + (self.convolution + 1) * I + I * self.state + 2 * I


class MambaModule(nnx.Module):
    def __init__(self, mixer: Mamba, D: int, *, scale: float, rngs: nnx.Rngs):
        I, R = mixer.sizes(D)
        K = mixer.state
        self.widths = (R, K, K)
        self.inputs = Linear(D, 2 * I, rngs=rngs)
        self.convolution = ShortConvolution(I, mixer.convolution, rngs=rngs, biased=True)
        self.selection = Linear(I, R + 2 * K, rngs=rngs)
        self.steps = Linear(R, I, rngs=rngs)
        self.a = nnx.Param(jnp.broadcast_to(jnp.log(1.0 + jnp.arange(K))[None], (I, K)))
        self.b = nnx.Param(time_steps(rngs, I))
        self.d = nnx.Param(jnp.ones(I))
        self.out = Linear(I, D, rngs=rngs, scale=scale)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: dict[str, Array] | None = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], dict[str, Array]]:
        after: dict[str, Array] = {}
        x, z = jnp.split(self.inputs(x), 2, axis=-1)
        x, after["inputs"] = self.convolution(x, documents, state and state["inputs"])
        r, k, q = split(self.selection(x), self.widths)
        dt = self.steps(r).astype(jnp.float32) + self.b[...][None, None]
        dt = see("gate", jax.nn.softplus(dt))
        q, k, v = see("q", q), see("k", k), see("v", x)
        memory = None if state is None else state["memory"]
        o, after["memory"] = _scanned(dt, -jnp.exp(self.a[...]), v, k, q, memory, documents, see)
        o = see("heads", o + (self.d[...][None, None] * x).astype(x.dtype))
        return self.out(o * jax.nn.silu(z)), after


def _scanned(dt, a, x, b, c, state, documents, see):
    """`kernels.scan`, or the same token by token where h_t is asked for."""
    (B, T, I), fresh = x.shape, starts(documents, *x.shape[:2])
    if not see.asked("state"):
        return scan(dt, a, x, b, c, starts=fresh, initial_state=state)
    state = jnp.zeros((B, I, a.shape[1])) if state is None else state
    f32 = [y.astype(jnp.float32) for y in (dt, x, b, c)]

    def renew(h, t):
        return update(a, h, *(y[:, t] for y in (*f32[:3], fresh)))

    o, state = see.scan("state", renew, lambda h, t: read(h, f32[3][:, t]), state, T)
    return o.astype(x.dtype), state
