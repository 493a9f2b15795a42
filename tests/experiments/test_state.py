"""The state is probed in the models of mqar, before and after training."""

import itertools

import pyarrow as pa
import pytest

from experiments import mqar, report, run, state
from experiments.claim import decide
from experiments.mqar import SIZES
from experiments.state import PROBED, Settings, stages
from train.store import identity

FOUND = stages(Settings(seeds=2))


def test_every_seed_has_every_arm_before_and_after_training():
    labels = [dict(stage.labels) for stage in FOUND]
    assert {(l["seed"], l["arm"]) for l in labels} == {(s, a) for s in (0, 1) for a in PROBED}
    for stage in FOUND:
        assert stage.at == (0, SIZES["toy"].recipe.steps)


def test_its_models_are_among_those_of_mqar():
    swept = {identity(stage) for stage in mqar.stages(mqar.Settings(seeds=2))}
    assert {identity(stage) for stage in FOUND} <= swept


# What is read of each place: the claims come out as declared, or the other way round.
AS_CLAIMED = {("gla", 9, "state", "own"): 0.9, ("gla, small state", 9, "state", "own"): 0.5}
OPPOSITE = {
    ("gla", 9, "state", "shuffled"): 0.1,
    ("gla", 0, "state", "own"): 0.9,
    ("gla", 9, "residual", "own"): 0.9,
    ("gla, small state", 9, "state", "own"): 0.9,
}


@pytest.mark.parametrize(("read", "said"), [(AS_CLAIMED, "reproduced"), (OPPOSITE, "opposite")])
def test_every_claim_says_which_way_it_went(read, said):
    cells = itertools.product(PROBED, (0, 9), ("state", "residual"), ("own", "shuffled"))
    rows = [
        dict(measure="readable", arm=arm, step=step, place=place, labels=labels, seed=seed,
             read=read.get((arm, step, place, labels), 0.1))
        for (arm, step, place, labels), seed in itertools.product(cells, range(5))
    ]  # fmt: skip
    none = pa.table({})
    results = report.Results({}, pa.Table.from_pylist(rows), none, none, none)
    assert [claim["verdict"] for claim in decide(state.claims(results))] == [said] * 4


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["state", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert {claim.row for claim in state.claims(run.report.load(tmp_path))} == {"A5"}
