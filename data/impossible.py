"""Languages that no one speaks: the perturbations of Kallini et al. (2024, "Mission: Impossible
Language Models"), under the paper's names, as features of the twin. At most one at a time.

Each moves the words of a whole document, or puts markers between them, by their count alone, after
all other grammar. What they do depends on a document's number of words and not on chance, so every
one can be undone (`parse` of what is rendered is the meaning) and compiles to a template like any
grammar. The paper's NonDeterministicShuffle draws anew for every sentence and cannot be undone: it
is no feature but a transform of the finished corpus, `Shuffle` of data/reorder.py. Deviations:

    marker of reversal   the paper draws its place for every sentence; here for every length
    number               the list that a story tells of has two to four words, so singular is said
                         of up to three (a paucal), plural of four: both occur in one register
    incomplete hops      where fewer than four words follow a verb, as in "parent of x is y", the
                         marker ends the document; the paper's filter (`filter_hop`) leaves such
                         sentences out, which here is left to the mixture: stories whose answer is
                         two words or more, with articles, have none
    TokenHop, WordHop    a word is one token, so the two coincide where nothing but words follows
                         the verb: in all that the default world says; they differ where a comma or
                         a question mark comes within four words (told facts; lists, verb first)

Whoever is in focus is still mentioned first: of a fact's two wordings, the one is perturbed that
then has the focus first, so a direction means what it means in every other language.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from data.key import key
from data.language import Feature, Language, Leaf
from data.world import World

REVERSED, SINGULAR, PLURAL = "<r>", "<sg>", "<pl>"  # the paper's markers R, S and P
MARKERS = (REVERSED, SINGULAR, PLURAL)
HOP = 4  # words between a verb and its marker (section 3.1)


class Impossible(Feature):
    """A perturbation of the words of a document, which adds `added` markers to each."""

    # A verb that agrees would show the answer's gender wherever the order is turned round.
    excludes: ClassVar = ("NoShuffle", "DeterministicShuffle", "LocalShuffle", "EvenOddShuffle",
                          "NoReverse", "PartialReverse", "FullReverse", "NoHop", "TokenHop",
                          "WordHop", "Agreement")  # fmt: skip
    added: ClassVar[int] = 0
    markers: ClassVar = MARKERS

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, perturbation=self)

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        """The words in their new order; `marker` is a leaf whose concept is to be replaced."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does")


def _generator(seed: int, length: int) -> np.random.Generator:
    stream = np.random.Philox(key=key("lexicon", seed), counter=length << 64)
    return np.random.Generator(stream)


@dataclass(frozen=True)
class NoShuffle(Impossible):
    """The control of the shuffles: nothing is moved."""

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        return leaves


@dataclass(frozen=True)
class DeterministicShuffle(Impossible):
    """All documents of one length are shuffled by one permutation, drawn from `seed`."""

    seed: int = 21

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        order = _generator(self.seed, len(leaves)).permutation(len(leaves))
        return [leaves[i] for i in order]


@dataclass(frozen=True)
class LocalShuffle(Impossible):
    """Words are shuffled within windows of `window`, every whole window by one permutation."""

    window: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"window={self.window} has nothing to shuffle; choose 2 or more")

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        windows = [leaves[i : i + self.window] for i in range(0, len(leaves), self.window)]
        order = lambda n: _generator(self.seed, n).permutation(n)
        return [words[i] for words in windows for i in order(len(words))]


@dataclass(frozen=True)
class EvenOddShuffle(Impossible):
    """First the words at even places, then those at odd places."""

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        return leaves[::2] + leaves[1::2]


@dataclass(frozen=True)
class NoReverse(Impossible):
    """The control of the reversals: their marker, at its place, and nothing reversed."""

    seed: int = 21
    added: ClassVar[int] = 1

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        at = int(_generator(self.seed, len(leaves)).integers(len(leaves) + 1))
        return [*leaves[:at], marker._replace(concept=REVERSED), *leaves[at:]]


@dataclass(frozen=True)
class PartialReverse(NoReverse):
    """The words after the marker are reversed."""

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        marked = super().perturb(leaves, marker)
        at = next(i for i, leaf in enumerate(marked) if leaf.concept == REVERSED) + 1
        return marked[:at] + marked[at:][::-1]


@dataclass(frozen=True)
class FullReverse(NoReverse):
    """All words are reversed, the marker with them."""

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        return super().perturb(leaves, marker)[::-1]


@dataclass(frozen=True)
class NoHop(Impossible):
    """The control of the hops: right after every verb a marker of its number."""

    hop: ClassVar[int] = 0
    passed: ClassVar = ()  # words that do not count

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]:
        # As in the paper's code the last verb is first, and a marker counts for those before it.
        for at in reversed([i for i, leaf in enumerate(leaves) if leaf.role == "verb"]):
            number = PLURAL if leaves[at].plural else SINGULAR
            counted = [i for i, x in enumerate(leaves) if i > at and x.concept not in self.passed]
            # Where fewer words follow, the marker ends the document.
            last = ([at, *counted])[min(self.hop, len(counted))]
            place = last + 1 if len(counted) >= self.hop else len(leaves)
            leaves = [*leaves[:place], marker._replace(concept=number), *leaves[place:]]
        return leaves


@dataclass(frozen=True)
class TokenHop(NoHop):
    """The marker stands four words after the verb, marks counted."""

    hop: ClassVar[int] = HOP


@dataclass(frozen=True)
class WordHop(NoHop):
    """The marker stands four words after the verb, marks not counted."""

    hop: ClassVar[int] = HOP
    passed: ClassVar = ("?", ",")
