"""When which language is heard: the ratio of languages as a function of the number of the row.

    simultaneous        the corpus itself, or Sequential(switch=0, then=its ratio)
    sequential          Sequential(switch): the first language, then only the second
    sequential, mixed   Sequential(switch, then=0.5), which B-GPT calls simultaneous (Arnett et al.
                        2025: 64k steps of L1, then 64k steps half and half)
    alternating         Alternating(block): blocks of one language and the other
    schedule            Ramp(rows, start=0.1, stop=0.9): from ratio to ratio, in equal steps

Curricula are of two languages: a ratio is the share of the second.

Row i is row i of the base with the ratio of its phase: the same random numbers, so that runs under
two curricula differ in nothing else.
"""

import functools
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from data.corpus import Corpus
from data.stream import Based


class Order(Protocol):
    """The `ratios` of the phases, and the phase of each row."""

    @property
    def ratios(self) -> tuple[float, ...]: ...

    def phase(self, row: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Sequential:
    """The first language alone for `switch` rows, then a ratio of `then`."""

    switch: int
    then: float = 1.0

    def __post_init__(self) -> None:
        if self.switch < 0:
            raise ValueError(f"switch={self.switch} is no number of rows; choose 0 or more")

    @property
    def ratios(self) -> tuple[float, ...]:
        return 0.0, self.then

    def phase(self, row: np.ndarray) -> np.ndarray:
        return (row >= self.switch).astype(np.int64)


@dataclass(frozen=True)
class Alternating:
    """`block` rows of the first language, `block` rows of the second, and so on."""

    block: int

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block={self.block} is no number of rows; choose 1 or more")

    @property
    def ratios(self) -> tuple[float, ...]:
        return 0.0, 1.0

    def phase(self, row: np.ndarray) -> np.ndarray:
        return row // self.block % 2


@dataclass(frozen=True)
class Ramp:
    """From ratio `start` to `stop` in `rows` rows, in `steps` equal steps; then it stays.

    >>> Ramp(rows=100, steps=5).ratios, Ramp(rows=100, steps=5).phase(np.array([0, 19, 20, 500]))
    ((0.1, 0.3, 0.5, 0.7, 0.9), array([0, 0, 1, 4]))
    """

    rows: int
    start: float = 0.1
    stop: float = 0.9
    steps: int = 9

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= self.rows:
            raise ValueError(
                f"steps={self.steps} in rows={self.rows}: choose 2 steps or more and a row for each"
            )

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(round(float(r), 9) for r in np.linspace(self.start, self.stop, self.steps))

    def phase(self, row: np.ndarray) -> np.ndarray:
        return np.minimum(row * self.steps // self.rows, self.steps - 1)


@dataclass(frozen=True)
class Curriculum(Based):
    """The rows of `base` with the ratio of languages that `order` gives them; the `ratio` of the
    base itself is not used. The column `phase` tells the phases apart.

    >>> from data.language import Pair
    >>> from data.mixture import Mixture
    >>> from data.world import World
    >>> base = Corpus(World(), Pair(), T=24, mixture=Mixture(dictionary=0))
    >>> course = Curriculum(base, Sequential(switch=2, then=0.5))
    >>> for row in course.rows(0, 4)["language"].tolist(): print(row)
    [0, -1, -1, -1, -1]
    [0, 0, 0, -1, -1]
    [0, 0, 1, 1, -1]
    [0, 0, -1, -1, -1]
    >>> course.phases(0, 4), course.legend["phase"]
    ([(0, 0, 2), (1, 2, 4)], ('ratio 0', 'ratio 0.5'))
    """

    base: Corpus
    order: Order

    def __post_init__(self) -> None:
        if not hasattr(self.base, "ratio"):
            raise ValueError(
                f"{type(self.base).__name__} has no ratio of languages; choose a corpus that does"
            )
        languages = len(self.base.legend["language"])
        if languages > 2:
            raise ValueError(
                f"a curriculum changes the ratio of two languages, and there are {languages}; "
                f"choose a Pair, or the Corpus itself with ratio a tuple of {languages} shares"
            )
        mixture = getattr(self.base, "mixture", None)
        if mixture and mixture.bilingual and {0.0, 1.0} & {*self.order.ratios}:
            two = ", ".join(f"{name}={n:g}" for name, n in mixture.bilingual.items())
            raise ValueError(
                f"{two}: documents in two languages are in no phase of one, and {self.order} has "
                "such; choose none of them, or other ratios than 0 and 1"
            )
        self.corpora  # noqa: B018  every phase checks its ratio

    @functools.cached_property
    def corpora(self) -> tuple[Corpus, ...]:
        """The base with the ratio of every phase."""
        return tuple(replace(self.base, ratio=ratio) for ratio in self.order.ratios)

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return self.base.legend | {"phase": tuple(f"ratio {r:g}" for r in self.order.ratios)}

    def phases(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Phase, first row and end of every stretch of rows start..stop that has one phase: rows
        first..end of `corpora[phase]` are those of the curriculum."""
        if not 0 <= start <= stop:
            raise ValueError(f"rows {start}..{stop} are no range; choose 0 <= start <= stop")
        phase = self.order.phase(np.arange(start, stop))
        cuts = start + np.flatnonzero(np.diff(phase, prepend=-1))
        ends = [*cuts[1:].tolist(), stop][: len(cuts)]
        return list(zip(phase[cuts - start].tolist(), cuts.tolist(), ends, strict=True))

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of the base, and `phase` (B, M)."""
        return self._joined("rows", start, stop)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns (B, M) of rows start..stop."""
        return self._joined("provenance", start, stop)

    def spans(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """`word` and `slot` (B, T) of rows start..stop."""
        return self._joined("spans", start, stop)

    def _joined(self, what: str, start: int, stop: int) -> dict[str, np.ndarray]:
        parts = [self._part(what, *stretch) for stretch in self.phases(start, stop) or [(0, 0, 0)]]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _part(self, what: str, phase: int, start: int, stop: int) -> dict[str, np.ndarray]:
        part = getattr(self.corpora[phase], what)(start, stop)
        if what == "spans":
            return part
        return part | {"phase": np.where(part["language"] >= 0, phase, -1).astype(np.int32)}
