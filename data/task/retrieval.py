"""Questions about facts of the world: asked for the object or the subject, over two relations, or
with the answers to choose from. Of strangers the answer is that nothing is known.

An answer states its fact, so only what pretraining states in a language and direction is asked
there.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from data.draw import Draws
from data.meaning import Question, Slot
from data.task import Items, Task, number, said

OPTIONS = 4


class Known(NamedTuple):
    """What a name of a relation maps to what, over the facts of a world."""

    relation: int
    direction: int
    given: str  # type of whom is asked about
    asked: str  # type of the answer
    fact: np.ndarray  # (n) the fact about the given entity, -1 where there is none
    answer: np.ndarray  # (n) number of the answer


@dataclass(frozen=True)
class Retrieve(Task):
    """`parent x0` is y0, `child y0` is x0: `name` is that of a relation or of its converse.

    Where there are `strangers`, one question in eight is about one of them, whom no fact is about,
    and the answer is "unknown"."""

    name: str = "parent"
    strangers: int = 0
    registers: ClassVar[tuple[str, ...]] = ("quiz", "chat")  # as a story it is the statement

    def __post_init__(self) -> None:
        if self.strangers < 0:
            raise ValueError(f"strangers={self.strangers} are no persons; choose 0 or more")

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        names = tuple(f"stranger{i}" for i in range(self.strangers))
        return {"stranger": names, "hedge": ("unknown",)} if names else {}

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        known = lookup(world, self.name)
        yield Question(self.name, (Slot(known.given, 0),), said=said(1, known.asked))
        if self.strangers:
            yield Question(self.name, (Slot("stranger", 0),), said=("unknown",))

    def takes(self, question: Question) -> bool:
        return question.task == self.name and isinstance(question.args[0], str | Slot)

    def may(self, world: Any, language: int) -> bool:
        return len(_facts(world, (self.name,), language)) > 0

    def states(self, world: Any, question: Question) -> tuple[int, int]:
        return lookup(world, self.name)[:2] if question.said != ("unknown",) else (-1, -1)

    def answer(self, world: Any, question: Question) -> tuple:
        (entity,) = question.args
        return ("unknown",) if entity.startswith("stranger") else answer(world, self.name, entity)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        known, given = lookup(world, self.name), _given(world, (self.name,), draws, language)
        args, fact = given + ids[f"{known.given}0"], known.fact[given]
        shape = np.zeros(len(draws), np.int64)
        if self.strangers:
            shape = (draws.below(8) == 0).astype(np.int64)
            stranger = draws.below(self.strangers) + ids["stranger0"]
            args, fact = np.where(shape, stranger, args), np.where(shape, -1, fact)
        answers = known.answer[given] + ids[f"{known.asked}0"]
        return Items(shape, args[None], answers[None], fact)


@dataclass(frozen=True)
class Hop(Task):
    """Two relations one after the other: `home child y0`, the home of the child of y0."""

    name: str = "home"
    first: str = "child"
    registers: ClassVar[tuple[str, ...]] = ("story", "quiz", "chat")
    derived: ClassVar[bool] = True

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {}

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        first, second = lookup(world, self.first), lookup(world, self.name)
        if first.asked != second.given:
            raise ValueError(
                f"{self}: {self.first} leads to a {first.asked}, and {self.name} is asked of a "
                f"{second.given}; choose two that meet"
            )
        asked = Question(self.first, (Slot(first.given, 0),))
        yield Question(self.name, (asked,), said=said(1, second.asked))

    def takes(self, question: Question) -> bool:
        inner = question.args[0]
        return (
            question.task == self.name and isinstance(inner, Question) and inner.task == self.first
        )

    def may(self, world: Any, language: int) -> bool:
        return len(_facts(world, (self.first, self.name), language)) > 0

    def answer(self, world: Any, question: Question) -> tuple:
        (between,) = answer(world, self.first, question.args[0].args[0])
        return answer(world, self.name, between)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        first, second = lookup(world, self.first), lookup(world, self.name)
        given = _given(world, (self.first, self.name), draws, language)
        answers = second.answer[first.answer[given]] + ids[f"{second.asked}0"]
        args = given + ids[f"{first.given}0"]
        return Items(np.zeros(len(draws), np.int64), args[None], answers[None])


@dataclass(frozen=True)
class Choose(Task):
    """A question about a fact with OPTIONS entities to choose from, one of them the answer, at any
    place: `choose parent x0 y3 y0 y7 y1` is y0. Chance is 1 / OPTIONS."""

    names: tuple[str, ...] = ("parent", "child", "home")
    name: ClassVar[str] = "choose"
    registers: ClassVar[tuple[str, ...]] = ("quiz", "chat")

    def __post_init__(self) -> None:
        if not self.names or len({*self.names}) < len(self.names):
            raise ValueError(f"names={self.names}: choose one relation or more, each once")

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        for name in self.names:
            known = lookup(world, name)
            if world.relations[known.relation].symmetric:
                raise ValueError(
                    f"{self}: {name} is symmetric, so whoever is asked about would be an option; "
                    "choose another relation"
                )
            if world.kinds[known.asked] < OPTIONS:
                raise ValueError(
                    f"{self}: {world.kinds[known.asked]} {known.asked} are no {OPTIONS} options; "
                    f"choose a relation of {OPTIONS} or more"
                )
            options = (Slot(known.asked, 1 + i) for i in range(OPTIONS))
            asked = Question(name, (Slot(known.given, 0),))
            yield Question(self.name, (asked, *options), said=said(1, known.asked))

    def may(self, world: Any, language: int) -> bool:
        return all(len(_facts(world, (name,), language)) for name in self.names)

    def takes(self, question: Question) -> bool:
        return question.task == self.name and question.args[0].task in self.names

    def states(self, world: Any, question: Question) -> tuple[int, int]:
        return lookup(world, question.args[0].task)[:2]

    def answer(self, world: Any, question: Question) -> tuple:
        asked, *options = question.args
        right = answer(world, asked.task, asked.args[0])
        return right if {*right} <= {*options} else ()

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        shape, place = draws.below(len(self.names)), draws.below(OPTIONS)
        args, fact = np.empty((1 + OPTIONS, len(draws)), np.int64), np.empty(len(draws), np.int64)
        column = np.arange(len(draws))
        for i, name in enumerate(self.names):
            known, given = lookup(world, name), _given(world, (name,), draws, language)
            options = options_of(known, known.answer[given], place, draws, world)
            mine = shape == i
            args[0, mine] = given[mine] + ids[f"{known.given}0"]
            args[1:, mine] = options[:, mine] + ids[f"{known.asked}0"]
            fact[mine] = known.fact[given][mine]
        return Items(shape, args, args[1 + place, column][None], fact)


def options_of(known: Known, right, place, draws: Draws, world: Any) -> np.ndarray:
    """(OPTIONS, N) different entities of the answer's type, the right one at its place."""
    others, column = world.kinds[known.asked] - 1, np.arange(len(right))
    options = draws.distinct(min(OPTIONS, others), others)
    options += options >= right
    if others < OPTIONS:  # just enough: whoever stands where the right one goes is the last
        options = np.concatenate([options, options[np.minimum(place, others - 1), column][None]])
    options[place, column] = right
    return options


@functools.lru_cache(maxsize=256)
def lookup(world: Any, name: str) -> Known:
    """What a relation's or a converse's name maps to what."""
    named = [i for i, r in enumerate(world.relations) if name in (r.name, r.converse)]
    if not named:
        names = [n for r in world.relations for n in (r.name, r.converse)]
        raise ValueError(f"name={name!r} is of no relation; choose among {', '.join(names)}")
    i, relation = named[0], world.relations[named[0]]
    direction = int(name != relation.name)
    kinds = (relation.subject, relation.object)[:: 1 - 2 * direction]
    (own,) = np.nonzero(world.facts.relation == i)
    pair = (world.facts.subject[own], world.facts.object[own])[:: 1 - 2 * direction]
    fact, found = np.full((2, world.kinds[kinds[0]]), -1)
    fact[pair[0]], found[pair[0]] = own, pair[1]
    # Of a symmetric relation, the entity that its fact has as subject may be asked about.
    if len(np.unique(pair[0])) < len(own):
        raise ValueError(f"name={name!r}: a {kinds[0]} has several {kinds[1]}; ask the converse")
    return Known(i, direction, *kinds, fact, found)


def answer(world: Any, name: str, entity: str) -> tuple:
    """The entity that a name of a relation maps another one to."""
    known, i = lookup(world, name), number(entity)
    return (f"{known.asked}{known.answer[i]}",) if known.fact[i] >= 0 else ()


@functools.lru_cache(maxsize=256)
def _facts(world: Any, names: tuple[str, ...], language: int) -> np.ndarray:
    """The entities of whom the names, applied one after the other, may be asked: every fact on the
    way is stated in the language, and a single one in the direction in which it is asked."""
    known = [lookup(world, name) for name in names]
    if language >= world.stated.shape[1]:
        return np.zeros(0, np.int64)
    given = at = np.nonzero(known[0].fact >= 0)[0]
    for one in known:
        told = world.stated[one.fact[at], language] & (one.fact[at] >= 0)[:, None]
        fine = told[:, one.direction] if len(known) == 1 else told.any(1)
        given, at = given[fine], one.answer[at[fine]]
    return given


def _given(world: Any, names: tuple[str, ...], draws: Draws, language: np.ndarray) -> np.ndarray:
    """(N) one of the entities that may be asked about, each in its language."""
    entities, first, count = askable(world, names, language)
    return entities[first + draws.below(count)]


def askable(
    world: Any, names: tuple[str, ...], language: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entities that may be asked about, language after language; and for each of `language`
    (N) where its own begin among them and how many they are."""
    own = [_facts(world, names, i) for i in range(language.max(initial=0) + 1)]
    count = np.array([len(given) for given in own])
    return np.concatenate(own), (np.cumsum(count) - count)[language], count[language]
