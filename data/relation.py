"""What may hold between entities: one small class a kind of relation.

A relation maps every subject to an object. Which is which decides *direction*: FORWARD mentions the
subject first, REVERSE the object, whatever the grammar does. A relation says in which directions it
may be stated in pretraining and in which it may be asked; only what has one answer may be asked, so
nothing but an invertible relation is asked in reverse (a many-to-one relation would be answered
rightly by chance, or by any of many).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

FORWARD, REVERSE = 0, 1
DIRECTIONS = ("forward", "reverse")
BOTH = (FORWARD, REVERSE)


@dataclass(frozen=True)
class Relation:
    """`name` of a `subject` is an `object`; `converse` of that object is the subject.

    A fact is stated in the `stated` directions of its group's cells. Where that is one direction,
    it is stated in that one in every language in which the group is spoken of."""

    name: str
    converse: str
    subject: str
    object: str
    stated: tuple[int, ...] = (FORWARD,)
    asked: tuple[int, ...] = (FORWARD,)
    invertible: ClassVar[bool] = False
    symmetric: ClassVar[bool] = False
    stage: ClassVar[int] = 0  # relations are drawn in the order of their stages

    def __post_init__(self) -> None:
        for what in ("stated", "asked"):
            if not set(getattr(self, what)) <= set(BOTH):
                raise ValueError(
                    f"{self.name}: {what}={getattr(self, what)} are no directions; choose among "
                    f"{FORWARD} (the subject first) and {REVERSE}"
                )
        if not (self.name.isalpha() and self.converse.isalpha()):
            raise ValueError(
                f"name={self.name!r}, converse={self.converse!r}: a relation is named in letters"
            )
        if not self.symmetric and (self.name == self.converse or self.subject == self.object):
            raise ValueError(
                f"{self.name}/{self.converse} from {self.subject} to {self.object}: with one name "
                "nobody knows which of the two is asked for, and with one type an entity may be "
                "its own object; choose two names and two types, or Symmetric"
            )
        if not all(kind.isalpha() and kind.islower() for kind in (self.subject, self.object)):
            raise ValueError(
                f"{self.name}: types {self.subject!r} and {self.object!r} are named in lower-case "
                "letters, since their entities are numbered"
            )

    def size(self, subjects: int, cities: int) -> int | None:
        """How many entities the object's type has; None where another relation says it."""
        raise NotImplementedError(f"{type(self).__name__} is not a kind of relation")

    def draw(
        self, rng: np.random.Generator, known: dict[str, np.ndarray], group: np.ndarray, m: int
    ) -> np.ndarray:
        """The object (n), one of `m`, of every subject; `group` (n) is theirs and `known` holds
        the objects of all relations of earlier stages."""
        raise NotImplementedError(f"{type(self).__name__} is not a kind of relation")


@dataclass(frozen=True)
class Bijection(Relation):
    """Every subject has an object of its own: the material of reversal.

    >>> Bijection("parent", "child", "x", "y").draw(np.random.default_rng(0), {}, np.zeros(4), 4)
    array([2, 0, 1, 3])
    """

    stated: tuple[int, ...] = BOTH
    asked: tuple[int, ...] = BOTH
    invertible: ClassVar[bool] = True
    stage: ClassVar[int] = 1

    def size(self, subjects: int, cities: int) -> int:
        return subjects

    def draw(self, rng, known, group, m) -> np.ndarray:
        return rng.permutation(len(group))


@dataclass(frozen=True)
class Attribute(Relation):
    """Subjects share `values` objects, each as many subjects as any other, give or take one, so
    that chance is 1/values: the material of transfer. `values=None` are the world's cities.

    Between nouns and classes, and again between classes, it is a class tree (CLASSES)."""

    values: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values is None and self.object != "city":
            raise ValueError(f"{self.name}: values=None are cities; say how many {self.object}")
        if self.values is not None and self.values < 2:
            raise ValueError(f"{self.name}: values={self.values} is no choice; choose 2 or more")

    def size(self, subjects: int, cities: int) -> int:
        return self.values or cities

    def draw(self, rng, known, group, m) -> np.ndarray:
        return rng.permutation(len(group)) % m


@dataclass(frozen=True)
class Symmetric(Relation):
    """Pairs of one type, both of the same group: `name` of a is b and of b is a. One fact a pair;
    its subject is the entity of the lower number, so that FORWARD mentions that one first."""

    stated: tuple[int, ...] = BOTH
    asked: tuple[int, ...] = BOTH
    invertible: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.name, self.subject) != (self.converse, self.object):
            raise ValueError(
                f"{self.name}/{self.converse} from {self.subject} to {self.object} is not "
                "symmetric; give name and converse, subject and object the same value"
            )

    def size(self, subjects: int, cities: int) -> int:
        return subjects

    def draw(self, rng, known, group, m) -> np.ndarray:
        partner = np.empty(len(group), np.int64)
        for g in np.unique(group):
            one, two = rng.permutation(np.nonzero(group == g)[0]).reshape(-1, 2).T
            partner[one], partner[two] = two, one
        return partner


@dataclass(frozen=True)
class Composition(Relation):
    """The second relation of `path` applied to the first: true whenever both are.

    By default it is never stated, and asking it is a question of two hops. Stated, it is a derived
    attribute, such as the city of a person's company (Allen-Zhu & Li 2023, bioS)."""

    stated: tuple[int, ...] = ()
    path: tuple[str, str] = ("", "")
    stage: ClassVar[int] = 3

    def size(self, subjects: int, cities: int) -> None:
        return None

    def draw(self, rng, known, group, m) -> np.ndarray:
        first, second = self.path
        return known[second][known[first]]


RELATIONS = (Bijection("parent", "child", "x", "y"), Attribute("home", "resident", "x", "city"))
SPOUSE = Symmetric("spouse", "spouse", "x", "x")
CLASSES = (
    Attribute("class", "member", "noun", "class", values=4),
    Attribute("realm", "part", "class", "realm", values=2),
)
