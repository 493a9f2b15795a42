"""What rendered tokens say of the world, read (data/reader.py) without trust in what was drawn.

A match of a template of facts that is true in the world is a statement, in the order of a grammar
or, where documents are transformed, with its words in any order. What stands behind an opener is
what a template without it says, and is found as that, unless the template with the opener is one
that no corpus may say.
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from data.corpus import Corpus, Said
from data.meaning import Parallel, slots
from data.reader import matches, read, span
from data.template import Tables
from data.world import World


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
    any language, held out or not. What several languages would say alike is found in each of them.
    """
    words, tables, first = read(corpus, tokens), corpus.tables, corpus.sampler.concept
    found, searched = [np.zeros((4, 0), np.int64)], _searched(corpus)
    for z, begin, filled in matches(corpus, words, [*searched]):
        entities, slot = tables.templates[z].entities, span(tables.slot, tables, z)
        number = [filled[:, e.index] - first[f"{e.kind}0"] for e in entities]
        subject, object = (np.argmax(slot == e.index) for e in entities)
        relation = corpus.world.relations[tables.templates[z].relation].name
        fact = _facts(corpus.world, relation, *number)
        begin, fact = begin[fact >= 0], fact[fact >= 0]
        same = np.ones_like(fact)
        found.append(np.stack([begin, fact, same * z, same * int(object < subject)]))
    begin, *said = _once(np.concatenate(found, 1), searched)
    return Statements(words.row[begin], words.position[begin], *said)


def _once(found: np.ndarray, searched: dict[int, int]) -> np.ndarray:
    """Statements (begin, fact, template, direction; n) without those that are part of another."""
    begin, fact, template, _ = found
    within = np.full(template.max(initial=0) + 1, -1)
    for z in searched.keys() & {*template.tolist()}:
        within[z] = searched[z]
    skip, facts = within[template], fact.max(initial=0) + 1
    outer = skip >= 0
    inner = np.isin(begin * facts + fact, ((begin + skip) * facts + fact)[outer]) & ~outer
    return found[:, ~inner]


def fact_templates(tables: Tables) -> list[int]:
    """Those that state a fact, be it in the answer to a question."""
    return [z for z, template in enumerate(tables.templates) if template.relation >= 0]


@functools.lru_cache(maxsize=4)
def _searched(corpus: Corpus) -> dict[int, int]:
    """The templates of facts that are looked for, and where in each what another template says
    begins, -1 where nothing does: behind an opener, or before one in a language that reverses all.
    Such are found as that other one, and a parallel one as its halves; what no corpus may say is
    looked for all the same."""
    tables = corpus.tables
    columns = tables.literal, tables.slot, tables.tongue
    said = lambda z, part: tuple(span(column, tables, z)[part].tobytes() for column in columns)
    single = [
        z for z in fact_templates(tables) if not isinstance(tables.templates[z].meaning, Parallel)
    ]
    known, parts = {said(z, slice(None)) for z in single}, (slice(0, -1), slice(1, None))
    inner = lambda z: max(part.start if said(z, part) in known else -1 for part in parts)
    found = {z: inner(z) for z in single}
    return {z: begin for z, begin in found.items() if begin < 0 or tables.held_out[z]}


def scattered(corpus: Corpus, tokens: np.ndarray) -> Statements:
    """Every document in rows of tokens (B, T) that has the words of a true statement and no others,
    in whatever order. Words that the corpus does not know are markers, and read over; so is
    the order, and `direction` is that of the entity mentioned first.

    Statements with other concepts in them (a noun that stands for an entity, answers to choose
    from) are found in the order of the grammar alone."""
    words, known, V = read(corpus, tokens), _bags(corpus), len(corpus.tables.words)
    (begin,) = np.nonzero(words.word == 0)
    bag = np.add.reduceat(_numbers(V)[np.minimum(words.word, V)], begin)
    first, last = (np.searchsorted(known.bag, bag, side) for side in ("left", "right"))
    which = np.repeat(np.arange(len(bag)), last - first)
    shift = first - np.cumsum(last - first) + last - first
    entry = np.arange(len(which)) + np.repeat(shift, last - first)
    fact, template = known.fact[entry], known.template[entry]
    direction = _first(corpus, words, begin, which, fact, template)
    # A parallel document is a statement of either half.
    one, two = _halves(corpus)
    (both,) = np.nonzero(two[template] >= 0)
    said = np.stack([which, fact, np.where(one[template] >= 0, one[template], template), direction])
    said = np.append(said, [which[both], fact[both], two[template[both]], direction[both]], 1)
    which, fact, template, direction = _single(corpus.tables, said)
    at = begin[which] + 1
    return Statements(words.row[at], words.position[at], fact, template, direction)


def _single(tables: Tables, said: np.ndarray) -> np.ndarray:
    """Statements (document, fact, template, direction; n), of a fact in a language one a document:
    whatever wordings have these words. A wording that may be said goes before one held out."""
    said = said[:, np.argsort(tables.held_out[said[2]], kind="stable")]
    cells = np.stack([*said[:2], tables.language[said[2]]])
    return said[:, np.sort(np.unique(cells, axis=1, return_index=True)[1])]


class _Bags(NamedTuple):
    """Statements by the sum of the numbers of their words, ascending."""

    bag: np.ndarray
    fact: np.ndarray
    template: np.ndarray


@functools.lru_cache(maxsize=4)
def _bags(corpus: Corpus) -> _Bags:
    """Every true statement of a template that has no slots but those of its two entities."""
    tables, number = corpus.tables, _numbers(len(corpus.tables.words))
    found = [(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for z in fact_templates(tables):
        if slots(tables.templates[z].meaning) == {*tables.templates[z].entities}:
            (fact,) = np.nonzero(corpus.world.facts.relation == tables.templates[z].relation)
            template = np.full(len(fact), z)
            said = _said(corpus, fact, template)
            bag = np.add.reduceat(number[said.tokens], np.cumsum(said.length) - said.length)
            found.append((bag, fact, template))
    bag, fact, template = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(bag)
    return _Bags(bag[order], fact[order], template[order])


def _numbers(V: int) -> np.ndarray:
    """64 bits for every word; none for <doc> and for what is no word, the last."""
    number = np.random.Generator(np.random.Philox(key=1)).integers(0, 2**64, V + 1, np.uint64)
    number[[0, V]] = 0
    return number


def _said(corpus: Corpus, fact: np.ndarray, template: np.ndarray) -> Said:
    """Facts (n) as templates (n) say them, in words."""
    tables, world, concept = corpus.tables, corpus.world, corpus.sampler.concept
    filled = np.zeros((len(fact), tables.shapes.slots), np.int64)
    for z in np.unique(template):
        (at,) = np.nonzero(template == z)
        ends = zip(tables.templates[z].entities, world.facts[1:3], strict=True)
        for entity, number in ends:
            filled[at, entity.index] = number[fact[at]] + concept[f"{entity.kind}0"]
    return replace(corpus, subword=None).say(template, filled)


def _first(corpus, words, begin, which, fact, template) -> np.ndarray:
    """The direction (n) of documents `which` (n) that have the words of facts (n) as templates (n)
    say them: 0 where a word of the subject alone comes first, 1 where one of the object does."""
    said, V = _said(corpus, fact, template), len(corpus.tables.words)
    ends = np.zeros((len(corpus.tables.templates), 2), np.int64)
    for z in np.unique(template):
        ends[z] = [entity.index for entity in corpus.tables.templates[z].entities]
    of = np.repeat(np.arange(len(fact)), said.length)
    role = np.where(said.slot[:, None] == ends[template[of]], [1, 2], 0).sum(1)
    key, back = np.unique(of * V + said.tokens, return_inverse=True)
    roles = np.zeros(len(key), np.int64)
    np.bitwise_or.at(roles, back, np.where(role, role, 4))
    length = np.diff(begin, append=len(words.word))[which]
    of = np.repeat(np.arange(len(fact)), length)
    place = np.arange(len(of)) + np.repeat(begin[which] - np.cumsum(length) + length, length)
    word = words.word[place]
    at = np.searchsorted(key, of * V + word).clip(max=max(len(key) - 1, 0))
    role = np.where((key[at] == of * V + word) & (word < V), roles[at], 0) if len(key) else of
    (named,) = np.nonzero((role == 1) | (role == 2))
    mentioned, first = np.unique(of[named], return_index=True)
    direction = np.zeros(len(fact), np.int64)
    direction[mentioned] = role[named[first]] - 1
    return direction


def _halves(corpus: Corpus) -> np.ndarray:
    """(2, Z) the templates that a parallel one says one after the other, -1 of any other."""
    meeting = corpus.sampler.meeting
    halves = np.full((2, len(corpus.tables.templates)), -1)
    first, second = np.nonzero(meeting.joined >= 0)
    halves[:, meeting.joined[first, second]] = first, meeting.twin[first, second]
    return halves


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
    width = world.kinds[world.relations[names.index(relation)].object]  # also those of no fact
    key = facts.subject[own] * width + facts.object[own]
    order = np.argsort(key)
    return key[order], own[order], width
