"""Gated linear attention, one op:

    S_t = diag(exp g_t) S_{t-1} + k_t v_t^T        o_t = scale * S_t^T q_t

with log decay g <= 0 (arXiv 2312.06635, section 4.1). The shape of g chooses the model: (B,T,H,K)
is GLA, (B,T,H,1) Mamba-2, (1,1,H,1) RetNet, 0 linear attention; K=16, V=1, H=channels is Mamba-1's
selective scan.

An implementation is a module of this folder with three functions:

    unsupported(q, k, v, g, initial_state, segment_ids) -> str | None
        why it cannot run arguments of these shapes and dtypes, or None
    forward(q, k, v, g, scale, initial_state, segment_ids, save) -> ((o, final_state), residual)
    backward(residual, do, dfinal) -> (dq, dk, dv, dg, dinitial_state)

where g has rank 4 with axes of size 1 kept (dg has its shape and dtype), states are float32 and the
segment ids, if any, start at 0 and rise by one at every restart. It pads T to its chunk by itself.
Without `save`, for a call that has no gradient, the residual may lack what only `backward` reads.
`SKIPS_ABSENT = True` in it asks for None, not zeros, where there is no initial state or no dfinal;
one for an accelerator says for which chips (kernels/dispatch.py).
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Real

from kernels import dispatch, mesh
from kernels.gla import check
from kernels.gla.operation import differentiable
from kernels.gla.reference import step as gla_step

__all__ = ["IMPLEMENTATIONS", "gla", "gla_step"]

# In order of preference; each with the platforms it runs on (None: all).
IMPLEMENTATIONS = {
    "pallas_tpu": ("tpu",),
    "pallas_gpu": ("gpu", "cuda"),
    "chunk": None,
    "reference": None,
}


def gla(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Real[ArrayLike, "..."],
    *,
    scale: float | None = None,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    impl: str | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Outputs o (B,T,H,V) in v's dtype and the final state (B,H,K,V) in float32.

    g, natural log, is any array or number that broadcasts to (B,T,H,K) with 0 >= g >= -inf; -inf
    forgets everything before the token. The state restarts from zero where `segment_ids` changes;
    `initial_state` belongs to the first segment, `final_state` to the last. `scale` defaults to
    K**-0.5. Differentiable in q, k, v, g and `initial_state`, through both outputs, in reverse
    mode; with `chunk` and `reference` that gradient once more, in forward mode.

    Under a mesh (`jax.set_mesh`) of more than one device it runs in a `shard_map`: an axis named
    `sequence` splits T (kernels/gla/context.py), every other axis B, and the results are split
    likewise.

    `impl` None takes the first of `IMPLEMENTATIONS` that runs these arguments on this chip; a named
    one runs, or raises NotImplementedError with the reason. ValueError: shapes or dtypes that do
    not fit each other.
    """
    q, k, v = (jnp.asarray(x) for x in (q, k, v))
    check.arguments(q, k, v, initial_state, segment_ids)
    g = check.gate(q, g)
    scale = q.shape[3] ** -0.5 if scale is None else float(scale)
    if initial_state is not None:
        initial_state = initial_state.astype(jnp.promote_types(q.dtype, jnp.float32))
    arguments = q, k, v, g, initial_state, segment_ids
    if mesh.split():
        from kernels.gla import context

        return context.over_mesh(*arguments, scale=scale, impl=impl)
    return _run(
        *arguments, scale=scale, name=dispatch.choose(__name__, IMPLEMENTATIONS, impl, arguments)
    )


# One function for all calls: what is called eagerly is compiled once for all arguments alike.
@functools.partial(jax.jit, static_argnames=("scale", "name"), inline=True)
def _run(q, k, v, g, initial_state, segment_ids, *, scale, name):
    if segment_ids is not None:
        changes = segment_ids[:, 1:] != segment_ids[:, :-1]
        segment_ids = jnp.pad(jnp.cumsum(changes, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))
    module = dispatch.module(__name__, name)
    operation = differentiable(
        module.forward, module.backward, skips_absent=getattr(module, "SKIPS_ABSENT", False)
    )
    return operation(q, k, v, g, scale, initial_state, segment_ids)
