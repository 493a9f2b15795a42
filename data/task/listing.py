"""Tasks on lists whose answers are computed: what stands where, in which order, how often, and with
what in place of what. Nouns have an order, that of their numbers, which is to be learned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.draw import Draws
from data.meaning import Question, Slot
from data.task import ARITIES, Items, Task, nouns, number, said
from data.task.retrieval import askable, lookup

LONGEST = max(ARITIES)
_NONE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Listed(Task):
    """A task on a list of nouns, after arguments of the kinds `before`; its answer is nouns."""

    name: ClassVar[str] = ""
    before: ClassVar[tuple[str, ...]] = ()

    def answers(self, n: int) -> Iterable[int]:
        """The lengths that an answer about n nouns may have, consecutive."""
        return (n,)

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        first = len(self.before)
        before = tuple(Slot(kind, i) for i, kind in enumerate(self.before))
        for n in counts:
            for m in self.answers(n):
                yield Question(self.name, (*before, *nouns(n, first)), said=self.form(m))

    def form(self, m: int) -> tuple:
        return said(m)

    def shape(self, arity: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Which of the shapes of ARITIES has so many arguments and answers."""
        counts = [[*self.answers(n)] for n in ARITIES]
        begin = np.cumsum([0, *map(len, counts)])[:-1] - [lengths[0] for lengths in counts]
        return begin[arity] + length


class Kth(Listed):
    """The k-th of a list: `kth 2 a b c` is b."""

    name, before = "kth", ("numeral",)

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "numeral": _numerals(LONGEST)}

    def answers(self, n: int) -> Iterable[int]:
        return (1,)

    def answer(self, world: Any, question: Question) -> tuple:
        k, *rest = question.args
        return (*rest[number(k) - 1 : number(k)],)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, args = _lists(world, ids, draws)
        k = draws.below(arity + ARITIES[0])
        return Items(arity, np.stack([k + 1 + ids["numeral0"], *args]), _taken(args, k)[None])


class Sort(Listed):
    """A list in the order of nouns.

    >>> Sort().answer(None, Question("sort", ("noun7", "noun10", "noun2")))
    ('noun2', 'noun7', 'noun10')
    """

    name = "sort"

    def answer(self, world: Any, question: Question) -> tuple:
        return tuple(sorted(question.args, key=number))

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, args = _lists(world, ids, draws)
        there = _there(arity)
        return Items(arity, args, np.sort(np.where(there, args, _NONE), axis=0) * there)


class Dedup(Listed):
    """A list without repetitions, the first of each kept."""

    name = "dedup"

    def answers(self, n: int) -> Iterable[int]:
        return range(1, n + 1)

    def answer(self, world: Any, question: Question) -> tuple:
        return tuple(dict.fromkeys(question.args))

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, args = _lists(world, ids, draws)
        args = _taken(args, draws.rows(np.arange(1, LONGEST + 1)[:, None], LONGEST))
        new = [~(args[:k] == args[k]).any(0) for k in range(LONGEST)]
        chosen, length = _compact(args, np.stack(new) & _there(arity))
        return Items(self.shape(arity, length), args, chosen)


@dataclass(frozen=True)
class Filter(Listed):
    """Those of a list that a relation of nouns maps to an object: the nouns of a class. The answer
    tells of every noun whether it is one, so all are of those whose class is stated there."""

    relation: str = "class"
    object: str = "class"
    name: ClassVar[str] = "filter"
    derived: ClassVar[bool] = True

    @property
    def before(self) -> tuple[str, ...]:
        return (self.object,)

    def answers(self, n: int) -> Iterable[int]:
        return range(1, n + 1)

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        known = lookup(world, self.relation)
        if (known.given, known.asked) != ("noun", self.object):
            raise ValueError(
                f"{self}: {self.relation} maps a {known.given} to a {known.asked}; choose a "
                f"relation of nouns, and object={known.asked!r}"
            )
        return super().shapes(world, counts)

    def may(self, world: Any, language: int) -> bool:
        *_, (count,) = askable(world, (self.relation,), np.array([language]))
        return count >= LONGEST

    def answer(self, world: Any, question: Question) -> tuple:
        wanted, *rest = question.args
        objects = lookup(world, self.relation).answer
        return tuple(a for a in rest if objects[number(a)] == number(wanted))

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity = draws.below(len(ARITIES))
        entities, first, count = askable(world, (self.relation,), language)
        nouns = entities[first + draws.distinct(LONGEST, count)]
        args, of = nouns + ids["noun0"], lookup(world, self.relation).answer[nouns]
        wanted = _taken(of, draws.below(arity + ARITIES[0]))
        chosen, length = _compact(args, (of == wanted) & _there(arity))
        wanted = wanted + ids[f"{self.object}0"]
        return Items(self.shape(arity, length), np.stack([wanted, *args]), chosen)


class Count(Listed):
    """How often the first noun is in the list after it, as a numeral."""

    name, before = "count", ("noun",)

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "numeral": _numerals(LONGEST)}

    def answers(self, n: int) -> Iterable[int]:
        return (1,)

    def form(self, m: int) -> tuple:
        return said(m, "numeral")

    def answer(self, world: Any, question: Question) -> tuple:
        wanted, *rest = question.args
        times = rest.count(wanted)
        return (f"numeral{times}",) if times <= LONGEST else ()

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, args, times = _counted(world, ids, draws)
        return Items(arity, args, times[None] + ids["numeral0"])


class Parity(Count):
    """Whether the first noun is in the list after it an even or odd number of times."""

    name = "parity"

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "parity": ("even", "odd")}

    def form(self, m: int) -> tuple:
        return said(m, "parity")

    def answer(self, world: Any, question: Question) -> tuple:
        wanted, *rest = question.args
        return (("even", "odd")[rest.count(wanted) % 2],)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, args, times = _counted(world, ids, draws)
        return Items(arity, args, times[None] % 2 + ids["even"])


class Rewrite(Listed):
    """The rule a -> b, given by the first two nouns, applied to the list after them. (Any number of
    rules: data/rewrite.py.)

    >>> Rewrite().answer(None, Question("rewrite", ("noun1", "noun2", "noun1", "noun3", "noun1")))
    ('noun2', 'noun3', 'noun2')
    """

    name, before = "rewrite", ("noun", "noun")

    def answer(self, world: Any, question: Question) -> tuple:
        a, b, *rest = question.args
        return tuple(b if x == a else x for x in rest)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        arity, others = _lists(world, ids, draws)
        a, b, *_ = others
        pick = np.stack([(draws.below(2) * draws.below(LONGEST)) for _ in range(LONGEST)])
        args = _taken(others, pick)
        return Items(arity, np.stack([a, b, *args]), np.where(args == a, b, args))


def _numerals(longest: int) -> tuple[str, ...]:
    return tuple(f"numeral{i}" for i in range(longest + 1))


def _lists(world: Any, ids: dict[str, int], draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Arities (N), and as many different nouns as the longest list has (LONGEST, N)."""
    return draws.below(len(ARITIES)), draws.distinct(LONGEST, world.nouns) + ids["noun0"]


def _counted(world: Any, ids: dict[str, int], draws: Draws) -> tuple[np.ndarray, ...]:
    """Arities, a noun and a list of it and another one (1 + LONGEST, N), how often it is there."""
    arity, args = _lists(world, ids, draws)
    rest = _taken(args, draws.rows(2, LONGEST))
    return arity, np.stack([args[0], *rest]), ((rest == args[0]) & _there(arity)).sum(0)


def _there(arity: np.ndarray) -> np.ndarray:
    """(LONGEST, N): the arguments of lists of an arity."""
    return np.arange(LONGEST)[:, None] < arity + ARITIES[0]


def _taken(args: np.ndarray, at: np.ndarray) -> np.ndarray:
    """args[at[..., n], n]."""
    return args[at, np.arange(args.shape[1])]


def _compact(args: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chosen arguments moved to the front, and how many they are."""
    order = np.argsort(~chosen, axis=0, kind="stable")
    return np.take_along_axis(args, order, 0), chosen.sum(0)
