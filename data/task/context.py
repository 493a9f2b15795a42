"""Questions about what the question itself tells: facts are stated, and then asked for.

What is told is true of no entity of the world: nothing that is asked can be known by heart, and
nothing that is held out is said.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.draw import Draws
from data.meaning import Fact, Question, Slot
from data.relation import Relation
from data.task import Items, Task, said
from data.task.retrieval import lookup

STATEMENTS = (1, 2, 3)  # facts that are told
CONTENT = Relation("content", "container", "box", "noun")


@dataclass(frozen=True)
class Told(Task):
    """Facts of a relation, all told in one direction, then `name` of an entity in them. The last
    that was said of it holds."""

    name: str = ""
    followed: ClassVar[bool] = False

    def relation(self, world: Any) -> tuple[Relation, bool]:
        """The relation that is told, and whether its subjects are asked for."""
        raise NotImplementedError

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        relation, converse = self.relation(world)
        given, asked = (relation.subject, relation.object)[:: 1 - 2 * converse]
        for m in STATEMENTS:
            for direction in (0, 1):
                pairs = [(Slot(relation.subject, 2 * i), Slot(relation.object, 2 * i + 1))
                         for i in range(m)]  # fmt: skip
                told = (Fact(relation.name, *pair, pair[direction]) for pair in pairs)
                yield Question(self.name, (*told, Slot(given, 2 * m)), said=said(1, asked))

    def takes(self, question: Question) -> bool:
        return question.task == self.name and isinstance(question.args[0], Fact)

    def answer(self, world: Any, question: Question) -> tuple:
        *facts, entity = question.args
        converse = self.relation(world)[1]
        known = dict((f.subject, f.object)[:: 1 - 2 * converse] for f in facts)
        return (known[entity],) if entity in known else ()

    def items(self, draws: Draws, subject: np.ndarray, object: np.ndarray, converse: bool) -> Items:
        """Of facts of `subject` and `object` (the longest list, N), so many as are drawn."""
        many, direction = draws.below(len(STATEMENTS)), draws.below(2)
        column, count = np.arange(len(draws)), np.array(STATEMENTS)[many]
        given, asked = (subject, object)[:: 1 - 2 * converse]
        entity = given[draws.below(count), column]
        args = np.stack([subject, object], 1).reshape(2 * len(subject), -1)
        args = np.concatenate([args, entity[None]])
        args[2 * count, column] = entity
        there = (given == entity) & (np.arange(len(given))[:, None] < count)
        last = len(given) - 1 - np.argmax(there[::-1], axis=0)
        return Items(2 * many + direction, args, asked[last, column][None])


@dataclass(frozen=True)
class InContext(Told):
    """What pretraining never says: facts of a relation, told in one direction or the other. No two
    that are told have one object, so also of a relation that is no bijection each is asked for by
    `name`; the converse may ask where the relation is invertible. That takes twice as many objects
    as may be told, to have a false one for each; of a symmetric relation, where all that are told
    are different persons, three times as many.

    >>> from data.world import World
    >>> told = Fact("parent", "x0", "y7", focus="x0")
    >>> InContext("child").answer(World(), Question("child", (told, "y7")))
    ('x0',)
    """

    name: str = "parent"

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {}

    def relation(self, world: Any) -> tuple[Relation, bool]:
        known = lookup(world, self.name)
        relation, n = world.relations[known.relation], max(STATEMENTS)
        ends = {relation.subject: n, relation.object: (2 + relation.symmetric) * n}
        for kind, least in ends.items():
            if world.kinds[kind] < least:
                raise ValueError(
                    f"{self}: {world.kinds[kind]} {kind} are too few to be told what is false of "
                    f"each; choose {least} or more, or another relation"
                )
        return relation, bool(known.direction)

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        relation, converse = self.relation(world)
        true, n = world.objects(relation.name), max(STATEMENTS)
        if relation.symmetric:
            subject, object = np.split(draws.distinct(3 * n, len(true)), [n])
        else:
            subject = draws.distinct(n, len(true))
            object = draws.distinct(2 * n, world.kinds[relation.object])
        # All different, so who is not the object of a subject may stand for who is.
        object = np.where(object[:n] == true[subject], object[n:], object[:n])
        ends = subject + ids[f"{relation.subject}0"], object + ids[f"{relation.object}0"]
        return self.items(draws, *ends, converse)


@dataclass(frozen=True)
class Boxes(Told):
    """Entity tracking (after Kim & Schuster 2023): nouns are put into boxes, one of them perhaps
    again, and the question is in which box it is now."""

    name: str = "container"
    boxes: int = 4
    relations: ClassVar[tuple[Relation, ...]] = (CONTENT,)

    def __post_init__(self) -> None:
        if self.boxes < 2:
            raise ValueError(f"boxes={self.boxes} are no choice of a box; choose 2 or more")

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        boxes = tuple(f"box{i}" for i in range(self.boxes))
        return {"skill": ("container", "content"), "box": boxes}

    def relation(self, world: Any) -> tuple[Relation, bool]:
        return CONTENT, True

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        n, column = max(STATEMENTS), np.arange(len(draws))
        two = draws.distinct(2, world.nouns) + ids["noun0"]
        noun = two[draws.rows(2, n), column]
        box = draws.rows(self.boxes, n) + ids["box0"]
        return self.items(draws, box, noun, True)
