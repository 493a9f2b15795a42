"""Shuffled answers: every instruction as it was, the same answers, nearly none in its place."""

import dataclasses

import numpy as np
import pytest

from data.corpus import Corpus
from data.joined import Joined
from data.mixture import Mixture
from data.shuffled import BLOCK, Shuffled
from data.task.retrieval import Retrieve
from data.world import World
from experiments.standard import SIZES, corpus, tuning
from tests.data.test_ledger import TWIN, cells

CHAT = tuning(corpus(SIZES["smoke"], seed=0), "chat", "L2")


def answers(rows):
    """(document) -> the tokens of its answer."""
    found = {}
    for b, t in np.argwhere((rows["weights"] > 0) & (rows["tokens"] > 0)):
        found.setdefault((b, rows["segments"][b, t]), []).append(int(rows["tokens"][b, t]))
    return found


def test_answers_are_exchanged_and_all_else_stays():
    plain, shuffled = CHAT.rows(0, 2 * BLOCK), Shuffled(CHAT).rows(0, 2 * BLOCK)
    kept = (plain["weights"] == 0) | (plain["tokens"] == 0)
    for name in plain:
        same = plain[name] == shuffled[name]
        assert same[kept].all() if name == "tokens" else same.all()
    one, two = answers(plain), answers(shuffled)
    for block in (range(BLOCK), range(BLOCK, 2 * BLOCK)):
        own = lambda said, block=block: sorted(a for (b, _), a in said.items() if b in block)
        assert own(one) == own(two)
    stays = np.mean([one[key] == two[key] for key in one])
    assert stays < 0.15  # by chance: of few nouns, short answers coincide


def test_a_row_does_not_depend_on_the_rows_asked_with_it():
    shuffled = Shuffled(CHAT)
    together = shuffled.rows(BLOCK - 3, BLOCK + 3)
    for i in range(6):
        alone = shuffled.row(BLOCK - 3 + i)
        for name, column in alone.items():
            np.testing.assert_array_equal(column, together[name][i])


def test_a_corpus_that_does_not_know_its_answers_is_refused():
    for base in (dataclasses.replace(CHAT, loss="all"), Joined(CHAT)):
        with pytest.raises(ValueError, match="choose a Corpus with loss='response'"):
            Shuffled(base)


def test_a_fact_whose_answer_is_another_one_is_stated_no_longer():
    world = World(pairs=16, cities=4, tasks=(Retrieve("parent"), Retrieve("child")))
    mixture = Mixture(0.5, 0, 0.5, answered=1, dictionary=0)
    text = Corpus(world, TWIN, mixture=mixture, loss="response")
    told, read = cells(Shuffled(text), 1000)
    np.testing.assert_array_equal(told, read)
    assert 50 < told.sum() < 0.1 * cells(text, 1000)[0].sum()
