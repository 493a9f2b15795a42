"""Three rules that make a base model follow instructions, without a gradient.

Hewitt et al. 2024 (2409.14254, section 5) multiply a base model's distribution by one that no data
made: the end grows likelier with every token said, what was said grows unlikelier, and some tokens
are moved by a constant. Here the rules are added to the logits when decoding
(`model.sample.greedy(..., adjust=Rules(...))`); parameters stay as they are.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """`rise` a token on `eos`, `repetition` on every token of the response so far, and `offsets`:
    pairs of a token and what is added to its logit.

    The paper's own: repetition -1.5, offsets of -6 to +1 on some fifteen words.
    """

    eos: int = 0
    rise: float = 0.1
    repetition: float = -1.5
    offsets: tuple[tuple[int, float], ...] = ()

    def __call__(
        self, logits: Float[Array, "B W"], said: Bool[Array, "B W"], n: Int[Array, ""]
    ) -> Float[Array, "B W"]:
        """Logits after `n` tokens of the response, `said` being those in it."""
        W, fixed = logits.shape[1], jnp.zeros(logits.shape[1])
        for token, offset in ((self.eos, self.rise * n), *self.offsets):
            if not 0 <= token < W:
                raise ValueError(
                    f"eos or offsets name token {token}, which is not one of the W={W} words"
                )
            fixed = fixed.at[token].add(offset)
        return logits + fixed[None] + jnp.where(said, self.repetition, 0.0)
