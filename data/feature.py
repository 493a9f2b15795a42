"""What makes a twin differ from its base language: one small class each.

Every class is a value with `edit(twin, own, world) -> Language`; `own` is a complete lexicon that
shares no form with the base. Features compose in any order; without any, the twin is a clone.
"""

from dataclasses import dataclass, replace

from data.language import CHAT, FUNCTION, MARKS, Language, inventory
from data.world import World


@dataclass(frozen=True)
class Lexicon:
    """The twin has words of its own, but for a share `overlap` of the nouns (the anchors)."""

    overlap: float = 0.3

    def __post_init__(self) -> None:
        _check_share("overlap", self.overlap)

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        kinds = inventory(world)
        nouns = [n for i, n in enumerate(kinds["noun"]) if not _picked(i, self.overlap)]
        return twin.borrow(own, {*nouns, *kinds["relation"], *kinds["task"], *FUNCTION}, world)


@dataclass(frozen=True)
class Names:
    """A share `shared` of the names is the same in both languages: of the pairs in every group,
    both persons of a pair alike, and of the cities. Counts are exact, so that no seed changes the
    vocabulary's size."""

    shared: float = 0.5

    def __post_init__(self) -> None:
        _check_share("shared", self.shared)

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        place = [i // len(world.groups) for i in range(world.pairs)]
        parents = world.facts.object[: world.pairs]
        alone = [i for i in range(world.pairs) if not _picked(place[i], self.shared)]
        renamed = {f"x{i}" for i in alone} | {f"y{parents[i]}" for i in alone}
        cities = {f"city{i}" for i in range(world.cities) if not _picked(i, self.shared)}
        return twin.borrow(own, renamed | cities, world)


@dataclass(frozen=True)
class Order:
    """The order of subject, verb and object, e.g. Order("SOV")."""

    order: str

    def __post_init__(self) -> None:
        if sorted(self.order) != ["O", "S", "V"]:
            raise ValueError(
                f"order={self.order!r} is no order of S, V and O; choose one of "
                "SVO, SOV, VSO, VOS, OVS, OSV"
            )

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        return replace(twin, order=self.order)


@dataclass(frozen=True)
class PossessorFirst:
    """ "x of parent" instead of "parent of x"."""

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        return replace(twin, possessor_first=True)


@dataclass(frozen=True)
class Punctuation:
    """The twin has its own question mark and comma."""

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        return twin.borrow(own, set(MARKS), world)


@dataclass(frozen=True)
class ChatMarkers:
    """The twin has its own markers of user and assistant."""

    def edit(self, twin: Language, own: Language, world: World) -> Language:
        return twin.borrow(own, set(CHAT), world)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={share} is not a share; choose a number from 0 to 1")


def _picked(i: int, share: float) -> bool:
    """Whether i is among an evenly spread share of 0, 1, 2, ...: floor(n*share) of the first n.

    Rounded before the floor, so that .3 of 10 is 3 in binary floating point too."""
    return int(round((i + 1) * share, 9)) > int(round(i * share, 9))
