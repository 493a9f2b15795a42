"""Arms share what they say they share, and nothing else changes between them."""

import dataclasses
import doctest
import json

import pytest

from experiments import anchors, run
from experiments.anchors import ARMS, Settings, stages, text
from experiments.standard import SIZES

SMOKE = SIZES["smoke"]
STAGES = stages(Settings(size="smoke", seeds=2))
BASES = {(dict(s.labels)["arm"], s.recipe.seed): s for s in STAGES if s.base is None}


def test_every_arm_is_trained_and_tuned_in_both_languages_for_every_seed():
    assert set(BASES) == {(arm, seed) for arm in ARMS for seed in (0, 1)}
    tunings = [(dict(s.labels)["arm"], dict(s.labels)["tuned"], s.recipe.seed)
               for s in STAGES if s.base]  # fmt: skip
    assert set(tunings) == {(a, t, s) for a in ARMS for t in ("L1", "L2") for s in (0, 1)}
    assert len(tunings) == len(set(tunings))


def test_arms_differ_in_the_features_of_l2_alone():
    first = BASES["clone", 1].corpus
    for arm, features in ARMS.items():
        own = BASES[arm, 1].corpus
        assert own.pair.features == features
        assert dataclasses.replace(own, pair=first.pair) == first
        assert BASES[arm, 1].recipe == BASES["clone", 1].recipe


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_shares_the_words_and_the_order_that_it_says(arm):
    own = text(SMOKE, 0, arm)
    l1, l2 = own.pair.languages(own.world)
    pairs = zip(l1.concepts(own.world), l1.forms, l2.forms, strict=True)
    shared = {concept for concept, one, two in pairs if one == two}
    assert len(shared & {*own.world.entities("noun")}) == (2 if "30%" in arm else 0)  # of 8
    assert bool(shared & {*own.world.entities("x")}) == (arm != "clone")
    assert ("?" in shared) == (arm != "clone") == bool(shared)
    assert ((l1.order, l1.possessor_first) == (l2.order, l2.possessor_first)) == (
        "other order" not in arm
    )


def test_no_document_is_in_two_languages():
    rows = text(SMOKE, 0, "30%, same order").rows(0, 200)
    register = text(SMOKE, 0, "30%, same order").legend["register"]
    assert "dictionary" not in {register[r] for r in rows["register"][rows["register"] >= 0]}


def test_the_rank_correlation_is_that_of_the_docstring():
    assert doctest.testmod(anchors).failed == 0


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["anchors", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B2"] * 7
    assert (tmp_path / "report.html").read_text().count("<svg") == len(ARMS) + 3
