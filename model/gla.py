"""Gated linear attention (Yang et al. 2024, arXiv 2312.06635, section 4; defaults of fla's layer).

q, k in R^(H K), v, u in R^(H V):  projections of x            (K = D/2H, V = D/H by default)
g = logsigmoid(x W1 W2 + b) / 16                               (rank 16; equation 6)
S_t = diag(exp g_t) S_{t-1} + k_t v_t^T,  o_t = S_t^T q_t / sqrt(K)
y = (RMSNorm(o_t) per head * silu(u_t)) W_out                  (equation 7)
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from kernels.gla import gla, gla_step
from model.layer import Linear, RMSNorm, ShortConvolution
from model.mixer import divisible


@dataclasses.dataclass(frozen=True, kw_only=True)
class GLA:
    """`convolution` is the width of the short convolution over q, k and v; 0 leaves it out."""

    heads: int
    expand_k: float = 0.5
    expand_v: float = 1.0
    rank: int = 16
    normaliser: float = 16.0
    convolution: int = 0

    def check(self, D: int) -> None:
        divisible(D, self.heads, self.expand_k)
        divisible(D, self.heads, self.expand_v)
        if self.rank < 1 or self.normaliser <= 0 or self.convolution < 0:
            raise ValueError(
                f"GLA(rank={self.rank}, normaliser={self.normaliser}, convolution="
                f"{self.convolution}): rank >= 1, normaliser > 0 and convolution >= 0 (0 is none)"
            )

    def widths(self, D: int) -> tuple[int, int]:
        """K and V, the widths of a head."""
        return divisible(D, self.heads, self.expand_k), divisible(D, self.heads, self.expand_v)

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "GLAModule":
        return GLAModule(self, D, scale=scale, rngs=rngs)

    def fresh(self, D: int, B: int, room: int, dtype: str) -> dict[str, Array]:
        K, V = self.widths(D)
        state = {"memory": jnp.zeros((B, self.heads, K, V))}
        if self.convolution:
            inputs = (B, self.convolution - 1, self.heads * (2 * K + V))
            state["inputs"] = jnp.zeros(inputs, dtype)
        return state

    def flops(self, D: int, T: int) -> float:
        K, V = self.widths(D)
        C = min(T, 64)
        return self.heads * (4.0 * K * V + C * (K + V))  # state in and out; half of a C x C square


class GLAModule(nnx.Module):
    def __init__(self, mixer: GLA, D: int, *, scale: float, rngs: nnx.Rngs):
        K, V = mixer.widths(D)
        HK, HV = mixer.heads * K, mixer.heads * V
        self.heads, self.normaliser = mixer.heads, mixer.normaliser
        self.widths = (HK, HK, HV, HV, mixer.rank)
        self.qkvur = Linear(D, sum(self.widths), rngs=rngs)  # r: the low rank of the gate
        self.gate = Linear(mixer.rank, HK, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(HK))
        self.norm = RMSNorm(V)
        self.out = Linear(HV, D, rngs=rngs, scale=scale)
        width = mixer.convolution
        self.convolution = ShortConvolution(2 * HK + HV, width, rngs=rngs) if width else None

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: dict[str, Array] | None = None,
    ) -> tuple[Float[Array, "B T D"], dict[str, Array]]:
        B, T, _ = x.shape
        after: dict[str, Array] = {}
        HK, _, HV, *_ = self.widths
        qkv, u, r = _split(self.qkvur(x), (2 * HK + HV, HV, self.widths[-1]))
        if self.convolution is not None:
            owner = jnp.zeros((B, T), jnp.int32) if documents is None else documents
            qkv, after["inputs"] = self.convolution(qkv, owner, state and state["inputs"])
        g = self.gate(r).astype(jnp.float32) + self.bias[...][None, None]
        g = jax.nn.log_sigmoid(g) / self.normaliser
        q, k, v = _split(qkv, (HK, HK, HV))
        q, k, v, g = (y.reshape(B, T, self.heads, -1) for y in (q, k, v, g))
        memory = None if state is None else state["memory"]
        if T == 1 and memory is not None and documents is None:
            o, after["memory"] = gla_step(q, k, v, g, state=memory)
        else:
            o, after["memory"] = gla(q, k, v, g, initial_state=memory, segment_ids=documents)
        o = self.norm(o).reshape(B, T, HV) * jax.nn.silu(u)
        return self.out(o), after


def _split(x: Float[Array, "B T I"], widths: tuple[int, ...]) -> list[Float[Array, "B T O"]]:
    cuts = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
    return jnp.split(x, cuts, axis=-1)
