"""The chunkwise form in XLA: the mathematics of `chunk_math` over batch, chunks and heads.

All chunks are computed at once, the fast way, but for the states that pass between them, which are
a recurrence over chunks. Chunks that decay too much for that are then computed anew, the exact way,
B at a time: a loop that usually makes no turn. It is no `lax.cond`, because on the CPU XLA runs the
elementwise operations of a branch on one thread and copies what goes in and out of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from kernels.gla import chunk_math as chunk
from kernels.gla.chunk_math import FLOOR, LIMIT, Segments

SKIPS_ABSENT = True  # `initial_state` and `dfinal` may be None, for zero


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    """Why the chunk form cannot run these arguments, or None."""
    if jnp.float64 in (q.dtype, g.dtype):
        return "float64 is the reference's; cast to float32"
    return None


def forward(q, k, v, g, scale, initial_state, segment_ids, *, save=True):
    """((o, final_state), residual): the contract of an implementation, see `kernels.gla`."""
    T = q.shape[1]
    given, at = _split((q, k, v, _of_tokens(g, q)), segment_ids)
    q_, k_, v_, g_ = _operands(scale, *given)
    b = _cumulative(g_)
    o = _each(chunk.outputs, (1, 1, 1, 1, None), 1)(q_, k_, v_, b, at)
    added = _each(chunk.update, (1, 1, 1, None), 0)(k_, v_, b, at)
    exact = lambda q, k, v, g, at: chunk.exact(*_operands(scale, q, k, v, g), at)
    again = _each(exact, (1, 1, 1, 1, None), (1, 0), axes=1)
    o, added = _redo(_hard(given[3]), again, given, at, (o, added))
    if initial_state is None and len(b[0]) == 1:
        states, final = None, added[:, 0]
    else:
        states, final = _carry(_each(chunk.gamma, (1, None), 0)(b, at), added, initial_state)
        o += _each(chunk.outputs_of_state, (1, 1, 0, None), 1)(q_, b, states, at)
    residual = q, k, v, g, scale, initial_state, segment_ids, states, final
    return (_join(o, T).astype(v.dtype), final), residual


def backward(residual, do, dfinal):
    """(dq, dk, dv, dg, dinitial_state).

    The decay's gradient at t collects every pair of tokens that g_t lies between: from t to the
    chunk's end, q dq - k dk (what cancels is not between), and the pairs that reach beyond the end,
    sum_v S' dS'. Summed within chunks only: over a whole sequence the rounding would add up.
    """
    q, k, v, g, scale, initial_state, ids, states, final = residual
    given, at = _split((q, k, v, _of_tokens(g, q), do), ids)
    q_, k_, v_, g_, do = _operands(scale, *given)
    b = _cumulative(g_)
    dq, dk, dv = _each(chunk.gradients, (1, 1, 1, 1, 1, None), 1)(q_, k_, v_, b, do, at)
    dinitial, dstates, beyond = None, None, None
    if states is not None or dfinal is not None:
        states = jnp.zeros_like(final)[:, None] if states is None else states
        of_state = _each(chunk.gradients_of_state, (1, 1, 0, 1, None), (1, 0))
        dq_state, dstates = of_state(q_, b, states, do, at)
        kept = _each(chunk.gamma, (1, None), 0)(b, at)
        dstates, dinitial = _carry(kept, dstates, dfinal, reverse=True)
        of_update = _each(chunk.gradients_of_update, (1, 1, 1, 0, None), 1)
        dk_update, dv_update = of_update(k_, v_, b, dstates, at)
        dq, dk, dv = dq + dq_state, dk + dk_update, dv + dv_update
        leaving = jnp.concatenate([states[:, 1:], final[:, None]], 1)
        beyond = jnp.sum(leaving * dstates, axis=4)[:, :, None]
    dg = q_ * dq - k_ * dk
    if g.shape[3] == 1:  # one decay a head
        dg = dg.sum(4, keepdims=True)
        beyond = beyond if beyond is None else beyond.sum(4, keepdims=True)
    dg = _cumulative(dg, reverse=True)
    dg = dg if beyond is None else dg + beyond

    def exact(q, k, v, g, do, S, dS, at):
        operands = _operands(scale, q, k, v, g, do)
        dq, *others = chunk.exact_gradients(*operands, S, dS, at)
        return scale * dq, *others

    again = _each(exact, (1, 1, 1, 1, 1, 0, 0, None), 1, axes=1)
    results = scale * dq, dk, dv, dg
    results = _redo(_hard(given[3]), again, (*given, states, dstates), at, results)
    dq, dk, dv, dg = (_join(x, q.shape[1]) for x in results)
    shared = tuple(axis for axis in range(4) if g.shape[axis] == 1 != dg.shape[axis])
    dg = dg.sum(shared, keepdims=True)
    dinitial = None if initial_state is None else dinitial
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), dg.astype(g.dtype), dinitial


# ---- fast or exact


def _of_tokens(g: Float[Array, "#B #T #H #K"], q: Float[Array, "B T H K"]):
    """g for every token and head, (B,T,H,K), or (B,T,H,1) for one decay a head."""
    return jnp.broadcast_to(g, (*q.shape[:3], g.shape[3]))


def _operands(scale, q, k, v, g, *do):
    """What the mathematics of a chunk takes: float32, q with the scale, g with -inf as a number.

    The loop of `_redo` calls this again, on the inputs: given the results, XLA would store them.
    """
    q, k, v, g, *do = (x.astype(jnp.float32) for x in (q, k, v, g, *do))
    return (scale * q, k, v, jnp.maximum(g, FLOOR), *do)


def _hard(g: Float[Array, "B N C H #K"]) -> Bool[Array, "B N"]:
    """The chunks that the fast way cannot compute."""
    B, N, C, H, K = g.shape
    halves = g.astype(jnp.float32).reshape(B, N, 2, C // 2, H, K).sum(3)
    return jnp.min(halves, axis=(2, 3, 4)) <= -LIMIT


def _redo(hard: Bool[Array, "B N"], function: Callable, given, at: Segments, results):
    """`results` with those of the hard chunks replaced by `function(*given, at)`. All arrays are
    (B,N,..); `function` is given B chunks at a time, hard ones first."""
    B, N = hard.shape
    flat = lambda tree: jax.tree.map(lambda x: x.reshape(B * N, *x.shape[2:]), tree)
    hard_first = jnp.argsort(~hard.ravel())
    given, at = flat(given), flat(at) if at.same.ndim > 2 else at

    def turn(carry):
        done, results = carry
        which = lax.dynamic_slice(hard_first, (done,), (B,))
        # Without the barrier, XLA hoists the work out of the loop where a row has only one chunk.
        done, which = lax.optimization_barrier((done, which))
        take = lambda tree: jax.tree.map(lambda x: x[which], tree)
        new = function(*take(given), take(at) if at.same.ndim > 2 else at)
        put = lambda x, y: x.at[which].set(y, unique_indices=True)
        return done + B, jax.tree.map(put, results, tuple(new))

    count = jnp.sum(hard, dtype=jnp.int32)
    _, results_ = lax.while_loop(lambda c: c[0] < count, turn, (jnp.int32(0), flat(results)))
    return jax.tree.map(lambda x, y: x.reshape(y.shape), results_, results)


# ---- chunks


def _chunk(T: int) -> int:
    return 64 if T > 32 else max(16, 1 << (T - 1).bit_length())


def _split(arrays, ids):
    """The arrays in chunks (B,N,C,H,D), and the Segments of each chunk (B,N)."""
    T = arrays[0].shape[1]
    parts = tuple(_chunks(x) for x in arrays)
    if ids is None:
        return parts, chunk.one_segment(_chunk(T))
    ids = jnp.pad(ids, ((0, 0), (0, -T % _chunk(T))), mode="edge")
    ids = ids.reshape(ids.shape[0], -1, _chunk(T))
    before = jnp.pad(ids[:, :-1, -1], ((0, 0), (1, 0)))
    # The barrier keeps XLA from recomputing the masks, per head, in every operation that uses one.
    return parts, lax.optimization_barrier(jax.vmap(jax.vmap(chunk.segments))(ids, before))


def _chunks(x: Float[Array, "B T H D"]) -> Float[Array, "B N C H D"]:
    """Padded with zeros to whole chunks: a token of zeros, decay 1, leaves the state as it is."""
    B, T, H, D = x.shape
    x = jnp.pad(x, ((0, 0), (0, -T % _chunk(T)), (0, 0), (0, 0)))
    return x.reshape(B, -1, _chunk(T), H, D)


def _join(x: Float[Array, "B N C H D"], T: int) -> Float[Array, "B T H D"]:
    B, N, C, H, D = x.shape
    return x.reshape(B, N * C, H, D)[:, :T]


def _cumulative(x: Float[Array, "B N C H D"], reverse: bool = False) -> Float[Array, "B N C H D"]:
    """The inclusive cumulative sum over each chunk, as a product with a triangle of ones."""
    B, N, C, H, D = x.shape
    ones = jnp.triu(jnp.ones((C, C))) if reverse else jnp.tri(C)
    ones = jnp.broadcast_to(ones, (B, N, C, C))
    return jnp.matmul(ones, x.reshape(B, N, C, H * D), precision="highest").reshape(x.shape)


def _each(function: Callable, heads: tuple, out, axes: int = 2):
    """`function` of one chunk and head, over the first `axes` axes (B, N) and over H.

    H is axis `heads` of a chunk's arrays; Segments may be one for all chunks.
    """
    over_heads = jax.vmap(function, in_axes=heads, out_axes=out)

    def run(*args):
        shared = lambda x: isinstance(x, Segments) and x.same.ndim == 2
        alike = [None if shared(x) else 0 for x in args]
        run = over_heads
        for _ in range(axes):
            run = jax.vmap(run, in_axes=alike)
        return run(*args)

    return run


def _carry(kept, added, state, reverse=False):
    """S' = kept S + added over the chunks: (S of each chunk, the last S')."""

    def step(S, chunk):
        kept, added = chunk
        return kept * S + added, S

    state = jnp.zeros_like(added[:, 0]) if state is None else state
    chunks = jnp.moveaxis(kept, 1, 0), jnp.moveaxis(added, 1, 0)
    final, states = lax.scan(step, state, chunks, reverse=reverse)
    return jnp.moveaxis(states, 0, 1), final
