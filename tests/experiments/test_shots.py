"""Foils are wrong, of the right length and of the question's own words."""

import jax
import numpy as np
import pytest

from data.probe import tasks
from experiments.measure import shots
from experiments.measure.shots import FOILS, Shots, foils
from experiments.standard import SIZES, corpus
from model.lm import LM, init
from model.softmax import Softmax

TEXT = corpus(SIZES["smoke"], seed=0)
CFG = LM(W=TEXT.tokenizer.size, D=16, layers=1, mixer=Softmax(heads=2))


def test_a_foil_is_the_questions_words_in_a_wrong_order():
    probe = tasks(TEXT, "quiz", items=8)
    found = foils(probe, seed=0)
    assert found.shape == (FOILS, *probe.answers.shape)
    for i, (prompt, gold) in enumerate(zip(probe.prompts, probe.answers, strict=True)):
        for foil in found[:, i]:
            assert (foil != gold).any() and ((foil > 0) == (gold > 0)).all()
            assert set(foil) - {0} <= set(prompt)
            if probe.slices["task"][i] in ("copy", "reverse", "swap"):
                assert sorted(foil) == sorted(gold)


def test_a_model_that_likes_all_orders_alike_is_at_no_log_odds(monkeypatch):
    bag = lambda cfg, params, prompts, lengths, answers: -1.0 * (answers > 0).sum(1)
    monkeypatch.setattr(shots, "answer_logprobs", bag)
    items = Shots(TEXT, items=4)(CFG, init(CFG, jax.random.key(0))).to_pydict()
    np.testing.assert_allclose(items["log_odds"], 0, atol=1e-6)


def test_a_model_that_prefers_the_gold_answer_is_above_by_as_much(monkeypatch):
    golds = {tuple(gold) for gold in tasks(TEXT, "quiz", 4, 0).answers}

    def sure(cfg, params, prompts, lengths, answers):
        return np.array([3.0 if tuple(answer) in golds else 0.0 for answer in answers])

    monkeypatch.setattr(shots, "answer_logprobs", sure)
    items = Shots(TEXT, items=4)(CFG, init(CFG, jax.random.key(0))).to_pydict()
    # The gold answer of one question may be a foil of another, seldom.
    assert max(items["log_odds"]) == pytest.approx(3.0) and np.mean(items["log_odds"]) > 1.5


@pytest.mark.parametrize("count", [0, 2])
def test_examples_stand_before_the_same_questions(count):
    items = Shots(TEXT, shots=count, items=2)(CFG, init(CFG, jax.random.key(0))).to_pydict()
    bare = tasks(TEXT, "quiz", items=2)
    for prompt, ids, length in zip(items["prompt"], bare.prompts, bare.lengths, strict=True):
        asked = TEXT.tokenizer.decode(ids[-length + 1 :])
        assert prompt.endswith(asked) and (prompt.count("?") == 1 + count)
