"""The reversal set of Zhu, Wang & Sun (2024, 2405.04669): nothing but `x -> y` and `y <- x`.

Of 200 pairs of tokens 70% are stated both ways, the others one way: half of those as `x -> y`, half
as `y <- x` (the paper draws which; here the halves are exact). The last token alone is a target.
A statement is a document of its own, as in the paper, where nothing stands in a window with it;
rows pack several, and segments keep them apart.
"""

import functools
from dataclasses import dataclass

import numpy as np

from data.draw import below, stretch
from data.key import key
from data.pack import lay
from data.stream import Documented
from data.tokenizer import Word
from data.world import DIRECTIONS, FORWARD, REVERSE

ARROWS = ("->", "<-")
_LENGTH = 4


@dataclass(frozen=True)
class Pairs(Documented):
    """Rows of T tokens of statements, each stated one equally often; x and y are different words
    among a `vocabulary` of them.

    >>> pairs = Pairs(pairs=4, both=0.5, vocabulary=9, T=16)
    >>> pairs.tokenizer.decode(pairs.row(0)["tokens"])
    '<doc> w8 -> w2 <doc> w7 -> w1 <doc> w4 <- w6 <doc> w7 -> w1'
    >>> pairs.stated.astype(int).tolist()
    [[0, 1], [1, 0], [1, 1], [1, 1]]
    """

    pairs: int = 200
    both: float = 0.7
    vocabulary: int = 800
    T: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        key("pairs", self.seed)  # checks it
        if not 0 <= self.both <= 1:
            raise ValueError(f"both={self.both} is not a share; choose a number from 0 to 1")
        if self.pairs < 1 or 2 * self.pairs > self.vocabulary:
            raise ValueError(
                f"pairs={self.pairs} need {2 * self.pairs} words of vocabulary={self.vocabulary}; "
                f"choose from 1 to {self.vocabulary // 2} pairs, or more words"
            )
        if self.T < _LENGTH:
            raise ValueError(f"T={self.T} has no room for a statement; choose {_LENGTH} or more")

    @functools.cached_property
    def tokenizer(self) -> Word:
        return Word((*ARROWS, *(f"w{i}" for i in range(self.vocabulary))))

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return {"direction": DIRECTIONS}

    @functools.cached_property
    def words(self) -> np.ndarray:
        """(pairs, 2) the token of x and of y."""
        order = self._generator(0).permutation(self.vocabulary)[: 2 * self.pairs]
        return 1 + len(ARROWS) + order.reshape(2, -1).T

    @functools.cached_property
    def stated(self) -> np.ndarray:
        """(pairs, 2) bool: whether a pair is stated forward and in reverse."""
        order = self._generator(1).permutation(self.pairs)
        single = order[round(self.both * self.pairs) :]
        cells = np.ones((self.pairs, 2), bool)
        cells[single[::2], REVERSE] = False
        cells[single[1::2], FORWARD] = False
        return cells

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), `fact` and `direction` (B, M)."""
        said = self.provenance(start, stop)
        target = np.arange(_LENGTH) == _LENGTH - 1
        statements = self._statement(said["fact"], said["direction"])
        return lay(statements, self.T, target, closed=False)[0] | said

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Which pair each document states, and in what direction."""
        fact, direction = np.nonzero(self.stated)
        cell = below(stretch("pairs", self.seed, start, stop, self.T // _LENGTH), len(fact))
        return dict(fact=fact[cell].astype(np.int32), direction=direction[cell].astype(np.int32))

    def spans(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """`word` and `slot` (B, T) of rows start..stop: x is said in slot 0 and y in slot 1."""
        direction = self.provenance(start, stop)["direction"]
        none, (B, M) = np.full_like(direction, -1), direction.shape
        slot = np.stack([none, direction, none, 1 - direction], -1).reshape(B, M * _LENGTH)
        word = np.tile(np.arange(_LENGTH, dtype=np.int32), (B, M))
        pad = lambda x: np.pad(x, ((0, 0), (0, self.T - x.shape[1])), constant_values=-1)
        return dict(word=pad(word), slot=pad(slot))

    def questions(self) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
        """Every pair asked in both directions, as (prompt, answer), and the slices `fact`,
        `direction` and `stated`: what data.probe.completion takes."""
        fact, direction = np.indices((self.pairs, 2)).reshape(2, -1)
        texts = [self.tokenizer.decode(s[1:]) for s in self._statement(fact, direction)]
        slices = dict(fact=fact, direction=np.array(DIRECTIONS)[direction])
        return [(text[: text.rindex(" ")], text.split()[-1]) for text in texts], slices | dict(
            stated=self.stated[fact, direction]
        )

    def _statement(self, fact: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The tokens (..., 4) of a pair said in a direction."""
        first, last = self.words[fact, direction], self.words[fact, 1 - direction]
        return np.stack([np.zeros_like(fact), first, direction + 1, last], -1)

    def _generator(self, use: int) -> np.random.Generator:
        return np.random.Generator(
            np.random.Philox(key=key("pairs", self.seed), counter=use << 192)
        )
