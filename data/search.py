"""What rendered tokens say, read by someone who knows the languages and not what was drawn.

Tokens are read back to words, wherever documents begin or end; every run of words that fits a
template is a match, and the words in its slots name concepts. A match of a template of facts that
is true in the world is a statement; a list task with its arguments is an item. The rarest word of a
template picks the places to look at, so the search is faster than making the rows.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from data.corpus import Corpus
from data.lexicon import FRAMES, inventory
from data.meaning import Alias, Chat, Fact, Parallel, Question, Quiz, Slot, Story, slots
from data.task import TASKS, Positional, held_out
from data.template import Tables, Template
from data.world import FORWARD, World


class Words(NamedTuple):
    """The words (N) of some rows, one after another: word id, row, place of its first token."""

    word: np.ndarray
    row: np.ndarray
    position: np.ndarray


class Statements(NamedTuple):
    """N statements of facts in tokens: where each begins, what it says, and by which template.
    `direction` is read from which entity is mentioned first."""

    row: np.ndarray
    position: np.ndarray
    fact: np.ndarray
    template: np.ndarray
    direction: np.ndarray


def statements(corpus: Corpus, tokens: np.ndarray) -> Statements:
    """Every place in rows of tokens (B, T) where a fact of the world is stated, in any template of
    any language. What several languages would say alike is found in each of them."""
    words, tables, first = read(corpus, tokens), corpus.tables, corpus.sampler.concept
    found = [np.zeros((5, 0), np.int64)]
    alone = [z for z in fact_templates(tables) if not _holds_another(tables.templates[z])]
    for z, begin, filled in matches(corpus, words, alone):
        entities, slot = _entities(tables.templates[z]), _span(tables.slot, tables, z)
        number = [filled[:, e.index] - first[f"{e.kind}0"] for e in entities]
        subject, object = (np.argmax(slot == e.index) for e in entities)
        relation = corpus.world.relations[tables.templates[z].relation].name
        fact = _facts(corpus.world, relation, *number)
        begin, fact = begin[fact >= 0], fact[fact >= 0]
        same = np.ones_like(fact)
        where = words.row[begin], words.position[begin]
        found.append(np.stack([*where, fact, same * z, same * int(object < subject)]))
    return Statements(*np.concatenate(found, 1))


def fact_templates(tables: Tables) -> list[int]:
    """Those that state a fact, be it in the answer to a question."""
    return [z for z, template in enumerate(tables.templates) if template.relation >= 0]


def _holds_another(template: Template) -> bool:
    """Whether what stands behind an opener, or in half of a parallel document, is what another
    template says: it is found as that."""
    said = template.meaning
    first = isinstance(said, Fact) or (
        isinstance(said, Story) and not any(isinstance(arg, Fact) for arg in said.question.args)
    )
    return isinstance(said, Parallel) or (first and template.wording.template >= FRAMES)


def _entities(template: Template) -> tuple[Slot, Slot]:
    """The slots of the subject and the object of the fact that a template states: in an answer, of
    whoever was asked about and of what is said of them."""
    said = template.meaning.fact if isinstance(template.meaning, Alias) else template.meaning
    if isinstance(said, Fact):
        return said.subject, said.object
    given = min(slots(said.question.args), key=lambda slot: slot.index)
    (answer,) = said.question.said
    return (given, answer) if template.direction == FORWARD else (answer, given)


def items(corpus: Corpus, tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """Every document in rows of tokens (B, T) with an item of a list task that is kept for
    evaluation, as row and position (n, 2), and how many items there are in all."""
    words, tables, concept = read(corpus, tokens), corpus.tables, corpus.sampler.concept
    found, total = [np.zeros((0, 2), np.int64)], 0
    asked = [
        z for z, t in enumerate(tables.templates) if isinstance(t.meaning, Story | Quiz | Chat)
    ]
    for z, begin, filled in matches(corpus, words, asked, whole=True):
        said = tables.templates[z].meaning
        questions = (said.question, said.follow) if isinstance(said, Quiz) else (said.question,)
        for which, question in enumerate(q for q in questions if q):
            args = filled[:, which * tables.shapes.args :][:, :4].T - concept["noun0"]
            count = np.full(len(begin), len(question.args))
            for task in _lists(corpus, question):
                one = np.full(len(begin), TASKS.index(task))
                if isinstance(question.task, Slot):
                    here = filled[:, question.task.index] == concept[task]
                else:
                    here = np.ones(len(begin), bool)
                total += int(here.sum())
                at = begin[here & held_out(one, count, args)]
                found.append(np.stack([words.row[at], words.position[at]], 1))
    return np.concatenate(found), total


def _lists(corpus: Corpus, question: Question) -> list[str]:
    """The list tasks that a question of nouns may be of."""
    if not all(isinstance(arg, Slot) and arg.kind == "noun" for arg in question.args):
        return []
    named = lambda task: replace(question, task=task.name)
    return [
        task.name
        for task in corpus.world.tasks
        if isinstance(task, Positional) and task.name in TASKS and task.takes(named(task))
        if isinstance(question.task, Slot) or question.task == task.name
    ]


def matches(
    corpus: Corpus, words: Words, templates: list[int], whole: bool = False
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of every template that is said: its id, the places (n) among the words where it is, without
    <doc>, and the concepts (n, slots) in its slots, -1 where it has none. With `whole`, only where
    it is a whole document: a long list task has shorter ones in it."""
    tables = corpus.tables
    candidates = _documents(words) if whole else _rare(tables, words)
    for z in templates:
        literal, slot = (_span(column, tables, z) for column in (tables.literal, tables.slot))
        (fixed,) = np.nonzero(slot < 0)
        begin = candidates(literal, fixed)
        for j in fixed:
            begin = begin[words.word[begin + j] == literal[j]]
        if len(begin):
            yield z, *_filled(tables, _kinds(corpus, z), z, words.word, begin)


def _documents(words: Words) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Where a template may begin: documents of its length."""
    (doc,) = np.nonzero(words.word == 0)
    length = np.diff(doc, append=len(words.word)) - 1
    order = np.argsort(length, kind="stable")
    begin, bounds = doc[order] + 1, np.searchsorted(length[order], np.arange(length.max() + 2))

    def candidates(literal: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        n = len(literal)
        return begin[bounds[n] : bounds[n + 1]] if n + 1 < len(bounds) else begin[:0]

    return candidates


def _rare(tables: Tables, words: Words) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Where a template may begin: around its rarest fixed word, within a row."""
    count = np.bincount(words.word, minlength=len(tables.words))
    places: dict[int, np.ndarray] = {}

    def candidates(literal: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        rarest = fixed[np.argmin(count[literal[fixed]])]
        anchor = int(literal[rarest])
        if anchor not in places:
            (places[anchor],) = np.nonzero(words.word == anchor)
        begin = places[anchor] - rarest
        begin = begin[(begin >= 0) & (begin + len(literal) <= len(words.word))]
        return begin[words.row[begin] == words.row[begin + len(literal) - 1]]

    return candidates


def read(corpus: Corpus, tokens: np.ndarray) -> Words:
    """The words of rows of tokens (B, T). Padding reads as <doc>s, which no statement has in it."""
    B, T = tokens.shape
    flat, place = tokens.ravel(), np.arange(B * T)
    if not corpus.subword:
        return Words(flat, place // T, place % T)
    return Words(*_joined(corpus, flat, T))


def _joined(corpus: Corpus, flat: np.ndarray, T: int) -> tuple[np.ndarray, ...]:
    """Words of pieces: one begins at every piece that has the space before a word in it. Pieces
    that are no word of the languages read as one of no concept, the last id."""
    pieces = corpus.pieces
    opens = np.zeros(corpus.tokenizer.size, bool)
    opens[pieces.flat[pieces.start]] = True  # <doc> among them
    first = opens[flat]
    first[::T] = True
    (begin,) = np.nonzero(first)
    length = np.diff(begin, append=len(flat))
    key = _hash(flat, begin, length)
    known = _hash(pieces.flat, pieces.start, pieces.count)
    order = np.argsort(known)
    at = np.searchsorted(known[order], key).clip(max=len(order) - 1)
    word = np.where(known[order[at]] == key, order[at], len(order))
    return word, begin // T, begin % T


def _hash(flat: np.ndarray, begin: np.ndarray, length: np.ndarray) -> np.ndarray:
    """64 bits of every run of pieces: sum of piece times a random odd number of its place."""
    place = np.arange(len(flat)) - np.repeat(begin, length)
    factor = np.random.Generator(np.random.Philox(key=0)).integers(
        0, 2**63, place.max(initial=0) + 1, np.uint64
    )
    return np.add.reduceat((flat.astype(np.uint64) + 1) * (2 * factor[place] + 1), begin)


def _span(column: np.ndarray, tables: Tables, z: int) -> np.ndarray:
    """The words of a template, without its <doc>."""
    return column[tables.start[z] + 1 : tables.start[z] + tables.length[z]]


def _filled(
    tables: Tables, kinds: dict[int, np.ndarray], z: int, words: np.ndarray, begin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of places where a template's fixed words stand: those whose slots hold words of concepts of
    their kinds, and these concepts."""
    slot, tongue = (_span(column, tables, z) for column in (tables.slot, tables.tongue))
    filled, fits = np.full((tables.shapes.slots, len(begin)), -1), np.ones(len(begin), bool)
    for s, concepts in kinds.items():
        (places,) = np.nonzero(slot == s)
        # All of a concept's words name it together: a name may have several, and share each.
        forms = [tables.form[tongue[j], concepts] for j in places]
        said = [words[begin + j] for j in places]
        known = _together(forms)
        order = np.argsort(known)
        at = np.searchsorted(known, _together(said), sorter=order)
        concept = order[np.minimum(at, len(order) - 1)]
        for form, word in zip(forms, said, strict=True):
            fits &= form[concept] == word
        filled[s] = concepts[concept]
    return begin[fits], filled[:, fits].T


def _together(words: list[np.ndarray]) -> np.ndarray:
    """64 bits of words that stand side by side."""
    key = np.zeros(len(words[0]), np.uint64)
    for word in words:
        key = key * np.uint64(0x9E3779B97F4A7C15) + word.astype(np.uint64)
    return key


def _kinds(corpus: Corpus, z: int) -> dict[int, np.ndarray]:
    """Slot -> the concepts that may fill it."""
    concept = corpus.sampler.concept
    names = inventory(corpus.world)
    said = slots(corpus.tables.templates[z].meaning)
    return {s.index: np.array([concept[c] for c in names[s.kind]]) for s in said}


def _facts(world: World, relation: str, subject: np.ndarray, object: np.ndarray) -> np.ndarray:
    """The facts that relate entities, by their numbers in their types; -1 where none does."""
    keys, fact, width = _related(world, relation)
    at = np.searchsorted(keys, subject * width + object).clip(max=len(keys) - 1)
    return np.where(keys[at] == subject * width + object, fact[at], -1)


@functools.lru_cache(maxsize=16)
def _related(world: World, relation: str) -> tuple[np.ndarray, np.ndarray, int]:
    """The facts of a relation in the order of their keys, subject * width + object."""
    facts, names = world.facts, [r.name for r in world.relations]
    (own,) = np.nonzero(facts.relation == names.index(relation))
    width = int(facts.object.max()) + 1
    key = facts.subject[own] * width + facts.object[own]
    order = np.argsort(key)
    return key[order], own[order], width
