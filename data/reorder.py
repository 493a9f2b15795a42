"""Transforms that tell a document in another order (for data/transform.py).

Each orders the tokens of a document by a rank; tokens of the same rank keep their order. <doc> is
the end of the document before it and stays where it is.

    ReverseTokens      "y is x of parent"; a name of several tokens is turned round too
    ReverseWords       the tokens of a word keep their order
    ReverseEntities    the words of an entity keep their order too
    ReverseSegments    segments of 1 to `longest` tokens are reversed, their tokens are not
    Permute            semantic units (entities, and the phrases between them) in another order
    Shuffle            every token anywhere

The first four are those of Golovneva et al. (2024), Permute is the semantic-aware permutation
training of Guo et al. (2024), Shuffle the NonDeterministicShuffle of Kallini et al. (2024): drawn
anew for every document, so that nothing can undo it.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.transform import Transformed
    >>> from data.world import World
    >>> corpus = Corpus(World(), Pair(), T=24)
    >>> for transform in (ReverseWords(), ReverseSegments(longest=3), Permute(), Shuffle()):
    ...     said = Transformed(corpus, transform, share=1)
    ...     print(said.tokenizer.decode(said.row(1)["tokens"]).split(" <doc>")[0])
    <doc> Paru lago Holu buso karu
    <doc> lago Paru [REV] Holu [REV] buso [REV] karu
    <doc> Paru lago Holu karu buso
    <doc> Holu karu buso lago Paru
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data.document import Documents
from data.draw import below, chance
from data.stream import Documented


@dataclass(frozen=True)
class _Reorder:
    """A transform that says every token once. `rank` (n) is all that a kind has to say."""

    offers: ClassVar[tuple[str, ...]] = ("spans",)
    words: ClassVar[tuple[str, ...]] = ()

    def eligible(self, documents: Documents, base: Documented) -> np.ndarray:
        return np.ones(len(documents.opening), bool)

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Documented, marks: tuple[int, ...]
    ) -> Documents:
        return documents.sort(chosen, self.rank(documents))

    def rank(self, documents: Documents) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not say in what order")


class ReverseTokens(_Reorder):
    offers: ClassVar = ()

    def rank(self, documents: Documents) -> np.ndarray:
        return _turned(documents.place)


class ReverseWords(_Reorder):
    offers: ClassVar = ()

    def rank(self, documents: Documents) -> np.ndarray:
        return _turned(documents.word)


class ReverseEntities(_Reorder):
    def rank(self, documents: Documents) -> np.ndarray:
        return _turned(_units(documents, phrases=False))


@dataclass(frozen=True)
class ReverseSegments(_Reorder):
    """`separator` stands between segments; the length of each is uniform. Entities survive if
    `longest` is well above their length: the paper's 25."""

    longest: int = 25
    separator: str = "[REV]"
    offers: ClassVar = ()

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise ValueError(f"longest={self.longest} is no length of a segment; choose 1 or more")

    @property
    def words(self) -> tuple[str, ...]:
        return (self.separator,)

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Documented, marks: tuple[int, ...]
    ) -> Documents:
        place, document = documents.place, documents.document
        # Where segments would end if each token began one; only those that meet are real.
        total = np.cumsum(np.where(place > 0, 1 + below(documents.u, self.longest), 0))
        ends = 1 + total - total[documents.opening][document]
        within = (place > 0) & (ends < np.bincount(document)[document])
        begins = place == 1
        begins[(documents.opening[document] + ends)[within]] = True
        segment = np.cumsum(begins)
        last = np.maximum.reduceat(segment, documents.opening)[document] if len(place) else segment
        before = begins & (segment != last) & chosen[document]
        made = documents.insert(before, marks[0])
        return made.sort(chosen, _turned(np.repeat(segment, 1 + before)))


@dataclass(frozen=True)
class Permute(_Reorder):
    """Units are in reverse order in a share `reversed` of the chosen documents, in random order in
    the others. With two thirds of the documents chosen, the original, the reversed and a permuted
    order are equally frequent."""

    reversed: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.reversed <= 1:
            raise ValueError(f"reversed={self.reversed} is not a share; choose from 0 to 1")

    def rank(self, documents: Documents) -> np.ndarray:
        unit = _units(documents, phrases=True)
        turned = chance(documents.u[documents.opening], self.reversed)[documents.document]
        first = np.flatnonzero(np.diff(unit, prepend=-1))
        return np.where(turned, _turned(unit), documents.u[first][unit])


class Shuffle(_Reorder):
    offers: ClassVar = ()

    def rank(self, documents: Documents) -> np.ndarray:
        return documents.u


def _turned(number: np.ndarray) -> np.ndarray:
    return number.max(initial=0) - number


def _units(documents: Documents, phrases: bool) -> np.ndarray:
    """(n) numbers of what stays together: the words of an entity, and of a phrase between them or
    else single words. They go on from document to document."""
    slot, place = documents.slot, documents.place
    new = np.diff(slot, prepend=-2) != 0
    if not phrases:
        new |= (slot < 0) & (np.diff(documents.word, prepend=-1) != 0)
    return np.cumsum(new | (place < 2)) - 1
