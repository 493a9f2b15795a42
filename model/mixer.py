"""What a mixer is: the part of a block in which tokens of one document see each other.

A mixer is a frozen dataclass that says what it is (`GLA(heads=4)`) and builds the module. It lives
in one file and imports only `layer`, this file and kernels.
"""

from typing import Any, Protocol, runtime_checkable

from flax import nnx
from jaxtyping import Array, Float, Int

State = Any  # a pytree of arrays with leading axis B; each mixer has its own


@runtime_checkable
class Module(Protocol):
    """The built mixer.

    `documents` numbers the documents of a row from 0 upwards; no token may influence another
    document. `state` is what the tokens before this call left behind: it belongs to document 0.
    The state returned belongs to the last document, and passing it on continues the sequence.
    """

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None,
        state: State | None,
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


def divisible(D: int, heads: int, width: float = 1.0) -> int:
    """Channels per head of D * width channels; ValueError names the nearest widths that divide."""
    if heads < 1:
        raise ValueError(f"heads={heads} must be at least 1")
    channels = D * width
    if channels % heads == 0 and channels > 0:
        return int(channels) // heads
    fits = [d for d in range(1, D + 8 * heads) if (d * width) % heads == 0]
    near = [max((d for d in fits if d < D), default=0), min(d for d in fits if d > D)]
    choice = " or ".join(str(d) for d in near if d)
    of = "" if width == 1 else f" times {width:g}"
    raise ValueError(f"D={D}{of} is not divisible by heads={heads}; choose D={choice}")
