"""How often every cell of every fact is stated: what is drawn when a document states a fact.

    matched    every stated cell has the same expected exposures however many cells its group has
               (times the share of its language), so that no comparison of groups is one of
               frequencies: of statements, not of the answers that state facts too
    natural    every fact that is stated has the same expected number of documents, so that the
               cells of a fact told in few ways are stated more often

A document may say its fact again in another language (data/contact.py), which is an exposure there.
Matched draws make room for it: with `again` the chance that a document in language k is said again
in language l, the documents d of a fact stated in languages S solve

    d_l + again * sum of d_k over k in S other than l = share of l
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

EXPOSURES = ("matched", "natural")


@dataclass(frozen=True)
class Statements:
    """How facts are stated: `exposures` are "matched" over cells or "natural"; where the entity in
    focus has a name, an `opaque` share of the statements calls it by a noun, which denotes it in
    that document alone (`Alias`)."""

    exposures: str = "matched"
    opaque: float = 0.0

    def __post_init__(self) -> None:
        if self.exposures not in EXPOSURES:
            raise ValueError(f"exposures={self.exposures!r} is not known; choose among {EXPOSURES}")
        if not 0 <= self.opaque <= 1:
            raise ValueError(f"opaque={self.opaque} is no share; choose it from 0 to 1")


class Cells(NamedTuple):
    """Stated cells, those of language 0 first, and in a language those of one weight together."""

    fact: np.ndarray  # (C)
    direction: np.ndarray  # (C)
    first: np.ndarray  # (K) where each class of one weight begins
    count: np.ndarray  # (K)
    weight: np.ndarray  # (K)
    language: np.ndarray  # (K)

    def total(self, languages: int) -> np.ndarray:
        """(languages) the cells of each language, by their weights."""
        return np.bincount(self.language, self.weight * self.count, languages)

    def pick(self, u: np.ndarray, language: np.ndarray) -> np.ndarray:
        """The cells (N) that 32-bit numbers `u` draw in languages (N) in which there are some."""
        classes = np.bincount(self.language)
        if classes.max(initial=1) == 1:  # none of none, where nothing is stated
            k = (np.cumsum(classes) - classes)[language]
            within = (u * self.count[k].astype(np.uint64) >> np.uint64(32)).astype(np.int64)
            return self.first[k] + within
        edge = np.cumsum(self.weight * self.count)
        total = self.total(len(classes))
        x = (np.cumsum(total) - total)[language] + u * 2.0**-32 * total[language]
        k = np.searchsorted(edge, x, side="right").clip(max=len(edge) - 1)
        within = (x - edge[k]) / self.weight[k] + self.count[k]
        return self.first[k] + within.astype(np.int64).clip(0, self.count[k] - 1)


def cells(
    stated: np.ndarray, shares: tuple[float, ...], exposures: str = "matched", again: float = 0
) -> Cells:
    """The cells of facts that are `stated` (facts, languages, directions) in languages of these
    `shares`. ValueError if they cannot be matched.

    >>> from data.world import World
    >>> drawn = cells(World(pairs=8, cities=2).stated, (0.5, 0.5), "natural")
    >>> for row in zip(drawn.language, drawn.weight, drawn.count): print(*row)
    0 0.5 2
    0 1.0 7
    0 2.0 5
    1 0.5 2
    1 1.0 5
    1 2.0 2
    """
    weight = _weights(stated, np.array(shares), exposures, again)
    language, fact, direction = np.nonzero(stated.transpose(1, 0, 2))
    weight = weight[fact, language, direction]
    language, fact, direction, weight = (
        column[weight > 0] for column in (language, fact, direction, weight)
    )
    order = np.lexsort((weight, language))
    language, fact, direction, weight = (
        column[order] for column in (language, fact, direction, weight)
    )
    new = np.append(True, (np.diff(weight) != 0) | (np.diff(language) != 0))[: len(order)]
    (first,) = np.nonzero(new)
    count = np.diff(first, append=len(order))
    return Cells(fact, direction, first, count, weight[first], language[first])


def _weights(stated, shares: np.ndarray, exposures: str, again: float) -> np.ndarray:
    """(facts, languages, directions) documents of a cell, over its language's share."""
    if exposures == "natural":
        cells = stated.sum(2) @ shares
        each = np.divide(1, cells, out=np.zeros(len(cells)), where=cells > 0)
        return stated * each[:, None, None]
    weight = stated.astype(float)
    if not again:
        return weight
    patterns = (stated << np.arange(stated.shape[1])[:, None]).sum(1)  # (facts, directions)
    for pattern in np.unique(patterns[patterns > 0]):
        (spoken,) = np.nonzero(pattern >> np.arange(stated.shape[1]) & 1)
        mixed = np.eye(len(spoken)) * (1 - again) + again
        documents = np.linalg.lstsq(mixed, shares[spoken])[0]  # again=1 leaves a choice
        if documents.min() < 0 or not np.allclose(mixed @ documents, shares[spoken]):
            raise ValueError(
                f"exposures='matched', and languages of shares {shares[spoken].tolist()}: what is "
                f"said again in another language, {again:g} of its documents, exceeds the share of "
                f"the smaller; choose a smaller share of parallel documents or 'natural'"
            )
        fact, direction = np.nonzero(patterns == pattern)
        for l, n in zip(spoken, documents / np.maximum(shares[spoken], 1e-300), strict=True):
            weight[fact, l, direction] = n
    return weight
