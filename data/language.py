"""Languages: concept -> word form, and the switches of a grammar.

A document is a sequence of *leaves* (a concept, the language whose word is used, whether it belongs
to the answer), which a grammar puts in order (data/grammar.py).

A `Family` is a language and its *twins*: the same language edited by features (data/feature.py), an
exact clone where there are none. A `Pair` is a family of two. A `Speaker` (data/speaker.py) knows
all of them.
"""

import functools
import itertools
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol

from data.key import key
from data.lexicon import THE, Phonology, gender, inventory, lexicons
from data.meaning import Concept
from data.name import Naming
from data.tokenizer import DOC
from data.world import World

CITED = "cited"


class Leaf(NamedTuple):
    """One word to be: `language` whose word it is; `answer`: what a completion has to say;
    `given`: what has to be known before. `role` is the case of a noun, "" for the nominative and
    CITED where a word is never inflected; `controller` is the concept whose gender the word shows,
    if it shows one, and `plural` whether it shows that of several. A verb has the role "verb"."""

    concept: Concept
    language: int
    answer: bool = False
    given: bool = False
    role: str = ""
    controller: Concept | None = None
    plural: bool = False


@dataclass(frozen=True)
class Language:
    """A lexicon (`forms`, aligned with the inventory's concepts) and the grammar's switches.

    `case` pairs roles ("object", "complement" of "of", "argument" of a question) with suffixes;
    `agreement` has the verb's suffixes: singular and plural, or these for gender 0 and then for 1;
    `articles` the article, or one a gender. Empty, there are none. Beside the order, the head
    switches (data/head.py); `freedom` is the share of documents in any other order."""

    forms: tuple[str, ...]
    order: str = "SVO"
    possessor_first: bool = False
    case: tuple[tuple[str, str], ...] = ()
    agreement: tuple[str, ...] = ()
    articles: tuple[str, ...] = ()
    perturbation: "Perturbation | None" = None  # of the finished document: data/impossible.py
    complementizer_last: bool = False
    postpositions: bool = False
    adjective_last: bool = False
    relative_first: bool = False
    place_first: bool = False
    objects_turned: bool = False
    freedom: float = 0.0

    def concepts(self, world: World) -> tuple[Concept, ...]:
        """What `forms` are the forms of."""
        return tuple(itertools.chain(*inventory(world).values()))

    def borrow(self, other: "Language", concepts: set[str], world: World) -> "Language":
        """This language with the other's words for `concepts`."""
        chosen = zip(self.concepts(world), self.forms, other.forms, strict=True)
        return replace(self, forms=tuple(b if name in concepts else a for name, a, b in chosen))

    def noun_phrase(self, head: list[Leaf], of: Leaf, complement: list[Leaf]) -> list[Leaf]:
        return [*complement, of, *head] if self.possessor_first else [*head, of, *complement]

    def clause(self, verb: Leaf, first: list[Leaf], second: list[Leaf]) -> list[Leaf]:
        """The verb in its place; where the two phrases meet, the caller has to keep them apart."""
        phrases = [first, second]
        phrases.insert(self.order.index("V"), [verb])
        return list(itertools.chain(*phrases))

    def inflect(self, form: str, leaf: Leaf) -> str:
        """`form` with the ending that the leaf calls for; an article has forms of its own."""
        shown = gender(leaf.controller) if self.gendered and leaf.controller else 0
        if leaf.concept == THE:
            return self.articles[shown]
        if leaf.role == "verb" and self.agreement:
            return form + self.agreement[2 * shown + leaf.plural]
        return form + dict(self.case).get(leaf.role, "")

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders a clause may have: "" for the language's own, and, where order is free, the
        five others."""
        every = ("SVO", "SOV", "VSO", "VOS", "OVS", "OSV")
        return ("", *(order for order in every if order != self.order and self.freedom))

    @property
    def gendered(self) -> bool:
        return len(self.agreement) == 4

    @property
    def object_first(self) -> bool:
        return self.order.index("O") < self.order.index("S")

    @property
    def verb_before_object(self) -> bool:
        return self.order.index("V") < self.order.index("O")


class Perturbation(Protocol):
    """What an impossible language does to the words of a document. It may put `markers` among
    them: `added` in a document without a verb."""

    added: ClassVar[int]
    markers: ClassVar[tuple[str, ...]]

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]: ...


class Feature(Protocol):
    """One way in which a twin differs; `own` is a language that shares no form with `base`.

    Features are applied by their `stage`, so it does not matter in which order they are given;
    `excludes` names kinds that this one contradicts."""

    stage: ClassVar[int] = 0
    excludes: ClassVar[tuple[str, ...]] = ()

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language: ...


_PHONOLOGY, _NAMING = Phonology(), Naming()


class Languages:
    """A base language, drawn from `seed`, and its `twins`, each edited by features of its own, in
    whatever order: what a Pair and a Family have in common."""

    twins: tuple[tuple[Feature, ...], ...]
    seed: int
    phonology: Phonology
    naming: Naming  # of persons, in all of them
    tagged: bool | str  # every document begins with its language's name, or with one word in all

    def __post_init__(self) -> None:
        key("lexicon", self.seed)  # checks it
        tag = self.tagged
        if isinstance(tag, str) and (tag.split() != [tag] or tag == DOC):
            raise ValueError(
                f"tagged={tag!r} is no word, or the one that opens every document; choose a word "
                "without spaces, True for the language's name, or False"
            )
        for features in self.twins:
            _check_together(features)

    @property
    def names(self) -> tuple[str, ...]:
        """L1 is the base, L2 its first twin."""
        return tuple(f"L{i + 1}" for i in range(len(self.twins) + 1))

    def languages(self, world: World) -> tuple[Language, ...]:
        """All languages' words are drawn once, so a feature chooses forms and never re-draws."""
        forms = lexicons(world, len(self.names), self.seed, self.phonology, self.naming)
        base = Language(forms[0])
        twins = zip(self.twins, forms[1:], strict=True)
        return base, *(_twin(base, features, own, world) for features, own in twins)


@dataclass(frozen=True)
class Pair(Languages):
    """A base language and one twin, edited by `features`."""

    features: tuple[Feature, ...] = ()
    seed: int = 0
    phonology: Phonology = _PHONOLOGY
    naming: Naming = _NAMING
    tagged: bool | str = False

    @property
    def twins(self) -> tuple[tuple[Feature, ...], ...]:
        return (self.features,)


@dataclass(frozen=True)
class Family(Languages):
    """A base language and any number of twins, each with the features named for it.

    >>> from data.feature import Clone, Order
    >>> family = Family(((Clone(),), (Order("SOV"),)))
    >>> family.names, [language.order for language in family.languages(World())]
    (('L1', 'L2', 'L3'), ['SVO', 'SVO', 'SOV'])
    """

    twins: tuple[tuple[Feature, ...], ...] = ((),)
    seed: int = 0
    phonology: Phonology = _PHONOLOGY
    naming: Naming = _NAMING
    tagged: bool | str = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.twins:
            raise ValueError("twins=() leaves one language; choose one tuple of features a twin")


def _twin(
    base: Language, features: tuple[Feature, ...], own: tuple[str, ...], world: World
) -> Language:
    edited = lambda twin, feature: feature.edit(twin, base, replace(base, forms=own), world)
    return functools.reduce(edited, sorted(features, key=lambda feature: feature.stage), base)


def _check_together(features: tuple[Feature, ...]) -> None:
    kinds = [type(feature).__name__ for feature in features]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"features={kinds} name one kind twice; keep one of each")
    for feature in features:
        one = type(feature).__name__
        for kind in (set(feature.excludes) & set(kinds)) - {one}:
            raise ValueError(f"features={kinds}: {one} contradicts {kind}; keep one of the two")
