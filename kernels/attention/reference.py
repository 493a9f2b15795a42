"""The definition, with all T x T scores, in float32 or float64: the judge of the tests."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def unsupported(q, k, v, segment_ids, window) -> str | None:
    """The reference runs everything `attention` accepts."""
    return None


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    segment_ids: Int[Array, "B T"] | None,
    window: int | None,
) -> Float[Array, "B T H K"]:
    (_, T, H, K), G = q.shape, k.shape[2]
    exact = jnp.promote_types(q.dtype, jnp.float32)
    q_, k_, v_ = (x.astype(exact) for x in (q, k, v))
    k_, v_ = (jnp.repeat(x, H // G, axis=2) for x in (k_, v_))
    one_document = jnp.zeros((1, T), jnp.int32)
    seen = causal(one_document if segment_ids is None else segment_ids, window)
    scores = jnp.einsum("bthk,bshk->bhts", q_, k_, precision="highest") / K**0.5
    weights = jax.nn.softmax(jnp.where(seen[:, None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("bhts,bshk->bthk", weights, v_, precision="highest").astype(v.dtype)


def causal(segment_ids: Int[Array, "B T"], window: int | None = None) -> Bool[Array, "B T T"]:
    """Which keys each query may see: none later, of its own document, of the last `window`."""
    t = jnp.arange(segment_ids.shape[1])
    back = t[:, None] - t[None, :]
    seen = back >= 0 if window is None else (back >= 0) & (back < window)
    return seen[None] & (segment_ids[:, :, None] == segment_ids[:, None, :])
