"""Members of a `vmap` as rows of a batch (`jax.custom_batching.custom_vmap`).

A kernel sees a larger batch, and a `lax.cond` inside stays a branch where a batched predicate would
run both sides.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def foldable(function: Callable) -> Callable:
    """`function`, whose first argument has leading axis B, under a `vmap` that multiplies B."""
    folding = custom_vmap(function)

    @folding.def_vmap
    def fold(S, batched, *args):
        B = args[0].shape[1 if batched[0] else 0]

        def into_batch(x, batched):
            if not batched:
                x = jnp.broadcast_to(x, (S, *x.shape))
            if x.shape[1] == 1:  # shared by the batch, or a batch of one
                x = jnp.broadcast_to(x, (S, B, *x.shape[2:]))
            return x.reshape(S * x.shape[1], *x.shape[2:])

        def out_of_batch(x):
            return x.reshape(S, x.shape[0] // S, *x.shape[1:])

        out = foldable(function)(*jax.tree.map(into_batch, args, tuple(batched)))
        out = jax.tree.map(out_of_batch, out)
        return out, jax.tree.map(lambda _: True, out)

    return folding
