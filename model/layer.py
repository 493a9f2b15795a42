"""The layers a language model and its mixers are made of, and the precision policy.

Precision: parameters are float32. A layer computes in the dtype of its input; norms, softmax,
decays and losses are taken in float32 and rounded back at the end.

Products run over (B*T, D), one matrix for all projections of the same input: at toy widths a
product of five thin matrices costs more than twice the product of the wide one they make up.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


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

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T W"]:
        """x w^T: the tied output layer."""
        y = x.reshape(-1, x.shape[-1]) @ self.w[...].astype(x.dtype).T
        return y.reshape(*x.shape[:-1], y.shape[-1])


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

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        gate, up = jnp.split(self.gate_up(x), 2, axis=-1)
        return self.down(jax.nn.silu(gate) * up)


class ShortConvolution(nnx.Module):
    """Depthwise causal convolution over `width` tokens and silu; it never crosses a document.

    The state is the last width - 1 inputs of the document that is open, zeros where it is younger.
    """

    def __init__(self, channels: int, width: int, *, rngs: nnx.Rngs):
        self.w = nnx.Param(_normal(rngs, (width, channels), width**-0.5))

    def __call__(
        self,
        x: Float[Array, "B T I"],
        documents: Int[Array, "B T"],
        state: Float[Array, "B L I"] | None = None,
    ) -> tuple[Float[Array, "B T I"], Float[Array, "B L I"]]:
        w = self.w[...].astype(x.dtype)
        before, T = w.shape[0] - 1, x.shape[1]
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
        open_now = (owner == documents[:, -1:])[..., None]
        return jax.nn.silu(y), jnp.where(open_now, past, 0)[:, T:]


def rotary(x: Float[Array, "B T H K"], positions: Int[Array, " T"]) -> Float[Array, "B T H K"]:
    """Rotate pairs (i, i + K/2) by position * 10000^(-2i/K) (Su et al. 2021); K is even."""
    half = x.shape[-1] // 2
    frequency = 10_000.0 ** (-jnp.arange(half) / half)
    angle = (positions[:, None] * frequency[None])[None, :, None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> Float[Array, "..."]:
    return std * jax.random.normal(rngs.params(), shape)
