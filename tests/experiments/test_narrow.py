"""One task tuned: its corpus asks no other, and what was not tuned is told from what was."""

import pyarrow.compute as pc
import pytest

from data.task import TASKS
from experiments import narrow, run
from experiments.claim import decide
from tests.experiments import pretended

STAGES = narrow.stages(narrow.Settings(size="smoke", seeds=2))


def test_an_arm_asks_its_task_alone_and_differs_in_nothing_else():
    of = {(dict(s.labels)["tier"], dict(s.labels)["tuned"]): s for s in reversed(STAGES)}
    for tier in ("T1", "T2"):
        for task in TASKS:
            one, all_ = of[tier, task], of[tier, "all"]
            asked = {m.question.task for i in range(20) for _, m in one.corpus.documents(i)}
            assert asked == {task}
            assert pretended.differing(one.corpus, all_.corpus) == {"mixture.held_out"}
            assert one.recipe == all_.recipe
        assert {m.question.task for i in range(20) for _, m in all_.corpus.documents(i)} == {*TASKS}
        assert of[tier, "all, shuffled"].corpus.base == of[tier, "all"].corpus


def test_seeds_are_paired():
    per_seed = [[row | {"seed": 0} for row in pretended.labels(STAGES) if row["seed"] == seed]
                for seed in (0, 1)]  # fmt: skip
    assert per_seed[0] == per_seed[1] and len(per_seed[0]) == 1 + 2 * 9


def test_a_task_is_held_out_where_another_one_was_tuned_and_claims_cover_the_row():
    results = pretended.results(narrow)
    for row in narrow.answers(results.items).select(["tuned", "task", "held", "width"]).to_pylist():
        one = row["tuned"] in TASKS
        assert row["held"] == ("yes" if one and row["tuned"] != row["task"] else "no")
        assert (row["width"] == "one") == one
    claims = decide(narrow.claims(results))
    assert {claim["row"] for claim in claims} == {*narrow.ROWS} and len(claims) == 6
    assert all(section.body for section in narrow.sections(results))
    assert set(pc.unique(results.items["task"]).to_pylist()) == {*TASKS}


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["narrow", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
