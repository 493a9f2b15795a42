"""Causal softmax attention with rotary positions: the mixer of a LLaMA-style Transformer.

The state is the cache of keys and values. A state that `fresh` made has a fixed number of places
and is written in place (one compiled step serves the whole decoding); a state returned by a call
without one holds exactly the tokens seen, and grows by concatenation.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from kernels.attention import attend, attention, causal
from model.layer import Linear, rotary
from model.mixer import divisible


class Cache(NamedTuple):
    """Keys and values of M places; `live` marks those of the document that is still open.

    `length` counts the places written, None when all are.
    """

    k: Float[Array, "B M H K"]
    v: Float[Array, "B M H K"]
    live: Bool[Array, "B M"]
    length: Int[Array, ""] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Softmax:
    """`heads` heads of width K = D / heads."""

    heads: int

    def check(self, D: int) -> None:
        width = divisible(D, self.heads)
        if width % 2:
            raise ValueError(
                f"D={D} over heads={self.heads} gives heads of width {width}, which rotary "
                f"positions cannot pair; choose D={D + self.heads} or another number of heads"
            )

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> "SoftmaxModule":
        return SoftmaxModule(self, D, scale=scale, rngs=rngs)

    def fresh(self, D: int, B: int, room: int, dtype: str) -> Cache:
        empty = jnp.zeros((B, room, self.heads, D // self.heads), dtype)
        return Cache(empty, empty, jnp.zeros((B, room), bool), jnp.int32(0))

    def flops(self, D: int, T: int) -> float:
        return 2.0 * T * D  # q.k and p.v over T/2 earlier tokens on average


class SoftmaxModule(nnx.Module):
    def __init__(self, mixer: Softmax, D: int, *, scale: float, rngs: nnx.Rngs):
        self.heads = mixer.heads
        self.qkv = Linear(D, 3 * D, rngs=rngs)
        self.out = Linear(D, D, rngs=rngs, scale=scale)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: Cache | None = None,
    ) -> tuple[Float[Array, "B T D"], Cache]:
        B, T, D = x.shape
        qkv = (y.reshape(B, T, self.heads, -1) for y in jnp.split(self.qkv(x), 3, axis=-1))
        q, k, v = qkv
        positions = _written(state) + jnp.arange(T)
        q, k = rotary(q, positions), rotary(k, positions)
        if state is None:
            o = attention(q, k, v, segment_ids=documents)
            state = Cache(k, v, _open(documents, B, T), None)
        else:
            state, visible = _extend(state, k, v, documents)
            o = attend(q, state.k, state.v, visible)
        return self.out(o.reshape(B, T, D)), state


def _written(state: Cache | None) -> int | Int[Array, ""]:
    if state is None:
        return 0
    return state.k.shape[1] if state.length is None else state.length


def _open(documents: Int[Array, "B T"] | None, B: int, T: int) -> Bool[Array, "B T"]:
    if documents is None:
        return jnp.ones((B, T), bool)
    return documents == documents[:, -1:]


def _extend(
    state: Cache,
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H K"],
    documents: Int[Array, "B T"] | None,
) -> tuple[Cache, Bool[Array, "B T L"]]:
    """The cache after T more tokens, and which of its L places each of them sees."""
    B, T = k.shape[:2]
    if documents is None:
        documents = jnp.zeros((B, T), jnp.int32)
    before = state.live[:, None, :] & (documents == 0)[:, :, None]
    alive = state.live & (documents[:, -1:] == 0)
    now = _open(documents, B, T)
    if state.length is None:
        put = lambda old, new, axis: jnp.concatenate([old, new], axis)
        length = None
    else:
        put = lambda old, new, axis: jax.lax.dynamic_update_slice_in_dim(
            old, new.astype(old.dtype), state.length, axis
        )
        length = state.length + T
    grown = Cache(put(state.k, k, 1), put(state.v, v, 1), put(alive, now, 1), length)
    return grown, put(before, causal(documents), 2)
