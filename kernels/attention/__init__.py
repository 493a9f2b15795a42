"""Causal softmax attention inside documents, on the library's implementation.

    o_t = sum_{s <= t, same document} softmax_s(q_t . k_s / sqrt(K)) v_s

`attention` is the whole sequence at once; `attend` is the same product for queries that see an
explicit set of keys (decoding from a cache). The softmax is taken in float32 whatever the inputs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H K"],
    *,
    segment_ids: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T H K"]:
    """Every token attends to itself and to earlier tokens of its own document."""
    if segment_ids is None:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return attend(q, k, v, causal(segment_ids))


def attend(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B M H K"],
    v: Float[Array, "B M H K"],
    visible: Bool[Array, "B T M"],
) -> Float[Array, "B T H K"]:
    """Query t attends to the keys m with visible[:, t, m]; each must see at least one."""
    return jax.nn.dot_product_attention(q, k, v, mask=visible[:, None])


def causal(segment_ids: Int[Array, "B T"]) -> Bool[Array, "B T T"]:
    """Which key each query may see: not later, and of the same document."""
    T = segment_ids.shape[1]
    earlier = jnp.arange(T)[:, None] >= jnp.arange(T)[None, :]
    return earlier[None] & (segment_ids[:, :, None] == segment_ids[:, None, :])
