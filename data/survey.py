"""What there is to see of a corpus. data/preview.py prints it, data/page.py makes a page of it."""

import itertools
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data.contamination import Proof, proof
from data.corpus import Corpus
from data.distance import distances
from data.ledger import blocks, census, ledger
from data.meaning import Meaning
from data.template import REGISTERS
from data.world import DIRECTIONS

_BLOCK = 2**18  # tokens looked at together
_ROWS = 300  # rows from which examples are taken


class Cell(NamedTuple):
    """Exposures of the facts of a relation and group, in a language and direction."""

    mean: float
    least: int
    most: int
    stated: bool  # whether the world's groups allow it; else it is held out


class Survey(NamedTuple):
    """All that is shown of rows 0..rows of a corpus."""

    corpus: Corpus
    rows: int
    examples: dict[str, list[tuple[int, Meaning]]]  # register -> (language, meaning)
    census: pa.Table
    cells: dict[tuple[str, str], list[Cell]]  # (relation, group) -> language x direction
    mates: float  # share of exposures that come after another statement of their fact in a row
    exposures: int
    proof: Proof
    words: list[np.ndarray]  # of every language, how often it says each token
    lengths: dict[str, np.ndarray]  # register -> how many documents have 0, 1, 2, ... tokens
    distances: list[dict[str, float]]  # of every twin from the base


def survey(corpus: Corpus, rows: int = 20_000) -> Survey:
    """Looks at rows 0..rows, and for examples and distances at some hundred of them."""
    said, twins = ledger(corpus, 0, rows), range(1, len(corpus.pair.names))
    exposures = int(said["exposures"].to_numpy().sum())
    words, lengths = _counted(corpus, rows)
    return Survey(
        corpus=corpus,
        rows=rows,
        examples=_examples(corpus),
        census=census(corpus, 0, rows),
        cells=cells(corpus, said),
        mates=said["mates"].to_numpy().sum() / max(exposures, 1),
        exposures=exposures,
        proof=proof(corpus, rows),
        words=words,
        lengths=lengths,
        distances=[distances(corpus, twin=twin) for twin in twins],
    )


def _examples(corpus: Corpus) -> dict[str, list[tuple[int, Meaning]]]:
    """Documents of every register, all of unlike templates: in turns those that have an answer to
    give and those that have none, in one language and in the next."""
    found: dict[tuple[str, bool, int], dict] = {}
    answers = corpus.tables.prompt < corpus.tables.length
    for i in range(_ROWS):
        row = corpus.provenance(i, i + 1)
        drawn = zip(row["register"][0], row["template"][0], corpus.documents(i), strict=False)
        for register, template, (language, meaning) in drawn:
            sort = REGISTERS[register], not answers[template], language
            found.setdefault(sort, {}).setdefault(template, (language, meaning))
    return {
        name: _in_turns([list(found[sort].values()) for sort in sorted(found) if sort[0] == name])
        for name in REGISTERS
        if any(sort[0] == name for sort in found)
    }


def _in_turns(lists: list[list]) -> list:
    """The first of each list, then the second of each."""
    turns = itertools.zip_longest(*lists)
    return [item for turn in turns for item in turn if item is not None]


def cells(corpus: Corpus, said: pa.Table) -> dict[tuple[str, str], list[Cell]]:
    """The ledger `said` of a source that speaks of the world of a corpus, by relation and group, a
    cell for each language and direction."""
    names = ("relation", "group", "language", "direction", "fact", "stated", "exposures")
    by = {name: said[name].to_numpy(zero_copy_only=False) for name in names}
    found: dict[tuple[str, str], list[Cell]] = {}
    facts = corpus.world.facts
    for key in dict.fromkeys(zip(by["relation"], by["group"], strict=True)):
        own = (by["relation"] == key[0]) & (by["group"] == key[1])
        for language, direction in itertools.product(corpus.pair.names, DIRECTIONS):
            chosen = own & (by["language"] == language) & (by["direction"] == direction)
            each = np.bincount(
                by["fact"][chosen], by["exposures"][chosen], minlength=len(facts.relation)
            )[np.unique(by["fact"][own])].astype(int)
            stated = bool(by["stated"][chosen].any())
            cell = Cell(float(each.mean()), int(each.min()), int(each.max()), stated)
            found.setdefault(key, []).append(cell)
    return found


def both_ways(corpus: Corpus) -> str:
    """Of every relation that is asked in both directions, where some group states it in both: else
    a question in reverse is one in a form that was never trained, and proves nothing of the fact.
    """
    spoken, found = np.array(corpus.shares) > 0, []
    for i, relation in enumerate(corpus.world.relations):
        if len(relation.asked) == len(DIRECTIONS):
            stated = corpus.stated[corpus.world.facts.relation == i].all(2).any(0) & spoken
            names = ", ".join(itertools.compress(corpus.pair.names, stated))
            found.append(f"{relation.name} in {names or 'no language'}")
    if not found:
        return "No relation is asked in both directions."
    return (
        f"A group is stated in both directions: {'; '.join(found)}. Where none is, the form of a "
        "question in reverse is never trained."
    )


def chances(corpus: Corpus) -> str:
    """How often a guess is right, by relation and direction: high where objects are few."""
    guess = lambda r, way: f"{corpus.world.chance(r.name, way):.2%} {DIRECTIONS[way]}"
    found = (
        f"{r.name} {', '.join(guess(r, way) for way in r.asked) or 'is not asked'}"
        for r in corpus.world.relations
    )
    return f"Chance, a guess among all entities of the answer's type: {'; '.join(found)}."


def _counted(corpus: Corpus, rows: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Uses of every token by language, <doc> left out, and lengths of documents by register."""
    size, T = corpus.tokenizer.size, corpus.T
    words = np.zeros((len(corpus.pair.names), size), np.int64)
    lengths = np.zeros((len(REGISTERS), T + 1), np.int64)
    for first, last in blocks(corpus, 0, rows, _BLOCK):
        drawn = corpus.rows(first, last)
        B, M = drawn["register"].shape
        place = drawn["segments"] + np.arange(B)[:, None] * (M + 1)
        length = np.bincount(place.ravel(), minlength=B * (M + 1)).reshape(B, M + 1)[:, 1:]
        there = drawn["register"] >= 0
        np.add.at(lengths, (drawn["register"][there], length[there]), 1)
        language = np.pad(drawn["language"], ((0, 0), (1, 0)), constant_values=-1)
        spoken = np.take_along_axis(language, drawn["segments"], 1)
        for l, counts in enumerate(words):
            counts += np.bincount(drawn["tokens"][spoken == l], minlength=size)
    words[:, 0] = 0
    return list(words), {n: k for n, k in zip(REGISTERS, lengths, strict=True) if k.any()}
