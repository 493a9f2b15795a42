"""What a person sees of a corpus is true of it."""

import dataclasses
import io
import itertools
import re

import numpy as np
import pytest
from rich.console import Console

from data import contamination, ledger, spec
from data.bench import DEFAULT, RICH
from data.contact import SCOPE, Contact
from data.corpus import Corpus
from data.coverage import Statements
from data.distance import _edits, distances
from data.feature import Clone, FreeOrder, Lexicon, Names, Order, Punctuation
from data.gloss import begun, translation
from data.impossible import FullReverse
from data.language import Pair
from data.meaning import Alias, Fact, Parallel
from data.mixture import Mixture
from data.page import page
from data.preview import main, preview
from data.speaker import speaker
from data.survey import survey
from data.task.form import Respond
from data.world import Vocabulary, World
from experiments import catalogue

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


CONTACT = Mixture(contact=Contact(parallel=0.5, scope=SCOPE))


def test_a_preview_shows_documents_that_are_said_again_and_nouns_that_stand_for_an_entity():
    aliases = dataclasses.replace(SMALL.world, vocabulary=Vocabulary(aliases=True))
    opaque = Mixture(1, 0, 0, dictionary=0, statements=Statements(opaque=0.5))
    text = shown(dataclasses.replace(SMALL, mixture=CONTACT))
    assert re.search(r"(parent|home)\(\*x\d+\) = (y|city)\d+, and again in L[12] ", text)
    text = shown(dataclasses.replace(SMALL, world=aliases, mixture=opaque))
    assert re.search(r"define (noun\d) as \w+, (parent|home)\(.*\*\1\b", text)


@pytest.mark.parametrize(("drawn", "language", "words"), [(0, 0, "LM"), (0, 1, "ML"), (1, 1, "ML")])
def test_a_document_of_two_languages_is_shown_from_the_first_and_from_the_second(
    drawn, language, words
):
    fact = Fact("parent", "x0", "y0", focus="x0")
    both, parts = speaker(SMALL.pair, SMALL.world), dict(L=0, M=1)
    said = begun(Parallel(fact, int(not drawn)), drawn, language)
    halves = (both.render(fact, parts[part]) for part in words)
    assert both.render(said, language) == tuple(itertools.chain(*halves))
    called = Alias(fact, "noun3")
    assert translation(both, called) == "noun3 is x0. The parent of noun3 is y0."
    assert translation(both, Parallel(called, 1)).endswith("is y0. And again in another language.")


def test_a_preview_of_a_clone_says_that_held_out_statements_are_there():
    text = shown(dataclasses.replace(SMALL, pair=Pair()))
    assert "it is a clone" in text and "held-out statements in the corpus" in text


def test_distances_are_those_of_the_features():
    near = distances(dataclasses.replace(SMALL, pair=Pair()), rows=30)
    assert near == {
        "overlap of types": 1,
        "overlap of tokens": 1,
        "overlap of stems": 1,
        "edit distance": 0,
        "order (Kendall tau)": 1,
        "inflection (bits)": 0,
    }
    far = Pair((Lexicon(0), Names(0), Punctuation(), Order("SOV")))
    far = distances(dataclasses.replace(SMALL, pair=far), rows=30)
    assert far["overlap of types"] == far["overlap of tokens"] == 0
    assert far["edit distance"] > 0.5 and 0 < far["order (Kendall tau)"] < 1


@pytest.mark.parametrize(
    "corpus",
    [
        dataclasses.replace(SMALL, pair=Pair((Clone(),)), mixture=CONTACT),
        Corpus(dataclasses.replace(SMALL.world, tasks=(Respond(),)), Pair((Clone(),))),
    ],
    ids=["parallel", "answers in another language"],
)
def test_words_of_another_language_in_a_document_are_no_overlap(corpus):
    found = distances(corpus, rows=20)
    assert found["overlap of types"] == found["overlap of tokens"] == 0


def test_the_order_of_a_free_twin_is_the_one_that_was_drawn():
    free = lambda share: Pair((Lexicon(0), FreeOrder(share)))
    taus = [
        distances(dataclasses.replace(SMALL, pair=free(share)), rows=60)["order (Kendall tau)"]
        for share in (0.0, 0.5, 1.0)
    ]
    assert taus[0] == 1 and taus[0] > taus[1] > taus[2]


def test_distances_of_a_corpus_that_says_nothing_but_its_dictionary_are_told_apart_from_zero():
    alone = dataclasses.replace(SMALL, mixture=Mixture(0, 0, 0, 1, dictionary=1))
    found = distances(alone, rows=5)
    assert [name for name in found if np.isfinite(found[name])] == ["edit distance"]
    assert "nan" in shown(alone, 5) and "not said" in page(survey(alone, 5), "dictionary")


@pytest.mark.parametrize(
    ("one", "two", "edits"), [("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
)
def test_edit_distance_is_levenshteins(one, two, edits):
    assert _edits(one, two) == _edits(two, one) == edits


def test_every_experiment_that_trains_on_a_corpus_shows_it():
    """But those that read files of their user, and two that are edits of the standard corpus."""
    others = {"berglund", "bilingual_text", "architecture", "position"}
    assert {*catalogue.names()} - {*spec.names()} <= others
    for name in spec.names():
        assert spec.corpus(name).rows(0, 1)["tokens"].any(), name


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(SystemExit, match=r"data\.preview: no experiment 'flagshp'"):
        main("flagshp")


@pytest.mark.parametrize("tokens", [np.inf, np.nan, 0, -5])
def test_so_many_tokens_as_nobody_can_look_at_are_refused(tokens):
    for command in (main, ledger.main, contamination.main):
        with pytest.raises(SystemExit, match=r"data\.\w+: tokens=.*: choose 1 or more"):
            command("flagship", tokens=tokens)


def test_small_corpora_have_finite_distances():
    assert np.isfinite(list(distances(SMALL, rows=5).values())).all()
