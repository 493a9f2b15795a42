"""Recall of some groups, in other words, and as denoising reads."""

import jax
import numpy as np

from experiments.measure.recall import Denoised, Recall
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init

TEXT = corpus(SIZES["smoke"], seed=0)
MODEL = pretrained(SIZES["smoke"], "softmax", 0, TEXT).model


def test_some_groups_are_asked_as_they_are_among_all():
    params = init(MODEL, jax.random.key(0))
    some, every = (Recall(TEXT, groups)(MODEL, params) for groups in (("G1",), None))
    own = lambda table: {
        (r["fact"], r["language"], r["direction"]): (r["log_odds"], r["rank"])
        for r in table.to_pylist()
        if r["group"] == "G1" and r["relation"] == "parent"
    }
    assert len(some) < len(every) and own(some).keys() == own(every).keys()
    for key, values in own(some).items():
        np.testing.assert_allclose(values, own(every)[key], rtol=1e-4, atol=1e-5)


def test_denoised_reads_a_blank_for_every_token_of_the_answer_and_then_the_prompt():
    plain, twice = (kind(TEXT, ("G0",)).probe for kind in (Recall, Denoised))
    mask = Denoised(TEXT).mask
    for i in (0, 5):
        length = plain.lengths[i]
        own = plain.prompts[i, -length:].tolist()
        blanks = [mask] * int((plain.answers[i] != 0).sum())
        assert twice.prompts[i, -twice.lengths[i] :].tolist() == own + blanks + own
    np.testing.assert_array_equal(plain.answers, twice.answers)
