"""Lexicons: which concepts have a word, and what their words look like.

The base language's words are drawn first and then those of every twin, so a language's own words do
not depend on how many others there are.
"""

import functools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data.key import key
from data.name import Naming
from data.task import TASKS
from data.world import World

VERB = "is"
FUNCTION = ("of", VERB, "question", "define")
# Of plain sentences: complementizer, relative pronoun, dative adposition; then what has `verbs`
# words of each kind.
THAT, WHICH, TO = "that", "which", "to"
VERBS = ("intransitive", "transitive", "ditransitive", "saying")
PLAIN = (*VERBS, "adjective", "adposition")
# Of the templates after the first: another verb and a pronoun, then openers (data/grammar.py).
HAS, IT = "has", "it"
FRAMES = 3
MARKS = {"?": "?", ",": ","}
CHAT = {"user": "<u>", "assistant": "<a>"}
BRACKETS = {"(": "(", ")": ")"}
NUMERALS = {f"numeral{i}": str(i) for i in range(10)}
THE = "the"  # the article: a word that is no concept, and that only some languages have
UNINFLECTED = {*FUNCTION, *MARKS, *CHAT, THE, THAT, WHICH, TO, HAS}
# What is written and not pronounced: the base's forms, and those of a twin that has its own.
_SIGNS = ("mark", "chat", "numeral")  # the kinds of what is written
_WRITTEN = MARKS | CHAT | BRACKETS
_OWN = dict(zip(_WRITTEN, ("¿", "·", "<v>", "<b>", "[", "]"), strict=True))
_OWN |= {concept: chr(ord("٠") + i) for i, concept in enumerate(NUMERALS)}


_SHUFFLED = 2**20  # words that are all drawn, in some order, where there are no more


def gender(concept: str) -> int:
    """0 or 1, for no reason, as genders are: of the concept, and so of no group or seed."""
    return zlib.crc32(concept.encode()) & 1


def words(world: World) -> set[str]:
    """The concepts whose words are neither names nor written signs: nouns, and those that have a
    grammatical use."""
    spared = {*world.named, *_SIGNS, "stranger", "bracket"}
    kinds = inventory(world).items()
    return {concept for kind, known in kinds if kind not in spared for concept in known}


@functools.lru_cache
def inventory(world: World) -> dict[str, tuple[str, ...]]:
    """Every concept that has a word, by kind, in the order of the lexicon."""
    kinds = {kind: world.entities(kind) for kind in world.kinds}
    nouns = tuple(dict.fromkeys(noun for r in world.relations for noun in (r.name, r.converse)))
    words, more = dict(relation=nouns, task=TASKS, function=FUNCTION), world.vocabulary
    if more.verbs:
        words |= {kind: tuple(f"{kind}{i}" for i in range(more.verbs)) for kind in PLAIN}
        words |= dict(particle=(THAT, WHICH, TO))
    if more.templates > 1:
        openers = tuple(f"opener{i}" for i in range((more.templates - 1) // FRAMES))
        words |= dict(frame=(HAS, IT)) | (dict(opener=openers) if openers else {})
    words |= dict(mark=(*MARKS,), chat=(*CHAT,))
    new = coined(world)
    if new.pop("numeral", ()) or more.numerals:
        words["numeral"] = (*NUMERALS,)
    words |= new
    taken = {c for k in words if k != "relation" for c in words[k]} | {THE}
    taken = (taken & {*nouns}) | (kinds.keys() & words.keys())
    if taken:
        raise ValueError(
            f"a relation or type is called {taken.pop()!r}, which means something else; "
            "choose another name"
        )
    return kinds | words


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

    def __post_init__(self) -> None:
        for name in ("consonants", "vowels"):
            letters = getattr(self, name)
            if (
                not letters.isalpha()
                or letters != letters.lower()
                or len({*letters}) < len(letters)
            ):
                raise ValueError(
                    f"{name}={letters!r}: choose small letters, each once, and at least one"
                )
        if self.syllables < 1:
            raise ValueError(f"syllables={self.syllables} make no word; choose 1 or more")

    def words(self, count: int, seed: int) -> list[str]:
        """`count` distinct words, the same first ones for any count.

        >>> Phonology().words(3, seed=0)
        ['gosi', 'holu', 'juru']
        """
        many = len(self.consonants) * len(self.vowels)
        capacity = many**self.syllables
        if count > capacity:
            enough = next((n for n in range(self.syllables, 64) if many**n >= count), None)
            raise ValueError(
                f"{count} words do not fit an inventory of {capacity} "
                f"({len(self.consonants)} x {len(self.vowels)} syllables, {self.syllables} each); "
                f"choose {f'syllables={enough}' if enough else 'more letters'} or a smaller world"
            )
        parts = np.array([c + v for c in self.consonants for v in self.vowels])
        numbers = _different(count, capacity, np.random.Philox(key=key("lexicon", seed)))
        digits = np.stack(np.unravel_index(numbers, (len(parts),) * self.syllables), 1)
        return parts[digits].view(f"U{2 * self.syllables}").ravel().tolist()


def _different(count: int, capacity: int, stream: np.random.Philox) -> np.ndarray:
    """`count` different numbers below `capacity`, the same first ones for any count."""
    if capacity <= _SHUFFLED:
        return np.random.Generator(stream).permutation(capacity)[:count]
    # There are far more than are needed: they are taken as they come, without repetitions.
    drawn = np.zeros(0, np.uint64)
    while True:
        drawn = np.concatenate([drawn, stream.random_raw(count + 8) % np.uint64(capacity)])
        numbers, first = np.unique(drawn, return_index=True)
        if len(numbers) >= count:
            return drawn[np.sort(first)[:count]].astype(np.int64)


def lexicons(
    world: World, count: int, seed: int, phonology: Phonology, naming: Naming
) -> list[tuple[str, ...]]:
    """The forms, aligned with the inventory's concepts, of `count` languages that share none: words
    drawn from `seed`, names capitalised, and what is written each in its own way. Coined words are
    drawn after those of all languages."""
    kinds, new = inventory(world), coined(world)
    new.pop("numeral", ())
    written = [c for kind in _SIGNS for c in kinds.get(kind, ())]
    late = [(kind, c) for kind, concepts in new.items() for c in concepts]
    parts = _parts(world, naming, seed)
    size = {kind: int(part.max()) + 1 for kind, part in parts.items()}
    spoken, names = sum(size.values()), sum(size[kind] for kind in world.named)
    words = phonology.words(count * (spoken + len(late)), seed)
    words = [w.capitalize() if i % spoken < names else w for i, w in enumerate(words)]

    def lexicon(i: int) -> tuple[str, ...]:
        own = _forms(words[i * spoken : (i + 1) * spoken], parts.values())
        begin = count * spoken + i * len(late)
        drawn = zip(words[begin : begin + len(late)], late, strict=True)
        forms = (_coin(word.lower(), concept, kind, i) for word, (kind, concept) in drawn)
        return (*own, *(_written(c, i) for c in written), *forms)

    return [lexicon(i) for i in range(count)]


def _parts(world: World, naming: Naming, seed: int) -> dict[str, np.ndarray]:
    """(concepts, words) by kind of what is spoken and not coined: which of the kind's words make up
    each form. It is one word a form, but for the names of persons."""
    kinds = {k: len(v) for k, v in inventory(world).items() if k not in {*_SIGNS, *coined(world)}}
    one = {kind: np.arange(n)[:, None] for kind, n in kinds.items()}
    return one | {kind: naming.parts(kinds[kind], seed) for kind in world.persons}


def _forms(words: list[str], parts: Iterable[np.ndarray]) -> list[str]:
    """The forms of all kinds, whose words stand one kind after another."""
    forms, first = [], 0
    for part in parts:
        columns = [[words[first + i] for i in column] for column in part.T.tolist()]
        forms += map(" ".join, zip(*columns, strict=True))
        first += part.max() + 1
    return forms


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
