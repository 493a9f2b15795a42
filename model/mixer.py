"""What a mixer is: the part of a block in which tokens of one document see each other.

A mixer is a frozen dataclass that says what it is (`GLA(heads=4)`) and builds the module. It lives
in one file and imports only `layer`, `collect`, this file and kernels. Those whose recurrence is
`kernels.gla` begin with `Recurrent`.
"""

import dataclasses
import inspect
import typing
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from model.collect import NOTHING, Tap

State = Any  # a pytree of arrays, most with leading axis B; each mixer has its own


@runtime_checkable
class Module(Protocol):
    """The built mixer.

    `documents` numbers the documents of a row from 0 upwards; no token may influence another
    document. `state` is what the tokens before this call left behind: it belongs to document 0.
    The state returned belongs to the last document, and passing it on continues the sequence.
    `see` shows activations and may change them.
    """

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None,
        state: State | None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], State]: ...


@runtime_checkable
class Mixer(Protocol):
    """The description of one. `scale` multiplies the initial output projection."""

    def check(self, D: int) -> None:
        """ValueError if the mixer cannot be built at width D, with the way out."""

    def build(self, D: int, *, scale: float, rngs: nnx.Rngs) -> Module: ...

    def fresh(self, D: int, B: int, room: int, dtype: str) -> State:
        """The state before the first token, with room for `room` tokens where that matters."""

    def flops(self, D: int, T: int) -> float:
        """Forward floating point operations a token at length T, outside the weight matrices."""

    def parameters(self, D: int) -> int:
        """The number of parameters, by formula."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recurrent:
    """What mixers on `kernels.gla` share: `heads` with a state of (K, V) each.

    K = D expand_k / heads and V = D expand_v / heads. `kv_heads` (None: heads) have keys, values
    and gates, each for heads / kv_heads queries. `convolution` is the width of the short
    convolution over q, k and v, 0 leaves it out; `rotary` the share of K whose pairs rotate with
    the position.
    """

    heads: int
    kv_heads: int | None = None
    expand_k: float = 1.0
    expand_v: float = 1.0
    convolution: int = 0
    rotary: float = 0.0

    def check(self, D: int) -> None:
        if min(self.expand_k, self.expand_v) <= 0:
            raise ValueError(
                f"expand_k={self.expand_k:g} and expand_v={self.expand_v:g} must be above 0"
            )
        K, _ = self.widths(D)
        groups(self.heads, self.kv_heads)
        rotated(K, self.rotary)
        if self.convolution < 0:
            raise ValueError(f"convolution={self.convolution} must be at least 0, which is none")

    def widths(self, D: int) -> tuple[int, int]:
        """K and V, the widths of a head."""
        return divisible(D, self.heads, self.expand_k), divisible(D, self.heads, self.expand_v)

    def inputs(self, D: int) -> tuple[int, int, int, int]:
        """Channels of q, k, v and of the output gate u."""
        K, V = self.widths(D)
        G = self.kv_heads or self.heads
        return self.heads * K, G * K, G * V, self.heads * V

    def fresh(self, D: int, B: int, room: int, dtype: str) -> dict[str, Array]:
        state = {"memory": jnp.zeros((B, self.heads, *self.widths(D)))}
        if self.convolution:
            channels = sum(self.inputs(D)[:3])
            state["inputs"] = jnp.zeros((B, self.convolution - 1, channels), dtype)
        if self.rotary:
            state["seen"] = jnp.zeros(B, jnp.int32)  # where the next token is
        return state

    def flops(self, D: int, T: int) -> float:
        K, V = self.widths(D)
        C = min(T, 64)
        return self.heads * (4.0 * K * V + C * (K + V))  # state in and out; half of a C x C square

    def parameters(self, D: int) -> int:
        """Of q, k, v, u, out, norm and convolution; a decay that is learned adds its own."""
        q, k, v, u = self.inputs(D)
        return D * (q + k + v + 2 * u) + self.widths(D)[1] + self.convolution * (q + k + v)


def typed(spec: Any) -> None:
    """ValueError for a field that is not of its annotation's type, or that is NaN.

    GLA(heads=2.0) equals GLA(heads=2), builds in part, and would be another run to the store.
    """
    for name, kind in typing.get_type_hints(type(spec)).items():
        value, kinds = getattr(spec, name), {*typing.get_args(kind)} or {kind}
        plain = kinds <= {int, float, bool, str, type(None)}
        kinds |= {int} if float in kinds else set()
        if plain and (type(value) not in kinds or value != value):
            wanted = "a number" if value != value else inspect.formatannotation(kind)
            raise ValueError(f"{name}={value!r} of {type(spec).__name__} must be {wanted}")


def divisible(D: int, heads: int, width: float = 1.0) -> int:
    """Channels per head of D * width channels; ValueError names the nearest widths that divide."""
    if heads < 1:
        raise ValueError(f"heads={heads} must be at least 1")
    channels = D * width
    if channels % heads == 0 and channels > 0:
        return int(channels) // heads
    fits = [
        d for d in range(1, D + int(min(8 * heads / width, 10_000))) if (d * width) % heads == 0
    ]
    below, above = (d for d in fits if d < D), (d for d in fits if d > D)
    choice = " or ".join(str(d) for d in (max(below, default=0), min(above, default=0)) if d)
    of = "" if width == 1 else f" times {width:g}"
    way = f"D={choice}" if choice else "another share of D"
    raise ValueError(f"D={D}{of} is not divisible by heads={heads}; choose {way}")


def groups(heads: int, kv_heads: int | None) -> None:
    """ValueError unless heads come in groups of one size, each with a key and a value."""
    if kv_heads is not None and (kv_heads < 1 or heads % kv_heads):
        fits = [n for n in range(1, heads + 1) if heads % n == 0]
        raise ValueError(
            f"kv_heads={kv_heads} does not divide heads={heads}; choose {', '.join(map(str, fits))}"
        )


def rotated(K: int, share: float) -> int:
    """Channels of K that rotate; ValueError if they do not pair."""
    channels = share * K
    if not 0 <= share <= 1 or channels % 2:
        raise ValueError(
            f"rotary={share:g} of heads of width {K} rotates {channels:g} channels, which rotary "
            "positions cannot pair; choose a share from 0 to 1 and a width that give an even number"
        )
    return int(channels)
