"""Instruction diversity: one budget whatever the rules, arms that differ in what they say."""

import dataclasses
import doctest

import numpy as np
import pytest

from experiments import diversity, run
from experiments.diversity import ARMS, LADDERS, SWEPT, Settings, stages

LADDER = LADDERS["toy"]


def test_what_a_step_holds_beyond_an_even_rise_is_what_the_docstring_says():
    assert doctest.testmod(diversity).failed == 0


def test_a_rise_that_is_even_but_for_noise_is_no_threshold_and_a_step_is():
    """The largest of three noisy steps is above a third of the rise, of any seeds."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(200, 4))
    even, step = np.array([0.1, 0.4, 0.7, 1.0]), np.array([0.1, 0.1, 0.9, 1.0])
    found = lambda curve: np.mean(diversity.abrupt(curve + noise, LADDER.rules))
    steps = np.diff(even + noise, axis=1)
    largest = (steps.max(1) / steps.sum(1)).mean() - 1 / 3
    assert abs(found(even)) < 0.05 < 0.1 < largest
    assert found(step) > 0.4


def test_a_seed_without_a_rise_or_without_others_has_no_threshold():
    flat, rising = [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]
    one, other = diversity.abrupt(np.array([flat, rising]), LADDER.rules)
    assert np.isnan(one) and np.isfinite(other)
    assert np.isnan(diversity.abrupt(np.array([rising]), LADDER.rules)).all()


def test_every_seed_has_every_arm_and_the_ladder_where_it_is_swept():
    found = stages(Settings(size="toy", seeds=2))
    labels = [dict(stage.labels) for stage in found]
    for seed in (0, 1):
        own = {(l["arm"], l["given"]) for l in labels if l["seed"] == seed}
        assert own == {(arm, rules) for arm in SWEPT for rules in LADDER.rules} | {
            (arm, LADDER.rules[-1]) for arm in ARMS
        }
    for stage, label in zip(found, labels, strict=True):
        assert stage.corpus.seed == stage.recipe.seed == label["seed"]


def test_models_along_the_ladder_differ_in_the_number_of_rules_alone():
    swept = [s for s in stages(Settings(seeds=1)) if dict(s.labels)["arm"] == "L1"]
    for stage in swept:
        assert dataclasses.replace(stage.corpus, rules=LADDER.rules[0]) == swept[0].corpus
        assert (stage.model, stage.recipe) == (swept[0].model, swept[0].recipe)
        assert stage.corpus.examples == LADDER.text.examples


def test_an_arm_changes_what_it_is_named_for():
    fields = lambda arm: {
        f.name
        for f in dataclasses.fields(LADDER.text)
        if getattr(ARMS[arm](LADDER.text), f.name) != getattr(LADDER.text, f.name)
    }
    assert fields("mixed") == {"ratio"} and fields("quarter") == {"examples"}
    alone, mixed = ARMS["L2 alone"](LADDER.text), ARMS["mixed"](LADDER.text)
    assert alone.ratio == 1 and alone.examples == round(mixed.ratio * mixed.examples)


@pytest.mark.parametrize("size", LADDERS)
def test_every_size_has_examples_for_its_rules(size):
    for stage in stages(Settings(size=size, seeds=1)):
        assert stage.corpus.examples >= stage.corpus.rules


@pytest.mark.parametrize("rules", LADDER.rules)
def test_no_rule_that_is_asked_as_unseen_is_among_those_given(rules):
    text = dataclasses.replace(LADDER.text, rules=rules)
    given = {tuple(rule) for rule in text.table[:rules]}
    _, slices = text.questions(64, unseen=True)
    assert not given & {tuple(text.table[rule]) for rule in np.unique(slices["rule"])}


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["diversity", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
