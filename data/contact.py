"""Languages in contact: documents that say the same in two languages, and words of another language
in a document of one.

    parallel   a document is said again in another language, in the same document or in the next:
               "parent of x is y parent' of' x' is' y'". What states a fact does so in both, so it
               is drawn only where both languages may state it in that direction.
    switched   a constituent (a name, a noun, the relation of a statement) is the word of another
               language, bare, as embedded words are in a matrix language (Myers-Scotton 1993);
               function words and endings stay those of the document: "parent' of x is y'". So does
               the word by which a document asks: it would ask in a language where that is held out

Neither draws a number: they hash those of the document.
"""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from data.draw import below, chance, hashed
from data.language import Languages
from data.meaning import Fact, Parallel, slots
from data.speaker import Speaker, speaker
from data.split import ASKING
from data.syntax import Wording
from data.template import REGISTERS, Tables, Template, compile
from data.world import World

SCOPE = ("nouns", "names", "facts")
AGAIN, TARGET, SWITCH, EMBEDDED, NAMED, NAME, OPAQUE = range(7)  # what numbers are hashed for
_FUNCTION = ("function", "mark", "chat", "numeral", "bracket", "particle", "frame", "opener")


@dataclass(frozen=True)
class Contact:
    """`parallel` is the share of documents that are said again in another language, `adjacent` in a
    document of its own. `scope` is what documents say in two languages: "nouns" and "names" are
    explained by dictionary documents, "facts" stated by parallel ones, or not. `switched` is the
    rate of code-switching of a constituent."""

    parallel: float = 0.0
    adjacent: bool = False
    scope: tuple[str, ...] = ("nouns",)
    switched: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.parallel <= 1 or not 0 <= self.switched <= 1:
            raise ValueError(
                f"parallel={self.parallel}, switched={self.switched}: shares are from 0 to 1"
            )
        if not set(self.scope) <= set(SCOPE):
            raise ValueError(f"scope={self.scope}: what is said twice is any of {SCOPE}")

    def check(self, loss: str, packing: str) -> None:
        """ValueError if documents of a corpus with this loss and packing cannot be said again."""
        if not self.parallel:
            return
        if loss == "response":
            raise ValueError(
                f"loss='response', and parallel={self.parallel} of the documents have their "
                "prompt after their answer; choose loss='all' or parallel=0"
            )
        if packing == "apart" and "facts" in self.scope:
            raise ValueError(
                f"packing='apart' keeps a window from stating a fact twice, and parallel="
                f"{self.parallel} of the facts are; choose 'packed', or a scope without 'facts'"
            )
        if packing != "packed" and self.adjacent:
            raise ValueError(
                f"packing={packing!r} has no place for the next document, in which adjacent "
                "ones are said again; choose packing='packed' or adjacent=False"
            )


class Meeting(NamedTuple):
    """The templates of languages in contact, and what a document becomes."""

    tables: Tables  # those of the grammar, then the joined ones
    twin: np.ndarray  # (Z, languages) the template that says the same in a language, or -1
    joined: np.ndarray  # (Z, languages) the one that says it, and again in that language, or -1


@functools.lru_cache(maxsize=16)
def meet(pair: Languages, world: World, joins: bool) -> Meeting:
    """The templates of a pair or a family, and the joined ones, if there are any."""
    tables = compile(pair, world)
    twin = _twins(tables, len(pair.names))
    joined = np.full_like(twin, -1)
    first, second = np.nonzero(twin >= 0) if joins else np.zeros((2, 0), np.int64)
    joined[first, second] = len(tables.templates) + np.arange(len(first))
    return Meeting(_joined(tables, first, twin[first, second]), twin, joined)


def _twins(tables: Tables, languages: int) -> np.ndarray:
    """`Meeting.twin`: the same template with the language's own order, or the first one, since
    wordings that are the same are one template."""
    place: dict[Template, int] = {}
    for near in range(3):
        for z, template in enumerate(tables.templates):
            place.setdefault(replace(template, wording=_near(template.wording)[near]), z)
    twin = np.full((len(tables.templates), languages), -1)
    for z, template in enumerate(tables.templates):
        if template.register != REGISTERS.index("dictionary"):
            for language in set(range(languages)) - {template.language}:
                there = replace(template, language=language)
                said = [replace(there, wording=wording) for wording in _near(template.wording)[1:]]
                twin[z, language] = next((place[t] for t in said if t in place), -1)
    return twin


def _near(wording: Wording) -> tuple[Wording, ...]:
    return wording, Wording(wording.template), Wording()


def _joined(tables: Tables, first: np.ndarray, second: np.ndarray) -> Tables:
    """Tables with templates more, each of which says two (n) of the others, under one <doc>."""
    if not len(first):
        return tables
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    span = lambda z, skip=0: np.arange(
        tables.start[z] + skip, tables.start[z] + tables.length[z], dtype=np.int64
    )
    flat = np.concatenate([part for a, b in pairs for part in (span(a), span(b, 1))])
    length = tables.length[first] + tables.length[second] - 1
    language = tables.language[second]
    more = lambda name, values: np.concatenate([getattr(tables, name), values])
    known = [tables.templates[z] for z in first]
    said = zip(known, language.tolist(), strict=True)
    meanings = (replace(t, meaning=Parallel(t.meaning, target)) for t, target in said)
    names = (f"{tables.names[a]} / {tables.names[b]}" for a, b in pairs)
    columns = ("kind", "language", "register", "direction", "wording", "held_out", "prompt")
    in_flat = ("literal", "slot", "said", "tongue", "shown")
    return tables._replace(
        templates=(*tables.templates, *meanings),
        names=(*tables.names, *names),
        also=more("also", language),
        start=more("start", len(tables.literal) + np.cumsum(length) - length),
        length=more("length", length),
        askable=more("askable", np.zeros(len(first), bool)),
        **{name: more(name, getattr(tables, name)[first]) for name in columns},
        **{name: more(name, getattr(tables, name)[flat]) for name in in_flat},
    )


class Switch(NamedTuple):
    """What may be said in another language, over the flat words of the templates."""

    content: np.ndarray  # (flat) bool: a constituent, or part of one
    part: np.ndarray  # (flat) which of its words
    literal: np.ndarray  # (languages, flat) the word there in a language
    form: np.ndarray  # (languages, parts, concepts) the words of concepts as they are cited

    def words(
        self, rate: float, tables: Tables, u: np.ndarray, template, slots, words
    ) -> tuple[np.ndarray, np.ndarray]:
        """Documents of templates (N), which `u` (draws, N) drew and whose words are `words`, with
        some words of another language, and how many (N) differ."""
        (document, place), languages = tables.places(template), len(self.form)
        within = place - tables.start[template][document]
        (at,) = np.nonzero(self.content[place])
        whole, place = document[at], place[at]
        number = hashed(u[0, whole], u[1, whole], SWITCH, within[at] - self.part[place])
        chosen = chance(number, rate)
        at, whole, place = at[chosen], whole[chosen], place[chosen]
        shift = 1 + below(hashed(u[0, whole], u[1, whole], EMBEDDED), languages - 1)
        tongue = (tables.language[template[whole]] + shift) % languages
        slot = tables.slot[place]
        concept = slots[whole, np.maximum(slot, 0)]
        new = self.form[tongue, self.part[place], concept]
        new = np.where(slot >= 0, new, self.literal[tongue, place])
        differs = new != words[at]
        words = words.copy()
        words[at] = new
        return words, np.bincount(whole[differs], minlength=len(template))


@functools.lru_cache(maxsize=16)
def switch(pair: Languages, world: World, joins: bool) -> Switch:
    """ValueError if a statement of a fact could turn into one of another language, word for word:
    it would be an exposure there that nobody counts."""
    meeting, both = meet(pair, world, joins), speaker(pair, world)
    tables = meeting.tables
    word = {form: i for i, form in enumerate(tables.words)}
    own = np.repeat(tables.language, tables.length)
    kind = np.repeat(tables.register, tables.length)
    literal = np.tile(tables.literal, (len(both.form), 1))
    content = tables.said.copy()
    for place in np.nonzero(tables.slot < 0)[0]:
        concept = both.concept[own[place]].get(tables.words[tables.literal[place]])
        if concept in both.kind and both.kind[concept] not in _FUNCTION:
            content[place] = True
            literal[:, place] = [word[form[concept]] for form in both.form]
    # What is in two languages already is left as it is.
    content &= ~_asking(tables, both)
    content &= (kind != REGISTERS.index("dictionary")) & (np.repeat(tables.also, tables.length) < 0)
    parts = [[[*map(word.get, f.split())] for f in form.values()] for form in both.form]
    size = max(len(ids) for row in parts for ids in row)
    padded = [[ids + ids[-1:] * (size - len(ids)) for ids in row] for row in parts]
    found = Switch(
        content, _parts(tables, size), literal, np.array(padded, np.int32).swapaxes(1, 2)
    )
    _check_function_words(meeting, found)
    return found


def _asking(tables: Tables, both: Speaker) -> np.ndarray:
    """(flat) bool: the words by which something is asked, in documents that do."""
    kinds = {both.kind[question.task] for question in tables.shapes.question} | {"relation"}
    found = np.zeros(len(tables.literal), bool)
    for z, template in enumerate(tables.templates):
        if REGISTERS[template.register] in ASKING:
            kind = {slot.index: slot.kind for slot in slots(template.meaning)}
            for place in range(tables.start[z], tables.start[z] + tables.length[z]):
                word = tables.words[tables.literal[place]]
                own = both.kind.get(both.concept[template.language].get(word))
                found[place] = kind.get(int(tables.slot[place]), own) in kinds
    return found


def _parts(tables: Tables, size: int) -> np.ndarray:
    """(flat) which word of a name stands here."""
    part = np.zeros(len(tables.slot), np.int64)
    if size > 1:
        for place in np.nonzero(tables.said)[0]:
            same = place and tables.said[place - 1] and tables.slot[place] == tables.slot[place - 1]
            part[place] = (part[place - 1] + 1) % size if same else 0
    return part


def _check_function_words(meeting: Meeting, found: Switch) -> None:
    tables = meeting.tables
    for z, language in np.argwhere(meeting.twin >= 0):
        one, two = (
            slice(tables.start[i], tables.start[i] + tables.length[i])
            for i in (z, meeting.twin[z, language])
        )
        if not isinstance(tables.templates[z].meaning, Fact) or (
            tables.length[z] != tables.length[meeting.twin[z, language]]
        ):
            continue
        fixed = tables.slot[one] < 0
        if (tables.slot[one] == tables.slot[two]).all() and (
            found.literal[language][one][fixed] == tables.literal[two][fixed]
        ).all():
            raise ValueError(
                f"switched words could make {tables.names[z]!r} a statement of another language, "
                "since order and function words are the same; choose switched=0, or a twin with "
                "Lexicon or another order"
            )
