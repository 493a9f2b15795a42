"""Chunkwise form: the mathematics of one chunk as functions of (C,K) and (C,V) arrays, and XLA's use of it.

Within a chunk, with b the cumulative log decay from its start (arXiv 2312.06635, section 4):

    q^_i = q_i exp(b_i)                k^_j = k_j exp(b_C - b_j)           gamma = exp(b_C)
    A_ij = sum_k q_ik k_jk exp(b_ik - b_jk)  for j <= i
    O = scale (A V + q^ S)             S' = diag(gamma) S + k^T V

Two ways to A. *Fast*, when no half of a chunk decays by more than e^-LIMIT: one product of
q~ = q exp(b - b_mid) and k~ = k exp(b_mid - b). *Exact*, for any gate down to -inf: split the chunk in two,
then its halves, and so on. A pair j < i is parted at one level, with the middle m of that level between
them, and exp(sum_{m..i} g) and exp(sum_{j+1..m-1} g) are both at most 1: nothing overflows, and no sum of
decays is a difference of larger ones.
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
    """Where the tokens of a chunk belong: one mask for each way in which a decay can cross a restart."""

    same: Bool[Array, "C C"]  # j <= i, both of one segment
    entering: Bool[Array, "C"]  # of the segment of the state that enters the chunk
    leaving: Bool[Array, "C"]  # of the segment of the state that leaves it
    through: Bool[Array, ""]  # the state that enters also leaves


class Factors(NamedTuple):
    """q~, k~ (C,K) around the chunk's middle, with q^ = q~ start and k^ = k~ end; start, end, gamma (1,K)."""

    up: Float[Array, "C K"]
    down: Float[Array, "C K"]
    start: Float[Array, "1 K"]
    end: Float[Array, "1 K"]
    gamma: Float[Array, "1 K"]


def segments(ids: Int[Array, "C"] | None, before: Int[Array, ""] | None, C: int) -> Segments:
    """The masks of a chunk whose tokens have `ids`, after a token of segment `before`; None: one segment."""
    causal = jnp.tri(C, dtype=bool)
    if ids is None:
        everywhere = jnp.ones(C, bool)
        return Segments(causal, everywhere, everywhere, jnp.array(True))
    return Segments(
        causal & (ids[:, None] == ids[None, :]), ids == before, ids == ids[-1], before == ids[-1]
    )


def cumulative(g: Float[Array, "C K"]) -> Float[Array, "C K"]:
    """b, the inclusive cumulative sum over the chunk, as a product with a triangle of ones."""
    return jnp.matmul(jnp.tri(g.shape[0], dtype=g.dtype), g, precision="highest")


def factors(b: Float[Array, "C K"]) -> Factors:
    middle, last = b[b.shape[0] // 2 - 1][None], b[-1:]
    return Factors(
        jnp.exp(b - middle),
        jnp.exp(middle - b),
        jnp.exp(middle),
        jnp.exp(last - middle),
        jnp.exp(last),
    )


def intra(q, k, f: Factors, at: Segments) -> Float[Array, "C C"]:
    """A of the fast way, without scale."""
    return jnp.where(at.same, _dot(q * f.up, k * f.down, (1, 1)), 0)


def local(
    q: Float[Array, "C K"],
    k: Float[Array, "C K"],
    v: Float[Array, "C V"],
    b: Float[Array, "C #K"],
    at: Segments,
) -> tuple[Float[Array, "C V"], Float[Array, "K V"]]:
    """What a chunk does without knowing its state: (A V, k^T V)."""
    f = factors(b)
    return _dot(intra(q, k, f, at), v, (1, 0)), _dot(
        _masked(k * f.down * f.end, at.leaving), v, (0, 0)
    )


def outgoing(q, S, b, at: Segments) -> Float[Array, "C V"]:
    """q^ S: what the state that enters a chunk adds to its outputs."""
    return _dot(_masked(q * jnp.exp(b), at.entering), S, (1, 0))


def through(b, at: Segments) -> Float[Array, "#K"]:
    """gamma, 0 where the chunk restarts."""
    return jnp.where(at.through, jnp.exp(b[-1]), 0)


def local_gradient(q, do, b, at: Segments) -> Float[Array, "K V"]:
    """q^T dO: what a chunk's outputs add to the gradient of the state that enters it."""
    return _dot(_masked(q * jnp.exp(b), at.entering), do, (0, 0))


def gradients(q, k, v, b, S, leaving, do, dS, at: Segments):
    """(dq, dk, dv, dg) of one chunk, fast way, from its entering and leaving states S, S' and dL/dS' = dS.

    With P = dO V^T masked as A is: dq and dk are products with P and with the states. The decay's gradient
    at t collects every pair that the decay of t lies between; by telescoping it is the sum, from t to the
    chunk's end, of q . dq - k . dk, plus the pairs that reach beyond the end, sum_v S' . dS.
    """
    f = factors(b)
    up, down = q * f.up, k * f.down
    into, out = _masked(up * f.start, at.entering), _masked(down * f.end, at.leaving)
    A = jnp.where(at.same, _dot(up, down, (1, 1)), 0)
    P = jnp.where(at.same, _dot(do, v, (1, 1)), 0)
    dv = _dot(A, do, (0, 0)) + _dot(out, dS, (1, 0))
    dup, ddown = _dot(P, down, (1, 0)), _dot(P, up, (0, 0))
    dinto, dout = _dot(do, S, (1, 1)), _dot(v, dS, (1, 1))
    dq = dup * f.up + _masked(dinto * f.start * f.up, at.entering)
    dk = ddown * f.down + _masked(dout * f.end * f.down, at.leaving)
    crossing = up * dup - down * ddown + into * dinto - out * dout
    beyond = jnp.sum(leaving * dS, axis=1)[None]
    if b.shape[1] == 1:  # one decay a head
        crossing, beyond = crossing.sum(1, keepdims=True), beyond.sum(1, keepdims=True)
    dg = cumulative(crossing[::-1])[::-1] + beyond
    return dq, dk, dv, dg


# ---- one chunk, exact


@functools.cache
def _levels(C: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For log2(C) levels of halving: spans (L,C,C), later (L,C), pairs (L,C,C).

    spans[l] @ g sums the decays between each token and the middle of its block; `later` are the tokens
    after that middle; pairs are (later, earlier) tokens of one block.
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
    """(O, S') of one chunk for any gate; its gradient is autodiff, every term of it a product of decays."""
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
    into = _masked(q * jnp.exp(_dot(since_start, g, (1, 0))), at.entering)
    out = _masked(k * jnp.exp(_dot(to_end, g, (1, 0))), at.leaving)
    o = _dot(jnp.where(at.same, A, 0), v, (1, 0)) + _dot(into, S, (1, 0))
    gamma = jnp.where(at.through, jnp.exp(g.sum(0)), 0)
    return o, gamma[:, None] * S + _dot(out, v, (0, 0))


def _dot(x: Array, y: Array, contract: tuple[int, int]) -> Array:
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(x, y, axes, precision="highest", preferred_element_type=jnp.float32)


def _masked(x: Float[Array, "C K"], keep: Bool[Array, "C"]) -> Float[Array, "C K"]:
    return jnp.where(keep[:, None], x, 0)


# ---- the implementation in XLA


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    if jnp.float64 in (q.dtype, g.dtype):
        return "float64 is the reference's; cast to float32"
    return None


def forward(q, k, v, g, scale, initial_state, segment_ids):
    """((o, final_state), residual): the contract of an implementation, see `kernels.gla`."""
    C = _chunk(q.shape[1])
    parts, at = _split(q, k, v, g, segment_ids, C)

    def fast_way(q, k, v, g):
        b = _each(cumulative, g)
        o, update = _each(local, q, k, v, b, at)
        states, final = _scan(_each(through, b, at), update, initial_state)
        return o + _each(outgoing, q, states, b, at), states, final

    def exact_way(q, k, v, g):
        def step(S, chunk):
            o, after = _each_head(exact, *chunk[:4], S, chunk[4])
            return after, (o, S)

        final, (o, states) = lax.scan(step, initial_state, _chunks_first((q, k, v, g, at)))
        return jnp.moveaxis(o, 0, 1), jnp.moveaxis(states, 0, 1), final

    o, states, final = lax.cond(_is_fast(parts[3]), fast_way, exact_way, *parts)
    o = _join(scale * o, q.shape[1]).astype(v.dtype)
    return (o, final), (q, k, v, g, scale, states, final, segment_ids)


def backward(residual, do, dfinal):
    """(dq, dk, dv, dg, dinitial_state)."""
    q, k, v, g, scale, states, final, segment_ids = residual
    T, C = q.shape[1], _chunk(q.shape[1])
    parts, at = _split(q, k, v, g, segment_ids, C)
    do = scale * _chunks(do.astype(jnp.float32), C)

    def fast_way(q, k, v, g, do):
        b = _each(cumulative, g)
        update = _each(local_gradient, q, do, b, at)
        dstates, dinitial = _scan(_each(through, b, at), update, dfinal, reverse=True)
        leaving = jnp.concatenate([states[:, 1:], final[:, None]], 1)
        return *_each(gradients, q, k, v, b, states, leaving, do, dstates, at), dinitial

    def exact_way(q, k, v, g, do):
        def step(dS, chunk):
            *arrays, S, at, do = chunk
            run = lambda *arrays: _each_head(exact, *arrays, at)
            *grads, dS = jax.vjp(run, *arrays, S)[1]((do, dS))
            return dS, tuple(grads)

        chunks = _chunks_first((q, k, v, g, states, at, do))
        dinitial, grads = lax.scan(step, dfinal, chunks, reverse=True)
        return *(jnp.moveaxis(x, 0, 1) for x in grads), dinitial

    *grads, dinitial = lax.cond(_is_fast(parts[3]), fast_way, exact_way, *parts, do)
    dq, dk, dv, dg = (_join(x, T) for x in grads)
    shared = tuple(axis for axis in range(4) if g.shape[axis] == 1 != dg.shape[axis])
    dg = dg.sum(shared, keepdims=True)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), dg.astype(g.dtype), dinitial


def _chunk(T: int) -> int:
    return 64 if T > 32 else max(16, 1 << (T - 1).bit_length())


def _chunks(x: Float[Array, "B T H D"], C: int) -> Float[Array, "B N H C D"]:
    """Padded with zeros to whole chunks: a token of zeros with decay 1 leaves the state as it is."""
    B, T, H, D = x.shape
    x = jnp.pad(x, ((0, 0), (0, -T % C), (0, 0), (0, 0)))
    return x.reshape(B, -1, C, H, D).swapaxes(2, 3)


def _join(x: Float[Array, "B N H C D"], T: int) -> Float[Array, "B T H D"]:
    B, N, H, C, D = x.shape
    return x.swapaxes(2, 3).reshape(B, N * C, H, D)[:, :T]


def _split(q, k, v, g, ids, C):
    """((q, k, v, g) in chunks and in float32, Segments of each chunk)."""
    B, T, H, K = q.shape
    g = jnp.broadcast_to(g, (B, T, H, g.shape[3]))
    parts = tuple(_chunks(x.astype(jnp.float32), C) for x in (q, k, v, g))
    if ids is None:
        at = jax.tree.map(lambda x: x[None, None, None], segments(None, None, C))
    else:
        ids = jnp.pad(ids, ((0, 0), (0, -T % C)), mode="edge").reshape(B, -1, C)
        before = jnp.pad(ids[:, :-1, -1], ((0, 0), (1, 0)))
        at = jax.vmap(jax.vmap(lambda i, b: segments(i, b, C)))(ids, before)
        at = jax.tree.map(lambda x: x[:, :, None], at)
    at = jax.tree.map(lambda x: jnp.broadcast_to(x, (*parts[0].shape[:3], *x.shape[3:])), at)
    return parts, at


def _is_fast(g: Float[Array, "B N H C K"]) -> Bool[Array, ""]:
    halves = g.reshape(*g.shape[:3], 2, -1, g.shape[4]).sum(4)
    return jnp.min(halves) > -LIMIT


def _each(function: Callable, *args):
    """`function` of one chunk for arrays with leading axes (B,N,H)."""
    return jax.vmap(jax.vmap(jax.vmap(function)))(*args)


def _each_head(function: Callable, *args):
    return jax.vmap(jax.vmap(function))(*args)


def _chunks_first(tree):
    return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), tree)


def _scan(gamma, update, state, reverse=False):
    """S' = gamma S + update over the chunks: the state at each chunk's near side, and the last one."""

    def step(S, chunk):
        gamma, update = chunk
        return gamma[..., None] * S + update, S

    final, states = lax.scan(step, state, _chunks_first((gamma, update)), reverse=reverse)
    return jnp.moveaxis(states, 0, 1), final
