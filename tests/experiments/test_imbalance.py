"""The arms of the imbalance experiment differ in the ratio of languages and in nothing else."""

import dataclasses
import json

import pytest

from experiments import imbalance, run
from experiments.imbalance import ALONE, ARMS, Settings, corpus, stages
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


def test_the_yardstick_has_five_points_and_as_many_tokens_as_an_arm_at_its_end():
    assert len(ALONE) == 5 and max(ALONE.values()) == 1
    whole = BASES["L1 alone, 100%", 0]
    assert whole.tokens == BASES["50/50", 0].tokens and whole.corpus.shares[0] == 1


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
    assert (tmp_path / "report.html").read_text().count("<svg") == 5
