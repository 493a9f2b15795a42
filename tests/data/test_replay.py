"""Replayed rows are pretraining's, the others tuning's, and the spec says what is replayed."""

from dataclasses import replace

import numpy as np
import pytest

from data.corpus import Corpus
from data.draw import chance, stretch
from data.feature import Lexicon
from data.language import Pair
from data.mixture import Mixture
from data.recall import MQAR
from data.replay import Replay
from data.tally import tally
from data.world import World

BASE = Corpus(World(pairs=16, cities=4, nouns=8), Pair((Lexicon(0.3),)), T=32)
CHAT = replace(
    BASE, mixture=Mixture(0, 0, 0, chat=1, dictionary=0), ratio=0.0, loss="response", seed=3
)
EVERY = ("statement", "story", "quiz", "dictionary")


def test_a_share_of_the_rows_is_of_pretraining_and_unchanged():
    mixed = Replay(CHAT, BASE, 0.3, EVERY)
    rows, tuning, pretraining = (x.rows(20, 1020) for x in (mixed, CHAT, BASE))
    replayed = rows["replayed"][:, 0] == 1
    assert abs(replayed.mean() - 0.3) < 0.04
    for name in tuning:
        np.testing.assert_array_equal(rows[name][replayed], pretraining[name][replayed])
        np.testing.assert_array_equal(rows[name][~replayed], tuning[name][~replayed])
        assert rows[name].dtype == tuning[name].dtype
    assert set(mixed.legend["replayed"]) == {"tuning", "replay"}
    row = mixed.row(77)
    assert all((row[name] == rows[name][57]).all() for name in rows)
    said = mixed.provenance(20, 1020)
    assert all((said[name] == rows[name]).all() for name in said)


def test_the_choice_of_rows_is_the_same_on_every_machine_and_release():
    chosen = np.flatnonzero(chance(stretch("replay", 0, 100, 140, 1)[:, 0], 0.3))
    assert (100 + chosen[:6]).tolist() == [101, 102, 104, 106, 107, 110]


def test_the_tally_says_what_was_replayed():
    mixed = Replay(CHAT, BASE, 0.3, EVERY)
    counts = tally(mixed, 0, 500, ("replayed", "register")).to_pylist()
    found = {(row["replayed"], row["register"]) for row in counts}
    assert found == {("tuning", "chat"), *(("replay", register) for register in EVERY)}
    assert sum(row["documents"] for row in counts) == (mixed.rows(0, 500)["kind"] >= 0).sum()


def test_what_is_replayed_has_to_be_stated():
    with pytest.raises(ValueError, match=r"contains \('statement', 'story', 'quiz'"):
        Replay(CHAT, BASE, 0.3, ("statement", "story", "dictionary"))
    told = replace(BASE, mixture=Mixture(0.5, 0.5, 0, dictionary=0))
    Replay(CHAT, told, 0.3, ("story", "statement"))
    with pytest.raises(ValueError, match="contains"):
        Replay(CHAT, told, 0.3, ("story", "statement", "quiz"))


def test_corpora_that_do_not_mix_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="MQAR has no registers"):
        Replay(CHAT, MQAR(), 0.3, ())
    with pytest.raises(ValueError, match="share=3"):
        Replay(CHAT, BASE, 3, EVERY)
    with pytest.raises(ValueError, match="one T and one tokenizer"):
        Replay(CHAT, replace(BASE, T=64), 0.3, EVERY)
    with pytest.raises(ValueError, match="one T and one tokenizer"):
        Replay(CHAT, replace(BASE, pair=Pair((Lexicon(0.3),), seed=1)), 0.3, EVERY)
