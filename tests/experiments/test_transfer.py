"""The Leike row: arms that differ in what they name, tiers, controls, and claims over them."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from data.corpus import Corpus
from data.ledger import ledger
from data.meaning import Dictionary
from data.probe import tasks
from data.shuffled import Shuffled
from experiments import run, transfer
from experiments.claim import decide
from experiments.standard import SIZES, corpus
from tests.experiments import pretended

STAGES = transfer.stages(transfer.Settings(size="smoke", seeds=2))
TEXT = corpus(SIZES["smoke"], seed=0)


def test_every_arm_has_its_base_its_tiers_and_the_ceiling_with_the_same_seeds():
    cells = [{(row["arm"], row["tier"], row["tuned"]) for row in pretended.labels(STAGES)
              if row["seed"] == seed} for seed in (0, 1)]  # fmt: skip
    assert cells[0] == cells[1] and len(STAGES) == 2 * len(cells[0])
    for arm, tiers in transfer.TUNED.items():
        assert (arm, "base", "none") in cells[0]
        assert {(arm, tier, tuned) for tier in tiers for tuned in ("L1", "L2")} <= cells[0]
    assert ("standard", "T1", "shuffled") in cells[0]
    for each in STAGES:
        assert each.recipe.seed == dict(each.labels)["seed"]


def test_arms_differ_from_the_standard_in_what_they_name_alone():
    differ = {arm: pretended.differing(TEXT, edit(TEXT)) for arm, edit in transfer.ARMS.items()}
    assert differ == {
        "standard": set(),
        "tenth": {"ratio"},
        "unaligned": {"pair.features", "mixture.dictionary"},
        "tenth, unaligned": {"ratio", "pair.features", "mixture.dictionary"},
        "cloned": {"pair.features", "mixture.dictionary"},
        "new task": {"mixture.held_out", "mixture.glossed"},
    }


def test_unaligned_languages_share_marks_alone_and_cloned_ones_nothing():
    for arm, shared in (("unaligned", {"?", ",", "<u>", "<a>"}), ("cloned", set())):
        text = transfer.ARMS[arm](TEXT)
        one, two = (set(language.forms) for language in text.pair.languages(text.world))
        assert one & two <= shared
        assert not any(isinstance(m, Dictionary) for i in range(60) for _, m in text.documents(i))


def test_the_new_task_is_asked_in_no_text_and_its_word_is_in_dictionaries():
    text = transfer.ARMS["new task"](TEXT)
    said = [meaning for i in range(200) for _, meaning in text.documents(i)]
    glosses = [m for m in said if isinstance(m, Dictionary)]
    assert any("swap" in m.concepts for m in glosses)
    assert all("'swap'" not in repr(m) for m in said if not isinstance(m, Dictionary))


def test_no_arm_but_the_tenth_changes_how_often_facts_are_stated():
    """Exposures, counted from the rows: no dictionary leaves room for a few per cent more."""
    count = {}
    for arm, edit in transfer.ARMS.items():
        table = ledger(edit(TEXT), 0, 400)
        count[arm] = np.sum(table["exposures"].to_numpy())
    assert len(set(count)) == 6
    for arm in ("unaligned", "cloned", "new task"):
        assert abs(count[arm] / count["standard"] - 1) < 0.1


def test_shuffled_tuning_asks_what_tuning_asks():
    of = {(dict(s.labels)["tier"], dict(s.labels)["tuned"]): s.corpus for s in STAGES
          if dict(s.labels)["arm"] == "standard" and dict(s.labels)["seed"] == 0}  # fmt: skip
    assert of["T2", "shuffled"] == Shuffled(of["T2", "L1"])
    assert isinstance(of["T2", "L2"], Corpus)
    assert dataclasses.replace(of["T2", "L2"], ratio=0.0) == of["T2", "L1"]


RESULTS = pretended.results(transfer, seeds=5)
STEPS = SIZES["smoke"].at


def verdicts(of, metric, value) -> dict[str, dict]:
    """The claims that `of` makes, by their text, where `metric` is `value(row)` in every item that
    has it."""
    rows = RESULTS.items.to_pylist()
    rows = [row | ({} if row[metric] is None else {metric: float(value(row))}) for row in rows]
    items = pa.Table.from_pylist(rows, RESULTS.items.schema)
    return {claim["claim"].removeprefix("gla: "): claim for claim in decide(of(items, "gla"))}


def only(found: dict[str, dict], begin: str) -> dict:
    (claim,) = (claim for text, claim in found.items() if text.startswith(begin))
    return claim


@pytest.mark.slow
def test_claims_cover_the_row_and_the_hypotheses_and_sections_draw():
    claims = decide(transfer.claims(RESULTS))
    assert {claim["row"] for claim in claims} == {*transfer.ROWS} and 3 <= len(claims) <= 14
    text = " ".join(claim["claim"] for claim in claims)
    assert all(f"{h}:" in text for h in ("H1", "H2", "H3", "H4", "H5", "control"))
    assert all(section.body for section in transfer.sections(RESULTS))


def test_a_new_task_that_crosses_for_a_while_or_that_nobody_learns_is_seen():
    """In L2 after tuning in L1 at the second step alone; in L1 never."""
    known = {("L2", step) for step in STEPS[1:]} | {("L1", STEPS[1])}
    of = lambda items, mixer: transfer._new(transfer.answers(items), mixer)
    asked = lambda row: row["language"] == "L2" and (row["tuned"], row["step"]) in known
    found = verdicts(of, "right", asked)
    assert only(found, "T3, the new task in L2")["verdict"] == "opposite"
    control = f"control of T3: the new task after {STEPS[-1]} steps in "
    assert only(found, control + "L1")["verdict"] == "opposite"
    assert only(found, control + "L2")["verdict"] == "reproduced"


def test_what_the_base_read_is_compared_as_shares_of_what_tuning_in_l2_gains():
    """A tenth of L2 gains less than half of L2 does, and all that tuning in L2 would gain."""
    rng = np.random.default_rng(1)
    reached = {("tenth", "L1"): 0.4, ("tenth", "L2"): 0.4, ("standard", "L1"): 0.5}
    share = lambda row: reached.get((row["arm"], row["tuned"]), 1.0) if row["step"] else 0.0
    found = verdicts(transfer._arms, "right", lambda row: rng.uniform() < share(row))
    claim = only(found, "H2:")
    assert claim["verdict"] == "reproduced" and abs(claim["estimate"] - 0.5) < 0.2
    assert only(found, "H3:")["verdict"] == "opposite"
    crossed = only(found, "H2 x H3:")
    assert crossed["verdict"] == "opposite" and abs(crossed["estimate"] + 0.5) < 0.2


def test_that_languages_are_unaligned_is_measured():
    for aligned, verdict in ((True, "opposite"), (False, "reproduced")):
        claim = only(
            verdicts(transfer._arms, "retrieved", lambda row, a=aligned: a), "control of H3"
        )
        assert claim["verdict"] == verdict and claim["reference"] == 1 / 8


def test_no_question_begins_where_the_untuned_base_is_asked():
    for arm, edit in transfer.ARMS.items():
        text = edit(TEXT)
        openers = tasks(text, "quiz", items=1).openers
        words = {*openers["question L1"].tolist(), *openers["question L2"].tolist()}
        assert dict(transfer._unasking(text).offsets).keys() == words, arm


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["transfer", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
