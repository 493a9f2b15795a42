"""What the benchmark of a step counts, and that it takes steps."""

import dataclasses
import sys
import time

import jax
import pytest

from model.gla import GLA
from model.lm import LM, shapes
from model.mamba import Mamba
from train import bench
from train.bench import _rival, _step, flops

CFG = LM(W=9, D=16, layers=2, mixer=GLA(heads=2), F=32)


@pytest.mark.parametrize("tied", [True, False])
def test_operations_are_six_a_weight_and_token_and_three_times_the_mixers(tied):
    cfg = dataclasses.replace(CFG, tied=tied)
    a_layer = 16 * (8 + 8 + 16 + 16 + 16) + 16 * 8 + 16 * 16 + 16 * 2 * 32 + 32 * 16
    matrices = 9 * 16 + 2 * a_layer  # the embedding or the head: either multiplies once
    mixers = 2 * cfg.mixer.flops(16, 12)
    assert flops(cfg, T=12, B=4) == 4 * 12 * (6 * matrices + 3 * mixers)


def test_decays_that_multiply_no_matrix_are_the_mixers_own():
    cfg = dataclasses.replace(CFG, layers=1, mixer=Mamba(state=4))
    I, R = 32, 1
    layer = 16 * 2 * I + 4 * I + I * (R + 8) + R * I + I * 16 + 16 * 2 * 32 + 32 * 16
    assert flops(cfg, T=12, B=4) == 4 * 12 * (6 * (9 * 16 + layer) + 3 * cfg.mixer.flops(16, 12))


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="members=0 must be at least 1"):
        bench.main(sizes=("toy",), members=0)


@pytest.mark.slow
def test_a_call_takes_its_steps_and_holds_the_state_of_all_members():
    step, n, memory = _step(CFG, T=12, B=4, members=2)
    step()
    step()
    weights = sum(4 * leaf.size for leaf in jax.tree.leaves(shapes(CFG)))
    assert n == 10 and memory > 2 * 3 * weights


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python"])
def test_a_rival_that_cannot_run_is_one_line(python, monkeypatch):
    """It may have died of its imports before it is asked, or of the first question."""
    monkeypatch.setattr(bench, "_GPT2", "import no_such_library")
    cannot = pytest.raises(ValueError, match=r"cannot run GPT-2; it needs torch and transformers")
    for seconds in (0, 0.5):
        with cannot, _rival(CFG, 12, 4, python) as turn:
            time.sleep(seconds)
            turn()
