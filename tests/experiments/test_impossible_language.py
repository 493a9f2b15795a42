"""Each perturbation beside a control with the same words, and nothing else changed."""

import collections
import dataclasses
import json

import pytest

from data.meaning import Fact
from data.silence import Silenced
from data.speaker import speaker
from experiments import run
from experiments.impossible_language import (
    ARMS,
    FAMILIES,
    WITHOUT,
    Settings,
    checkpoints,
    corpus,
    sized,
    stages,
)

STAGES = stages(Settings(size="smoke", seeds=2))
LABELS = {(d["arm"], d["beside"], d["seed"]): s for s in STAGES for d in [dict(s.labels)]}


def test_every_language_is_learned_beside_l1_and_two_of_them_alone():
    expected = {(arm, "L1") for arm in ARMS} | {(arm, "none") for arm in WITHOUT}
    assert set(LABELS) == {(*key, seed) for key in expected for seed in (0, 1)}


def test_arms_differ_in_the_perturbation_alone():
    first = LABELS["no shuffle", "L1", 1]
    for arm, change in ARMS.items():
        own = LABELS[arm, "L1", 1]
        assert own.corpus.pair.features[-1] == change and own.recipe == first.recipe
        assert dataclasses.replace(own.corpus, pair=first.corpus.pair) == first.corpus


def test_a_language_without_l1_reads_the_same_l2():
    for arm in WITHOUT:
        both, alone = LABELS[arm, "L1", 0], LABELS[arm, "none", 0]
        assert alone.corpus == Silenced(both.corpus, "L1") and alone.recipe == both.recipe
        assert alone.measures[0] == both.measures[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_perturbation_says_the_words_of_its_control_in_another_order(family):
    control, *others = (corpus(sized("smoke"), 0, arm) for arm in FAMILIES[family])
    said = lambda text, meaning: speaker(text.pair, text.world).render(meaning, 1)
    meanings = [m for i in range(20) for language, m in control.documents(i) if language == 1]
    for other in others:
        moved = 0
        for meaning in meanings:
            plain, changed = said(control, meaning), said(other, meaning)
            assert len(plain) == len(changed)
            # Whoever is in focus is first also when words move: "parent" may become "child".
            if not isinstance(meaning, Fact):
                assert collections.Counter(plain) == collections.Counter(changed)
            moved += plain != changed
        assert moved > 0.3 * len(meanings)


def test_checkpoints_double_up_to_the_end():
    assert checkpoints(400) == (50, 100, 200, 400)


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["impossible_language", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B7"] * len(claims) and len(claims) == 6
    assert (tmp_path / "report.html").read_text().count("<svg") == 3
