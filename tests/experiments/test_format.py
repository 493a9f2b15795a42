"""Formats ask the same facts with the same options, and none is answered in a held-out cell."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.fact import FORMATS, facts
from data.ledger import ledger
from experiments import format, run, stats
from experiments.claim import decide
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


def test_what_is_chosen_twice_as_often_as_chance_is_not_at_chance_however_few_the_nats():
    """A mean of log-odds of 0.24 with half of the right ones chosen; as measured, with 0.57."""
    rng, rows = np.random.default_rng(0), []
    cells = itertools.product(range(5), FORMATS, format.GROUPS, ("forward", "reverse"), range(80))
    for seed, name, group, way, item in cells:
        known = name == "completion" and (group, way) == ("G1", "reverse")
        chosen = float(item % 4 <= known)
        told = "forward" if name == "context" else ""
        rows.append(dict(seed=seed, format=name, relation="parent", group=group, direction=way,
                         told=told, place=item % 4, exact=0.0, chosen=chosen,
                         log_odds=0.24 + rng.normal()))  # fmt: skip
    claims = decide(format._options(pa.Table.from_pylist(rows), "gla"))
    verdict = {c["claim"].split(",")[1].split(":")[0].strip(): c["verdict"] for c in claims[:2]}
    assert verdict == {"completion": "opposite", "open": "reproduced"}


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["format", "--size", "smoke", "--seeds", "1", "--mixers", "gla"]
    assert run.main([*words, "--out", str(tmp_path)]) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(format.ROWS) and 3 <= len(claims) <= 8
    assert any("void" in c["claim"] for c in claims)
    assert all(c["estimate"] is not None for c in claims)
