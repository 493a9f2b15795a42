"""Rows whose documents see one another: a row is one text, as in models trained on streams."""

from dataclasses import dataclass

import numpy as np

from data.stream import Based, Documented


@dataclass(frozen=True)
class Joined(Based):
    """The rows of `base`, their documents in one segment: nothing is forgotten between them.

    Facts stated before a question of the same row can be read off there, so what such a model knows
    is asked in a window of its own.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.world import World
    >>> base = Corpus(World(), Pair(), T=24)
    >>> for rows in (base, Joined(base)): print(rows.row(1)["segments"].tolist())
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0]
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    """

    base: Documented

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop of the base, in one segment each."""
        rows = self.base.rows(start, stop)
        return rows | {"segments": (rows["segments"] > 0).astype(np.int32)}
