"""Causal softmax attention inside documents, whole or in a sliding window.

    o_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s       s <= t, t - s < window, of t's document

`attention` is the whole sequence at once, by the platform's own kernel where it has one; `attend`
is the same product for queries that see an explicit set of keys (decoding from a cache). The
softmax is taken in float32 whatever the inputs. G key heads serve H / G query heads each.

An implementation is a module of this folder with two functions of (q, k, v, segment_ids, window):
`unsupported`, why it cannot run arguments of these shapes and dtypes, or None, and `attention`.
The compiler splits those in XLA over a mesh's Auto axes by itself; a platform's kernel is split by
context.py.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from kernels import dispatch, mesh
from kernels.attention import context
from kernels.attention.reference import causal

__all__ = ["IMPLEMENTATIONS", "attend", "attention", "causal"]

# In order of preference; each with the platforms it runs on (None: all).
IMPLEMENTATIONS = {
    "splash": ("tpu",),
    "cudnn": ("gpu", "cuda"),
    "blocks": None,
    "reference": None,
}


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    *,
    segment_ids: Int[Array, "B T"] | None = None,
    window: int | None = None,
    impl: str | None = None,
) -> Float[Array, "B T H K"]:
    """Every token attends to itself and to earlier tokens of its own document.

    `segment_ids` are equal within a document and differ between any two of a row. With a `window`
    a token sees at most that many tokens, itself the last. `impl` None takes the first of
    `IMPLEMENTATIONS` that runs here; a named one runs, or raises NotImplementedError with the
    reason. Under a mesh (`jax.set_mesh`) of more than one device an axis named `sequence` splits
    T, every other axis B.
    ValueError: shapes or dtypes that do not fit each other.
    """
    _check(q, k, v, segment_ids, window)
    name = dispatch.choose(__name__, IMPLEMENTATIONS, impl, (q, k, v, segment_ids, window))
    return _run(q, k, v, segment_ids, name=name, window=window)


# One function for all calls: what is called eagerly is compiled once for all arguments alike.
@functools.partial(jax.jit, static_argnames=("name", "window"), inline=True)
def _run(q, k, v, segment_ids, *, name, window):
    run = dispatch.module(__name__, name).attention
    if mesh.split() and (IMPLEMENTATIONS[name] is not None or mesh.explicit()):
        return context.over_mesh(run, q, k, v, segment_ids, window)
    return run(q, k, v, segment_ids, window)


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


def _check(q, k, v, segment_ids, window) -> None:
    if q.ndim != 4 or 0 in q.shape:
        raise ValueError(f"q of shape {q.shape} should be (B,T,H,K), none of them 0")
    B, T, H, K = q.shape
    if k.ndim != 4 or k.shape[2] == 0 or k.shape != (B, T, k.shape[2], K):
        raise ValueError(
            f"k of shape {k.shape} should be {(B, T, 'G', K)} for q of shape {q.shape}"
        )
    if v.shape != k.shape:
        raise ValueError(f"v of shape {v.shape} should have k's shape {k.shape}")
    if H % k.shape[2]:
        raise ValueError(f"H={H} heads are not divisible by k's G={k.shape[2]}; each serves H / G")
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q {q.dtype}, k {k.dtype} and v {v.dtype} differ; cast them to one dtype")
    if not jnp.issubdtype(q.dtype, jnp.floating):
        raise ValueError(f"q, k and v of {q.dtype} should be floating")
    if segment_ids is not None and segment_ids.shape != (B, T):
        raise ValueError(f"segment_ids of shape {segment_ids.shape} should be (B,T) = {(B, T)}")
    if segment_ids is not None and not jnp.issubdtype(segment_ids.dtype, jnp.integer):
        raise ValueError(f"segment_ids of {segment_ids.dtype} should be integers")
    if window is not None and (window < 1 or window != int(window)):
        raise ValueError(f"window={window} must be a number of tokens, at least 1; None sees all")
