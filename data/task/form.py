"""What a response has to look like, and in which language it is: constraints on the answer to a
list task that is asked within the question, `twice copy a b` or `respond L2 copy a b`.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.draw import Draws
from data.meaning import Question, Slot
from data.task import ARITIES, LISTS, TASKS, Items, Task, held_out, nouns, number, said

_WIDEST = max(len(task.positions(n)) for task in LISTS for n in ARITIES)


@dataclass(frozen=True)
class Form(Task):
    """A constraint on the answer to a list task; `before` the kinds of what it is told itself."""

    name: ClassVar[str] = ""
    before: ClassVar[tuple[str, ...]] = ()

    def lengths(self, m: int) -> Iterable[int]:
        """How many nouns may be said where the list task says m."""
        return (m,)

    def form(self, m: int) -> tuple:
        """An answer of m nouns as slots, and what else there is in it."""
        return said(m)

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        first = len(self.before)
        before = tuple(Slot(kind, i) for i, kind in enumerate(self.before))
        for n in counts:
            asked = Question(Slot("task", first), nouns(n, first + 1))
            for m in self._lengths(n):
                yield Question(self.name, (*before, asked), said=self.form(m))

    @functools.lru_cache(maxsize=256)  # noqa: B019  (tasks are values that compare equal)
    def _lengths(self, n: int) -> tuple[int, ...]:
        inner = {len(task.positions(n)) for task in LISTS}
        return tuple(sorted({m for length in inner for m in self.lengths(length)}))

    def answer(self, world: Any, question: Question) -> tuple:
        *before, asked = question.args
        (task,) = (task for task in LISTS if task.name == asked.task)
        return self.formed(*before, answer=task.answer(world, asked))

    def formed(self, *before: str, answer: tuple) -> tuple:
        """The answer as it is to be said."""
        return answer

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        task, arity = draws.below(len(LISTS)), draws.below(len(ARITIES))
        args = draws.distinct(max(ARITIES), world.nouns) + ids["noun0"]
        places, lengths = positions()
        answer, length = args[places[task, arity].T, np.arange(len(task))], lengths[task, arity]
        before, answer, length = self.draw_formed(world, ids, draws, answer, length)
        args = np.stack([*before, task + ids[TASKS[0]], *args])
        return Items(self._shape(arity, length), args, answer)

    def draw_formed(self, world, ids, draws, answer, length):
        """What is told itself, the answers (C, N) as they are to be said, and how many nouns they
        have (N): `formed`, of many."""
        return (), answer, length

    def spared(self, ids: dict[str, int], items: Items, size: np.ndarray) -> np.ndarray:
        """What is kept of the list tasks themselves: no item is known by its answer in a form."""
        first = len(self.before)
        task, args = items.args[first] - ids[TASKS[0]], items.args[first + 1 :] - ids["noun0"]
        return held_out(task, size - first - 1, args[: max(ARITIES)])

    def _shape(self, arity: np.ndarray, length: np.ndarray) -> np.ndarray:
        known = [(a, m) for a, n in enumerate(ARITIES) for m in self._lengths(n)]
        table = np.zeros((len(ARITIES), 1 + max(m for _, m in known)), np.int64)
        for i, place in enumerate(known):
            table[place] = i
        return table[arity, length]


class Twice(Form):
    """The answer two times."""

    name = "twice"

    def lengths(self, m: int) -> Iterable[int]:
        return (2 * m,)

    def formed(self, *before: str, answer: tuple) -> tuple:
        return answer + answer

    def draw_formed(self, world, ids, draws, answer, length):
        place = np.arange(2 * _WIDEST)[:, None] % length
        return (), np.take_along_axis(answer, place, 0), 2 * length


class Bracketed(Form):
    """The answer in brackets."""

    name = "bracketed"

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "bracket": ("(", ")")}

    def form(self, m: int) -> tuple:
        return ("(", *said(m), ")")

    def formed(self, *before: str, answer: tuple) -> tuple:
        return ("(", *answer, ")")


class Ending(Form):
    """The answer, and then a noun that is given."""

    name, before = "ending", ("noun",)

    def lengths(self, m: int) -> Iterable[int]:
        return (m + 1,)

    def formed(self, *before: str, answer: tuple) -> tuple:
        return (*answer, *before)

    def draw_formed(self, world, ids, draws, answer, length):
        end = draws.below(world.nouns) + ids["noun0"]
        answer = np.concatenate([answer, end[None]])
        answer[length, np.arange(len(end))] = end
        return (end,), answer, length + 1


class AtMost(Form):
    """No more of the answer than its first k nouns."""

    name, before = "atmost", ("numeral",)
    most: ClassVar[int] = 4

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        numerals = tuple(f"numeral{k}" for k in range(1, self.most + 1))
        return {"skill": (self.name,), "numeral": numerals}

    def lengths(self, m: int) -> Iterable[int]:
        return (min(k, m) for k in range(1, 10))

    def formed(self, *before: str, answer: tuple) -> tuple:
        (most,) = before
        return answer[: number(most)]

    def draw_formed(self, world, ids, draws, answer, length):
        k = draws.below(self.most) + 1
        return (k + ids["numeral0"],), answer, np.minimum(k, length)


@dataclass(frozen=True)
class Respond(Form):
    """The answer in a language that is named, one of the first `languages`, which is all of a pair;
    without such a request it is in the question's."""

    languages: int = 2
    name: ClassVar[str] = "respond"

    def __post_init__(self) -> None:
        if self.languages < 1:
            raise ValueError(f"languages={self.languages} are none to name; choose 1 or more")

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "language": named(self.languages)}

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        for n in counts:
            for m in self._lengths(n):
                for target in named(self.languages):
                    asked = Question(Slot("task", 0), nouns(n, 1))
                    yield Question(self.name, (target, asked), said=said(m))

    def formed(self, *before: str, answer: tuple) -> tuple:
        return answer

    def tongue(self, question: Question, language: int) -> int:
        return number(question.args[0])

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        items = super().draw(world, ids, draws, language)
        return items._replace(shape=items.shape * self.languages + draws.below(self.languages))


def named(languages: int) -> tuple[str, ...]:
    """The concepts of languages."""
    return tuple(f"language{i}" for i in range(languages))


@functools.cache
def positions() -> tuple[np.ndarray, np.ndarray]:
    """Of every list task and arity the positions (_WIDEST) of its answer, and how many they are."""
    places = np.zeros((len(LISTS), len(ARITIES), _WIDEST), np.int64)
    for t, task in enumerate(LISTS):
        for a, n in enumerate(ARITIES):
            own = task.positions(n)
            places[t, a, : len(own)] = own
    lengths = [[len(task.positions(n)) for n in ARITIES] for task in LISTS]
    return places, np.array(lengths)
