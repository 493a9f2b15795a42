"""The curricula read as many tokens of as many rows, and differ in who speaks when."""

import dataclasses
import json

import pyarrow as pa
import pytest

from data.curriculum import Curriculum
from experiments import exposure, run, standard
from experiments.exposure import ARMS, FIRST, Settings, orders, sized, stages

STAGES = stages(Settings(size="smoke", seeds=2))
BY_ARM = {(dict(s.labels)["arm"], dict(s.labels)["seed"]): s for s in STAGES}


def test_every_arm_is_there_for_every_seed():
    names = (*FIRST, *ARMS, "L1 again", "L1 at last")
    assert set(BY_ARM) == {(arm, seed) for arm in names for seed in (0, 1)}
    assert len(BY_ARM) == len(STAGES)


def test_curricula_differ_in_who_speaks_alone():
    for names in (FIRST, ARMS):
        one = BY_ARM[names[0] if names == FIRST else "together", 1]
        for arm in names:
            other = BY_ARM[arm, 1]
            assert isinstance(other.corpus, Curriculum) and other.corpus.base == one.corpus.base
            assert (other.model, other.recipe, other.at) == (one.model, one.recipe, one.at)
    for arm, (first, _) in ARMS.items():
        assert BY_ARM[arm, 1].base == BY_ARM[first, 1]


def test_a_second_half_reads_documents_of_its_own_about_the_same_world():
    first, second = BY_ARM["L2", 0], BY_ARM["L2 alone", 0]
    one, two = first.corpus.base, second.corpus.base
    assert dataclasses.replace(two, seed=one.seed) == one
    assert (first.corpus.rows(0, 8)["tokens"] != second.corpus.rows(0, 8)["tokens"]).any(1).all()


def test_l2_after_l1_is_trained_by_the_recipe_of_l2_alone():
    """The tail of one long schedule would be a handicap that L1 has no part in."""
    after, alone = BY_ARM["one by one", 0], BY_ARM["L2", 0]
    assert after.recipe == alone.recipe and alone.base is None
    assert after.corpus.order == alone.corpus.order
    assert alone.at == (after.at[-1],), "compared after as many steps of L2"


def test_l1_again_and_for_the_first_time_are_read_by_models_as_old():
    again, last = BY_ARM["L1 again", 0], BY_ARM["L1 at last", 0]
    assert (again.base, last.base) == (BY_ARM["one by one", 0], BY_ARM["L2 alone", 0])
    assert (again.corpus, again.recipe, again.at) == (last.corpus, last.recipe, last.at)
    assert again.corpus.ratio == 0 and again.at[0] == 0
    age = lambda stage: stage.recipe.steps + (age(stage.base) if stage.base else 0)
    assert age(again) == age(last)
    assert last.base.corpus.order == last.base.base.corpus.order == BY_ARM["L2", 0].corpus.order


def test_what_is_heard_of_l2_has_no_token_of_l1():
    heard = {name: {*BY_ARM[name, 0].corpus.rows(0, 64)["tokens"].ravel()} for name in ("L1", "L2")}
    assert heard["L1"] & heard["L2"] == {0}


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [("half and half", 0.5, 0.5), ("in turns", 0.5, 0.5), ("L1", 0, 0), ("L2", 1, 1),
     ("10% to 50%", 0.1, 0.5), ("50% to 90%", 0.5, 0.9)],
)  # fmt: skip
def test_a_half_has_the_share_of_l2_that_the_docstring_says(name, begins, ends):
    size = sized("toy")
    text = Curriculum(standard.cloned(size, 0), orders(size.pretrain)[name])
    rows = size.pretrain.steps * size.pretrain.batch
    for start, share in ((0, begins), (rows - 320, ends)):
        language = text.rows(start, start + 320)["language"]
        assert abs((language[language >= 0] == 1).mean() - share) < 0.07


def test_claims_are_about_the_losses_they_name():
    """Every cell has a loss of its own; one claim a difference."""
    losses = {("one by one", "L1", 0): 2.0, ("one by one", "L1", 12): 9.0,
              ("then mixed", "L1", 0): 2.0, ("then mixed", "L1", 12): 2.03,
              ("one by one", "L2", 12): 2.5, ("L2", "L2", 12): 2.4,
              ("10% to 90%", "L1", 12): 2.25, ("together", "L1", 12): 2.2,
              ("10% to 90%", "L2", 12): 2.1, ("together", "L2", 12): 2.3,
              ("in turns", "L1", 12): 2.61, ("half and half", "L1", 12): 2.6,
              ("L1 at last", "L1", 10): 5.0, ("L1 again", "L1", 10): 3.0}  # fmt: skip
    rows = [dict(arm=arm, language=language, step=step, seed=seed, loss=loss)
            for (arm, language, step), loss in losses.items() for seed in (0, 1)]  # fmt: skip
    found = exposure._claims(pa.Table.from_pylist(rows), "gla", end=12, words=100)
    expected = [7, 9 - 4.60517, 0.03, 0.1, 0.05, -0.2, 0.01, 2]
    assert [c.estimate.value for c in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["exposure", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B5"] * 8
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == 3
