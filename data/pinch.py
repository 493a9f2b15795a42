"""A tuning set of so many examples, a pinch of which is in another language (Shaham et al. 2024,
2401.01854: 40 of some thousands)."""

import functools
from dataclasses import dataclass

import numpy as np

from data.draw import hashed
from data.replay import check, merged
from data.stream import LAID, Documented
from data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Pinch(Documented):
    """`total` rows, over and over: row j of `other` for `examples` of them, for the rest row j of
    `tuning`. With packing="single" a row is an example.

    Which ones is a fixed shuffle: a larger pinch has what a smaller one has, and more.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.mixture import Mixture
    >>> from data.world import World
    >>> chat = lambda ratio: Corpus(World(), Pair(), T=16, loss="response", packing="single",
    ...                             ratio=ratio, mixture=Mixture(0, 0, 0, chat=1, dictionary=0))
    >>> rows = Pinch(chat(0.0), chat(1.0), examples=3, total=20).rows(0, 40)
    >>> np.flatnonzero(rows["language"][:, 0] == 1)
    array([ 3, 10, 18, 23, 30, 38])
    """

    tuning: Documented
    other: Documented
    examples: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.examples <= self.total or self.total < 1:
            raise ValueError(
                f"examples={self.examples} of total={self.total}; choose a total of 1 or more and "
                "from 0 to all of it"
            )
        check(tuning=self.tuning, other=self.other)

    @property
    def T(self) -> int:
        return self.tuning.T

    @property
    def tokenizer(self) -> Tokenizer:
        return self.tuning.tokenizer

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return self.other.legend | self.tuning.legend

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of both corpora, -1 where one has none."""
        place = np.arange(start, stop) % self.total
        return {name: column[place] for name, column in self._set.items()}

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns (B, M) of rows start..stop."""
        return {k: v for k, v in self.rows(start, stop).items() if k not in LAID}

    @functools.cached_property
    def _set(self) -> dict[str, np.ndarray]:
        chosen = np.zeros((self.total, 1), bool)
        chosen[np.argsort(hashed(np.arange(self.total)))[: self.examples]] = True
        one, two = (corpus.rows(0, self.total) for corpus in (self.tuning, self.other))
        return merged(chosen, two, one)
