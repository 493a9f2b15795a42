"""How often each word of a class is used: the law of Zipf (1949), and who shares its ranks.

The r-th of n words is used in proportion to r**-exponent; 0 uses all alike. Languages that speak of
one world share the ranks of its words; with `permuted` ranks they share the law alone, and what is
frequent in one is rare in another.
"""

from dataclasses import dataclass

import numpy as np

from data.key import key

_WHOLE = 2**30  # weights are integers that sum to about this, so that draws are exact


@dataclass(frozen=True)
class Zipf:
    """Exponents of the `nouns` of the six list tasks (LISTS), dictionaries and plain sentences, and
    of the other `words` of plain sentences; tasks whose answers are computed use all nouns alike.
    In the base the first word of a class is the most frequent. Of facts, and so of names,
    `Mixture.statements.exposures` says how often each is stated."""

    nouns: float = 0.0
    words: float = 0.0
    permuted: bool = False

    def __post_init__(self) -> None:
        for name in ("nouns", "words"):
            if not 0 <= getattr(self, name) <= 4:
                raise ValueError(
                    f"{name}={getattr(self, name)} is no exponent of a language; choose it from 0 "
                    "to 4 (0: all alike, 1: as in texts)"
                )

    def ranked(self, language: int, n: int) -> np.ndarray:
        """(n) the words of a language, the most frequent first."""
        if not self.permuted or not language:
            return np.arange(n)
        stream = np.random.Philox(key=key("lexicon", language), counter=1 << 192)
        return np.random.Generator(stream).permutation(n)


def weights(n: int, exponent: float) -> np.ndarray:
    """(n) integer weights by rank; none is so small that it is never drawn.

    >>> weights(4, 1.0).tolist()
    [515396076, 257698038, 171798692, 128849019]
    """
    weight = np.arange(1, n + 1) ** -float(exponent)
    return np.maximum(np.rint(weight / weight.sum() * _WHOLE), 1).astype(np.uint64)


def drawn(u: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What uniform 32-bit numbers `u`, of any shape, draw by integer weights (n)."""
    ends = np.cumsum(weight)
    return np.searchsorted(ends, u.astype(np.uint64) * ends[-1] >> np.uint64(32), side="right")


def distinct(u: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Different numbers (K, N) from `u` (K, N): each is drawn by the weights of those that are
    left, which is to step over the weights of all smaller ones that are taken."""
    ends = np.cumsum(weight)
    starts, found = ends - weight, np.zeros((0, u.shape[1]), np.int64)
    for row in u.astype(np.uint64):
        at = row * (ends[-1] - weight[found].sum(0, dtype=np.uint64)) >> np.uint64(32)
        for taken in np.sort(found, 0):
            at = at + np.where(at >= starts[taken], weight[taken], np.uint64(0))
        found = np.vstack([found, np.searchsorted(ends, at, side="right")])
    return found
