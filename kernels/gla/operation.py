"""One differentiable, foldable op made of any implementation's `forward` and `backward`.

The gradient is the implementation's own (`jax.custom_vjp`). A `vmap` over the op, over its gradient
or over both folds the mapped axis into B (`kernels.fold`).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from kernels.fold import foldable


def differentiable(forward: Callable, backward: Callable, *, skips_absent=False) -> Callable:
    """`operation(q, k, v, g, scale, initial_state, segment_ids) -> (o, final_state)` with its
    gradient.

    `forward` and `backward` follow the contract in `kernels.gla`; `scale` is static. Every array of
    the residual has a leading axis of B times anything, or of 1 where the batch shares it. With
    `skips_absent` they take None for an initial state or its cotangent that is zero. Where no
    gradient is taken, `forward` is told to save nothing. Both are traced with JAX's 64 bits off,
    unless an input is float64.
    """

    def operation(q, k, v, g, scale, initial_state, segment_ids):
        bits = functools.partial(jax.enable_x64, jnp.float64 in (q.dtype, g.dtype))
        if initial_state is None and not skips_absent:
            shape = (q.shape[0], *q.shape[2:], v.shape[3])
            initial_state = jnp.zeros(shape, jnp.promote_types(q.dtype, jnp.float32))

        def inferring(*arrays):
            def run(q, k, v, g, initial_state, segment_ids):
                with bits():
                    return forward(q, k, v, g, scale, initial_state, segment_ids, save=False)[0]

            return foldable(run)(*arrays)

        def saving(*arrays):
            def run(q, k, v, g, initial_state, segment_ids):
                with bits():
                    arrays = initial_state, segment_ids
                    out, residual = forward(q, k, v, g, scale, *arrays, save=True)
                return out, hide(residual)

            return foldable(run)(*(None if x is None else x.value for x in arrays))

        def gradient(residual, cotangents):
            def run(do, dfinal, residual):
                with bits():
                    return backward(reveal(residual), do, dfinal)

            do, dfinal = cotangents
            if isinstance(do, SymbolicZero):
                do = jnp.zeros(do.aval.shape, do.aval.dtype)
            if isinstance(dfinal, SymbolicZero):
                dfinal = None if skips_absent else jnp.zeros(dfinal.aval.shape, dfinal.aval.dtype)
            dq, dk, dv, dg, dinitial = foldable(run)(do, dfinal, residual)
            if dg.shape[0] != g.shape[0]:  # folding gave each member a gate of its own
                exact = jnp.promote_types(g.dtype, jnp.float32)
                dg = dg.astype(exact).sum(0, keepdims=True).astype(g.dtype)
            return dq, dk, dv, dg, dinitial, None

        run = jax.custom_vjp(inferring)
        run.defvjp(saving, gradient, symbolic_zeros=True)
        return run(q, k, v, g, initial_state, segment_ids)

    return operation


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Static:
    value: Any


def hide(residual):
    """The residual with its Python values (a scale, say) hidden from tracing."""
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else _Static(x), residual)


def reveal(residual):
    """The inverse of `hide`."""
    return jax.tree.map(
        lambda x: x.value if isinstance(x, _Static) else x,
        residual,
        is_leaf=lambda x: isinstance(x, _Static),
    )
