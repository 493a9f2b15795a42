"""What a person sees of a corpus is true of it."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from data.bench import DEFAULT, RICH
from data.distance import _edits, distances
from data.feature import Lexicon, Names, Order, Punctuation
from data.impossible import FullReverse
from data.language import Pair
from data.preview import main, preview
from data.speaker import speaker
from data.world import World

SMALL = dataclasses.replace(DEFAULT, world=World(pairs=16, cities=4, nouns=8))


def shown(corpus, rows=400) -> str:
    out = io.StringIO()
    preview(corpus, rows, Console(file=out, width=200))
    return out.getvalue()


def test_a_preview_shows_documents_vocabulary_distances_ledger_and_proof():
    text = shown(SMALL)
    for part in ("Documents", "Vocabulary", "Distances", "Census", "Ledger", "PossessorFirst()"):
        assert part in text
    assert "No held-out statement is in the corpus" in text
    assert text.count("G7") == 2


@pytest.mark.parametrize("pair", [RICH, Pair((FullReverse(),))], ids=["rich", "impossible"])
def test_a_preview_shows_languages_of_every_kind(pair):
    corpus = dataclasses.replace(SMALL, pair=pair)
    text, both = shown(corpus), speaker(pair, corpus.world)
    language, meaning = corpus.documents(0)[0]
    assert " ".join(both.render(meaning, language)) in " ".join(text.split())
    assert "inflection (bits)" in text


def test_a_preview_of_a_clone_says_that_held_out_statements_are_there():
    text = shown(dataclasses.replace(SMALL, pair=Pair()))
    assert "it is a clone" in text and "held-out statements in the corpus" in text


def test_distances_are_those_of_the_features():
    near = distances(dataclasses.replace(SMALL, pair=Pair()), rows=30)
    assert near == {
        "overlap of types": 1,
        "overlap of tokens": 1,
        "edit distance": 0,
        "order (Kendall tau)": 1,
        "inflection (bits)": 0,
    }
    far = Pair((Lexicon(0), Names(0), Punctuation(), Order("SOV")))
    far = distances(dataclasses.replace(SMALL, pair=far), rows=30)
    assert far["overlap of types"] == far["overlap of tokens"] == 0
    assert far["edit distance"] > 0.5 and 0 < far["order (Kendall tau)"] < 1


@pytest.mark.parametrize(
    ("one", "two", "edits"), [("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
)
def test_edit_distance_is_levenshteins(one, two, edits):
    assert _edits(one, two) == _edits(two, one) == edits


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(SystemExit, match=r"data\.preview: no experiment 'flagshp'"):
        main("flagshp")
    assert np.isfinite(list(distances(SMALL, rows=5).values())).all()
