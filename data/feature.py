"""What makes a twin differ from its base language: one small class each.

Every class is a value with `edit(twin, base, own, world) -> Language`; `own` is a complete lexicon
that shares no form with the base. Features compose in any order, since each has its stage: first
which words the twin has of its own, then what becomes of their forms, last how they are written.
Without any feature, or with all at zero, the twin is a clone.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from data.language import Feature, Language
from data.lexicon import CHAT, MARKS, NUMERALS, coined, inventory, words
from data.world import World


@dataclass(frozen=True)
class Lexicon(Feature):
    """The twin has words of its own, but for a share `overlap` of the nouns (the anchors). Of its
    other words (relations, tasks, function words, verbs) none is shared at any overlap; names and
    what is written (marks, numerals, chat markers) stay the base's, and have features of their own.
    """

    overlap: float = 0.3

    def __post_init__(self) -> None:
        _check_share("overlap", self.overlap)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        nouns = inventory(world)["noun"]
        anchors = {n for i, n in enumerate(nouns) if _picked(i, self.overlap)}
        return twin.borrow(own, words(world) - anchors, world)


@dataclass(frozen=True)
class Names(Feature):
    """A share `shared` of the names is the same in both languages: of the pairs in every group,
    both persons of a pair alike, and of the cities and all else that has a name. Counts are exact,
    so that no seed changes the vocabulary's size."""

    shared: float = 0.5

    def __post_init__(self) -> None:
        _check_share("shared", self.shared)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        place = lambda kind: world.owner(kind) // (len(world.groups) * (kind in world.persons) or 1)
        names = [(world.entities(kind), place(kind).tolist()) for kind in world.named]
        strangers = coined(world).get("stranger", ())
        names.append((strangers, range(len(strangers))))
        renamed = {
            concept
            for concepts, places in names
            for concept, p in zip(concepts, places, strict=True)
            if not _picked(p, self.shared)
        }
        return twin.borrow(own, renamed, world)


@dataclass(frozen=True)
class Order(Feature):
    """The order of subject, verb and object, e.g. Order("SOV")."""

    order: str

    def __post_init__(self) -> None:
        if sorted(self.order) != ["O", "S", "V"]:
            raise ValueError(
                f"order={self.order!r} is no order of S, V and O; choose one of "
                "SVO, SOV, VSO, VOS, OVS, OSV"
            )

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, order=self.order)


@dataclass(frozen=True)
class FreeOrder(Feature):
    """With this probability a document's clauses have one of the five other orders instead of the
    language's own. Who is in focus is mentioned first all the same, so direction means what it
    does elsewhere; subject and object of a plain sentence change places only where case tells them
    apart."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_share("probability", self.probability)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, freedom=self.probability)


@dataclass(frozen=True)
class PossessorFirst(Feature):
    """ "x of parent" instead of "parent of x"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, possessor_first=True)


@dataclass(frozen=True)
class Punctuation(Feature):
    """The twin has its own question mark and comma."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return twin.borrow(own, set(MARKS), world)


@dataclass(frozen=True)
class Digits(Feature):
    """The twin has its own signs for the numerals 0 to 9."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return twin.borrow(own, set(NUMERALS), world)


@dataclass(frozen=True)
class ChatMarkers(Feature):
    """The twin has its own markers of user and assistant."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return twin.borrow(own, set(CHAT), world)


@dataclass(frozen=True)
class Clone(Feature):
    """Every word is the twin's own, marks, digits and chat markers too, and the grammar is the
    base's: the cloned language of Dufter & Schuetze (2020), with nothing left to share."""

    excludes: ClassVar = ("Lexicon", "Names", "Punctuation", "Digits", "ChatMarkers")

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, forms=own.forms)


# The regular sound change of cognates. Vowels always shift, so a cognate is no word of the base.
_VOWELS = ("aeiou", "äëïöü")
_CONSONANTS = ("bp", "dt", "gk", "vf", "zs", "lr", "mn", "hj")


@dataclass(frozen=True)
class Cognates(Feature):
    """A share `rate` of the twin's own words but names (of all of them where it has none of its
    own) comes from the base's words by regular sound change: vowels shift, and a share `consonants`
    of the pairs b/p, d/t, g/k, v/f, z/s, l/r, m/n, h/j change places. One letter for one letter, so
    the change can be learned and undone.

    >>> str.translate("karu", Cognates().change), str.translate("Gosi", Cognates().change)
    ('kälü', 'Gösï')
    """

    rate: float = 0.5
    consonants: float = 0.5
    stage: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_share("rate", self.rate)
        _check_share("consonants", self.consonants)

    @property
    def change(self) -> dict[int, int]:
        """The sound change as a table for str.translate."""
        pairs = [p for i, p in enumerate(_CONSONANTS) if _picked(i, self.consonants)]
        one, two = "".join(p[0] for p in pairs), "".join(p[1] for p in pairs)
        return _letters(one + two + _VOWELS[0], two + one + _VOWELS[1])

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        old, new = (dict(zip(base.concepts(world), x.forms, strict=True)) for x in (base, twin))
        all_ = [c for c in old if c in words(world)]
        mine = [c for c in all_ if new[c] != old[c]] or all_
        chosen = {c for i, c in enumerate(mine) if _picked(i, self.rate)}
        changed = replace(base, forms=tuple(form.translate(self.change) for form in base.forms))
        known = {*base.forms}
        for concept, form in zip(old, changed.forms, strict=True):
            if concept in chosen and form in known:
                raise ValueError(
                    f"the sound change turns {old[concept]!r} into {form!r}, a word of the base; "
                    f"choose a Phonology with vowels among {_VOWELS[0]}, or rate=0"
                )
        return twin.borrow(changed, chosen, world)


@dataclass(frozen=True)
class FalseFriends(Feature):
    """A share `rate` of the nouns has the form that another noun has in the base: same form, other
    meaning, same class. They exchange forms in a ring, so within a language a form is unambiguous;
    an anchor or cognate in the ring is one no longer. Names never do: a sentence would state one
    fact in one language and another in the other."""

    rate: float = 0.2
    stage: ClassVar[int] = 2
    excludes: ClassVar = ("Clone",)

    def __post_init__(self) -> None:
        _check_share("rate", self.rate)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        ring = [n for i, n in enumerate(inventory(world)["noun"]) if _picked(i, self.rate)]
        if len(ring) == 1:
            raise ValueError(
                f"rate={self.rate} of {world.nouns} nouns is one noun, which has no other to be "
                f"confused with; choose rate=0 or {2 / world.nouns:g} and more"
            )
        form = dict(zip(base.concepts(world), base.forms, strict=True))
        rotated = {a: form[b] for a, b in zip(ring, ring[1:] + ring[:1], strict=True)}
        known = zip(twin.concepts(world), twin.forms, strict=True)
        return replace(twin, forms=tuple(rotated.get(c, form) for c, form in known))


_LATIN, _CYRILLIC = "abcdefghijklmnopqrstuvwxyzäëïöü", "абцдефгхийклмнопярстувшщызэєіёю"


@dataclass(frozen=True)
class Script(Feature):
    """How the twin is written. "disjoint": words that are no words of the base have letters, and so
    syllables, of their own; shared words stay. "mapped": every word, names and anchors too, in
    other code points, one for one, so that no form is shared but what has no letters: marks,
    numerals, brackets and chat markers."""

    script: str = "disjoint"
    stage: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.script not in ("same", "disjoint", "mapped"):
            raise ValueError(
                f"script={self.script!r} is not known; choose 'same', 'disjoint' or 'mapped'"
            )

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        if self.script == "same":
            return twin
        table, spared = _letters(_LATIN, _CYRILLIC), {*MARKS, *CHAT}
        letters = {letter for form in twin.forms for letter in form.lower() if letter.isalpha()}
        if unknown := letters - {*_LATIN}:
            raise ValueError(
                f"script={self.script!r} has no letters for {', '.join(sorted(unknown))}; choose a "
                f"Phonology of letters among {_LATIN}, or 'same'"
            )
        shared = set(base.forms) if self.script == "disjoint" else set()
        write = lambda forms: tuple(form.translate(table) for form in forms)
        known = zip(twin.concepts(world), twin.forms, strict=True)
        chosen = {c for c, form in known if c not in spared and form not in shared}
        twin = twin.borrow(replace(twin, forms=write(twin.forms)), chosen, world)
        case = tuple((role, suffix.translate(table)) for role, suffix in twin.case)
        agreement, articles = write(twin.agreement), write(twin.articles)
        return replace(twin, case=case, agreement=agreement, articles=articles)


@dataclass(frozen=True)
class Case(Feature):
    """Nouns and names take suffixes: with 2 cases all that is not a clause's subject, with 4 its
    object (accusative), the complement of "of" (genitive) and what is asked about (dative); with 0
    none does."""

    cases: int = 4

    def __post_init__(self) -> None:
        if self.cases not in (0, 2, 4):
            raise ValueError(f"cases={self.cases}: there are systems of 0, 2 and 4; choose one")

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        if not self.cases:
            return twin
        suffixes = "nnn" if self.cases == 2 else "nsk"
        return replace(twin, case=tuple(zip(_ROLES, suffixes, strict=True)))


_ROLES = ("object", "complement", "argument")


@dataclass(frozen=True)
class Agreement(Feature):
    """The verb shows the "number" of what its clause is about, or "gender x number": the gender of
    its first noun (closest conjunct agreement). Articles then show their noun's gender. With "none"
    it shows nothing."""

    shown: str = "number"

    def __post_init__(self) -> None:
        if self.shown not in _SHOWN:
            raise ValueError(f"shown={self.shown!r} is no agreement; choose among {(*_SHOWN,)}")

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, agreement=("", "m", "l", "r")[: _SHOWN[self.shown]])


_SHOWN = {"none": 0, "number": 2, "gender x number": 4}  # and how many suffixes tell it


@dataclass(frozen=True)
class Articles(Feature):
    """Common nouns (those of lists, and relations in statements of facts) have an article before
    them; names have none, nor have words in a dictionary."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, articles=("lo", "la"))


def _letters(one: str, two: str) -> dict[int, int]:
    """Letter for letter, capitals alike."""
    return str.maketrans(one + one.upper(), two + two.upper())


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={share} is not a share; choose a number from 0 to 1")


def _picked(i: int, share: float) -> bool:
    """Whether i is among an evenly spread share of 0, 1, 2, ...: floor(n*share) of the first n.

    Rounded before the floor, so that .3 of 10 is 3 in binary floating point too."""
    return int(round((i + 1) * share, 9)) > int(round(i * share, 9))
