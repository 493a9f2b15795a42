"""The curricula read as many tokens of as many rows, and differ in who speaks when."""

import dataclasses
import json

import pytest

from data.curriculum import Curriculum
from experiments import exposure, run
from experiments.exposure import Settings, checkpoints, orders, stages
from experiments.standard import SIZES

STAGES = stages(Settings(size="smoke", seeds=2))
BY_ARM = {(dict(s.labels)["arm"], dict(s.labels)["seed"]): s for s in STAGES}
ARMS = tuple(orders(SIZES["smoke"].pretrain))


def test_every_arm_is_there_for_every_seed():
    more = ("L2 alone", "L1 again", "L1 at last")
    assert set(BY_ARM) == {(arm, seed) for arm in (*ARMS, *more) for seed in (0, 1)}


def test_curricula_differ_in_their_order_alone():
    first = BY_ARM["together", 1]
    for arm in ARMS:
        other = BY_ARM[arm, 1]
        assert isinstance(other.corpus, Curriculum) and other.corpus.base == first.corpus.base
        assert dataclasses.replace(other, corpus=first.corpus, labels=first.labels) == first
        assert other.tokens == first.tokens and other.at == first.at


@pytest.mark.parametrize(
    ("arm", "before", "after"),
    [("together", 0.5, 0.5), ("one by one", 0, 1), ("then mixed", 0, 0.5), ("in turns", 0.5, 0.5)],
)
def test_a_half_has_the_share_of_l2_that_the_docstring_says(arm, before, after):
    size = SIZES["toy"]
    text = Curriculum(exposure.corpus(size, 0), orders(size.pretrain)[arm])
    half = size.pretrain.steps // 2 * size.pretrain.batch
    for start, share in ((half - 320, before), (half, after)):
        language = text.rows(start, start + 320)["language"]
        assert abs((language[language >= 0] == 1).mean() - share) < 0.07


def test_the_loss_is_measured_at_the_switch_right_after_it_and_at_the_end():
    assert checkpoints(800) == (200, 400, 401, 402, 405, 410, 420, 450, 500, 600, 800)
    assert checkpoints(12) == (3, 6, 7, 8, 11, 12)


def test_l2_alone_reads_what_the_second_half_reads():
    alone, after = BY_ARM["L2 alone", 0], BY_ARM["one by one", 0]
    assert 2 * alone.tokens == after.tokens and alone.corpus.ratio == 1


def test_l1_again_reads_the_same_rows_at_the_same_rate_as_for_the_first_time():
    again, last = BY_ARM["L1 again", 0], BY_ARM["L1 at last", 0]
    assert (again.base, last.base) == (BY_ARM["one by one", 0], BY_ARM["L2 alone", 0])
    assert (again.corpus, again.recipe) == (last.corpus, last.recipe)
    assert again.corpus.ratio == 0 and again.at[0] == 0


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["exposure", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B5"] * 6
    assert (tmp_path / "report.html").read_text().count("<svg") == 3
