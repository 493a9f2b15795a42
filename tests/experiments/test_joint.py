"""Tuning and healing start from the standard base, and heal one language alone if they say so."""

import dataclasses
import json

import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from experiments import flagship, joint, run, stats
from experiments.standard import SIZES, corpus
from train.store import identity

TEXT = corpus(SIZES["smoke"], seed=0)
STAGES = joint.stages(joint.Settings(size="smoke", seeds=2))


def test_the_base_is_the_one_that_the_flagship_trains():
    known = flagship.stages(flagship.Settings(size="smoke", seeds=2, mixers="gla,softmax"))
    bases = lambda stages: {identity(s) for s in stages if s.base is None}
    assert bases(STAGES) == bases(known)
    tuned = {identity(s) for s in STAGES if dict(s.labels)["arm"].startswith("tuned")}
    assert tuned <= {identity(s) for s in known}


def test_every_arm_is_there_for_every_seed_and_mixer():
    found = [tuple(dict(s.labels)[k] for k in ("mixer", "seed", "arm")) for s in STAGES]
    assert len(set(found)) == len(found) == 2 * 2 * len(joint.ARMS)


def test_remedies_differ_in_their_languages_alone():
    one, both = (joint.healing(TEXT, arm) for arm in ("healed L1", "healed both"))
    assert dataclasses.replace(one, languages=()) == both and one.base == both.base
    assert joint.healing(TEXT, "plain") == one.base


def test_healing_in_the_first_language_reverses_nothing_in_the_second():
    table = ledger(joint.healing(TEXT, "healed L1"), 0, 800)
    own = stats.where(table, group="G1", relation="parent", direction="reverse")
    told = lambda language: pc.sum(stats.where(own, language=language)["exposures"]).as_py() or 0
    assert told("L1") > 0 and told("L2") == 0


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["joint", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(joint.ROWS)
    assert all(c["estimate"] is not None for c in claims)
    assert any("gla minus softmax" in c["claim"] for c in claims)
