"""The arms of the experiment on unification, what its corpora state, and a run of it."""

import dataclasses
import json

import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from experiments import run, stats, unification
from experiments.standard import SIZES, Settings, corpus

SMOKE = SIZES["smoke"]


def test_seeds_and_mixers_pair_the_arms():
    stages = unification.stages(Settings("smoke", 2, "gla,softmax"))
    labels = [dict(stage.labels) for stage in stages]
    for seed in (0, 1):
        for mixer in ("gla", "softmax"):
            arms = [x["arm"] for x in labels if (x["seed"], x["mixer"]) == (seed, mixer)]
            assert arms == [*unification.ARMS]
    assert stages[0].corpus == corpus(SMOKE, 0)


@pytest.mark.parametrize(
    ("name", "of", "fields"),
    [
        ("tagged", "standard", {"pair"}),
        ("dictionary", "standard", {"mixture"}),
        ("both", "dictionary", {"pair"}),
        ("parallel", "dictionary", {"mixture"}),
        ("apart", "dictionary", {"world"}),
    ],
)
def test_an_arm_differs_from_its_control_in_one_field(name, of, fields):
    one, two = (unification.arm(SMOKE, 0, arm) for arm in (name, of))
    differ = {
        f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(two, f.name)
    }
    assert differ == fields


@pytest.mark.parametrize("name", unification.ARMS)
def test_exposures_are_matched_and_none_is_in_the_cell_asked_across(name):
    """Pitfalls 7 and 9 of measurement: frequency, and pairs that leak the fact."""
    table = ledger(unification.arm(SMOKE, 0, name), 0, 40_000)
    table = stats.where(table, relation="parent", direction="forward")

    def count(group: str, language: str) -> int:
        return pc.sum(stats.where(table, group=group, language=language)["exposures"]).as_py()

    assert count("G2", "L2") == count("G7", "L2") == count("G7", "L1") == count("G6", "L1") == 0
    assert count("G2", "L1") == pytest.approx(count("G6", "L2"), rel=0.1)
    assert count("G0", "L1") == pytest.approx(count("G2", "L1"), rel=0.1)


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["unification", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(unification.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg") >= 4
