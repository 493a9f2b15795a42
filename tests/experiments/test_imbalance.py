"""The arms of the imbalance experiment differ in the ratio of languages and in nothing else."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from experiments import imbalance, run
from experiments.imbalance import ALONE, ARMS, CHECK, FITTED, Settings, corpus, stages
from experiments.scaling import SHARES, Curve
from experiments.standard import SIZES

STAGES = stages(Settings(size="smoke", seeds=2))
BASES = {(dict(s.labels)["arm"], s.recipe.seed): s for s in STAGES if s.base is None}


def test_every_ratio_and_every_share_of_l1_alone_is_there_for_each_seed():
    assert set(BASES) == {(arm, seed) for arm in (*ARMS, *ALONE) for seed in (0, 1)}
    tunings = {(dict(s.labels)["arm"], dict(s.labels)["tuned"]) for s in STAGES if s.base}
    assert tunings == {(arm, language) for arm in ("50/50", "90/10") for language in ("L1", "L2")}


def test_arms_differ_in_the_ratio_of_languages_alone():
    first = BASES["50/50", 0]
    for arm in ARMS:
        other = BASES[arm, 0]
        assert other.corpus.ratio == ARMS[arm] and sum(ARMS[arm]) == pytest.approx(1)
        assert dataclasses.replace(other.corpus, ratio=first.corpus.ratio) == first.corpus
        assert (other.model, other.recipe) == (first.model, first.recipe)
        assert other.measures[0] == first.measures[0]  # the same unseen documents


def test_the_yardstick_takes_as_many_steps_as_an_arm_on_its_share_of_the_tokens():
    """With fewer steps L2 would be ahead of it without any help from L1."""
    toy = {dict(s.labels)["arm"]: s for s in stages(Settings(size="toy", seeds=1)) if not s.base}
    arm = toy["90/10"]
    for name, share in ALONE.items():
        assert toy[name].corpus.shares[0] == 1 and toy[name].tokens == share * arm.tokens
        assert dataclasses.replace(toy[name].recipe, batch=arm.recipe.batch) == arm.recipe
    assert tuple(ALONE[name] for name in FITTED) == SHARES and CHECK not in SHARES


def _losses(l2: float) -> pa.Table:
    """Documents of two seeds, as L1 alone on a known curve has them and L2 of 90/10 has `l2`."""
    curve, rows = Curve(1.5, 0.3, 0.7), []
    losses = {(arm, "L1"): curve.loss(share) for arm, share in ALONE.items()}
    losses |= {("90/10", "L2"): l2, ("50/50", "L2"): curve.loss(0.25)}
    for (arm, language), loss in losses.items():
        for seed, noise in enumerate((-0.01, 0.01)):
            same = dict(measure="loss", arm=arm, language=language, seed=seed)
            rows += [same | {"loss": float(loss) + noise + more} for more in (-0.02, 0.02)]
    return pa.Table.from_pylist(rows)


def test_a_model_alone_that_is_not_in_the_fit_is_worth_itself():
    check = [*ALONE][-1]
    worth = imbalance._efficiency(_losses(2.0), (check, "L1"))
    assert worth.value == pytest.approx(1, abs=0.01)


def test_a_rare_clone_beyond_the_fit_is_worth_the_most_and_is_not_left_out():
    two = _losses(1.0), (("90/10", "L2"), ("50/50", "L2"))
    beyond = imbalance._efficiency(two[0], *two[1], of=lambda te: te[:, 0] - te[:, 1])
    assert beyond.value == pytest.approx(2 / 0.1 - 0.5, abs=0.01) and np.isfinite(beyond.high)


def test_transfer_is_compared_over_tuning_in_l2_for_as_many_steps():
    """Half of a low ceiling and half of a high one are one transfer."""
    rows = []
    for arm, ceiling in {"90/10": 4, "50/50": 8}.items():
        for tuned, step, right in (("L1", 0, 0), ("L1", 4, ceiling / 2), ("L2", 0, 0),
                                   ("L2", 2, 9), ("L2", 4, ceiling)):  # fmt: skip
            same = dict(measure="following", language="L2", arm=arm, tuned=tuned, step=step, seed=0)
            rows += [same | {"right": float(i < right)} for i in range(10)]
    more, clone = imbalance._transfer(pa.Table.from_pylist(rows), "gla")
    assert more.estimate.value == pytest.approx(0) and clone.estimate.value == pytest.approx(0.5)


def test_a_clone_shares_no_word_and_no_document_is_in_two_languages():
    text = corpus(SIZES["smoke"], seed=0)
    forms = [set(language.forms) for language in text.pair.languages(text.world)]
    assert not forms[0] & forms[1] and not forms[1] & forms[4]
    rows = text.rows(0, 200)
    assert "dictionary" not in {text.legend["register"][r] for r in rows["register"].ravel()}
    # No language knows a fact that another is not told.
    assert (text.stated == text.stated[:, :1]).all() and text.stated[:, :, 0].all()


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["imbalance", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(imbalance.ROWS) and len(claims) == 7
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == 6
