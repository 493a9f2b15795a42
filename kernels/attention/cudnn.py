"""cuDNN's flash attention through JAX, on NVIDIA GPUs.

It knows no segment ids. JAX turns their mask into a bias (B,1,T,T) in the dtype of the inputs,
which is written to memory and read for every head; the scores never are. What lies above the
diagonal is skipped either way, what lies before the window only without documents: cuDNN before
9.10.2 takes no bias with a window, and JAX tests the two together with no version.
"""

import functools
import re

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels import dispatch
from kernels.attention.reference import causal
from kernels.fold import foldable

# Of JAX's `device_kind`: compute capability 8.0 and above, and those whose heads may be wider, in
# both directions, by NVIDIA's table for cuDNN 9.18 (a Blackwell's backward pass stops at 128).
CHIPS = r"NVIDIA (A\d|L\d|G?H\d|G?B\d|RTX (A\d|PRO|\d+ Ada)|GeForce RTX [345]0)"
CHIP_NAMES = "NVIDIA's Ampere and later (A100, L4, H100, B200, RTX 30 and on)"
WIDE = r"NVIDIA G?H\d"


def unsupported(q, k, v, segment_ids, window) -> str | None:
    T, K = q.shape[1], q.shape[3]
    if q.dtype not in (jnp.bfloat16, jnp.float16):
        return f"cuDNN attends in bfloat16 or float16, not in {q.dtype}"
    fits = K <= 128 or (K <= 256 and re.match(WIDE, dispatch.device().device_kind))
    if K % 8 or not fits:
        return f"heads of width {K}: a multiple of 8 up to 128 is needed, on Hopper up to 256"
    if segment_ids is not None and T % 2:
        return f"with segment ids T must be even, not {T}"
    return _refused(K)


@functools.cache
def _refused(K: int) -> str | None:
    """Why JAX does not take heads of width K to cuDNN here (there is none, say), or None.

    It is asked by tracing the smallest call: nothing is compiled.
    """
    x = jax.ShapeDtypeStruct((1, 2, 1, K), jnp.bfloat16)
    try:
        jax.eval_shape(_cudnn, x, x, x)
    except RuntimeError as reason:  # NotImplementedError is one
        return str(reason)
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
