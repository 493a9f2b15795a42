"""A language left out leaves the others as they were."""

import dataclasses

import numpy as np
import pytest

from data.contact import Contact
from data.corpus import Corpus
from data.feature import Lexicon, Names
from data.language import Pair
from data.mixture import Mixture
from data.silence import Silenced
from data.task import LISTS
from data.task.translate import Translate
from data.world import World

PAIR = Pair((Lexicon(0), Names(0)))
BASE = Corpus(World(), PAIR, T=64, mixture=Mixture(dictionary=0))


def test_the_language_that_stays_says_the_same_at_the_same_place_and_weight():
    whole, left = BASE.rows(0, 50), Silenced(BASE, "L2").rows(0, 50)
    assert {name: column.dtype for name, column in left.items()} == {
        name: column.dtype for name, column in whole.items()
    }
    language = np.pad(whole["language"], ((0, 0), (1, 0)), constant_values=-1)
    for b, t in np.argwhere(whole["segments"] > 0):
        stays = language[b, whole["segments"][b, t]] == 0
        for name in ("tokens", "segments"):
            assert left[name][b, t] == (whole[name][b, t] if stays else 0)
        if t + 1 < BASE.T:  # what is predicted from here
            assert left["weights"][b, t + 1] == (whole["weights"][b, t + 1] if stays else 0)
    assert 0.4 < left["weights"].sum() / whole["weights"].sum() < 0.7


def test_no_word_and_no_exposure_of_the_silent_language_is_left():
    left = Silenced(BASE, "L2").rows(0, 50)
    own = set(PAIR.languages(BASE.world)[1].forms) - set(PAIR.languages(BASE.world)[0].forms)
    said = {BASE.tokenizer.tokens[i] for i in np.unique(left["tokens"])}
    assert not said & own and len(said) > 50
    assert set(np.unique(left["language"])) == {-1, 0}
    whole = BASE.rows(0, 50)
    stated = np.where(whole["language"] == 0, whole["fact"], -1)
    np.testing.assert_array_equal(left["fact"], stated)


def test_documents_in_two_languages_and_unknown_languages_are_refused():
    with pytest.raises(ValueError, match=r"dictionary=0\.04: .* choose none of them"):
        Silenced(Corpus(World(), PAIR), "L2")
    switched = Mixture(dictionary=0, contact=Contact(switched=0.1))
    with pytest.raises(ValueError, match=r"switched=0\.1: documents in two languages"):
        Silenced(dataclasses.replace(BASE, mixture=switched), "L2")
    named = dataclasses.replace(BASE.world, tasks=(*LISTS, Translate()))
    with pytest.raises(ValueError, match=r"tasks=\[Translate\(languages=2\)\]: documents in two"):
        Silenced(dataclasses.replace(BASE, world=named), "L2")
    with pytest.raises(ValueError, match="choose one of L1, L2"):
        Silenced(BASE, "L3")
