"""Languages: concept -> word form, and the order of words.

A document is a sequence of *leaves* (a concept, the language whose word is used, whether it belongs
to the answer), ordered by a small grammar with two switches:

    clause   the verb ("is") first, between or after its two noun phrases, as in `order`
    phrase   "parent of x", or "x of parent" where the possessor comes first

The clause says `R of given is answer`, so whoever is mentioned first (the focus) and the relation
precede the answer. Where the order puts objects first, the given entity is the grammatical object
and the clause turns to the converse relation: `given is R' of answer`.

A `Pair` is a language and its *twin*: the same language edited by features (data/feature.py), an
exact clone if there are none. A `Speaker` (data/speaker.py) knows both.
"""

import functools
import itertools
import zlib
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from data.key import key
from data.meaning import Concept
from data.task import TASKS
from data.world import RELATIONS, World

VERB = "is"
FUNCTION = ("of", VERB, "question", "define")
MARKS = {"?": "?", ",": ","}
CHAT = {"user": "<u>", "assistant": "<a>"}
THE = "the"  # the article: a word that is no concept, and that only some languages have
UNINFLECTED = {*FUNCTION, *MARKS, *CHAT, THE}


class Leaf(NamedTuple):
    """One word to be: `language` whose word it is; `answer`: what a completion has to say;
    `given`: what has to be known before. `role` is the case of a noun, "" for the nominative and
    wherever words are cited; `controller` is the concept whose gender the word shows, if it shows
    one, and `plural` whether it shows that of several."""

    concept: Concept
    language: int
    answer: bool = False
    given: bool = False
    role: str = ""
    controller: Concept | None = None
    plural: bool = False


def gender(concept: str) -> int:
    """0 or 1, for no reason, as genders are: of the concept, and so of no group or seed."""
    return zlib.crc32(concept.encode()) & 1


@functools.lru_cache
def inventory(world: World) -> dict[str, tuple[str, ...]]:
    """Every concept that has a word, by kind, in the order of the lexicon."""
    kinds = {kind: world.entities(kind) for kind in ("x", "y", "city", "noun")}
    nouns = tuple(noun for r in RELATIONS for noun in (r.name, r.converse))
    return kinds | dict(
        relation=nouns, task=TASKS, function=FUNCTION, mark=(*MARKS,), chat=(*CHAT,)
    )


@dataclass(frozen=True)
class Phonology:
    """Pronounceable pseudo-words: `syllables` of one consonant and one vowel each."""

    consonants: str = "bdfghjklmnprstvz"
    vowels: str = "aeiou"
    syllables: int = 2

    def words(self, count: int, seed: int) -> list[str]:
        """`count` distinct words, the same first ones for any count.

        >>> Phonology().words(3, seed=0)
        ['gosi', 'holu', 'juru']
        """
        capacity = (len(self.consonants) * len(self.vowels)) ** self.syllables
        if count > capacity:
            raise ValueError(
                f"{count} words do not fit an inventory of {capacity} "
                f"({len(self.consonants)} x {len(self.vowels)} syllables, {self.syllables} each); "
                f"choose syllables={self.syllables + 1} or a smaller world"
            )
        parts = [c + v for c in self.consonants for v in self.vowels]
        order = np.random.Generator(np.random.Philox(key=key("lexicon", seed))).permutation(
            capacity
        )[:count]
        digits = np.stack(np.unravel_index(order, (len(parts),) * self.syllables), 1)
        return ["".join(parts[d] for d in row) for row in digits]


@dataclass(frozen=True)
class Language:
    """A lexicon (`forms`, aligned with the inventory's concepts) and the grammar's switches.

    `case` pairs roles ("object", "complement" of "of", "argument" of a question) with suffixes;
    `agreement` has the verb's suffixes: singular and plural, or these for gender 0 and then for 1;
    `articles` the article, or one a gender. Empty, there are none."""

    forms: tuple[str, ...]
    order: str = "SVO"
    possessor_first: bool = False
    case: tuple[tuple[str, str], ...] = ()
    agreement: tuple[str, ...] = ()
    articles: tuple[str, ...] = ()
    perturbation: "Perturbation | None" = None  # of the finished document: data/impossible.py

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
        """The verb at its place; two phrases that meet are the caller's to keep apart."""
        phrases = [first, second]
        phrases.insert(self.order.index("V"), [verb])
        return list(itertools.chain(*phrases))

    def inflect(self, form: str, leaf: Leaf) -> str:
        """The form of a leaf's concept, or none for the article, with what the leaf shows."""
        shown = gender(leaf.controller) if self.gendered and leaf.controller else 0
        if leaf.concept == THE:
            return self.articles[shown]
        if leaf.concept == VERB and self.agreement:
            return form + self.agreement[2 * shown + leaf.plural]
        return form + dict(self.case).get(leaf.role, "")

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
    """What an impossible language does to the words of a document; it says `markers` too, and adds
    `added` words to a document without a verb."""

    added: ClassVar[int]
    markers: ClassVar[tuple[str, ...]]

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]: ...


class Feature(Protocol):
    """One way in which a twin differs; `own` is a language that shares no form with `base`.

    Features are applied by their `stage`, so that their order says nothing; `excludes` names kinds
    that this one contradicts."""

    stage: ClassVar[int] = 0
    excludes: ClassVar[tuple[str, ...]] = ()

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language: ...


@dataclass(frozen=True)
class Pair:
    """A base language drawn from `seed` and its twin, edited by `features`, in whatever order."""

    features: tuple[Feature, ...] = ()
    seed: int = 0
    phonology: Phonology = Phonology()

    def __post_init__(self) -> None:
        key("lexicon", self.seed)  # checks it
        kinds = [type(feature).__name__ for feature in self.features]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"features={kinds} name one kind twice; keep one of each")
        for feature in self.features:
            one = type(feature).__name__
            for kind in (set(feature.excludes) & set(kinds)) - {one}:
                raise ValueError(f"features={kinds}: {one} contradicts {kind}; keep one of the two")

    def languages(self, world: World) -> tuple[Language, Language]:
        """Both languages' words are drawn once, so a feature chooses forms and never re-draws."""
        kinds = inventory(world)
        spoken = sum(len(v) for k, v in kinds.items() if k not in ("mark", "chat"))
        words = self.phonology.words(2 * spoken, self.seed)
        names = 2 * world.pairs + world.cities
        words = [w.capitalize() if i % spoken < names else w for i, w in enumerate(words)]
        base = Language((*words[:spoken], *MARKS.values(), *CHAT.values()))
        own = replace(base, forms=(*words[spoken:], "¿", "·", "<v>", "<b>"))
        edited = lambda twin, feature: feature.edit(twin, base, own, world)
        features = sorted(self.features, key=lambda feature: feature.stage)
        return base, functools.reduce(edited, features, base)
