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
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    *,
    segment_ids: Int[Array, "B T"] | None = None,
    window: int | None = None,
) -> Float[Array, "B T H K"]:
    """Every token attends to itself and to earlier tokens of its own document."""
    if segment_ids is None:
        near = None if window is None else (window - 1, 0)
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, local_window_size=near)
    return attend(q, k, v, causal(segment_ids, window))


def attend(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B M G K"],
    v: Float[Array, "B M G K"],
    visible: Bool[Array, "B T M"],
    bias: Float[Array, "B H T M"] | None = None,
) -> Float[Array, "B T H K"]:
    """Query t attends to the keys m with visible[:, t, m]; each must see at least one.

    `bias` is added to the logits.
    """
    return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=visible[:, None])


def causal(segment_ids: Int[Array, "B T"], window: int | None = None) -> Bool[Array, "B T T"]:
    """Which key each query may see: not later, of the same document, and of the last `window`."""
    t = jnp.arange(segment_ids.shape[1])
    back = t[:, None] - t[None, :]
    seen = back >= 0 if window is None else (back >= 0) & (back < window)
    return seen[None] & (segment_ids[:, :, None] == segment_ids[:, None, :])
