"""The world, before any word: typed entities, relations between them, facts, and who is told what.

A *fact* is a relation, a subject and an object. It can be said in 2 *directions*, defined by which
of its two entities is mentioned first and never by grammar: FORWARD mentions the subject first,
REVERSE the object. A *cell* is a (language, direction) in which a fact may be stated. A coverage
*group* fixes the cells in which its facts are stated in pretraining; every other cell is held out.

By default a world has two relations. `parent`, whose converse is `child`, is a bijection between
the persons x and the persons y: the material of reversal. `home` maps the persons x onto fewer
cities: the material of transfer, since its converse (`resident`) is not a function and is never
stated. Others are in data/relation.py.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.key import key
from data.relation import (
    BOTH,
    DIRECTIONS,
    FORWARD,
    RELATIONS,
    REVERSE,
    Bijection,
    Composition,
    Relation,
    Symmetric,
)
from data.task import LISTS, Task


@dataclass(frozen=True)
class Group:
    """Facts that are stated in the same `cells`, a tuple of (language, direction)."""

    name: str
    cells: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for language, direction in self.cells:
            if language < 0 or direction not in BOTH:
                raise ValueError(
                    f"{self.name}: {(language, direction)} is no cell; choose a language from 0 "
                    f"and a direction of {FORWARD} (FORWARD) or {REVERSE} (REVERSE)"
                )


# What each answers: G1 reversal; G2 asked in the second language transfer; G4 whether the other
# language supplies the missing direction; G6 transfer upwards; G7, never stated, is the floor.
GROUPS = (
    Group("G0", ((0, FORWARD), (0, REVERSE), (1, FORWARD), (1, REVERSE))),
    Group("G1", ((0, FORWARD), (1, FORWARD))),
    Group("G2", ((0, FORWARD),)),
    Group("G3", ((0, FORWARD), (0, REVERSE))),
    Group("G4", ((0, FORWARD), (1, REVERSE))),
    Group("G5", ((0, REVERSE),)),
    Group("G6", ((1, FORWARD),)),
    Group("G7"),
)


class Facts(NamedTuple):
    """Columns over facts: `relation` indexes the world's, `subject` and `object` their type."""

    relation: np.ndarray
    subject: np.ndarray
    object: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """What can be said beside facts and list tasks, and so the words there are: a world without it
    has none of them, so that no unused word is in anyone's vocabulary.

    `numerals`: 0 to 9. `verbs`: how many of each valency, and how many adjectives and adpositions,
    for plain sentences. `templates`: ways to word a statement, a story and a question, of which the
    last `held_out` are in no corpus and left to evaluation. `aliases`: whether a noun may stand for
    an entity, for the length of a document."""

    numerals: bool = False
    verbs: int = 0
    templates: int = 1
    held_out: int = 0
    aliases: bool = False

    def __post_init__(self) -> None:
        if self.verbs < 0:
            raise ValueError(f"verbs={self.verbs} is no number of words; choose 0 or more")
        if not 0 <= self.held_out < self.templates:
            raise ValueError(
                f"held_out={self.held_out} of templates={self.templates} leaves none to say; "
                "choose templates of 1 or more and held_out below it"
            )


@dataclass(frozen=True)
class World:
    """`pairs` persons x in `groups` of equal size, and what holds of them; a pure function of its
    fields. A relation is declared after the ones that its subjects come from. Adding a relation
    may change the facts of those that are drawn after it.

    >>> world = World(pairs=16, cities=4, nouns=6)
    >>> world.fact(2)
    ('parent', 'x2', 'y13', 'G2')
    >>> world.fact(18)
    ('home', 'x2', 'city2', 'G2')
    """

    pairs: int = 160
    cities: int = 30
    nouns: int = 30
    groups: tuple[Group, ...] = GROUPS
    tasks: tuple[Task, ...] = LISTS  # what can be asked in it, and so what has a word
    seed: int = 0
    vocabulary: Vocabulary = Vocabulary()
    relations: tuple[Relation, ...] = RELATIONS

    def __post_init__(self) -> None:
        key("world", self.seed)  # checks it
        if not self.groups or self.pairs < 1 or self.pairs % len(self.groups):
            raise ValueError(
                f"pairs={self.pairs} cannot be dealt to {len(self.groups)} groups of equal size; "
                f"choose a positive multiple of {max(len(self.groups), 1)}"
            )
        if self.cities < 2 or self.nouns < 6:
            raise ValueError(
                f"cities={self.cities}, nouns={self.nouns}: a choice needs 2 cities, and a list "
                "task of 4 different arguments with some held out needs 6 nouns; choose more"
            )
        called = [group.name for group in self.groups]
        if len({*called}) < len(called):
            raise ValueError(f"groups are called {called}, one name twice; choose other names")
        if not self.tasks:
            raise ValueError(
                "tasks=() is nothing to ask; choose one, and no share of it in Mixture"
            )
        if not self.relations:
            raise ValueError("relations=() is no relation; choose one, and no facts in the mixture")
        names = [name for r in self.relations for name in dict.fromkeys((r.name, r.converse))]
        if len(set(names)) < len(names):
            raise ValueError(f"relations are called {names}, one name twice; choose other names")
        for relation in self.relations:
            self._check(relation)

    def _check(self, relation: Relation) -> None:
        if isinstance(relation, Composition):
            earlier = {r.name: r for r in self.relations[: self.relations.index(relation)]}
            first, second = (earlier.get(name) for name in relation.path)
            if not (
                first
                and second
                and (first.subject, first.object, second.object)
                == (relation.subject, second.subject, relation.object)
            ):
                raise ValueError(
                    f"{relation.name}: path={relation.path} does not lead from {relation.subject} "
                    f"to {relation.object} by relations declared before it; choose two that do"
                )
        n = self.kinds[relation.subject]
        if isinstance(relation, Symmetric) and (n % len(self.groups) or n // len(self.groups) % 2):
            raise ValueError(
                f"{relation.name}: {n} {relation.subject} in {len(self.groups)} groups leave one "
                f"without a partner; choose a multiple of {2 * len(self.groups)}"
            )
        if REVERSE in relation.asked and not self._invertible(relation):
            raise ValueError(
                f"{relation.name} is asked in reverse, but several {relation.subject} have one "
                f"{relation.object}, so there is no one answer; choose asked=({FORWARD},)"
            )

    def _invertible(self, relation: Relation) -> bool:
        if not isinstance(relation, Composition):
            return relation.invertible
        path = [r for r in self.relations if r.name in relation.path]
        return all(map(self._invertible, path))

    @functools.cached_property
    def kinds(self) -> dict[str, int]:
        """How many entities each type has: first the types with names, then nouns and their
        classes, in the order in which the relations mention them."""
        count, common = {"x": self.pairs, "noun": self.nouns}, {"noun"}
        for r in self.relations:
            if r.subject not in count:
                raise ValueError(
                    f"{r.name}: no relation before it has {r.subject} as its object; declare one, "
                    f"or choose the subject among {[*count]}"
                )
            n = r.size(count[r.subject], self.cities) or count.get(r.object)
            if count.setdefault(r.object, n) != n:
                raise ValueError(
                    f"{r.name} has {n} {r.object}, another relation {count[r.object]}; "
                    "choose one number"
                )
            common |= {r.object} if r.subject in common else set()
        return {k: count[k] for rest in (False, True) for k in count if (k in common) == rest}

    @functools.cached_property
    def named(self) -> tuple[str, ...]:
        """The types whose entities have names; nouns and their classes have words."""
        return tuple(self.kinds)[: [*self.kinds].index("noun")]

    @property
    def languages(self) -> int:
        """How many languages the groups speak of; two at least."""
        return max([2, *(cell[0] + 1 for group in self.groups for cell in group.cells)])

    def entities(self, kind: str) -> tuple[str, ...]:
        """The names of all entities of a type, as concepts: 'x0', 'x1', ..."""
        return tuple(f"{kind}{i}" for i in range(self.kinds[kind]))

    def objects(self, relation: str) -> np.ndarray:
        """(n) the object of every subject of a relation; of nouns, say, their class."""
        return self._drawn[0][relation]

    def owner(self, kind: str) -> np.ndarray:
        """(n) the person x to whom each entity of a type belongs by bijections: x3 to itself, its
        parent to x3. Entities of other types have their own number. The owner decides the group,
        so both persons of a pair are in one."""
        return self._drawn[1].get(kind, np.arange(self.kinds[kind]))

    @functools.cached_property
    def persons(self) -> tuple[str, ...]:
        """x, and all types that bijections lead to from there."""
        return tuple(self._drawn[1])

    @functools.cached_property
    def _drawn(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Objects by relation and owners by type. One stream of random numbers draws all relations,
        stage after stage: an additional one may change those after it."""
        rng = np.random.Generator(np.random.Philox(key=key("world", self.seed)))
        objects: dict[str, np.ndarray] = {}
        owner = {"x": np.arange(self.pairs)}
        for r in sorted(self.relations, key=lambda r: r.stage):
            mine = owner.get(r.subject, np.arange(self.kinds[r.subject]))
            group = mine % len(self.groups)
            objects[r.name] = drawn = r.draw(rng, objects, group, self.kinds[r.object])
            if isinstance(r, Bijection) and r.subject in owner and r.object not in owner:
                owner[r.object] = np.empty_like(mine)
                owner[r.object][drawn] = mine
        return objects, owner

    @functools.cached_property
    def facts(self) -> Facts:
        """All facts of the first relation by subject, then those of the second, and so on: by
        default fact i < pairs is the parent of x_i, fact pairs + i the home of x_i."""
        columns = []
        for i, r in enumerate(self.relations):
            object = self.objects(r.name)
            subject = np.arange(len(object))
            if isinstance(r, Symmetric):
                (subject,) = np.nonzero(subject < object)
            group = self.owner(r.subject)[subject] % len(self.groups)
            columns.append((np.full(len(subject), i), subject, object[subject], group))
        return Facts(*map(np.concatenate, zip(*columns, strict=True)))

    def fact(self, i: int) -> tuple[str, str, str, str]:
        """Fact i in words: relation, subject, object, group."""
        facts, relation = self.facts, self.relations[self.facts.relation[i]]
        subject, object = (
            f"{relation.subject}{facts.subject[i]}",
            f"{relation.object}{facts.object[i]}",
        )
        return relation.name, subject, object, self.groups[facts.group[i]].name

    def chance(self, relation: str, direction: int = FORWARD) -> float:
        """How often a guess among all entities of the answer's type is right."""
        known = {r.name: r for r in self.relations}
        if relation not in known:
            raise ValueError(f"{relation!r} is no relation; choose among {', '.join(known)}")
        if direction not in (r := known[relation]).asked:
            raise ValueError(f"{relation} is not asked {DIRECTIONS[direction]}; it has no chance")
        return 1 / self.kinds[r.object if direction == FORWARD else r.subject]

    @functools.cached_property
    def stated(self) -> np.ndarray:
        """(facts, languages, directions) bool: the cells in which pretraining states each fact.

        A home is stated forward in every language in which its person's group is spoken of."""
        cells = np.zeros((len(self.groups), self.languages, 2), bool)
        for g, group in enumerate(self.groups):
            for language, direction in group.cells:
                cells[g, language, direction] = True
        may = [
            cells
            if set(r.stated) == set(BOTH)
            else cells.any(2, keepdims=True) & np.isin(BOTH, r.stated)
            for r in self.relations
        ]
        return np.stack(may)[self.facts.relation, self.facts.group]
