"""Pretraining documents among the tuning ones, against forgetting.

What is replayed decides what tuning can change: a replay that contains questions which are not
answered teaches not to answer. So a spec has to say which registers its replay contains, and is
refused if they are not those."""

from dataclasses import dataclass

import numpy as np

from data.draw import chance, stretch
from data.key import key
from data.stream import Documented
from data.template import Tables
from data.tokenizer import Tokenizer

_SEEN = 2**17  # tokens of the replay that are looked at for their registers


@dataclass(frozen=True)
class Replay(Documented):
    """Row i is row i of `pretraining` with probability `share`, and else row i of `tuning`.

    `registers` names those that the replay contains; the column `replayed` (B, M) is 1 in its rows.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.mixture import Mixture
    >>> from data.world import World
    >>> base = Corpus(World(), Pair())
    >>> chat = Corpus(World(), Pair(), loss="response", ratio=0.0,
    ...               mixture=Mixture(0, 0, 0, chat=1, dictionary=0))
    >>> Replay(chat, base, share=0.5, registers=("statement",))
    Traceback (most recent call last):
    ValueError: registers=('statement',), but the replay contains ('statement', 'story', 'quiz', \
'dictionary'); say so, or replay another mixture
    """

    tuning: Documented
    pretraining: Documented
    share: float
    registers: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        key("replay", self.seed)  # checks it
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share} is not a share; choose a number from 0 to 1")
        two = self.pretraining
        check(tuning=self.tuning, pretraining=two)
        said = two.provenance(0, max(1, _SEEN // two.T))["register"]
        found = tuple(two.legend["register"][i] for i in np.unique(said[said >= 0]))
        if set(found) != set(self.registers):
            raise ValueError(
                f"registers={self.registers}, but the replay contains {found}; say so, or replay "
                "another mixture"
            )

    @property
    def T(self) -> int:
        return self.tuning.T

    @property
    def tokenizer(self) -> Tokenizer:
        return self.tuning.tokenizer

    @property
    def tables(self) -> Tables:
        return self.tuning.tables

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        known = self.pretraining.legend | self.tuning.legend
        return known | {"replayed": ("tuning", "replay")}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of both corpora, -1 where one has none, and `replayed`."""
        return self._mixed("rows", start, stop)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns (B, M) of rows start..stop."""
        return self._mixed("provenance", start, stop)

    def _mixed(self, what: str, start: int, stop: int) -> dict[str, np.ndarray]:
        replayed = chance(stretch("replay", self.seed, start, stop, 1), self.share)
        one, two = (getattr(x, what)(start, stop) for x in (self.tuning, self.pretraining))
        code = lambda part, value: np.where(part["register"] >= 0, value, -1).astype(np.int32)
        one, two = one | {"replayed": code(one, 0)}, two | {"replayed": code(two, 1)}
        return merged(replayed, two, one)


def check(**corpora: Documented) -> None:
    """ValueError if rows of two corpora, by what they are called, cannot stand side by side."""
    (first, one), (second, two) = corpora.items()
    for corpus in (one, two):
        if "register" not in corpus.legend:
            raise ValueError(
                f"{type(corpus).__name__} has no registers to state; choose a corpus that does"
            )
    if one.T != two.T or one.tokenizer != two.tokenizer:
        raise ValueError(
            f"rows of {one.T} tokens of {one.tokenizer.size} and of {two.T} of "
            f"{two.tokenizer.size}: {first} and {second} need one T and one tokenizer"
        )
    differ = [k for k in one.legend if two.legend.get(k, one.legend[k]) != one.legend[k]]
    if differ:
        raise ValueError(
            f"{', '.join(differ)} stand for different things in {first} and in {second}; "
            "choose corpora of one world and one pair"
        )


def merged(
    which: np.ndarray, one: dict[str, np.ndarray], two: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Rows of `one` where `which` (B, 1), else of `two`; columns of documents are -1 where one of
    them has none."""
    width = max(part["register"].shape[1] for part in (one, two))
    return {
        name: np.where(which, *(_wide(part.get(name), which, width) for part in (one, two)))
        for name in dict.fromkeys((*two, *one))
    }


def _wide(column: np.ndarray | None, like: np.ndarray, width: int) -> np.ndarray:
    """A column of documents with room for `width` of them, all of -1 where there is none."""
    column = np.full((len(like), 0), -1, np.int32) if column is None else column
    missing = max(0, width - column.shape[1])
    return np.pad(column, ((0, 0), (0, missing)), constant_values=-1)
