"""cuDNN's flash attention through JAX, on NVIDIA GPUs.

It has no segment ids: JAX makes of a mask a bias (B,1,T,T) in the dtype of the inputs, written to
memory and read for every head, where no scores are. What lies above the diagonal is skipped either
way, what lies before the window only without documents: cuDNN before 9.10.2 takes no bias with a
window, and JAX tests the two together with no version.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels.attention.reference import causal
from kernels.gla.operation import foldable


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
        return _of_documents(window)(q, k, v, segment_ids)
    near = None if window is None else (window - 1, 0)
    return _cudnn(q, k, v, local_window_size=near)


def _of_documents(window: int | None):
    """attention(q, k, v, segment_ids), whose gradient makes the bias again, and o with it.

    Kept, the bias of each layer would take T / (H K) times the bytes of its queries. JAX 0.12
    cannot `vmap` a bias that heads share (it reshapes it to all heads), so the members of an
    ensemble are folded into B.
    """

    def run(q, k, v, ids):
        return _cudnn(q, k, v, mask=causal(ids, window)[:, None])

    def back(q, k, v, ids, do):
        return jax.vjp(lambda *x: run(*x, ids), q, k, v)[1](do)

    forward, backward = foldable(run), foldable(back)
    attend = jax.custom_vjp(forward)
    attend.defvjp(lambda *x: (forward(*x), x), lambda x, do: (*backward(*x, do), None))
    return attend


_cudnn = functools.partial(jax.nn.dot_product_attention, is_causal=True, implementation="cudnn")
