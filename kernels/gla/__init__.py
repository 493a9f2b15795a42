"""Gated linear attention, one op:

    S_t = diag(exp g_t) S_{t-1} + k_t v_t^T        o_t = scale * S_t^T q_t

with log decay g <= 0 (arXiv 2312.06635, equations 3-4). The shape of g chooses the model: (B,T,H,K)
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
one for an accelerator says in `CHIPS` (a pattern of device kinds) and `CHIP_NAMES` for which.
"""

import re
from types import ModuleType

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Real

from kernels import mesh
from kernels.gla import chunk, reference
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
    K**-0.5. Differentiable in q, k, v, g and `initial_state`, through both outputs.

    Under a mesh (`jax.set_mesh`) of more than one device it runs in a `shard_map`: an axis named
    `sequence` splits T (kernels/gla/context.py), every other axis B.

    `impl` None takes the first of `IMPLEMENTATIONS` that runs these arguments on this chip; a named
    one runs, or raises NotImplementedError with the reason. ValueError: shapes or dtypes that do
    not fit each other.
    """
    g = _gate(q, g)
    _check(q, k, v, g, initial_state, segment_ids, impl)
    if mesh.split():
        from kernels.gla import context

        return context.over_mesh(q, k, v, g, scale, initial_state, segment_ids, impl)
    if segment_ids is not None:
        changes = segment_ids[:, 1:] != segment_ids[:, :-1]
        segment_ids = jnp.pad(jnp.cumsum(changes, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))
    module = _choose(impl, (q, k, v, g, initial_state, segment_ids))
    operation = differentiable(
        module.forward, module.backward, skips_absent=getattr(module, "SKIPS_ABSENT", False)
    )
    scale = q.shape[3] ** -0.5 if scale is None else float(scale)
    return operation(q, k, v, g, scale, initial_state, segment_ids)


def _choose(impl: str | None, arguments: tuple) -> ModuleType:
    """The module named `impl`, or the first in order of preference that runs `arguments` here."""
    reasons = {}
    for name in IMPLEMENTATIONS if impl is None else (impl,):
        reasons[name] = _not_here(name) or _module(name).unsupported(*arguments)
        if reasons[name] is None:
            return _module(name)
    raise NotImplementedError("; ".join(f"impl={name!r}: {why}" for name, why in reasons.items()))


def _not_here(name: str) -> str | None:
    """Why implementation `name` cannot run on this chip, or None."""
    platforms, device = IMPLEMENTATIONS[name], _device()
    if platforms is None:
        return None
    if device.platform not in platforms:
        return f"runs on {platforms[0]}, and this is {device.platform}"
    try:
        module = _module(name)
    except ImportError as error:
        return f"does not import here ({error})"
    if not re.match(module.CHIPS, device.device_kind):
        return f"is written for {module.CHIP_NAMES}, and this is {device.device_kind}"
    return None


def _device() -> jax.Device | jax.sharding.AbstractDevice:
    """What is compiled for: the device of the abstract mesh in use if any, else JAX's first."""
    return jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]


def _module(name: str) -> ModuleType:
    """Pallas modules are imported only when asked for: their backends need not be installed."""
    if name == "pallas_tpu":
        from kernels.gla import pallas_tpu

        return pallas_tpu
    if name == "pallas_gpu":
        from kernels.gla import pallas_gpu

        return pallas_gpu
    return {"chunk": chunk, "reference": reference}[name]


def _gate(q: Array, g: ArrayLike) -> Array:
    """g with rank 4; its axes of size 1 stay, and with them the shape of its gradient."""
    g = jnp.asarray(
        g, None if isinstance(g, jax.Array) else jnp.promote_types(q.dtype, jnp.float32)
    )
    shape = (1,) * (4 - g.ndim) + g.shape
    if len(shape) != 4 or any(n not in (1, m) for n, m in zip(shape, q.shape, strict=True)):
        raise ValueError(
            f"g of shape {g.shape} does not broadcast to q's {q.shape}; give (B,T,H,K) with 1 "
            "for any axis the decay is constant over, e.g. (B,T,H,1) for one decay a head"
        )
    return g.reshape(shape)


def _check(q, k, v, g, initial_state, segment_ids, impl) -> None:
    if impl is not None and impl not in IMPLEMENTATIONS:
        raise ValueError(
            f"impl={impl!r} is unknown; choose None or one of {', '.join(IMPLEMENTATIONS)}"
        )
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
    if not jnp.issubdtype(g.dtype, jnp.floating):
        raise ValueError(f"g is {g.dtype}; give the log decay in a floating dtype, best float32")
    state = (q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    if initial_state is not None and initial_state.shape != state:
        raise ValueError(
            f"initial_state of shape {initial_state.shape} should be (B,H,K,V) = {state}"
        )
    if segment_ids is not None and segment_ids.shape != q.shape[:2]:
        raise ValueError(
            f"segment_ids of shape {segment_ids.shape} should be (B,T) = {q.shape[:2]}"
        )
    for name, x in {"q, k and v": q, "g": g}.items():
        if x.dtype not in (jnp.float32, jnp.bfloat16, jnp.float64):
            raise NotImplementedError(
                f"{name} of {x.dtype}: only float32, bfloat16 and float64 are implemented"
            )
