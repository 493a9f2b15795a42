"""Tuning and healing start from the standard base, and heal one language alone if they say so."""

import dataclasses
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from experiments import flagship, joint, run, stats
from experiments.claim import decide
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


def items(exact, log_odds) -> pa.Table:
    """G1 as it would be asked, five seeds of 16, with metrics of an arm and a cell."""
    rng, rows = np.random.default_rng(0), []
    cells = itertools.product(joint.ARMS, ("L1", "L2"), joint.WAYS, ("shared", "own"))
    for seed, (arm, language, way, names) in itertools.product(range(5), cells):
        cell = dict(measure="recall", relation="parent", group="G1", arm=arm, language=language,
                    direction=way, names=names, ambiguous="yes", seed=seed)  # fmt: skip
        for _ in range(8):
            rows.append(cell | dict(exact=float(exact(cell)), right=0.0,
                                    log_odds=log_odds(cell) + rng.normal() / 4))  # fmt: skip
        asked = cell | dict(measure="following", ambiguous="no", right=0.0)
        rows.append(asked | dict(exact=None, log_odds=None))
    return pa.Table.from_pylist(rows)


def verdict(claims, part: str) -> str:
    (claim,) = (claim for claim in decide(claims) if part in claim["claim"])
    return claim["verdict"]


def test_a_loss_of_all_that_is_completed_is_no_loss_of_the_second_language():
    """After tuning in L1 nothing is said in either language, or in L2 alone nothing."""
    for own, held in ((0, "reproduced"), (1, "opposite")):
        known = lambda cell, own=own: (
            cell["arm"] != "tuned L1" or (own and cell["language"] == "L1")
        )
        found = joint._tuning(items(known, lambda cell: 4.0), "gla")
        assert verdict(found, "leaves the facts of L2") == "opposite"
        assert verdict(found, "change as those of L1") == held
        assert verdict(found, "still known") == verdict(found, "as many steps") == "reproduced"


def test_names_that_differ_before_a_remedy_are_not_what_it_heals():
    """Shared names are 3 nats better reversed in L2, with a remedy and without."""
    better = lambda cell: 3.0 if cell["names"] == "shared" else 0.0
    found = joint._healing(items(lambda cell: 0, better), "gla")
    assert verdict(found, "H3") != "reproduced"
    healed = lambda cell: better(cell) if cell["arm"] == "healed L1" else 0.0
    assert verdict(joint._healing(items(lambda cell: 0, healed), "gla"), "H3") == "reproduced"


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["joint", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(joint.ROWS)
    assert all(c["estimate"] is not None for c in claims)
    assert any("gla minus softmax" in c["claim"] for c in claims)
