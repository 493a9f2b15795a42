"""JAX's splash attention (Pallas, Mosaic TPU): blocks outside the causal band are never visited.

T is padded to whole blocks at its end, where no query of the sequence sees; the kernel does not
scale the scores, so the queries are.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 512  # queries and keys a block; a multiple of the 128 lanes, as its divisors below it


def unsupported(q, k, v, segment_ids, window) -> str | None:
    if q.dtype not in (jnp.bfloat16, jnp.float32):
        return f"inputs of {q.dtype}: bfloat16 or float32 is needed"
    return None


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    segment_ids: Int[Array, "B T"] | None,
    window: int | None,
    interpret: bool = False,
) -> Float[Array, "B T H K"]:
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    T, H, K = q.shape[1:]
    C = min(BLOCK, 128 << max(0, (T - 1).bit_length() - 7))
    padded = -(-T // C) * C
    if window is None:
        mask = library.CausalMask((padded, padded))
    else:
        mask = library.LocalMask((padded, padded), (window - 1, 0), 0)
    kernel = library.make_splash_mha(
        library.MultiHeadMask([mask] * H),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=_blocks(library, C),
        interpret=interpret,
    )
    rows = ((0, 0), (0, padded - T))
    ahead = lambda x: jnp.swapaxes(jnp.pad(x, (*rows, (0, 0), (0, 0))), 1, 2)
    arrays = ahead(q * K**-0.5), ahead(k), ahead(v)
    if segment_ids is None:
        o = jax.vmap(kernel)(*arrays)
    else:
        ids = jnp.pad(segment_ids, rows, constant_values=-1)
        o = jax.vmap(kernel)(*arrays, library.SegmentIds(q=ids, kv=ids))
    return jnp.swapaxes(o, 1, 2)[:, :T]


def _blocks(library, C: int):
    """Blocks of C in every direction: forward, and the two kernels of the gradient."""
    names = ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv")
    names += ("block_kv_dkv_compute", "block_q_dq", "block_kv_dq")
    return library.BlockSizes(**dict.fromkeys(names, C))
