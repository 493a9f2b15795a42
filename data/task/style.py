"""A marked sublexicon: every noun has a second word, which means the same and should not be said.

A world with `Marked` answers some list tasks in marked words, unasked. What to prefer is told by
pairs of responses (data/preference.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.draw import Draws
from data.meaning import Question
from data.task import ARITIES, LISTS, Items, Task, held_out, nouns, said
from data.task.form import positions


@dataclass(frozen=True)
class Marked(Task):
    """The list tasks, answered in marked words.

    >>> Marked().answer(None, Question("swap", ("noun1", "noun2"), marked=True))
    ('marked2', 'marked1')
    """

    name: ClassVar[str] = "marked"

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"marked": tuple(f"marked{i}" for i in range(world.nouns))}

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        for task in LISTS:
            for n in counts:
                answer = said(len(task.positions(n)), "marked")
                yield Question(task.name, nouns(n), marked=True, said=answer)

    def takes(self, question: Question) -> bool:
        return question.marked

    def answer(self, world: Any, question: Question) -> tuple:
        (task,) = (task for task in LISTS if task.name == question.task)
        return tuple(a.replace("noun", "marked") for a in task.answer(world, question))

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        task, arity = draws.below(len(LISTS)), draws.below(len(ARITIES))
        args = draws.distinct(max(ARITIES), world.nouns)
        answer = args[positions()[0][task, arity].T, np.arange(len(task))] + ids["marked0"]
        return Items(task * len(ARITIES) + arity, args + ids["noun0"], answer)

    def spared(self, ids: dict[str, int], items: Items, size: np.ndarray) -> np.ndarray:
        """What is kept of the list tasks themselves: no item is known by its marked answer."""
        return held_out(items.shape // len(ARITIES), size, items.args - ids["noun0"])
