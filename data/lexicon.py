"""Lexicons: which concepts have a word, and what their words look like.

The base language's words are drawn first and then those of every twin, so a language's own words do
not depend on how many others there are.
"""

import functools
import zlib
from dataclasses import dataclass

import numpy as np

from data.key import key
from data.task import TASKS
from data.world import RELATIONS, World

VERB = "is"
FUNCTION = ("of", VERB, "question", "define")
MARKS = {"?": "?", ",": ","}
CHAT = {"user": "<u>", "assistant": "<a>"}
BRACKETS = {"(": "(", ")": ")"}
NUMERALS = {f"numeral{i}": str(i) for i in range(10)}
THE = "the"  # the article: a word that is no concept, and that only some languages have
UNINFLECTED = {*FUNCTION, *MARKS, *CHAT, THE}
# What is written and not pronounced: the base's forms, and what a twin of its own would have.
_WRITTEN = MARKS | CHAT | BRACKETS
_OWN = dict(zip(_WRITTEN, ("¿", "·", "<v>", "<b>", "[", "]"), strict=True))
_OWN |= {concept: chr(ord("٠") + i) for i, concept in enumerate(NUMERALS)}


def gender(concept: str) -> int:
    """0 or 1, for no reason, as genders are: of the concept, and so of no group or seed."""
    return zlib.crc32(concept.encode()) & 1


@functools.lru_cache
def inventory(world: World) -> dict[str, tuple[str, ...]]:
    """Every concept that has a word, by kind, in the order of the lexicon."""
    kinds = {kind: world.entities(kind) for kind in ("x", "y", "city", "noun")}
    nouns = tuple(noun for r in RELATIONS for noun in (r.name, r.converse))
    kinds |= dict(relation=nouns, task=TASKS, function=FUNCTION, mark=(*MARKS,), chat=(*CHAT,))
    new = coined(world)
    if new.pop("numeral", ()) or world.vocabulary.numerals:
        kinds["numeral"] = (*NUMERALS,)
    return kinds | new


def coined(world: World) -> dict[str, tuple[str, ...]]:
    """Concepts, by kind, that have a word because a task of the world needs it. They come last, so
    that no other word depends on what is asked."""
    found: dict[str, dict] = {}
    for kind, concepts in (item for task in world.tasks for item in task.words(world).items()):
        found.setdefault(kind, {}).update(dict.fromkeys(c for c in concepts if c not in TASKS))
    return {kind: tuple(concepts) for kind, concepts in found.items() if concepts}


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


def lexicons(world: World, count: int, seed: int, phonology: Phonology) -> list[tuple[str, ...]]:
    """The forms, aligned with the inventory's concepts, of `count` languages that share none: words
    drawn from `seed`, names capitalised, and what is written each in its own way. Coined words are
    drawn after those of all languages."""
    kinds, new = inventory(world), coined(world)
    new.pop("numeral", ())
    written = [c for kind in ("mark", "chat", "numeral") for c in kinds.get(kind, ())]
    late = [(kind, c) for kind, concepts in new.items() for c in concepts]
    spoken = sum(map(len, kinds.values())) - len(written) - len(late)
    words = phonology.words(count * (spoken + len(late)), seed)
    names = 2 * world.pairs + world.cities
    words = [w.capitalize() if i % spoken < names else w for i, w in enumerate(words)]

    def lexicon(i: int) -> tuple[str, ...]:
        own = words[i * spoken : (i + 1) * spoken]
        begin = count * spoken + i * len(late)
        drawn = zip(words[begin : begin + len(late)], late, strict=True)
        forms = (_coin(word.lower(), concept, kind, i) for word, (kind, concept) in drawn)
        return (*own, *(_written(c, i) for c in written), *forms)

    return [lexicon(i) for i in range(count)]


def _coin(word: str, concept: str, kind: str, language: int) -> str:
    """The form of a coined concept: strangers have names, brackets are written."""
    if kind == "bracket":
        return _written(concept, language)
    return word.capitalize() if kind == "stranger" else word


def _written(concept: str, language: int) -> str:
    """The sign of a concept: an index tells third and further languages from the second."""
    if not language:
        return (_WRITTEN | NUMERALS)[concept]
    index = "".join(chr(ord("₀") + int(digit)) for digit in str(language + 1))
    return _OWN[concept] + index * (language > 1)
