"""In XLA, for any device: the queries in blocks, each against the keys it may see and no others.

What is later, or before the window, is never multiplied: half of the square, or a band of it. The
scores of one block exist at a time, in the gradient too, which computes them again.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels import dispatch

# At least so many queries a block, and at most so many blocks: they are unrolled.
BLOCK, BLOCKS = 256, 8


def unsupported(q, k, v, segment_ids, window) -> str | None:
    if q.dtype == jnp.float16 and dispatch.device().platform == "cpu":
        return "XLA has no product of float16 on a CPU that it adds up in float32"
    return None


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    segment_ids: Int[Array, "B T"] | None,
    window: int | None,
) -> Float[Array, "B T H K"]:
    T = q.shape[1]
    C = max(BLOCK, -(-T // BLOCKS))
    block = functools.partial(_block, window)
    if T <= C:
        return block(jnp.arange(T), jnp.arange(T), q, k, v, segment_ids, segment_ids)
    out = []
    for start in range(0, T, C):
        queries = slice(start, min(start + C, T))
        first = 0 if window is None else max(0, start - window + 1)
        keys = slice(first, queries.stop)
        ids = (
            (None, None) if segment_ids is None else (segment_ids[:, queries], segment_ids[:, keys])
        )
        t, s = jnp.arange(queries.start, queries.stop), jnp.arange(keys.start, keys.stop)
        out.append(jax.checkpoint(block)(t, s, q[:, queries], k[:, keys], v[:, keys], *ids))
    return jnp.concatenate(out, axis=1)


def _block(window, t, s, q, k, v, ids_q, ids_k) -> Float[Array, "B t H K"]:
    """The queries at t over the keys at s."""
    back = t[:, None] - s[None, :]
    seen = (back >= 0 if window is None else (back >= 0) & (back < window))[None]
    if ids_q is not None:
        seen &= ids_q[:, :, None] == ids_k[:, None, :]
    return jax.nn.dot_product_attention(q, k, v, mask=seen[:, None])
