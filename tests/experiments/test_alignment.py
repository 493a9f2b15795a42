"""Alignment against cases whose answer is known: translations, rotations, and nothing in common."""

import dataclasses
import doctest
import itertools

import jax
import numpy as np
import pytest
from scipy.stats import ortho_group

from data.tokenizer import Character
from experiments.measure import alignment
from experiments.measure.alignment import Alignment, Similarity, cka, looked_up
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init

TEXT = corpus(SIZES["smoke"], seed=0)
MODEL = pretrained(SIZES["smoke"], "softmax", 0, TEXT).model
ROWS = np.random.default_rng(0).normal(size=(60, 12))
OTHER = np.random.default_rng(1).normal(size=(60, 12))


def test_the_nearest_row_becomes_what_the_docstring_says():
    assert doctest.testmod(alignment).failed == 0


def test_what_is_alike_up_to_noise_is_retrieved_and_what_is_independent_is_not():
    near = looked_up(ROWS, ROWS + 0.1 * OTHER)
    far = looked_up(ROWS, OTHER)
    assert near["retrieved"].mean() == near["mapped"].mean() == 1
    assert near["cosine"].mean() > 0.9 and near["residual"].mean() < 0.1
    assert far["retrieved"].mean() < 0.1 and far["mapped"].mean() < 0.1
    assert abs(far["cosine"].mean()) < 0.1 and 0.85 < far["residual"].mean() < 1.15
    assert (near["chance"] == 1 / 60).all()


def test_a_rotation_is_found_and_alone_hides_the_translation():
    turned = looked_up(ROWS, ROWS @ ortho_group.rvs(12, random_state=2))
    assert turned["retrieved"].mean() < 0.1
    assert turned["mapped"].mean() == 1
    np.testing.assert_allclose(turned["residual"], 0, atol=0.05)


def test_more_dimensions_than_words_do_not_make_a_rotation_that_fits_anything():
    wide = [np.random.default_rng(seed).normal(size=(30, 128)) for seed in (0, 1)]
    found = looked_up(*wide)
    assert 0.85 < found["residual"].mean() < 1.15 and found["mapped"].mean() < 0.2


def test_a_hub_is_not_everyones_nearest():
    """Of 20 words, translation i leans to word i; the last one leans to all of them, and more."""
    own, hub, other = np.eye(41)[:20], np.eye(41)[20], np.eye(41)[21:]
    x = (own + hub) * 0.5**0.5
    y = 0.6 * own + 0.8 * other
    y[-1] = hub
    assert ((x @ y.T).argmax(1) == 19).all()
    assert (alignment.matched(x, y)["best"][:19] == np.arange(19)).all()


def test_cka_is_one_for_a_rotation_and_zero_for_what_is_independent():
    turned = 3 * ROWS @ ortho_group.rvs(12, random_state=2)
    assert cka(ROWS, turned) == pytest.approx(1)
    draws = [
        cka(np.random.default_rng(2 * i).normal(size=(20, 64)),
            np.random.default_rng(2 * i + 1).normal(size=(20, 64)))
        for i in range(40)
    ]  # fmt: skip
    # The biased estimate is .76 here: 64 dimensions of 20 rows look alike.
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(40) + 1e-9
    with pytest.raises(ValueError, match="choose 4 or more"):
        cka(ROWS[:3], OTHER[:3])


def test_the_debiased_hsic_is_the_sum_over_four_different_rows():
    """Song et al. 2012, equation 4: K_ij (L_ij + L_qr - 2 L_iq), i, j, q and r all different."""
    a, b = (rows @ rows.T for rows in (ROWS[:7], OTHER[:7]))
    quads = list(itertools.permutations(range(7), 4))
    expected = np.mean([a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]) for i, j, q, r in quads])
    assert alignment._hsic(a, b) == pytest.approx(expected)


def test_words_are_looked_up_both_ways_and_anchors_are_found_by_any_model():
    items = Alignment(TEXT)(MODEL, init(MODEL, jax.random.key(0))).to_pylist()
    nouns = TEXT.world.nouns
    assert len(items) == 2 * nouns  # embeddings are tied: one space
    assert {(row["space"], row["language"]) for row in items} == {("input", "L1"), ("input", "L2")}
    shared = [row for row in items if row["shared"] == "yes"]
    assert len(shared) == 2 * int(0.3 * nouns)
    assert all(row["retrieved"] == 1 and row["prompt"] == row["gold"] for row in shared)
    for row in items:
        assert (row["answer"] == row["gold"]) == row["retrieved"]
        assert row["chance"] == 1 / nouns


def test_an_untied_model_has_two_spaces():
    cfg = dataclasses.replace(MODEL, tied=False)
    items = Alignment(TEXT)(cfg, init(cfg, jax.random.key(0)))
    assert set(items["space"].to_pylist()) == {"input", "output"}


def test_states_are_those_of_the_same_question_in_both_languages():
    params = init(MODEL, jax.random.key(0))
    items = Similarity(TEXT, items=4)(MODEL, params)
    assert len(items) == 6 * 4 and set(items["layer"].to_pylist()) == {1}
    # Of a language and its exact copy every state is its own translation.
    twin = dataclasses.replace(TEXT, pair=dataclasses.replace(TEXT.pair, features=()))
    same = Similarity(twin, items=4)(MODEL, params)
    assert np.mean(same["retrieved"].to_numpy()) > 0.9
    np.testing.assert_allclose(same["cka"].to_numpy(), 1, rtol=1e-5)
    assert items["cka"][0].as_py() < 0.9


def test_words_of_several_tokens_are_refused():
    letters = "".join(TEXT.tokenizer.tokens[1:]) + " "
    text = dataclasses.replace(TEXT, T=512, subword=Character.of(letters))
    with pytest.raises(NotImplementedError, match="without subword"):
        Alignment(text)
