"""Rules fitted in a language: on other questions, by right answers, and never by a gradient."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.probe import tasks
from experiments import rules, run
from experiments.claim import decide
from experiments.measure import ruled
from experiments.measure.ruled import Ruled, grid
from experiments.standard import SIZES, corpus
from tests.experiments import pretended
from train.rule import Rules

STAGES = rules.stages(rules.Settings(size="smoke", seeds=2))
TEXT = corpus(SIZES["smoke"], seed=0)


@pytest.mark.parametrize("moved", [("L1", "L2"), ("L1",)])
def test_the_grid_begins_with_no_rule_and_moves_the_question_words_it_is_given(moved):
    probe = tasks(TEXT, "quiz", items=2)
    found = grid(probe, moved)
    assert found[0] == Rules(rise=0.0, repetition=0.0) and len(set(found)) == 18
    words = {token for rule in found for token, _ in rule.offsets}
    assert words == {int(probe.openers[f"question {name}"][0]) for name in moved}
    assert len(words) == len(moved)


def test_the_rules_chosen_are_those_that_answer_other_questions_of_the_language(monkeypatch):
    """A model that answers right where the opener is moved by -8, and only if asked in L2."""
    seen = []

    def says(cfg, params, prompts, lengths, steps, rule):
        probe = tasks(TEXT, "quiz", 2, 1)
        own = np.flatnonzero(probe.slices["language"] == "L2")
        seen.append(np.array_equal(prompts, probe.prompts[own]))
        gold = np.pad(probe.answers[own], ((0, 0), (0, 1)))
        moved = bool(rule.offsets) and rule.offsets[0][1] == -8.0 and rule.rise == 0.5
        return gold if moved else np.zeros_like(gold)

    monkeypatch.setattr(ruled, "decoded", says)
    best = Ruled(TEXT, "quiz", "L2", items=2, seed=0).fit(None, None)
    assert best.offsets[0][1] == -8.0 and best.rise == 0.5 and best.repetition == 0.0
    assert all(seen) and len(seen) == 18


def test_bases_are_asked_by_rules_of_both_languages_and_tunings_are_the_controls():
    bases = [each for each in STAGES if each.base is None]
    for base in bases:
        ruled = {(m.register, m.fitted, m.moved) for m in base.measures if isinstance(m, Ruled)}
        both = ("L1", "L2")
        ways = (("L1", both), ("L2", both), ("L1", ("L1",)))
        assert ruled == {(register, *way) for register in ("quiz", "chat") for way in ways}
        assert {m.shots for m in base.measures if not isinstance(m, Ruled)} == {0, 3}
    assert len(STAGES) == 2 * 5


def test_claims_cover_the_row_and_sections_draw():
    results = pretended.results(rules)
    claims = decide(rules.claims(results))
    assert {claim["row"] for claim in claims} == {*rules.ROWS} and len(claims) == 5
    assert all(section.body for section in rules.sections(results))


def test_rules_that_are_given_l2_s_word_are_told_from_those_that_are_not():
    """The gain in L2 of a base that needs its own word moved: all of it, and none."""
    results = pretended.results(rules)
    ways = rules.answers(results.items)["way"].to_pylist()
    rows = results.items.filter(pc.equal(results.items["ambiguous"], "no")).to_pylist()
    needs = lambda way, language: (
        way in ("the base", "3 examples")
        or (way == "rules of L1, its word alone" and language == "L2")
    )
    rows = [row | {"right": float(not needs(way, row["language"]))}
            for row, way in zip(rows, ways, strict=True)]  # fmt: skip
    own = dataclasses.replace(results, items=pa.Table.from_pylist(rows))
    gain = {c["claim"]: c["estimate"] for c in decide(rules.claims(own)) if ", given" in c["claim"]}
    assert [gain[c] for c in sorted(gain)] == [0.0, 1.0] and "L1 alone" in min(gain)


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["rules", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
