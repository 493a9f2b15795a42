"""Formats are scored against their options, and chance is what a guess gets."""

import doctest

import jax
import numpy as np
import pytest

from data.corpus import Corpus
from data.fact import FORMATS
from data.feature import Lexicon, Names
from data.language import Pair
from data.task import LISTS
from data.task.context import InContext
from data.task.retrieval import Choose, Retrieve
from data.world import World
from experiments.measure import choice
from model.gla import GLA
from model.lm import LM, init

ASKED = (Retrieve("parent"), Retrieve("child"), Retrieve("home"), Choose(), InContext("parent"),
         InContext("child"))  # fmt: skip
CORPUS = Corpus(World(pairs=16, cities=4, nouns=8, tasks=(*LISTS, *ASKED)),
                Pair((Lexicon(0.3), Names(0.5))))  # fmt: skip


def test_the_scores_of_options_become_what_the_docstring_says():
    assert doctest.testmod(choice).failed == 0


def test_an_empty_option_is_never_chosen_and_does_not_count():
    scores = np.array([[-1.0, -3.0, -np.inf, -np.inf]])
    found = choice.chosen(scores, np.array([0]))
    assert {k: v.tolist() for k, v in found.items()} == {
        "chosen": [1.0], "chance": [0.5], "log_odds": [2.0]
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_model_that_knows_nothing_chooses_as_a_guess_would(format):
    cfg = LM(W=CORPUS.tokenizer.size, D=16, layers=1, mixer=GLA(heads=2))
    ask = choice.Choice(CORPUS, format, groups=("G0", "G7"))
    tables = [ask(cfg, init(cfg, jax.random.key(seed))).to_pydict() for seed in range(8)]
    for items in tables:
        assert {*items["format"]} == {format} and {*items["group"]} == {"G0", "G7"}
        assert set(items["chance"]) == {0.25} and max(items["exact"]) <= 1
    # A model that prefers a word moves all items with it: models are what is independent here.
    for metric, chance in (("chosen", 0.25), ("log_odds", 0.0)):
        means = np.array([np.mean(items[metric]) for items in tables])
        assert abs(means.mean() - chance) < 3 * means.std(ddof=1) / np.sqrt(len(means)), metric
        assert means.std(ddof=1) < 0.5


def test_an_unknown_format_is_refused_at_construction():
    with pytest.raises(ValueError, match="choose among"):
        choice.Choice(CORPUS, "essay")
