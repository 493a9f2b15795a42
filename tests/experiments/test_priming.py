"""The measure of priming against numbers taken by hand; the arms of its experiment, and a run."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pyarrow as pa
import pytest

from data.speaker import speaker
from data.template import REGISTERS
from experiments import priming, run
from experiments.measure import priming as measure
from experiments.measure.priming import Priming
from experiments.standard import SIZES, Settings, pretrained
from model.lm import init

SMOKE = SIZES["smoke"]
TEXT = priming.arm(SMOKE, 0, "independent")


def test_prime_and_target_share_no_word_but_the_preposition():
    both = speaker(TEXT.pair, TEXT.world)
    for prime, target in Priming(TEXT, items=40).sentences():
        for p, t in ((0, 0), (0, 1), (1, 0), (1, 1)):
            shared = {*both.render(prime, p)} & {*both.render(target, t)}
            assert shared <= ({both.form[t]["to"]} if p == t else set())
            double = dataclasses.replace(target, double=True)
            assert sorted(both.render(double, t)) != sorted(both.render(target, t))


def test_the_effect_is_the_difference_of_two_probabilities(monkeypatch):
    """Scores by hand: the double target has odds 3:1 after a double prime, else 1:1."""
    to = {
        TEXT.tokenizer.encode(f" {form['to']}")[0] for form in speaker(TEXT.pair, TEXT.world).form
    }

    def scores(cfg, params, prompts, lengths, answers):
        double_prime = not to & {*prompts.ravel().tolist()}
        double_target = not to & {*answers.ravel().tolist()}
        return np.full(len(prompts), np.log(3.0) if double_prime and double_target else 0.0)

    monkeypatch.setattr(measure, "answer_logprobs", scores)
    items = Priming(TEXT, items=4)(None, None).to_pylist()
    assert len(items) == 4 * 4
    for item in items:
        assert item["effect"] == pytest.approx(0.75 - 0.5)
        assert item["shift"] == pytest.approx(np.log(3))
        assert item["double"] == pytest.approx((0.75 + 0.5) / 2)


def test_an_untrained_model_shows_next_to_none():
    cfg = pretrained(SMOKE, "softmax", 0, TEXT).model
    items = Priming(TEXT, items=8)(cfg, init(cfg, jax.random.key(0)))
    assert abs(np.mean(items["effect"].to_numpy())) < 0.02


def test_the_choice_is_free_and_no_document_has_two_sentences_of_one_language():
    plain = REGISTERS.index("plain")
    for name in priming.ARMS:
        text = priming.arm(SMOKE, 0, name)
        said = [m for i in range(250) for _, m in text.documents(i)]
        said = [getattr(m, "meaning", m) for m in said]
        double = [m.double for m in said if getattr(m, "recipient", None)]
        assert np.mean(double) == pytest.approx(0.5, abs=4 * 0.5 * len(double) ** -0.5)
        rows = text.rows(0, 200)
        mine = rows["register"] == plain
        assert mine.any() and (name == "independent") == ("also" not in rows)
        if "also" in rows:
            twice = mine & (rows["also"] >= 0)
            assert twice.any() and (rows["also"] != rows["language"])[twice].all()


def test_seeds_pair_the_arms_and_the_untrained_model_is_measured():
    stages = priming.stages(Settings("smoke", 2))
    assert [dict(stage.labels)["arm"] for stage in stages] == 2 * [*priming.ARMS]
    assert all(stage.at[0] == 0 and stage.at[-1] == stage.recipe.steps for stage in stages)
    near, far = (priming.arm(SMOKE, 0, name) for name in ("parallel", "distant"))
    pair = dataclasses.replace(near.pair, features=far.pair.features)
    assert dataclasses.replace(near, pair=pair) == far


def test_what_no_document_shows_is_claimed_first_and_what_is_trained_says_so():
    effect = {"parallelL1L1": 0.3, "independentL1L1": 0.1, "parallelL1L2": 0.4}
    rows = [
        {"mixer": "gla", "seed": seed, "arm": arm, "step": step, "prime": p, "target": t,
         "effect": effect.get(arm + p + t, 0.2) * (step > 0)}
        for seed, arm, step in itertools.product(range(2), priming.ARMS, (0, 4))
        for p, t in priming.PAIRS.values()
    ]  # fmt: skip
    within, more, *across = priming._claims(pa.Table.from_pylist(rows), "gla")[:4]
    assert within.estimate.value == pytest.approx(0.3) and "within L1" in within.claim
    assert more.estimate.value == pytest.approx(0.2)
    assert across[0].estimate.value == pytest.approx(0.4)
    assert all("as parallel documents train it" in claim.claim for claim in across)


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["priming", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(priming.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") >= 4
