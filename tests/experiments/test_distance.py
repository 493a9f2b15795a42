"""One knob at a time, distances as they are measured, and a regression with a known answer."""

import dataclasses
import doctest
import json

import numpy as np
import pytest

from experiments import distance, run
from experiments.distance import (
    ARMS,
    DISTANCES,
    TUNED,
    Settings,
    corpus,
    regression,
    sized,
    stages,
    transfers,
)
from experiments.measure.recall import Recall
from experiments.standard import LANGUAGES, tuning

STAGES = stages(Settings(size="smoke", seeds=2))
BASES = {(dict(s.labels)["arm"], s.recipe.seed): s for s in STAGES if s.base is None}
MEASURED = {arm: BASES[arm, 0].measures[0] for arm in ARMS}
TEXT = {arm: corpus(sized("toy"), 0, arm) for arm in ARMS}


def test_every_arm_is_trained_and_tuned_in_both_languages_where_questions_differ():
    assert set(BASES) == {(arm, seed) for arm in ARMS for seed in (0, 1)}
    labels = [dict(s.labels) for s in STAGES if s.base]
    found = [(x["arm"], x["seed"], x["tuned"]) for x in labels]
    assert sorted(found) == sorted((a, s, t) for a in TUNED for s in (0, 1) for t in LANGUAGES)


def rows(arm: str, language: str) -> np.ndarray:
    return tuning(TEXT[arm], "quiz", language).rows(0, 20)["tokens"]


def test_tuning_is_the_same_in_an_identical_language_and_where_only_heads_differ_and_else_is_not():
    same = {arm for arm in ARMS if (rows(arm, "L1") == rows(arm, "L2")).all()}
    assert same == {"identical", "heads"} and "heads" not in TUNED


@pytest.mark.parametrize("arm", ARMS)
def test_facts_of_l1_alone_are_asked_in_l2_and_show_where_the_possessor_is(arm):
    asked = Recall(TEXT[arm], groups=("G1", "G2"))
    assert asked == dataclasses.replace(BASES[arm, 0].measures[1], corpus=TEXT[arm])
    probe, both = asked.probe, {}
    for language in LANGUAGES:
        cell = dict(relation="parent", group="G2", direction="forward", language=language)
        own = np.all([probe.slices[name] == value for name, value in cell.items()], 0)
        assert own.any() and (probe.slices["stated"][own] == (language == "L1")).all()
        both[language] = probe.prompts[own]
    if arm in ("identical", "heads"):
        assert (both["L1"] == both["L2"]).all() == (arm == "identical")


def test_arms_differ_in_the_features_of_l2_alone():
    first = BASES["identical", 1]
    for arm, features in ARMS.items():
        own = BASES[arm, 1]
        assert own.corpus.pair.features == features and own.recipe == first.recipe
        assert dataclasses.replace(own.corpus, pair=first.corpus.pair) == first.corpus


def test_each_knob_moves_the_distance_it_should_and_an_identical_language_has_none():
    far = {arm: ask(None, None).to_pylist()[0] for arm, ask in MEASURED.items()}
    assert set(far["identical"]) == set(DISTANCES)
    np.testing.assert_allclose(list(far["identical"].values()), 0, atol=1e-9)
    # Distances are those of what is asked: head direction does not show in a question.
    np.testing.assert_allclose(list(far["heads"].values()), 0, atol=1e-9)
    assert far["order"]["order"] > 0
    # An inflected word is no other word.
    assert far["order"]["lexicon"] == far["case"]["lexicon"] == far["agreement"]["lexicon"] == 0
    assert far["case"]["inflection"] > 0 < far["agreement"]["inflection"]
    assert far["script"]["lexicon"] > 0.5 < far["lexicon"]["lexicon"]
    assert abs(far["script"]["order"]) < 1e-9 and abs(far["lexicon"]["inflection"]) < 1e-9
    assert min(far["all"].values()) > 0
    # Nor is an article, which one of them alone has, a word that they share.
    assert far["all"]["lexicon"] == pytest.approx(far["lexicon"]["lexicon"], abs=0.02)


def test_transfer_is_the_gain_in_l2_over_that_of_tuning_in_l2_and_undefined_without_one():
    means = np.array([[0.4, 0.1, 0.7, 0.2, 0.1, 0.15]])
    found = transfers(means)
    assert found[0, 0] == pytest.approx(0.5) and np.isnan(found[0, 1])


def test_what_any_distances_would_explain_is_none_of_the_share_explained():
    rng = np.random.default_rng(0)
    share = regression(rng.uniform(size=(7, 3)))(rng.normal(size=(4000, 7)))[:, -1]
    assert abs(share.mean()) < 0.05


def test_the_regression_is_that_of_the_docstring():
    assert doctest.testmod(distance).failed == 0


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["distance", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B3"] * 6
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == 3
