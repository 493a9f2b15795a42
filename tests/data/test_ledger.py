"""Counts equal what a reader of the tokens counts, and what is held out is nowhere."""

import collections
import dataclasses

import numpy as np
import pyarrow.compute as pc
import pytest

from data.corpus import Corpus
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
)
from data.language import Pair
from data.ledger import census, contamination, ledger
from data.meaning import Fact
from data.speaker import speaker
from data.tokenizer import BPE, Character
from data.world import DIRECTIONS, FORWARD, GROUPS, REVERSE, World

TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
PLAIN = Corpus(World(pairs=16), TWIN)
FAR = Pair(
    (Lexicon(0), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), ChatMarkers()), seed=2
)
_LETTERS = Character.of(" ".join(Corpus(World(pairs=16), FAR).tables.words))
CORPORA = [
    PLAIN,
    dataclasses.replace(PLAIN, ratio=0.1),
    Corpus(World(pairs=16), FAR, T=192, subword=_LETTERS),
    Corpus(
        World(pairs=16), Pair((*TWIN.features, Case(4), Agreement("gender x number"), Articles()))
    ),
]


def read(corpus: Corpus, start: int, stop: int) -> collections.Counter:
    """The brute force: every document's tokens, decoded, split into words, parsed."""
    both, counts = speaker(corpus.pair, corpus.world), collections.Counter()
    number = {corpus.world.fact(i)[:3]: i for i in range(len(corpus.world.facts.group))}
    for i in range(start, stop):
        row = corpus.row(i)
        for m in range(row["segments"].max()):
            tokens = row["tokens"][row["segments"] == m + 1][1:]
            words = tuple(corpus.tokenizer.decode(tokens).split())
            for language in (0, 1):
                try:
                    said = both.parse(words, language)
                except ValueError:
                    continue
                if isinstance(said, Fact):
                    direction = FORWARD if said.focus == said.subject else REVERSE
                    fact = number[said.relation, said.subject, said.object]
                    counts[fact, f"L{language + 1}", DIRECTIONS[direction]] += 1
    return counts


@pytest.mark.parametrize("corpus", CORPORA, ids=["words", "unequal", "characters", "inflected"])
def test_the_ledger_counts_what_a_reader_of_the_tokens_counts(corpus):
    table = ledger(corpus, 3, 203).to_pylist()
    counts = {(r["fact"], r["language"], r["direction"]): r["exposures"] for r in table}
    assert len(counts) == len(table), "one template a cell: no cell appears twice"
    assert {cell: n for cell, n in counts.items() if n} == read(corpus, 3, 203)
    assert all(r["stated"] for r in table if r["exposures"])


def test_ledgers_of_parts_add_up_to_the_ledger_of_the_whole(monkeypatch):
    monkeypatch.setattr("data.ledger._BLOCK", 1000)
    small = np.array(ledger(PLAIN, 0, 100)["exposures"])
    monkeypatch.undo()
    halves = [np.array(ledger(PLAIN, *r)["exposures"]) for r in ((0, 40), (40, 100))]
    np.testing.assert_array_equal(small, np.array(ledger(PLAIN, 0, 100)["exposures"]))
    np.testing.assert_array_equal(small, sum(halves))


def test_every_stated_cell_has_the_same_expected_exposures_whatever_its_group():
    table = ledger(PLAIN, 0, 20_000)
    stated = table.filter(pc.equal(table["stated"], True))
    counts = np.array(stated["exposures"])
    mean = counts.mean()
    assert mean > 500
    assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)
    for group in GROUPS[:-1]:
        own = counts[np.array(stated["group"]) == group.name]
        assert abs(own.mean() - mean) < 4 * np.sqrt(mean / len(own)), group
    assert "G7" not in stated["group"].to_pylist()


def test_held_out_statements_are_in_no_row():
    assert contamination(PLAIN, 0, 5000).num_rows == 0


@pytest.mark.parametrize("corpus", CORPORA, ids=["words", "unequal", "characters", "inflected"])
def test_the_search_finds_every_statement_there_is(corpus):
    """What proves an absence must be seen to find a presence."""
    hits = contamination(corpus, 7, 107, held_out=corpus.world.stated)
    counts = collections.Counter(
        zip(*(hits[k].to_pylist() for k in ("fact", "language", "direction")), strict=True)
    )
    assert counts == read(corpus, 7, 107)
    for hit in hits.to_pylist()[:20]:
        row = corpus.row(hit["row"])
        document = row["segments"][hit["position"]] - 1
        assert row["fact"][document] == hit["fact"]


def test_a_clone_states_in_one_language_what_is_held_out_in_the_other():
    """Not a fault of the search: a clone's forms are the base's, and it says so."""
    hits = contamination(dataclasses.replace(PLAIN, pair=Pair()), 0, 50)
    assert hits.num_rows > 0


def test_the_census_adds_up():
    table = census(PLAIN, 0, 200)
    rows = PLAIN.rows(0, 200)
    assert sum(table["documents"].to_pylist()) == (rows["kind"] >= 0).sum()
    assert sum(table["tokens"].to_pylist()) == (rows["segments"] > 0).sum()


def test_pieces_hide_no_statement():
    text = [" ".join(speaker(FAR, PLAIN.world).form[i].values()) for i in (0, 1)]
    corpus = Corpus(PLAIN.world, FAR, T=128, subword=BPE.train(text, 400))
    assert contamination(corpus, 0, 300).num_rows == 0
    found = contamination(corpus, 0, 100, held_out=corpus.world.stated).num_rows
    assert found == sum(np.array(ledger(corpus, 0, 100)["exposures"]))
