"""The contract of an instruction task, and the six list tasks a world has unless it is told others.

A task asks for something by a word, and knows its answer twice: `answer` is the reference, of one
question; `draw` computes the answers of many, when documents are drawn. A family of tasks is a file
of this folder, a task in use is a value of `World.tasks`, and neither is known anywhere else.
"""

import functools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from data.draw import Draws
from data.meaning import Concept, Fact, Question, Slot

ARITIES = (2, 3, 4)
# One in so many argument lists (of 3 or 4) is kept for evaluation; lists of 2 are too few to spare.
HELD_OUT_ONE_IN = 16
SAID = 64  # slots of a shape from here on are of its answer, those below of its arguments


class Items(NamedTuple):
    """N questions of a task: which of its shapes (N), and the concepts, as ids, in the slots of the
    arguments (A, N) and of the answer (C, N); what is in slots that a shape lacks does not count.
    """

    shape: np.ndarray
    args: np.ndarray
    said: np.ndarray | None = None
    fact: np.ndarray | None = None  # (N) the fact of the world that the answer states, or -1


class Task(Protocol):
    """What can be asked. `name` is the concept whose word asks for it.

    `world` is any value with the fields of data.world.World."""

    name: str
    registers: ClassVar[tuple[str, ...]] = ("story", "quiz", "chat")
    relations: ClassVar[tuple[Any, ...]] = ()  # of the facts it tells, beside the world's
    languages: int = 0  # how many its questions name: so many there have to be
    followed: ClassVar[bool] = True  # whether its questions may be left open, and others follow
    derived: ClassVar[bool] = False  # whether answers follow from facts that they do not state

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        """The concepts, by kind, that it needs words for."""
        return {"skill": (self.name,)}

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        """Every kind of question, with slots; where a list may have any length, those of `counts`.

        An answer that is not arguments at fixed places is in slots of its own, SAID and on."""
        ...

    def takes(self, question: Question) -> bool:
        """Whether a question is one of this task."""
        return question.task == self.name and not question.marked

    def may(self, world: Any, language: int) -> bool:
        """Whether there is anything to ask in a language."""
        return True

    def states(self, world: Any, question: Question) -> tuple[int, int]:
        """Relation and direction of the fact that an answer states, -1 and -1 if it states none."""
        return -1, -1

    def answer(self, world: Any, question: Question) -> tuple[Concept | Fact, ...]:
        """The right answer; () if there is none."""
        ...

    def tongue(self, question: Question, language: int) -> int:
        """The language of the answer to what is asked in `language`."""
        return language

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        """Questions in `language` (N), and their answers."""
        ...

    def spared(self, ids: dict[str, int], items: Items, size: np.ndarray) -> np.ndarray:
        """Which items (N), of `size` (N) arguments, are kept for evaluation, in every language
        alike: a hash of task and arguments."""
        code = np.full(len(size), zlib.crc32(repr(self).encode()))
        return _one_in(_hash(code, items.args, size))


@dataclass(frozen=True)
class Positional(Task):
    """A list task that only moves and repeats its arguments: its answer is a tuple of positions."""

    name: ClassVar[str] = ""

    def positions(self, n: int) -> tuple[int, ...]:
        """Which of the n arguments the answer says, in order."""
        raise NotImplementedError

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        return (Question(self.name, nouns(n)) for n in counts)

    def answer(self, world: Any, question: Question) -> tuple:
        return tuple(question.args[i] for i in self.positions(len(question.args)))


class Copy(Positional):
    name = "copy"

    def positions(self, n: int) -> tuple[int, ...]:
        return tuple(range(n))


class Reverse(Positional):
    name = "reverse"

    def positions(self, n: int) -> tuple[int, ...]:
        return tuple(range(n))[::-1]


class First(Positional):
    name = "first"

    def positions(self, n: int) -> tuple[int, ...]:
        return (0,)


class Last(Positional):
    name = "last"

    def positions(self, n: int) -> tuple[int, ...]:
        return (n - 1,)


class Dup(Positional):
    name = "dup"

    def positions(self, n: int) -> tuple[int, ...]:
        return (*range(n), *range(n))


class Swap(Positional):
    """The first two change places.

    >>> Swap().positions(4), Dup().positions(2)
    ((1, 0, 2, 3), (0, 1, 0, 1))
    """

    name = "swap"

    def positions(self, n: int) -> tuple[int, ...]:
        return (*range(n)[1:2], 0, *range(2, n))


LISTS = (Copy(), Reverse(), First(), Last(), Dup(), Swap())
TASKS = tuple(task.name for task in LISTS)


@functools.lru_cache(maxsize=4096)
def shapes(task: Task, world: Any, longest: int) -> tuple[Question, ...]:
    """Those with lists shorter than `longest`."""
    return tuple(task.shapes(world, range(1, longest)))


def leaves_open(task: Task) -> bool:
    """Whether a question of a task may be left unanswered."""
    return task.followed and "quiz" in task.registers


def opening(question: Question) -> Question:
    """A question that is left open: what would be answered is not there."""
    return replace(question, said=None, marked=False)


def number(concept: str) -> int:
    """Of noun7, 7."""
    return int(concept.lstrip("abcdefghijklmnopqrstuvwxyz"))


def nouns(n: int, first: int = 0) -> tuple[Slot, ...]:
    """n slots of nouns."""
    return tuple(Slot("noun", first + i) for i in range(n))


def said(n: int, kind: str = "noun") -> tuple[Slot, ...]:
    """n slots of an answer."""
    return tuple(Slot(kind, SAID + i) for i in range(n))


def held_out(task: np.ndarray, count: np.ndarray, args: np.ndarray) -> np.ndarray:
    """Which items are kept for evaluation, in every language alike: a hash of task and arguments.

    `task` and `count` (...) are indices into TASKS and numbers of arguments; `args` (4, ...) are
    indices of nouns, of which the first `count` matter."""
    return _one_in(_hash(task * 8 + count, args, count)) & (count >= 3)


def _hash(code: np.ndarray, args: np.ndarray, count: np.ndarray) -> np.ndarray:
    there = np.arange(len(args)).reshape(-1, *(1,) * count.ndim) < count
    code = code.astype(np.uint64)
    for said in np.where(there, args + 1, 0).astype(np.uint64):
        code = code * np.uint64(1_000_003) + said
    return (code ^ (code >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing


def _one_in(code: np.ndarray) -> np.ndarray:
    return (code >> np.uint64(40)) % np.uint64(HELD_OUT_ONE_IN) == 0
