"""Instructions whose answers are those of other instructions: what tuning teaches beside the tasks.

A model tuned on them can learn that an answer comes, what it is made of and that it ends, and
nothing about which one is right: the format alone. (Min et al. 2022, 2202.12837, do so with labels
in a prompt.)
"""

from dataclasses import dataclass

import numpy as np

from data.corpus import Corpus
from data.draw import hashed
from data.stream import Based

BLOCK = 32  # rows that exchange answers


@dataclass(frozen=True)
class Shuffled(Based):
    """The rows of `base`, a corpus with loss="response", in which every answer changes places with
    another of as many tokens in its BLOCK of rows; one that is alone of its length stays. Where it
    is another one now, it states no fact any more.

    >>> from data.language import Pair
    >>> from data.mixture import Mixture
    >>> from data.world import World
    >>> chat = Corpus(World(), Pair(), T=24, loss="response", ratio=0.0,
    ...               mixture=Mixture(0, 0, 0, chat=1, dictionary=0))
    >>> for said in (chat, Shuffled(chat)): print(said.tokenizer.decode(said.row(1)["tokens"])[:82])
    <doc> <u> bujo meni nore gina tiho <a> meni nore gina tiho <doc> <u> nude nifo men
    <doc> <u> bujo meni nore gina tiho <a> fuku fibo heto taba <doc> <u> nude nifo men
    """

    base: Corpus

    def __post_init__(self) -> None:
        loss = getattr(self.base, "loss", None)
        if loss != "response":
            raise ValueError(
                f"{type(self.base).__name__} with loss={loss!r} does not say which tokens are "
                "answers; choose a Corpus with loss='response'"
            )

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of the base, with other tokens and fewer facts."""
        first = start // BLOCK * BLOCK
        rows = self.base.rows(first, -(-stop // BLOCK) * BLOCK)
        row, at = np.nonzero((rows["weights"] > 0) & (rows["tokens"] > 0))
        said, M = rows["tokens"][row, at], rows["language"].shape[1]
        # Answers in the order of their documents, each with its number in all of the corpus.
        document = (first + row) * M + rows["segments"][row, at] - 1
        known, begin, length = np.unique(document, return_index=True, return_counts=True)
        source = _next(known // M // BLOCK, length, hashed(self.base.seed, known))
        own = np.repeat(np.arange(len(known)), length)
        tokens = rows["tokens"].copy()
        tokens[row, at] = said[begin[source[own]] + np.arange(len(own)) - begin[own]]
        moved = np.zeros(rows["language"].shape, bool)
        row, at = np.nonzero(tokens != rows["tokens"])
        moved[row, rows["segments"][row, at] - 1] = True
        facts = {k: np.where(moved, -1, rows[k]) for k in ("fact", "direction") if k in rows}
        part = slice(start - first, stop - first)
        return {name: column[part] for name, column in (rows | {"tokens": tokens} | facts).items()}


def _next(block: np.ndarray, length: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(N) for every answer the next by rank of its block and length; after the last the first.

    >>> _next(np.array([0, 0, 0, 1, 1]), np.array([2, 2, 3, 2, 2]), np.array([9, 8, 7, 6, 5]))
    array([1, 0, 2, 4, 3])
    """
    order = np.lexsort((rank, length, block))
    opens = np.diff(block[order], prepend=-1) != 0
    opens |= np.diff(length[order], prepend=-1) != 0
    place = np.arange(len(order))
    first = np.maximum.accumulate(np.where(opens, place, 0))
    source = np.empty_like(order)
    source[order] = order[np.where(np.append(opens[1:], True), first, place + 1)]
    return source
