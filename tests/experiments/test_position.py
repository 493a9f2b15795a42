"""Positions: one skeleton and two texts for all arms, longer rows with as many pairs."""

import doctest
import itertools

import pyarrow as pa
import pytest

from data.sample import label
from data.task import LISTS
from experiments import position, report, run
from experiments.claim import decide
from experiments.measure.associative import Associative
from experiments.position import ARMS, COUNTED, LONGER, QUIZ, SIZES, TASKS, Settings, stages

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


@pytest.mark.parametrize("said", ["reproduced", "opposite"])
def test_every_claim_says_which_way_it_went(said):
    """Contextual positions count and rotary ones lose what is far, or the other way round."""
    expected = said == "reproduced"
    rows = []
    for arm, seed, _ in itertools.product(ARMS, range(5), range(2)):
        counts = arm == ("cope" if expected else "rotary")
        lists = 0.5 if expected else float(arm == "rotary")
        for task in (*LISTS, *COUNTED):
            right = float(counts) if task in COUNTED else lists
            own = dict(text="lists", language="L1", task=label(task), right=right)
            rows.append(dict(own, arm=arm, seed=seed))
        for times in LONGER:
            exact = float(times == 1 or (arm == "rotary") != expected)
            rows.append(dict(text="recall", length=16 * times, exact=exact, arm=arm, seed=seed))
    columns = dict.fromkeys(key for row in rows for key in row)
    items = pa.Table.from_pylist([{c: row.get(c) for c in columns} for row in rows])
    none = pa.table({})
    found = decide(position.claims(report.Results({}, items, none, none, none)))
    assert [claim["verdict"] for claim in found] == [said] * 5


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["position", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
