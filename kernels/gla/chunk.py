"""Chunkwise form: the mathematics of one chunk as functions of (C,K) and (C,V) arrays, and XLA's
use of it.

Within a chunk, with b the cumulative log decay from its start (arXiv 2312.06635, section 4):

    q^_i = q_i exp(b_i)                k^_j = k_j exp(b_C - b_j)           gamma = exp(b_C)
    A_ij = sum_k q_ik k_jk exp(b_ik - b_jk)  for j <= i
    O = scale (A V + q^ S)             S' = diag(gamma) S + k^T V

Two ways to A. *Fast*, when no half of a chunk decays by more than e^-LIMIT: one product of
q~ = q exp(b - b_mid) and k~ = k exp(b_mid - b). *Exact*, for any gate down to -inf: split the chunk
in two, then its halves, and so on. A pair j < i is parted at one level, with the middle m of that
level between them, and exp(sum_{m..i} g) and exp(sum_{j+1..m-1} g) are both at most 1: nothing
overflows, and no sum of decays is a difference of larger ones.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

LIMIT = 40.0  # exp keeps a relative accuracy of 3e-6 up to here, and e^(2 LIMIT) is finite
FLOOR = -200.0  # exp of it is 0 in float32, as is exp of anything below it


class Segments(NamedTuple):
    """Where a chunk's tokens belong: 1 or 0 for each way in which a decay can meet a restart."""

    same: Float[Array, "C C"]  # j <= i, both of one segment
    entering: Float[Array, "C 1"]  # of the segment of the state that enters the chunk
    leaving: Float[Array, "C 1"]  # of the segment of the state that leaves it
    through: Float[Array, ""]  # the state that enters also leaves


def segments(ids: Int[Array, "C"], before: Int[Array, ""]) -> Segments:
    """The masks of a chunk whose tokens have `ids`, after a token of segment `before`."""
    same = jnp.tri(ids.shape[0], dtype=bool) & (ids[:, None] == ids[None, :])
    masks = same, (ids == before)[:, None], (ids == ids[-1])[:, None], before == ids[-1]
    return Segments(*(mask.astype(jnp.float32) for mask in masks))


def one_segment(C: int) -> Segments:
    return Segments(jnp.tri(C), jnp.ones((C, 1)), jnp.ones((C, 1)), jnp.ones(()))


# ---- one chunk, fast: b is at most LIMIT away from b_mid


def up(b: Float[Array, "C #K"]) -> Float[Array, "C #K"]:
    """exp(b - b_mid): q~ = q up."""
    return jnp.exp(b - _middle(b))


def down(b: Float[Array, "C #K"]) -> Float[Array, "C #K"]:
    """exp(b_mid - b): k~ = k down."""
    return jnp.exp(_middle(b) - b)


def _middle(b):
    return b[b.shape[0] // 2 - 1][None]


def outputs(q, k, v, b, at: Segments) -> Float[Array, "C V"]:
    """A V, what the tokens of a chunk say to each other."""
    A = at.same * _dot(q * up(b), k * down(b), (1, 1))
    return _dot(A, v, (1, 0))


def outputs_of_state(q, b, S: Float[Array, "K V"], at: Segments) -> Float[Array, "C V"]:
    """q^ S, what the state that enters a chunk says to its tokens."""
    return _dot(at.entering * q * jnp.exp(b), S, (1, 0))


def update(k, v, b, at: Segments) -> Float[Array, "K V"]:
    """k^T V, what a chunk adds to the state."""
    return _dot(at.leaving * k * jnp.exp(b[-1:] - b), v, (0, 0))


def gamma(b, at: Segments) -> Float[Array, "#K 1"]:
    """What remains of the state that enters a chunk in the one that leaves it."""
    return at.through * jnp.exp(b[-1])[:, None]


def gradients(q, k, v, b, do, at: Segments):
    """(dq, dk, dv) through `outputs`, with P = dO V^T masked as A is."""
    q_, k_ = q * up(b), k * down(b)
    A, P = at.same * _dot(q_, k_, (1, 1)), at.same * _dot(do, v, (1, 1))
    return _dot(P, k_, (1, 0)) * up(b), _dot(q_, P, (0, 0)).T * down(b), _dot(do, A, (0, 0)).T


def gradients_of_state(q, b, S, do, at: Segments):
    """(dq, dS) through `outputs_of_state`."""
    decay = at.entering * jnp.exp(b)
    return decay * _dot(do, S, (1, 1)), _dot(q * decay, do, (0, 0))


def gradients_of_update(k, v, b, dS, at: Segments):
    """(dk, dv) through `update`, dS being the gradient of the state that leaves."""
    decay = at.leaving * jnp.exp(b[-1:] - b)
    return decay * _dot(v, dS, (1, 1)), _dot(k * decay, dS, (1, 0))


# ---- one chunk, exact


@functools.cache
def _levels(C: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For log2(C) levels of halving: spans (L,C,C), later (L,C), pairs (L,C,C).

    spans[l] @ g sums the decays between each token and the middle of its block; `later` are the
    tokens after that middle; pairs are (later, earlier) tokens of one block.
    """
    t = np.arange(C)
    spans, later, pairs = [], [], []
    for half in 2 ** np.arange(int(C).bit_length() - 1):
        block, after = t // (2 * half), t // half % 2 == 1
        middle = block * 2 * half + half
        since = (middle[:, None] <= t) & (t <= t[:, None])
        until = (t[:, None] < t) & (t < middle[:, None])
        spans.append(np.where(after[:, None], since, until))
        later.append(after)
        pairs.append((block[:, None] == block) & after[:, None] & ~after)
    return np.array(spans, np.float32), np.array(later), np.array(pairs)


def exact(
    q: Float[Array, "C K"],
    k: Float[Array, "C K"],
    v: Float[Array, "C V"],
    g: Float[Array, "C #K"],
    S: Float[Array, "K V"],
    at: Segments,
) -> tuple[Float[Array, "C V"], Float[Array, "K V"]]:
    """(O, S') of one chunk for any gate. Of its gradient, by autodiff, every term is a product of
    decays: the gradient of a gate of -40 has all its digits."""
    C = q.shape[0]
    g = jnp.maximum(g, FLOOR)  # lossless, and 0 * FLOOR is 0 where 0 * inf is not
    spans, later, pairs = (jnp.asarray(x) for x in _levels(C))
    decay = jnp.exp(jnp.einsum("lij,jk->lik", spans, g, precision="highest"))
    later = later[:, :, None]
    up, down = jnp.where(later, q[None] * decay, 0), jnp.where(later, 0, k[None] * decay)
    A = jnp.einsum("lik,ljk->lij", up, down, precision="highest")
    A = jnp.where(pairs, A, 0).sum(0) + jnp.diag(jnp.sum(q * k, 1))
    since_start = jnp.tri(C, dtype=g.dtype)
    to_end = 1 - since_start
    into = at.entering * q * jnp.exp(_dot(since_start, g, (1, 0)))
    out = at.leaving * k * jnp.exp(_dot(to_end, g, (1, 0)))
    o = _dot(at.same * A, v, (1, 0)) + _dot(into, S, (1, 0))
    gamma = at.through * jnp.exp(g.sum(0))
    return o, gamma[:, None] * S + _dot(out, v, (0, 0))


def _dot(x: Array, y: Array, contract: tuple[int, int]) -> Array:
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(x, y, axes, precision="highest", preferred_element_type=jnp.float32)


# ---- the implementation in XLA

SKIPS_ABSENT = True  # `initial_state` and `dfinal` may be None, for zero


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    if jnp.float64 in (q.dtype, g.dtype):
        return "float64 is the reference's; cast to float32"
    return None


def forward(q, k, v, g, scale, initial_state, segment_ids):
    """((o, final_state), residual): the contract of an implementation, see `kernels.gla`."""
    arguments = q, k, v, _gates(g, q), scale, initial_state, segment_ids
    ways = (lambda way=way: way(*arguments) for way in (_exact, _fast))
    o, final, states = _unless(_is_fast(arguments[3]), *ways)
    return (o.astype(v.dtype), final), (
        q,
        k,
        v,
        g,
        scale,
        initial_state,
        segment_ids,
        states,
        final,
    )


def backward(residual, do, dfinal):
    """(dq, dk, dv, dg, dinitial_state)."""
    q, k, v, g, *rest = residual
    arguments = q, k, v, _gates(g, q), *rest, do, dfinal
    ways = (lambda way=way: way(*arguments) for way in (_exact_gradients, _fast_gradients))
    dq, dk, dv, dg, dinitial = _unless(_is_fast(arguments[3]), *ways)
    shared = tuple(axis for axis in range(4) if g.shape[axis] == 1 != dg.shape[axis])
    dg = dg.sum(shared, keepdims=True)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), dg.astype(g.dtype), dinitial


def _fast(q, k, v, g, scale, initial_state, ids):
    """(o, final_state, the states that enter the chunks or None where they are all nothing)."""
    T = q.shape[1]
    (q, k, v, g), at = _split((scale * q, k, v, g), ids)
    b = _cumulative(g)
    o = _each(outputs, (1, 1, 1, 1, None), 1)(q, k, v, b, at)
    added = _each(update, (1, 1, 1, None), 0)(k, v, b, at)
    if initial_state is None and q.shape[1] == 1:
        return _join(o, T), added[:, 0], None
    states, final = _carry(_each(gamma, (1, None), 0)(b, at), added, initial_state)
    o += _each(outputs_of_state, (1, 1, 0, None), 1)(q, b, states, at)
    return _join(o, T), final, states


def _fast_gradients(q, k, v, g, scale, initial_state, ids, states, final, do, dfinal):
    """The decay's gradient at t collects every pair of tokens that g_t lies between: from t to the
    chunk's end, q dq - k dk (what cancels is not between), and the pairs that reach beyond the end,
    sum_v S' dS'. Summed within chunks only: over a whole sequence the rounding would add up."""
    T = q.shape[1]
    (q, k, v, g, do), at = _split((scale * q, k, v, g, do), ids)
    b = _cumulative(g)
    dq, dk, dv = _each(gradients, (1, 1, 1, 1, 1, None), 1)(q, k, v, b, do, at)
    dinitial, beyond = None, None
    if states is not None or dfinal is not None:
        states = jnp.zeros_like(final)[:, None] if states is None else states
        of_state = _each(gradients_of_state, (1, 1, 0, 1, None), (1, 0))
        dq_state, dstates = of_state(q, b, states, do, at)
        kept = _each(gamma, (1, None), 0)(b, at)
        dstates, dinitial = _carry(kept, dstates, dfinal, reverse=True)
        of_update = _each(gradients_of_update, (1, 1, 1, 0, None), 1)
        dk_update, dv_update = of_update(k, v, b, dstates, at)
        dq, dk, dv = dq + dq_state, dk + dk_update, dv + dv_update
        leaving = jnp.concatenate([states[:, 1:], final[:, None]], 1)
        beyond = jnp.sum(leaving * dstates, axis=4)[:, :, None]
    dg = q * dq - k * dk
    if g.shape[4] == 1:  # one decay a head
        dg = dg.sum(4, keepdims=True)
        beyond = beyond if beyond is None else beyond.sum(4, keepdims=True)
    dg = _cumulative(dg, reverse=True)
    dg = dg if beyond is None else dg + beyond
    dinitial = None if initial_state is None else dinitial
    return *(_join(x, T) for x in (scale * dq, dk, dv, dg)), dinitial


def _exact(q, k, v, g, scale, initial_state, ids):
    """As `_fast`, one chunk after the other."""
    parts, at = _split((scale * q, k, v, g), ids)

    def step(S, chunk):
        *arrays, at = chunk
        o, after = _each_head(exact, (1, 1, 1, 1, 0, None), (1, 0))(*arrays, S, at)
        return after, (o, S)

    absent = initial_state is None
    S = jnp.zeros((*q.shape[::2], q.shape[3], v.shape[3])) if absent else initial_state
    final, (o, states) = lax.scan(step, S, _chunks_first((*parts, _per_chunk(at, parts[0]))))
    alone = absent and len(states) == 1
    return (
        _join(jnp.moveaxis(o, 0, 1), q.shape[1]),
        final,
        None if alone else jnp.moveaxis(states, 0, 1),
    )


def _exact_gradients(q, k, v, g, scale, initial_state, ids, states, final, do, dfinal):
    """As `_fast_gradients`, by autodiff through `exact`: every term of it a product of decays."""
    parts, at = _split((scale * q, k, v, g, do), ids)
    states = jnp.zeros_like(final)[:, None] if states is None else states

    def step(dS, chunk):
        *arrays, do, S, at = chunk

        def run(*arrays):
            return _each_head(exact, (1, 1, 1, 1, 0, None), (1, 0))(*arrays, at)

        *grads, dS = jax.vjp(run, *arrays, S)[1]((do, dS))
        return dS, tuple(grads)

    chunks = _chunks_first((*parts, states, _per_chunk(at, parts[0])))
    dS = jnp.zeros_like(final) if dfinal is None else dfinal
    dinitial, grads = lax.scan(step, dS, chunks, reverse=True)
    dq, *rest = (_join(jnp.moveaxis(x, 0, 1), q.shape[1]) for x in grads)
    return scale * dq, *rest, None if initial_state is None else dinitial


def _unless(fast: Bool[Array, ""], exact_way: Callable, fast_way: Callable):
    """The fast way's result where it holds, else the exact way's.

    A loop of no or one turn, and no `lax.cond`: on the CPU XLA runs the elementwise operations of a
    branch on one thread and copies what goes in and out of it.
    """

    def turn(carry):
        return jnp.array(True), exact_way()

    return lax.while_loop(lambda carry: ~carry[0], turn, (fast, fast_way()))[1]


def _gates(g: Float[Array, "#B #T #H #K"], q: Float[Array, "B T H K"]) -> Float[Array, "B T H #K"]:
    """g for every token and head; one decay a head stays one."""
    return jnp.broadcast_to(g, (*q.shape[:3], g.shape[3])).astype(jnp.float32)


def _is_fast(g: Float[Array, "B T H #K"]) -> Bool[Array, ""]:
    g = _chunks(g)
    B, N, C, H, K = g.shape
    halves = g.reshape(B, 2 * N, C // 2, H, K).sum(2)
    return jnp.min(halves) > -LIMIT


def _chunk(T: int) -> int:
    return 64 if T > 32 else max(16, 1 << (T - 1).bit_length())


def _split(arrays, ids):
    """The arrays in chunks (B,N,C,H,D) and in float32, and the Segments of each chunk (B,N)."""
    T = arrays[0].shape[1]
    parts = tuple(_chunks(x) for x in arrays)
    if ids is None:
        return parts, one_segment(_chunk(T))
    ids = jnp.pad(ids, ((0, 0), (0, -T % _chunk(T))), mode="edge")
    ids = ids.reshape(ids.shape[0], -1, _chunk(T))
    before = jnp.pad(ids[:, :-1, -1], ((0, 0), (1, 0)))
    # The barrier keeps XLA from making the masks anew, per head, in every operation that uses one.
    return parts, lax.optimization_barrier(jax.vmap(jax.vmap(segments))(ids, before))


def _chunks(x: Float[Array, "B T H D"]) -> Float[Array, "B N C H D"]:
    """Padded with zeros to whole chunks: a token of zeros, decay 1, leaves the state as it is."""
    B, T, H, D = x.shape
    x = jnp.pad(x.astype(jnp.float32), ((0, 0), (0, -T % _chunk(T)), (0, 0), (0, 0)))
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


def _each(function: Callable, heads: tuple, out):
    """`function` of one chunk and head, over B, N and H; H is axis `heads` of a chunk's arrays."""
    over_heads = jax.vmap(function, in_axes=heads, out_axes=out)

    def run(*args):
        alike = [0 if jax.tree.leaves(x)[0].ndim > 2 else None for x in args]
        return jax.vmap(jax.vmap(over_heads, in_axes=alike), in_axes=alike)(*args)

    return run


def _each_head(function: Callable, heads: tuple, out):
    return jax.vmap(jax.vmap(function, in_axes=heads, out_axes=out))


def _chunks_first(tree):
    return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), tree)


def _per_chunk(at: Segments, like) -> Segments:
    if at.same.ndim > 2:
        return at
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*like.shape[:2], *x.shape)), at)


def _carry(kept, added, state, reverse=False):
    """S' = kept S + added over the chunks: (S of each chunk, the last S')."""

    def step(S, chunk):
        kept, added = chunk
        return kept * S + added, S

    state = jnp.zeros_like(added[:, 0]) if state is None else state
    final, states = lax.scan(step, state, _chunks_first((kept, added)), reverse=reverse)
    return jnp.moveaxis(states, 0, 1), final
