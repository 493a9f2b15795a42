"""Tokens read back by someone who knows the languages and not what was drawn.

Tokens are read to words, wherever documents begin or end; every run of words that fits a template
is a match, and the words in its slots name concepts. The rarest word of a template picks the places
to look at, so the search is faster than making the rows.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from data.corpus import Corpus
from data.lexicon import inventory
from data.meaning import slots
from data.template import Tables


class Words(NamedTuple):
    """The words (N) of some rows, one after another: word id, row, place of its first token."""

    word: np.ndarray
    row: np.ndarray
    position: np.ndarray


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
    # What the corpus does not know is the marker of a transform, and a word of its own.
    opens = np.arange(max(corpus.tokenizer.size, flat.max(initial=0) + 1)) >= corpus.tokenizer.size
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


def matches(
    corpus: Corpus, words: Words, templates: list[int], whole: bool = False
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of every template that is said: its id, the places (n) among the words where it is, without
    <doc>, and the concepts (n, slots) in its slots, -1 where it has none. With `whole`, only where
    it is a whole document: a long list task has shorter ones in it."""
    tables = corpus.tables
    candidates = _documents(words) if whole else _rare(tables, words)
    for z in templates:
        literal, slot = (span(column, tables, z) for column in (tables.literal, tables.slot))
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
    begin, longest = doc[order] + 1, length.max(initial=0)
    bounds = np.searchsorted(length[order], np.arange(longest + 2))

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


def span(column: np.ndarray, tables: Tables, z: int) -> np.ndarray:
    """The words of a template, without its <doc>."""
    return column[tables.start[z] + 1 : tables.start[z] + tables.length[z]]


def _filled(
    tables: Tables, kinds: dict[int, np.ndarray], z: int, words: np.ndarray, begin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of places where a template's fixed words stand: those whose slots hold words of concepts of
    their kinds, and these concepts."""
    slot, tongue = (span(column, tables, z) for column in (tables.slot, tables.tongue))
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
