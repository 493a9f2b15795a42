"""Denoising for models that read from left to right: each document is read twice.

Masked language modelling at a uniform rate (MLM-U, Kitouni et al. 2024, 2406.05183) asks for every
token from every set of others, and so for "B is A" as often as for "A is B"; BICO (Lv et al. 2023,
2311.07468) lets what is given be seen from both sides and fills blanks. Both change what a position
may look at. A recurrence has no such mask to change: its state at a token is made of what came
before, in whatever order the kernels go through it. What it can do is read the document with its
blanks, and then the document itself:

    <doc> Anna ? Bob <doc> Anna loves Bob <doc>        a loss on what was blank, here on "loves",
                                                       and on the <doc> that says it ends

In the second reading every blank is predicted from what stands to the left of it and from all that
was given, on both sides: p(blank | given, before). So far as "bidirectional" means this, every
mixer can be it. What no state gives is a *representation* of the given tokens that depends on later
ones; in the second reading they have it, in the first not. Attention is treated in the same way, so
that mixers are compared on one objective; there is no bidirectional attention here.

The cost: rows of twice the tokens. At matched compute halve `batch`, at matched data leave it.
"""

import dataclasses

import numpy as np

from train.objective import NextToken, Rows, begins


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Denoising(NextToken):
    """`mask` is the token that stands for a blank: a word of the vocabulary that says nothing else.

    The rows are those of the data; what is blank in step t is drawn from (seed, t).
    """

    mask: int
    seed: int = 0

    def __post_init__(self):
        if self.mask < 1 or self.seed < 0:
            raise ValueError(
                f"mask={self.mask} and seed={self.seed}: the mask is a token from 1 up (0 begins "
                "documents) and the seed 0 or more"
            )

    def rows(self, batch: Rows, t: int) -> Rows:
        segments = np.asarray(batch["segments"])
        start, length = _documents(segments)
        draw = np.random.Generator(np.random.Philox(key=[self.seed, t]))
        blank = self._blank(draw, start, length) & (np.arange(segments.shape[1])[None] > start)
        blank &= (segments != 0) & (np.asarray(batch["tokens"]) != self.mask)
        return _twice(batch, blank, self.mask, start, length)

    def _blank(
        self, draw: np.random.Generator, start: np.ndarray, length: np.ndarray
    ) -> np.ndarray:
        raise NotImplementedError("a kind of denoising says what is blank")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLMU(_Denoising):
    """Every token of a document is blank with one chance, uniform from 0 to 1 for each document
    (MLM-U, Kitouni et al. 2024, section 3)."""

    def _blank(self, draw, start, length):
        rate = np.take_along_axis(draw.random(start.shape), start, 1)
        return draw.random(start.shape) < rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrefixLM(_Denoising):
    """What follows a place of the document, uniform over it, is blank: the prefix is read twice.

    A prefix language model (Raffel et al. 2020, 1910.10683, section 3.2.1), and BICO's two-sided
    look at what is given, as far as a causal mixer has it (see above).
    """

    def _blank(self, draw, start, length):
        share = np.take_along_axis(draw.random(start.shape), start, 1)
        cut = 1 + np.floor(share * (length - 1))
        return np.arange(start.shape[1])[None] - start >= cut


def _documents(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,T) where the document of each token starts, and how long it is."""
    T = segments.shape[1]
    place = np.broadcast_to(np.arange(T), segments.shape)
    first = begins(segments)
    start = np.maximum.accumulate(np.where(first, place, 0), axis=1)
    next_one = np.where(np.roll(first, -1, axis=1), place + 1, T)
    next_one[:, -1] = T
    end = np.minimum.accumulate(next_one[:, ::-1], axis=1)[:, ::-1]
    return start, end - start


def _twice(
    batch: Rows, blank: np.ndarray, mask: int, start: np.ndarray, length: np.ndarray
) -> Rows:
    """Rows of 2T: each document with its blanks and then as it is, weights on what was blank, and
    where a document or the padding begins: there the document before ends, and was read whole."""
    B, T = start.shape
    tokens, weights, segments = (np.asarray(batch[n]) for n in ("tokens", "weights", "segments"))
    row = np.arange(B)[:, None]
    place = np.arange(T)[None]
    first = start + place  # a document that starts at s starts at 2s in the new row
    out = {name: np.zeros((B, 2 * T), np.asarray(batch[name]).dtype) for name in batch}
    for to, said, weight in (
        (first, np.where(blank, mask, tokens), np.where(place == start, weights, 0)),
        (first + length, tokens, weights * blank),
    ):
        out["tokens"][row, to] = said
        out["weights"][row, to] = weight
        out["segments"][row, to] = segments
    return out
