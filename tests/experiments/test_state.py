"""The state is probed in the models of mqar, before and after training."""

import pytest

from experiments import mqar, run, state
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


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["state", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert {claim.row for claim in state.claims(run.report.load(tmp_path))} == {"A5"}
