"""The mathematics of one chunk, as functions of its (C,K) and (C,V) arrays.

With b the cumulative log decay from the chunk's start, S the state that enters and S' the one that
leaves (arXiv 2312.06635, section 4.2):

    q^_i = q_i exp(b_i)                k^_j = k_j exp(b_C - b_j)           gamma = exp(b_C)
    A_ij = sum_k q_ik k_jk exp(b_ik - b_jk)  for j <= i
    O = A V + q^ S                     S' = diag(gamma) S + k^T V

(q carries the scale). Two ways to A. *Fast*, when no half of a chunk decays by more than e^-LIMIT:
one product of q~ = q exp(b - b_mid) and k~ = k exp(b_mid - b). *Exact*, for any gate: split the
chunk in two, then its halves, and so on. A pair j < i is parted at one level, with the middle m of
that level between them, and exp(sum_{m..i} g) and exp(sum_{j+1..m-1} g) are both at most 1: nothing
overflows, and no sum of decays is a difference of larger ones. q^ and gamma are sums from the start
and exact either way.

A gate of one decay a head keeps its axis K of size 1, and its decays are vectors.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

# exp keeps a relative accuracy of 3e-6 up to here. e^(2 LIMIT) is finite, but not times any q k:
# pairs with j > i are left out by a `where`, as 0 times infinity is NaN.
LIMIT = 40.0
FLOOR = -200.0  # exp of it is 0 in float32, as is exp of anything below it


class Segments(NamedTuple):
    """Where a chunk's tokens belong: 1 or 0 for each way in which a decay can meet a restart."""

    same: Bool[Array, "C C"]  # j <= i, both of one segment
    entering: Float[Array, "C 1"]  # of the segment of the state that enters the chunk
    leaving: Float[Array, "C 1"]  # of the segment of the state that leaves it
    through: Float[Array, ""]  # the state that enters also leaves


def segments(ids: Int[Array, "C"], before: Int[Array, ""]) -> Segments:
    """The masks of a chunk whose tokens have `ids`, after a token of segment `before`."""
    same = jnp.tri(ids.shape[0], dtype=bool) & (ids[:, None] == ids[None, :])
    masks = (ids == before)[:, None], (ids == ids[-1])[:, None], before == ids[-1]
    return Segments(same, *(mask.astype(jnp.float32) for mask in masks))


def one_segment(C: int) -> Segments:
    return Segments(jnp.tri(C, dtype=bool), jnp.ones((C, 1)), jnp.ones((C, 1)), jnp.ones(()))


# ---- fast: b is at most LIMIT away from b_mid


def up(b: Float[Array, "C #K"]) -> Float[Array, "C #K"]:
    """exp(b - b_mid): q~ = q up."""
    return jnp.exp(b - _middle(b))


def down(b: Float[Array, "C #K"]) -> Float[Array, "C #K"]:
    """exp(b_mid - b): k~ = k down."""
    return jnp.exp(_middle(b) - b)


def _middle(b):
    return b[b.shape[0] // 2 - 1][None]


def outputs(q, k, v, b, at: Segments) -> Float[Array, "C V"]:
    """A V, intra-chunk: what a chunk's tokens read of each other."""
    A = jnp.where(at.same, _dot(q * up(b), k * down(b), (1, 1)), 0)
    return _dot(A, v, (1, 0))


def outputs_of_state(q, b, S: Float[Array, "K V"], at: Segments) -> Float[Array, "C V"]:
    """q^ S, inter-chunk: what a chunk's tokens read of the state that enters it."""
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
    A, P = (jnp.where(at.same, _dot(*pair, (1, 1)), 0) for pair in ((q_, k_), (do, v)))
    return _dot(P, k_, (1, 0)) * up(b), _dot(q_, P, (0, 0)).T * down(b), _dot(do, A, (0, 0)).T


def gradients_of_state(q, b, S, do, at: Segments):
    """(dq, dS) through `outputs_of_state`."""
    decay = at.entering * jnp.exp(b)
    return decay * _dot(do, S, (1, 1)), _dot(q * decay, do, (0, 0))


def gradients_of_update(k, v, b, dS, at: Segments):
    """(dk, dv) through `update`, dS being the gradient of the state that leaves."""
    decay = at.leaving * jnp.exp(b[-1:] - b)
    return decay * _dot(v, dS, (1, 1)), _dot(k * decay, dS, (1, 0))


# ---- exact, for any gate


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
    at: Segments,
) -> tuple[Float[Array, "C V"], Float[Array, "K V"]]:
    """(A V, k^T V), as `outputs` and `update` give them, for any gate of at least FLOOR."""
    spans, later, pairs = (jnp.asarray(x) for x in _levels(q.shape[0]))
    decay = jnp.exp(jnp.einsum("lij,jk->lik", spans, g, precision="highest"))
    later = later[:, :, None]
    up, down = jnp.where(later, q[None] * decay, 0), jnp.where(later, 0, k[None] * decay)
    A = jnp.einsum("lik,ljk->lij", up, down, precision="highest")
    A = jnp.where(pairs, A, 0).sum(0) + jnp.diag(jnp.sum(q * k, 1))
    to_end = 1 - jnp.tri(q.shape[0], dtype=g.dtype)
    k_end = at.leaving * k * jnp.exp(_dot(to_end, g, (1, 0)))
    return _dot(jnp.where(at.same, A, 0), v, (1, 0)), _dot(k_end, v, (0, 0))


def exact_gradients(q, k, v, g, do, S, dS, at: Segments):
    """(dq, dk, dv, dg) through (O, S'), by autodiff: every term is a product of decays, and the
    gradient of a gate of -40 has all its digits. S and dS are None where there is no state."""

    def run(q, k, v, g):
        o, added = exact(q, k, v, g, at)
        if S is None:
            return o
        b = _dot(jnp.tri(q.shape[0], dtype=g.dtype), g, (1, 0))
        return o + outputs_of_state(q, b, S, at), gamma(b, at) * S + added

    return jax.vjp(run, q, k, v, g)[1](do if S is None else (do, dS))


def _dot(x: Array, y: Array, contract: tuple[int, int]) -> Array:
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(x, y, axes, precision="highest", preferred_element_type=jnp.float32)
