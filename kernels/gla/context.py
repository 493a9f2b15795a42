"""The op with its T tokens split over the devices of a mesh axis (context parallelism).

A state crosses a piece of the sequence by a decay that is diagonal, so a piece is summed up by two
small arrays: the state S_e (B,H,K,V) it builds from nothing and its total log decay L_e (B,H,K).
Each device runs the op on its own tokens, gathers the summaries, and adds what entered before:

    S = sum_{e before} exp(sum_{e < f before} L_f) S_e        o_t += scale (q_t exp(b_t))^T S

One gather of n (K,V) states a head, whatever T is; its gradient is JAX's, a scatter of as much.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

import kernels.gla
from kernels import mesh
from kernels.gla import check


def gla(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Real[ArrayLike, "..."],
    *,
    axis: str,
    scale: float | None = None,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: Int[Array, "B T"] | None = None,
    impl: str | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """`kernels.gla.gla` inside a `jax.shard_map` that splits T over the mesh axis `axis`.

    Arguments are a device's own tokens; `initial_state`, and the final state that is returned, are
    those of the whole sequence, the same on every device. Errors as `kernels.gla.gla`.
    """
    check.arguments(q, k, v, initial_state, segment_ids)
    g = check.gate(q, g)
    scale = q.shape[3] ** -0.5 if scale is None else float(scale)
    o, built = kernels.gla.gla(q, k, v, g, scale=scale, segment_ids=segment_ids, impl=impl)
    log = jnp.broadcast_to(g.astype(built.dtype), (*q.shape[:3], g.shape[3]))
    total = log.sum(1)
    reached = None
    if segment_ids is not None:
        reached = _reached(segment_ids, axis)
        total = jnp.where(reached[:, -1, None, None], total, -jnp.inf)
    built, total = lax.all_gather((built, total), axis)
    if initial_state is not None:  # as a piece before the first
        built = jnp.concatenate([initial_state[None].astype(built.dtype), built])
        total = jnp.concatenate([jnp.zeros_like(total[:1]), total])
    here = len(built) - lax.axis_size(axis) + lax.axis_index(axis)
    S, final_state = _state_after(built, total, here), _state_after(built, total, len(built))
    into = q.astype(S.dtype) * jnp.exp(jnp.cumsum(log, axis=1))
    if reached is not None:
        into = jnp.where(reached[:, :, None, None], into, 0)
    entered = scale * jnp.einsum("bthk,bhkv->bthv", into, S, precision="highest")
    return (o + entered).astype(v.dtype), final_state


@functools.partial(jax.jit, static_argnames=("scale", "impl"), inline=True)
def over_mesh(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Float[Array, "#B #T #H #K"],
    initial_state: Float[Array, "B H K V"] | None,
    segment_ids: Int[Array, "B T"] | None,
    *,
    scale: float,
    impl: str | None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """`kernels.gla.gla` on the mesh in use: its axis `sequence` splits T, the others B.

    T, or B, is whole on every device where its mesh axes do not divide it.
    """
    free = mesh.free()
    rows = mesh.rows(free, q.shape[0])
    pieces = free.get("sequence", 1)
    tokens = "sequence" if pieces > 1 and q.shape[1] % pieces == 0 else None
    whole = P(rows, tokens)
    gate = P(*(axis if n > 1 else None for axis, n in zip(whole, g.shape[:2], strict=True)))
    state = None if initial_state is None else P(rows)
    ids = None if segment_ids is None else whole
    op = kernels.gla.gla if tokens is None else functools.partial(gla, axis=tokens)

    def local(q, k, v, g, initial_state, segment_ids):
        more = {"initial_state": initial_state, "segment_ids": segment_ids}
        return op(q, k, v, g, scale=scale, impl=impl, **more)

    spread = mesh.spread(local, (whole, whole, whole, gate, state, ids), (whole, P(rows)))
    return spread(q, k, v, g, initial_state, segment_ids)


def _reached(ids: Int[Array, "B T"], axis: str) -> Bool[Array, "B T"]:
    """The tokens of a piece that are of one segment with the last token of the piece before."""
    pieces = lax.axis_size(axis)
    last = lax.ppermute(ids[:, -1], axis, [(i, i + 1) for i in range(pieces - 1)])
    last = jnp.where(lax.axis_index(axis) == 0, ids[:, 0], last)
    restarts = jnp.concatenate([last[:, None], ids[:, :-1]], 1) != ids
    return jnp.cumsum(restarts, axis=1) == 0


def _state_after(
    built: Float[Array, "N B H K V"], total: Float[Array, "N B H #K"], piece: Int[Array, ""] | int
) -> Float[Array, "B H K V"]:
    """The state after the first `piece` pieces. Logs are only added up: -inf stays exact."""
    e, f = jnp.arange(len(built))[:, None], jnp.arange(len(built))[None, :]
    between = ((e < f) & (f < piece))[:, :, None, None, None]
    decay = jnp.exp(jnp.where(between, total[None], 0).sum(1))
    decay = jnp.where((e < piece)[:, :, None, None], decay, 0)
    return jnp.sum(decay[..., None] * built, axis=0)
