"""A corpus without one of its languages, and in all else the same: the monolingual twin.

Row i is row i of the base with the documents of a language taken out, their places left empty. What
the others say, and where and when, does not change, so that a model trained on either reads the
same stream of the language that stays.
"""

import functools
from dataclasses import dataclass

import numpy as np

from data.corpus import Corpus
from data.stream import LAID, Based


@dataclass(frozen=True)
class Silenced(Based):
    """The rows of `base` in which `language` says nothing.

    >>> from data.feature import Lexicon
    >>> from data.language import Pair
    >>> from data.mixture import Mixture
    >>> from data.world import World
    >>> base = Corpus(World(), Pair((Lexicon(0.3),)), T=24, mixture=Mixture(dictionary=0))
    >>> for said in (base, Silenced(base, "L2")): print(said.row(1)["segments"][:15])
    [1 1 1 1 1 1 2 2 2 2 2 2 3 3 3]
    [0 0 0 0 0 0 2 2 2 2 2 2 0 0 0]
    """

    base: Corpus
    language: str

    def __post_init__(self) -> None:
        if self.language not in self.base.pair.names:
            raise ValueError(
                f"language={self.language!r} is none of the corpus; choose one of "
                f"{', '.join(self.base.pair.names)}"
            )
        two = ", ".join(f"{name}={n:g}" for name, n in self.base.mixture.bilingual.items())
        naming = [task for task in self.base.world.tasks if task.languages]
        if two or naming:
            raise ValueError(
                f"{two or f'tasks={naming}'}: documents in two languages cannot be silent in one; "
                "choose none of them"
            )

    @functools.cached_property
    def _silent(self) -> int:
        return self.base.pair.names.index(self.language)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop of the base; of a silent document no token, no weight and no column."""
        rows = self.base.rows(start, stop)
        silent = np.pad(rows["language"] == self._silent, ((0, 0), (1, 0)))
        segments = rows["segments"]
        # A token is scored with the document that predicts it: the end of one is the <doc> after.
        owner = np.pad(segments, ((0, 0), (1, 0)))[:, :-1]
        gone, unscored = (np.take_along_axis(silent, each, 1) for each in (segments, owner))
        laid = {
            "tokens": np.where(gone, 0, rows["tokens"]),
            "segments": np.where(gone, 0, segments),
            "weights": np.where(unscored, 0, rows["weights"]),
        }
        columns = {
            name: np.where(silent[:, 1:], -1, column)
            for name, column in rows.items()
            if name not in LAID
        }
        return laid | columns
