"""The layers a language model and its mixers are made of, and the precision policy.

Precision: parameters are float32. A layer computes in the dtype of its input; norms, softmax,
decays and losses are taken in float32 and rounded back at the end.

Products run over (B*T, D), one matrix for all projections of the same input: at toy widths a
product of five thin matrices costs more than twice the product of the wide one they make up.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from kernels.gla import gla, gla_step
from model.collect import NOTHING, Tap
from model.mixer import Recurrent, rotated


class Linear(nnx.Module):
    """y = x w, w (D_in, D_out), no bias; initial standard deviation `scale` / sqrt(D_in)."""

    def __init__(self, width_in: int, width_out: int, *, rngs: nnx.Rngs, scale: float = 1.0):
        self.w = nnx.Param(_normal(rngs, (width_in, width_out), scale * width_in**-0.5))

    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        y = x.reshape(-1, x.shape[-1]) @ self.w[...].astype(x.dtype)
        return y.reshape(*x.shape[:-1], y.shape[-1])


class Embedding(nnx.Module):
    """Rows of w (W, D). As the tied output layer it starts with logits of standard deviation 1."""

    def __init__(self, W: int, D: int, *, rngs: nnx.Rngs):
        self.w = nnx.Param(_normal(rngs, (W, D), D**-0.5))

    def __call__(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        return self.w[...][tokens]


@jax.custom_vjp
def logits(x: Float[Array, "_ D"], w: Float[Array, "D W"]) -> Float[Array, "_ W"]:
    """x w in float32, of whatever dtype x and w are: what it is summed in is not rounded to theirs.

    Autodiff would take the products of the backward pass in float32 too; they stay in x's dtype.
    """
    return jnp.matmul(x, w, preferred_element_type=jnp.float32)


logits.defvjp(
    lambda x, w: (logits(x, w), (x, w)),
    lambda given, g: jax.vjp(jnp.matmul, *given)[1](g.astype(given[0].dtype)),
)


class RMSNorm(nnx.Module):
    """x / rms(x) times a gain over the last axis (Zhang & Sennrich 2019), in float32."""

    def __init__(self, width: int):
        self.gain = nnx.Param(jnp.ones(width))

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + 1e-6)
        gain = self.gain[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (y * gain).astype(x.dtype)


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) * up(x)) with gate and up in one matrix (Shazeer 2020)."""

    def __init__(self, D: int, F: int, *, rngs: nnx.Rngs, scale: float = 1.0):
        self.gate_up = Linear(D, 2 * F, rngs=rngs)
        self.down = Linear(F, D, rngs=rngs, scale=scale)

    def __call__(self, x: Float[Array, "B T D"], see: Tap = NOTHING) -> Float[Array, "B T D"]:
        gate, up = jnp.split(self.gate_up(x), 2, axis=-1)
        return self.down(see("neurons", jax.nn.silu(gate) * up))


class ShortConvolution(nnx.Module):
    """Depthwise causal convolution over `width` tokens and silu; it never crosses a document.

    The state is the last width - 1 inputs of the document that is open, zeros where it is younger.
    """

    def __init__(self, channels: int, width: int, *, rngs: nnx.Rngs, biased: bool = False):
        self.w = nnx.Param(_normal(rngs, (width, channels), width**-0.5))
        self.bias = nnx.Param(jnp.zeros(channels)) if biased else None

    def __call__(
        self,
        x: Float[Array, "B T I"],
        documents: Int[Array, "B T"] | None,
        state: Float[Array, "B L I"] | None = None,
    ) -> tuple[Float[Array, "B T I"], Float[Array, "B L I"]]:
        w = self.w[...].astype(x.dtype)
        before, T = w.shape[0] - 1, x.shape[1]
        if documents is None:
            documents = jnp.zeros(x.shape[:2], jnp.int32)
        if state is None:
            state = jnp.zeros((x.shape[0], before, x.shape[2]), x.dtype)
        past = jnp.concatenate([state, x], axis=1)
        # The state belongs to the first document of this call, whatever its number.
        owner = jnp.pad(documents, ((0, 0), (before, 0)), mode="edge")
        y = x * w[-1][None, None]
        for back in range(1, before + 1):
            here = slice(before - back, before - back + T)
            same = (owner[:, here] == documents)[..., None]
            y += jnp.where(same, past[:, here], 0) * w[-1 - back][None, None]
        if self.bias is not None:
            y += self.bias[...].astype(x.dtype)[None, None]
        open_now = (owner == documents[:, -1:])[..., None]
        return jax.nn.silu(y), jnp.where(open_now, past, 0)[:, T:]


class Recurrence(nnx.Module):
    """The module of a `Recurrent` mixer: projections, the op, a norm per head, a gate, a way out.

        q, k, v, u, r = x W        o = kernels.gla(q, k, v, decay(r))
        y = (RMSNorm(o_t) per head * silu(u_t)) W_out

    A subclass gives `decay` and may give `feature`. Its constructor calls `project`, makes its own
    parameters, and calls `finish`.
    """

    def project(self, mixer: Recurrent, D: int, extra: int, rngs: nnx.Rngs) -> None:
        """The matrix of q, k, v, u and `extra` channels r for the decay."""
        q, k, v, u = mixer.inputs(D)
        self.heads, self.kv_heads = mixer.heads, mixer.kv_heads or mixer.heads
        self.widths = (q, k, v, u, extra)
        self.rotates = rotated(q // self.heads, mixer.rotary)
        self.qkvur = Linear(D, sum(self.widths), rngs=rngs)

    def finish(self, mixer: Recurrent, D: int, scale: float, rngs: nnx.Rngs) -> None:
        q, k, v, u, _ = self.widths
        self.norm = RMSNorm(u // self.heads)
        self.out = Linear(u, D, rngs=rngs, scale=scale)
        width = mixer.convolution
        self.convolution = ShortConvolution(q + k + v, width, rngs=rngs) if width else None

    def decay(self, r: Float[Array, "B T R"]) -> Float[Array, "#B #T G #K"]:
        """g, the log decay, in float32."""
        raise NotImplementedError

    def feature(self, x: Float[Array, "B T H K"]) -> Float[Array, "B T H K"]:
        """What is made of queries and keys: nothing, unless a mixer says otherwise."""
        return x

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: dict[str, Array] | None = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], dict[str, Array]]:
        B, T, _ = x.shape
        after: dict[str, Array] = {}
        Q, K, V, U, R = self.widths
        qkv, u, r = split(self.qkvur(x), (Q + K + V, U, R))
        if self.convolution is not None:
            qkv, after["inputs"] = self.convolution(qkv, documents, state and state["inputs"])
        g = self.decay(r)
        q, k, v = split(qkv, (Q, K, V))
        q = self.feature(q.reshape(B, T, self.heads, -1))
        k, v = (y.reshape(B, T, self.kv_heads, -1) for y in (k, v))
        k = self.feature(k)
        if self.rotates:
            seen = jnp.zeros(1, jnp.int32) if state is None else state["seen"]
            places = seen[:, None] + jnp.arange(T)[None]
            q, k = (rotary(y, places, self.rotates) for y in (q, k))
            after["seen"] = seen + T
        memory = None if state is None else state["memory"]
        o, after["memory"] = remember(q, k, v, g, memory, documents, see)
        o = see("heads", o)
        return self.out(self.norm(o).reshape(B, T, U) * jax.nn.silu(u)), after


def remember(
    q: Float[Array, "B T _ K"],
    k: Float[Array, "B T _ K"],
    v: Float[Array, "B T _ V"],
    g: Float[Array, "#B #T _ #K"],
    state: Float[Array, "B H K V"] | None,
    documents: Int[Array, "B T"] | None,
    see: Tap,
    scale: float | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """`kernels.gla` in its three forms: of T tokens, of one token, and by token where S_t is asked.

    What has fewer than H heads is shared: by groups of heads, one after the other.
    """
    B, T = q.shape[:2]
    if see.asked("gate"):
        g = see("gate", jnp.broadcast_to(g, (B, T, *g.shape[2:])))
    q, k, v = see("q", q), see("k", k), see("v", v)
    H = max(q.shape[2], v.shape[2])
    q, k, v, g = (repeated(y, H) for y in (q, k, v, g))
    if see.asked("state"):
        o, state = _by_token(q, k, v, g, state, documents, see, scale)
    elif T == 1 and state is not None and documents is None:
        o, state = gla_step(q, k, v, g, state=state, scale=scale)
    else:
        o, state = gla(q, k, v, g, initial_state=state, segment_ids=documents, scale=scale)
    return o, state


def _by_token(q, k, v, g, state, documents, see, scale):
    B, T, H, K = q.shape
    scale = K**-0.5 if scale is None else scale
    if state is None:
        state = jnp.zeros((B, H, K, v.shape[3]))
    g = jnp.broadcast_to(g, (B, T, H, g.shape[3])).astype(jnp.float32)
    keeps = jnp.where(starts(documents, B, T)[..., None, None], 0, jnp.exp(g))
    dtype = v.dtype
    q, k, v = (y.astype(jnp.float32) for y in (q, k, v))

    def update(S, t):
        return keeps[:, t, :, :, None] * S + k[:, t, :, :, None] * v[:, t, :, None, :]

    def read(S, t):
        return scale * jnp.einsum("bhk,bhkv->bhv", q[:, t], S, precision="highest")

    o, state = see.scan("state", update, read, state, T)
    return o.astype(dtype), state


def starts(documents: Int[Array, "B T"] | None, B: int, T: int) -> Bool[Array, "B T"]:
    """Where a document begins inside the row, and the state with it; not at the first token."""
    if documents is None:
        return jnp.zeros((B, T), bool)
    return jnp.pad(documents[:, 1:] != documents[:, :-1], ((0, 0), (1, 0)))


def repeated(x: Float[Array, "B T G K"], H: int) -> Float[Array, "B T H K"]:
    """Each of G heads as often as makes H."""
    G = x.shape[2]
    return x if G == H else jnp.repeat(x, H // G, axis=2)


def time_steps(rngs: nnx.Rngs, width: int) -> Float[Array, " I"]:
    """Biases whose softplus, a Mamba's first time steps, is log-uniform from 0.001 to 0.1.

    Gu & Dao 2023, arXiv 2312.00752, section 3.6.
    """
    low, high = jnp.log(1e-3), jnp.log(1e-1)
    steps = jnp.exp(jax.random.uniform(rngs.params(), (width,), minval=low, maxval=high))
    return steps + jnp.log(-jnp.expm1(-steps))


def split(x: Float[Array, "B T I"], widths: tuple[int, ...]) -> list[Float[Array, "B T O"]]:
    """The last axis cut into parts of these widths."""
    cuts = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
    return jnp.split(x, cuts, axis=-1)


def rotary(
    x: Float[Array, "B T H K"],
    positions: Int[Array, "#B T"],
    channels: int | None = None,
    base: float = 10_000.0,
) -> Float[Array, "B T H K"]:
    """Rotate pairs (i, i + n/2) of the first n channels by position * base^(-2i/n), n even.

    Su et al. 2021 with n = K, the default; with fewer, the rest carry no position.
    """
    n = x.shape[-1] if channels is None else channels
    half = n // 2
    frequency = base ** (-jnp.arange(half) / half)
    angle = (positions[..., None] * frequency[None, None])[:, :, None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b, rest = jnp.split(x.astype(jnp.float32), (half, n), axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos, rest], axis=-1).astype(x.dtype)


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> Float[Array, "..."]:
    return std * jax.random.normal(rngs.params(), shape)
