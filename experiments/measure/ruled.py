"""Instruction following of a model whose decoding is adjusted by rules, fitted in one language."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import Probe, tasks
from experiments.measure.following import Following
from experiments.measure.score import decoded
from model.lm import LM
from train.rule import Rules

RISE = (0.0, 0.5, 2.0)  # nats a token on the end
REPETITION = (0.0, -1.5)  # on what was said
OPENER = (0.0, -4.0, -8.0)  # on the words that begin another question


@dataclasses.dataclass(frozen=True)
class Ruled:
    """The columns of `Following`, decoded by the rules that answer best in language `fitted`: three
    numbers of a grid, chosen on other questions of the same tasks in that language. The column
    `rules` says which. What begins another question is a word of each language; one number is added
    to those of the languages `moved`, which are given and not fitted.
    """

    corpus: Corpus
    register: str
    fitted: str
    moved: tuple[str, ...] = ("L1", "L2")
    items: int = 16
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        best = self.fit(cfg, params)
        asked = Following(self.corpus, self.register, self.items, self.seed, rules=best)
        found = asked(cfg, params)
        opener = best.offsets[0][1] if best.offsets else 0.0
        name = f"rise {best.rise:g}, repetition {best.repetition:g}, question {opener:g}"
        constant = lambda value: pa.array([value] * len(found))
        found = found.append_column("fitted", constant(self.fitted))
        found = found.append_column("moved", constant(" ".join(self.moved)))
        return found.append_column("rules", constant(name))

    def fit(self, cfg: LM, params: dict) -> Rules:
        """The rules of the grid that answer most questions right; of equal ones the first, which
        is the least change."""
        probe = tasks(self.corpus, self.register, self.items, self.seed + 1)
        own = np.flatnonzero(probe.slices["language"] == self.fitted)
        every = grid(probe, self.moved)
        right = [_right(cfg, params, probe, own, rules) for rules in every]
        return every[int(np.argmax(right))]


def grid(probe: Probe, moved: Sequence[str]) -> list[Rules]:
    """All rules there are to choose from, none at all first, which move the words that begin a
    question in the languages `moved`."""
    words = [int(token) for name in moved for token in probe.openers[f"question {name}"]]
    return [
        Rules(rise=rise, repetition=repetition, offsets=_offsets(words, opener))
        for opener, rise, repetition in itertools.product(OPENER, RISE, REPETITION)
    ]


def _offsets(words: list[int], opener: float) -> tuple[tuple[int, float], ...]:
    return tuple((word, opener) for word in dict.fromkeys(words)) if opener else ()


def _right(cfg: LM, params: dict, probe: Probe, own: np.ndarray, rules: Rules) -> float:
    gold = np.pad(probe.answers[own], ((0, 0), (0, 1)))
    said = decoded(cfg, params, probe.prompts[own], probe.lengths[own], gold.shape[1], rules)
    return float((said == gold).all(1).mean())
