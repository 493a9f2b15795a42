"""Rows of answered questions that see one another, among the rows of a corpus.

Where few questions are answered, a model has no reason to answer one. After questions that were, it
has: examples in a prompt mean what they mean here. In a row of an exam all documents are questions
of one language, none of them held out, all are answered, and nothing is forgotten between them.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from data.corpus import Corpus
from data.draw import chance, stretch
from data.joined import Joined
from data.key import key
from data.replay import merged
from data.stream import Based


@dataclass(frozen=True)
class Exams(Based):
    """Row i is row i of `base`, or with probability `share` one of an exam, in a language that is
    drawn by the shares of the base. The column `exam` (B, M) tells them apart.

    >>> from data.language import Pair
    >>> from data.world import World
    >>> rows = Exams(Corpus(World(), Pair(), T=24), share=0.5).rows(0, 4)
    >>> for name in ("exam", "language"): print(rows[name][:, :3].tolist())
    [[0, -1, -1], [1, 1, -1], [1, 1, -1], [1, 1, -1]]
    [[0, -1, -1], [1, 1, -1], [1, 1, -1], [0, 0, -1]]
    >>> print(rows["segments"][2])
    [1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 0 0 0]
    """

    base: Corpus
    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        key("exam", self.seed)  # checks it
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share} is not a share; choose a number from 0 to 1")
        if self.base.mixture.contact.parallel:
            raise ValueError(
                f"parallel={self.base.mixture.contact.parallel:g}: documents in two languages are "
                "in no exam of one; choose 0"
            )
        self.exams  # noqa: B018  checks that every language asks something

    @functools.cached_property
    def exams(self) -> dict[int, Joined]:
        """Nothing but exams, in every language that has a share."""
        asked = replace(
            self.base.mixture,
            **dict(facts=0.0, stories=0.0, quiz=1.0, chat=0.0, dictionary=0.0, plain=0.0),
            answered=1.0,
        )
        ratio = lambda own: tuple(float(own == other) for other in range(len(self.base.shares)))
        return {
            own: Joined(replace(self.base, mixture=asked, ratio=ratio(own)))
            for own in np.flatnonzero(self.base.shares).tolist()
        }

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return self.base.legend | {"exam": ("no", "yes")}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of the base, and `exam`."""
        return self._mixed("rows", start, stop)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns (B, M) of rows start..stop."""
        return self._mixed("provenance", start, stop)

    def _mixed(self, what: str, start: int, stop: int) -> dict[str, np.ndarray]:
        u = stretch("exam", self.seed, start, stop, 2)
        examined = chance(u[:, :1], self.share)
        language = np.searchsorted(np.cumsum(self.base.shares), u[:, 1:] / 2**32, side="right")
        found = getattr(self.base, what)(start, stop)
        for i, exam in self.exams.items():
            found = merged(examined & (language == i), getattr(exam, what)(start, stop), found)
        return found | {"exam": np.where(found["register"] >= 0, examined, -1).astype(np.int32)}
