"""What `gla` and `gla_step` refuse: shapes and dtypes that do not fit, with the rule they break."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike


def arguments(q, k, v, initial_state, segment_ids) -> None:
    """ValueError: what does not fit. NotImplementedError: dtypes that nothing computes in."""
    if q.ndim != 4 or 0 in q.shape:
        raise ValueError(f"q of shape {q.shape} should be (B,T,H,K), none of them 0")
    if k.shape != q.shape:
        raise ValueError(
            f"k of shape {k.shape} should have q's shape {q.shape}; repeat shared heads first"
        )
    if v.ndim != 4 or v.shape[:3] != q.shape[:3] or v.shape[3] == 0:
        raise ValueError(
            f"v of shape {v.shape} should be {(*q.shape[:3], 'V')} for q of shape {q.shape}"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q {q.dtype}, k {k.dtype} and v {v.dtype} differ; cast them to one dtype")
    state = (q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    if initial_state is not None and initial_state.shape != state:
        raise ValueError(
            f"initial_state of shape {initial_state.shape} should be (B,H,K,V) = {state}"
        )
    if segment_ids is not None and segment_ids.shape != q.shape[:2]:
        raise ValueError(
            f"segment_ids of shape {segment_ids.shape} should be (B,T) = {q.shape[:2]}"
        )
    if segment_ids is not None and not jnp.issubdtype(segment_ids.dtype, jnp.integer):
        raise ValueError(f"segment_ids of {segment_ids.dtype} should be integers")
    _implemented("q, k and v", q)


def gate(q: Array, g: ArrayLike) -> Array:
    """g with rank 4; its axes of size 1 stay, and with them the shape of its gradient."""
    if not isinstance(g, jax.Array):
        if np.max(g) > 0:
            raise ValueError(f"g reaches {np.max(g)}, above 0; give the decay's logarithm")
        g = jnp.asarray(g, jnp.promote_types(q.dtype, jnp.float32))
    shape = (1,) * (4 - g.ndim) + g.shape
    if len(shape) != 4 or any(n not in (1, m) for n, m in zip(shape, q.shape, strict=True)):
        raise ValueError(
            f"g of shape {g.shape} does not broadcast to q's {q.shape}; give (B,T,H,K) with 1 "
            "for any axis the decay is constant over, e.g. (B,T,H,1) for one decay a head"
        )
    if not jnp.issubdtype(g.dtype, jnp.floating):
        raise ValueError(f"g is {g.dtype}; give the log decay in a floating dtype, best float32")
    _implemented("g", g)
    return g.reshape(shape)


def _implemented(name: str, x: Array) -> None:
    if x.dtype not in (jnp.float32, jnp.bfloat16, jnp.float64):
        raise NotImplementedError(
            f"{name} of {x.dtype}: only float32, bfloat16 and float64 are implemented"
        )
