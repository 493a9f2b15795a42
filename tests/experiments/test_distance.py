"""One knob at a time, distances as they are measured, and a regression with a known answer."""

import dataclasses
import doctest
import json

import numpy as np
import pytest

from experiments import distance, run
from experiments.distance import ARMS, DISTANCES, Settings, corpus, sized, stages, transfers
from experiments.measure.distance import Distance

STAGES = stages(Settings(size="smoke", seeds=2))
BASES = {(dict(s.labels)["arm"], s.recipe.seed): s for s in STAGES if s.base is None}
MEASURED = {arm: Distance(corpus(sized("smoke"), 0, arm)) for arm in ARMS}


def test_every_arm_is_trained_and_tuned_in_l1_for_every_seed():
    assert set(BASES) == {(arm, seed) for arm in ARMS for seed in (0, 1)}
    assert len(STAGES) == 2 * len(BASES)
    assert all(dict(s.labels)["tuned"] == "L1" for s in STAGES if s.base)


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
    assert far["order"]["order"] > 0 < far["heads"]["order"]
    # Another order has commas where L1 needs none.
    assert max(far["order"]["lexicon"], far["heads"]["lexicon"]) < 0.05
    assert far["case"]["inflection"] > 0 < far["agreement"]["inflection"]
    assert far["script"]["lexicon"] > far["lexicon"]["lexicon"] > 0.5
    assert abs(far["script"]["order"]) < 1e-9 and abs(far["lexicon"]["inflection"]) < 1e-9
    assert min(far["all"].values()) > 0


def test_transfer_is_the_gain_in_l2_over_that_in_l1_and_undefined_without_one():
    means = np.array([[0.4, 0.1, 0.7, 0.1, 0.2, 0.1, 0.15, 0.1]])
    found = transfers(means)
    assert found[0, 0] == pytest.approx(0.5) and np.isnan(found[0, 1])


def test_the_regression_is_that_of_the_docstring():
    assert doctest.testmod(distance).failed == 0


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["distance", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B3"] * 6
    assert (tmp_path / "report.html").read_text().count("<svg") == 2
