"""Positions: one skeleton and two texts for all arms, longer rows with as many pairs."""

import doctest

import pytest

from experiments import position, run
from experiments.measure.associative import Associative
from experiments.position import ARMS, LONGER, QUIZ, SIZES, TASKS, Settings, stages

FOUND = stages(Settings(seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def test_what_is_lost_is_what_the_docstring_says():
    assert doctest.testmod(position).failed == 0


def test_every_seed_has_both_texts_with_every_arm_and_nothing_else_differs():
    for seed in (0, 1):
        for text in ("lists", "recall"):
            own = {l["arm"]: s for s, l in zip(FOUND, LABELS, strict=True)
                   if (l["seed"], l["text"]) == (seed, text)}  # fmt: skip
            assert set(own) == set(ARMS)
            assert len({(s.corpus, s.recipe, s.model.D, s.model.layers) for s in own.values()}) == 1
            assert {arm: s.model.mixer for arm, s in own.items()} == ARMS


def test_softmax_arms_differ_in_positions_alone():
    D, CoPE = SIZES["toy"].D, ARMS["cope"]
    count = {arm: mixer.parameters(D) for arm, mixer in ARMS.items()}
    assert count["rotary"] == count["quarter rotary"] == count["none"]
    assert count["cope"] == count["none"] + CoPE.cope * D // CoPE.heads


def test_lists_are_answered_questions_of_the_first_language():
    text = next(s.corpus for s, l in zip(FOUND, LABELS, strict=True) if l["text"] == "lists")
    rows = text.rows(0, 32)
    there = rows["language"] >= 0
    assert (rows["language"][there] == 0).all()
    assert {text.legend["register"][r] for r in rows["register"][there]} == {"quiz"}
    assert text.mixture == QUIZ and text.world.tasks == TASKS


def test_longer_rows_ask_as_many_pairs():
    stage = next(s for s, l in zip(FOUND, LABELS, strict=True) if l["text"] == "recall")
    measured = [m.corpus for m in stage.measures if isinstance(m, Associative)]
    assert [c.T for c in measured] == [stage.corpus.T * times for times in LONGER]
    assert {(c.pairs, c.vocabulary) for c in measured} == {(4, 32)}


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["position", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
