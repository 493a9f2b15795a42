"""Causal softmax attention: the mixer of a LLaMA-style Transformer, whole or in a sliding window.

The state is the cache of keys and values. A state that `fresh` made has a fixed number of places
and is written in place (one compiled step serves the whole decoding); a state returned by a call
without one holds exactly the tokens seen, and grows by concatenation. With a window either holds
the tokens that a later one may still see, and drops the oldest.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import attend, attention, causal
from model.collect import NOTHING, Tap
from model.layer import Linear, repeated, rotary, split
from model.mixer import divisible, groups, rotated


class Cache(NamedTuple):
    """Keys and values of M places; `live` marks those of the document that is still open.

    `seen` counts the tokens before, None where that is M: then the cache grows.
    """

    k: Float[Array, "B M G K"]
    v: Float[Array, "B M G K"]
    live: Bool[Array, "B M"]
    seen: Int[Array, ""] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Softmax:
    """`heads` heads of width K = D / heads; `kv_heads` (None: heads) have keys and values.

    Positions: `rotary` is the share of K whose pairs rotate (Su et al. 2021; 0 is none), with
    frequencies from 1 down to 1 / `base`. `cope` places give contextual positions (Golovneva et al.
    2024, arXiv 2405.18719): a gate of the query counts which keys lie between; 0 is none.
    With both, positions rotate q and k for their product alone.
    A token sees the `window` last tokens, itself included; None is all.
    """

    heads: int
    kv_heads: int | None = None
    rotary: float = 1.0
    base: float = 10_000.0
    cope: int = 0
    window: int | None = None

    def check(self, D: int) -> None:
        rotated(divisible(D, self.heads), self.rotary)
        groups(self.heads, self.kv_heads)
        if self.cope < 0 or self.base <= 1 or (self.window is not None and self.window < 1):
            raise ValueError(
                f"Softmax(base={self.base:g}, cope={self.cope}, window={self.window}): base > 1, "
                "cope >= 0 (0 is none) and window >= 1 (None is all)"
            )

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "SoftmaxModule":
        return SoftmaxModule(self, D, scale=scale, rngs=rngs)

    def fresh(self, D: int, B: int, room: int, dtype: str) -> Cache:
        places = room if self.window is None else self.window - 1
        empty = jnp.zeros((B, places, self.kv_heads or self.heads, D // self.heads), dtype)
        return Cache(empty, empty, jnp.zeros((B, places), bool), jnp.int32(0))

    def flops(self, D: int, T: int) -> float:
        w = min(T, self.window or T)
        seen = w - w * w / (2 * T)  # the first w tokens see half of them, as is usual to count
        cope = 2 * D * self.cope  # q.e for every place
        return 4.0 * seen * D + cope  # q.k and p.v over the tokens seen on average

    def parameters(self, D: int) -> int:
        K = D // self.heads
        return 2 * D * D + 2 * D * K * (self.kv_heads or self.heads) + self.cope * K


class SoftmaxModule(nnx.Module):
    def __init__(self, mixer: Softmax, D: int, *, scale: float, rngs: nnx.Rngs):
        K = divisible(D, mixer.heads)
        self.heads, self.kv_heads = mixer.heads, mixer.kv_heads or mixer.heads
        self.window, self.base = mixer.window, mixer.base
        self.rotates = rotated(K, mixer.rotary)
        self.qkv = Linear(D, D + 2 * K * self.kv_heads, rngs=rngs)
        self.out = Linear(D, D, rngs=rngs, scale=scale)
        self.places = nnx.Param(jnp.zeros((mixer.cope, K))) if mixer.cope else None

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: Cache | None = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], Cache]:
        B, T, D = x.shape
        GK = D // self.heads * self.kv_heads
        q, k, v = split(self.qkv(x), (D, GK, GK))
        q, k, v = (y.reshape(B, T, -1, D // self.heads) for y in (q, k, v))
        whole = state is None
        if state is None:
            seen = None if self.window is None else jnp.int32(0)
            state = Cache(k[:, :0], v[:, :0], jnp.zeros((B, 0), bool), seen)
        seen = state.k.shape[1] if state.seen is None else state.seen
        positions = (seen + jnp.arange(T))[None]
        if self.rotates:
            q, k = (rotary(y, positions, self.rotates, self.base) for y in (q, k))
        q, k, v = see("q", q), see("k", k), see("v", v)
        state, keys, values, visible = _extend(state, k, v, documents, self.window)
        bias = None if self.places is None else self._bias(q, keys, visible, positions)
        if see.asked("pattern"):
            pattern = see("pattern", _pattern(q, keys, visible, bias))
            o = jnp.einsum("bthm,bmhk->bthk", pattern, repeated(values, self.heads))
        elif whole and self.places is None:
            o = attention(q, k, v, segment_ids=documents, window=self.window)
        else:
            o = attend(q, keys, values, visible, bias)
        return self.out(see("heads", o).reshape(B, T, D)), state

    def _bias(self, q, k, visible, positions) -> Float[Array, "B H T M"]:
        """What contextual positions add to the logits, in float32; their equations 3 to 5.

        Key j is sum_{j <= l <= t} sigmoid(q_t . k_l / sqrt(K)) places away from query t, at most
        the last; between two places the logits of both are interpolated. q is scaled here too, as
        in equation 5; their code leaves q . e as it is, which e, being learned, takes up.
        q meets e as it was before it rotated: else q . e would depend on where in its row a token
        is, and a document on what is packed before it.
        """
        q = q.astype(jnp.float32) * q.shape[-1] ** -0.5
        gates = jax.nn.sigmoid(_products(q, k)) * visible[:, None]
        away = jnp.cumsum(gates[..., ::-1], axis=-1)[..., ::-1]
        away = jnp.minimum(away, self.places.shape[0] - 1)
        whole = jnp.floor(away).astype(jnp.int32)
        q = rotary(q, -positions, self.rotates, self.base) if self.rotates else q
        at = jnp.einsum("bthk,pk->bhtp", q, self.places[...])
        low, high = (
            jnp.take_along_axis(at, jnp.minimum(p, at.shape[-1] - 1), axis=-1)
            for p in (whole, whole + 1)
        )
        return low + (away - whole) * (high - low)


def settled(cache: Cache, empty: Cache) -> Cache:
    """The cache of a call without a state, put into the places of a fresh one."""
    M = cache.k.shape[1]
    start = 0 if cache.seen is None else empty.k.shape[1] - M  # a window drops its oldest
    put = lambda new, places: jax.lax.dynamic_update_slice_in_dim(
        places, new.astype(places.dtype), start, 1
    )
    # NumPy's number is known while a program is made: `left` can count with it.
    seen = np.int32(M) if cache.seen is None else cache.seen
    return Cache(*map(put, cache[:3], empty[:3]), seen)


def left(cache: Cache) -> int:
    """How many more tokens a cache has places for; all its places where `seen` is traced."""
    traced = isinstance(cache.seen, jax.core.Tracer)
    return cache.k.shape[1] - (0 if traced else int(cache.seen))


def _products(q: Float[Array, "B T H K"], k: Float[Array, "B M G K"]) -> Float[Array, "B H T M"]:
    return jnp.einsum("bthk,bmhk->bhtm", q, repeated(k, q.shape[2]).astype(q.dtype))


def _pattern(q, k, visible, bias) -> Float[Array, "B T H M"]:
    """The weights themselves, which nobody needs but who asked for them."""
    logits = _products(q.astype(jnp.float32) * q.shape[-1] ** -0.5, k)
    logits = logits if bias is None else logits + bias
    weights = jax.nn.softmax(jnp.where(visible[:, None], logits, -jnp.inf), axis=-1)
    return jnp.swapaxes(weights, 1, 2).astype(k.dtype)


def _extend(
    state: Cache,
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    documents: Int[Array, "B T"] | None,
    window: int | None,
) -> tuple[Cache, Float[Array, "B L G K"], Float[Array, "B L G K"], Bool[Array, "B T L"]]:
    """The cache after T more tokens; the keys and values there are, and who sees which of them."""
    (B, T), M = k.shape[:2], state.k.shape[1]
    if documents is None:
        documents = jnp.zeros((B, T), jnp.int32)
    before = state.live[:, None, :] & (documents == 0)[:, :, None]
    alive = state.live & (documents[:, -1:] == 0)
    if state.seen is None or window is not None:
        put = lambda old, new, axis: jnp.concatenate([old, new], axis)
    else:
        if left(state) < T:  # the slice would be moved over the last tokens, without a word
            raise ValueError(
                f"{T} more tokens do not fit a cache of {M} places, {left(state)} of them free; "
                "give model.lm.fresh as much room as there will be tokens in all"
            )
        put = lambda old, new, axis: jax.lax.dynamic_update_slice_in_dim(
            old, new.astype(old.dtype), state.seen, axis
        )
    keys, values = put(state.k, k, 1), put(state.v, v, 1)
    live = put(alive, documents == documents[:, -1:], 1)
    visible = put(before, causal(documents), 2)
    kept = slice(0, None)
    if window is not None:
        near = jnp.arange(M + T)[None] > M + jnp.arange(T)[:, None] - window
        visible &= near[None]
        kept = slice(max(0, M + T - window + 1), None)
    seen = None if state.seen is None else state.seen + T
    after = Cache(keys[:, kept], values[:, kept], live[:, kept], seen)
    return after, keys, values, visible
