"""Formats ask the same facts with the same options, and none is answered in a held-out cell."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest

from data.fact import FORMATS, facts
from data.ledger import ledger
from experiments import format, run, stats
from experiments.standard import SIZES

TEXT = format.corpus(SIZES["smoke"], seed=0)


def test_every_format_asks_every_fact_of_the_groups_in_both_directions():
    cells = []
    for name in FORMATS:
        slices = facts(TEXT, name, format.GROUPS).slices
        own = slices["relation"] == "parent"
        cells.append({(f, d) for f, d in zip(slices["fact"][own], slices["direction"][own],
                                             strict=True)})  # fmt: skip
    assert all(each == cells[0] for each in cells) and len(cells[0]) == 3 * 4 * 2


def test_the_answer_stands_in_every_place_equally_often():
    slices = facts(TEXT, "choice", format.GROUPS).slices
    assert len(set(np.bincount(slices["place"]))) == 1


def test_no_question_answers_what_is_held_out():
    table = ledger(TEXT, 0, 2_000)
    assert pc.sum(stats.where(table, stated=False)["exposures"]).as_py() == 0
    assert pc.sum(stats.where(table, register="quiz")["exposures"]).as_py() > 0


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["format", "--size", "smoke", "--seeds", "1", "--mixers", "gla"]
    assert run.main([*words, "--out", str(tmp_path)]) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(format.ROWS) and 3 <= len(claims) <= 8
    assert any("void" in c["claim"] for c in claims)
    assert all(c["estimate"] is not None for c in claims)
