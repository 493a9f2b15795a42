"""cuDNN's flash attention through JAX, on NVIDIA GPUs.

It has no segment ids: documents are a mask of (B,T,T), a bit a pair and not a score a head.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels.attention.reference import causal


def unsupported(q, k, v, segment_ids, window) -> str | None:
    T, K = q.shape[1], q.shape[3]
    if q.dtype not in (jnp.bfloat16, jnp.float16):
        return f"cuDNN attends in bfloat16 or float16, not in {q.dtype}"
    if K % 8 or K > 128:
        return f"heads of width {K}: a multiple of 8 up to 128 is needed"
    if segment_ids is not None and T % 2:
        return f"with segment ids T must be even, not {T}"
    return None


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    segment_ids: Int[Array, "B T"] | None,
    window: int | None,
) -> Float[Array, "B T H K"]:
    if segment_ids is not None:
        mask = causal(segment_ids, window)[:, None]
        return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation="cudnn")
    near = None if window is None else (window - 1, 0)
    return jax.nn.dot_product_attention(
        q, k, v, is_causal=True, local_window_size=near, implementation="cudnn"
    )
