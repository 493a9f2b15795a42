"""The world, before any word: typed entities, relations between them, facts, and who is told what.

A *fact* is a relation, a subject and an object. It can be said in 2 *directions*, defined by which
of its two entities is mentioned first and never by grammar: FORWARD mentions the subject first,
REVERSE the object. A *cell* is a (language, direction) in which a fact may be stated. A coverage
*group* fixes the cells in which its facts are stated in pretraining; every other cell is held out.

The world has two relations. `parent`, whose converse is `child`, is a bijection between the persons
x and the persons y: the material of reversal. `home` maps the persons x onto fewer cities: the
material of transfer, since its converse (`resident`) is not a function and is never stated.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.key import key
from data.task import LISTS, Task

FORWARD, REVERSE = 0, 1
DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Relation:
    """`name` of a `subject` is an `object`; `converse` of that object is the subject."""

    name: str
    converse: str
    subject: str
    object: str


RELATIONS = (Relation("parent", "child", "x", "y"), Relation("home", "resident", "x", "city"))


@dataclass(frozen=True)
class Group:
    """Facts that are stated in the same `cells`, a tuple of (language, direction)."""

    name: str
    cells: tuple[tuple[int, int], ...] = ()


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
    """Columns over facts: `relation` indexes RELATIONS, `subject` and `object` index their type."""

    relation: np.ndarray
    subject: np.ndarray
    object: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Words beside those of entities, relations and list tasks; a world without them has none, so
    that no unused word is in anyone's vocabulary. `numerals`: 0 to 9."""

    numerals: bool = False


@dataclass(frozen=True)
class World:
    """`pairs` facts of each relation over `groups` of equal size; a pure function of its fields.

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

    @property
    def languages(self) -> int:
        """How many languages the groups speak of; two at least."""
        return max((cell[0] + 1 for group in self.groups for cell in group.cells), default=2)

    def entities(self, kind: str) -> tuple[str, ...]:
        """The names of all entities of a type, as concepts: 'x0', 'x1', ..."""
        count = {"x": self.pairs, "y": self.pairs, "city": self.cities, "noun": self.nouns}[kind]
        return tuple(f"{kind}{i}" for i in range(count))

    @functools.cached_property
    def facts(self) -> Facts:
        """Fact i < pairs is the parent of x_i, fact pairs + i the home of x_i."""
        rng = np.random.Generator(np.random.Philox(key=key("world", self.seed)))
        person, n = np.arange(self.pairs), self.pairs
        # Every city has as many residents as any other, give or take one: chance is 1/cities.
        homes = rng.permutation(n) % self.cities
        return Facts(
            relation=np.repeat([0, 1], n),
            subject=np.concatenate([person, person]),
            object=np.concatenate([rng.permutation(n), homes]),
            group=np.concatenate([person, person]) % len(self.groups),
        )

    def fact(self, i: int) -> tuple[str, str, str, str]:
        """Fact i in words: relation, subject, object, group."""
        facts, relation = self.facts, RELATIONS[self.facts.relation[i]]
        subject, object = (
            f"{relation.subject}{facts.subject[i]}",
            f"{relation.object}{facts.object[i]}",
        )
        return relation.name, subject, object, self.groups[facts.group[i]].name

    @functools.cached_property
    def stated(self) -> np.ndarray:
        """(facts, languages, directions) bool: the cells in which pretraining states each fact.

        A home is stated forward in every language in which its person's group is spoken of."""
        cells = np.zeros((len(self.groups), self.languages, 2), bool)
        for g, group in enumerate(self.groups):
            for language, direction in group.cells:
                cells[g, language, direction] = True
        homes = cells.any(2, keepdims=True) & [True, False]
        return np.concatenate([cells, homes])[
            self.facts.group + len(self.groups) * self.facts.relation
        ]
