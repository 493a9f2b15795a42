"""fit: continuing, stopping, failing, evaluating."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from train.loop import NotFinite, _spans, fit
from train.step import parameters
from train.store import Store

ROOT = pathlib.Path(__file__).parent.parent.parent


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


class Stopped(Exception):
    pass


def stop_at(step):
    def on_step(now, _metrics):
        if now >= step:
            raise Stopped

    return on_step


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(cfg, recipe, copying, tmp_path):
    batches = [copying(0), copying(1)]
    straight = fit(cfg, recipe, batches, store=Store(tmp_path / "a", every=7))
    with pytest.raises(Stopped):
        fit(cfg, recipe, batches, store=Store(tmp_path / "b", every=7), on_step=stop_at(17))
    assert not (tmp_path / "b" / "checkpoints" / "30").exists()
    store = Store(tmp_path / "b", every=7)
    equal(straight, fit(cfg, recipe, batches, store=store, steps_per_call=4))
    rows = store.metrics()
    assert rows == Store(tmp_path / "a", every=7).metrics()
    assert [row["step"] for row in rows] == list(range(1, 31))


def test_a_finished_run_is_read_and_not_repeated(cfg, recipe, copying, tmp_path):
    first = fit(cfg, recipe, [copying(0)], store=Store(tmp_path))
    again = fit(cfg, recipe, [copying(0)], store=Store(tmp_path), on_step=stop_at(0))
    equal(first, again)


SCRIPT = """
import signal, sys, time
sys.path.insert(0, "tests/train")
from conftest import Copying
from model.lm import LM
from model.softmax import Softmax
from train.loop import fit
from train.recipe import Cosine, Recipe
from train.store import Store
cfg = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)
recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))
def on_step(step, metrics):
    print(step, flush=True)
    time.sleep(0.2)
fit(cfg, recipe, [Copying(0)], store=Store(sys.argv[1], every=5), on_step=on_step, steps_per_call=5)
"""


def interrupted(folder, number):
    """Start the run above, send it a signal after step 15, return its exit status and stderr."""
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_DEFAULT_MATMUL_PRECISION": "highest"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in run.stdout:
        if int(line) >= 15:
            run.send_signal(number)
            break
    _, errors = run.communicate(timeout=120)
    return run.returncode, errors


@pytest.mark.parametrize(
    "number, status",
    [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGTERM", "Ctrl-C", "kill -9"],
)
def test_a_run_that_was_ended_goes_on_bit_for_bit(cfg, recipe, copying, tmp_path, number, status):
    straight = fit(cfg, recipe, [copying(0)])
    code, errors = interrupted(tmp_path, number)
    assert code == status, errors
    store = Store(tmp_path, every=5)
    steps = []
    resumed = fit(cfg, recipe, [copying(0)], store=store, on_step=lambda s, m: steps.append(s))
    assert steps and steps[0] > 5, "it did not begin again"
    equal(straight, resumed)
    assert [row["step"] for row in store.metrics()] == list(range(1, 31))


def test_nan_stops_the_run_and_names_member_and_step(cfg, recipe, copying, tmp_path):
    batches = [copying(0), copying(1, broken_at=13), copying(2)]
    store = Store(tmp_path, every=5)
    with pytest.raises(NotFinite, match=r"member 1, step 13: loss nan") as error:
        fit(cfg, recipe, batches, store=store)
    assert "not-finite-13.npz" in str(error.value.__notes__)
    assert [row["step"] for row in store.metrics()] == list(range(1, 14))
    with np.load(tmp_path / "not-finite-13.npz") as kept:
        np.testing.assert_array_equal(kept["batch/tokens"], batches[1][13]["tokens"])
        assert kept["state/step"] == 13
        kept = dict(kept)
    seen = []

    def evaluate(step, params):
        own = jax.tree.map(lambda leaf: leaf[0], params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(own):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            np.testing.assert_array_equal(leaf, kept[f"state/trained/{name}"])
        seen.append(step)

    fit(cfg, recipe, [copying(1)], seeds=(1,), evaluate_at=(13,), evaluate=evaluate)
    assert seen == [13], "what was kept is the state before the step"


def test_a_bad_state_is_never_saved(cfg, recipe, copying, tmp_path):
    with pytest.raises(NotFinite):
        fit(cfg, recipe, [copying(0, broken_at=9)], store=Store(tmp_path, every=5))
    repaired = fit(cfg, recipe, [copying(0)], store=Store(tmp_path, every=5))
    equal(repaired, fit(cfg, recipe, [copying(0)]))


def test_evaluations_come_at_their_steps_with_the_parameters_of_then(cfg, recipe, copying):
    seen = {}

    def evaluate(step, params):
        seen[step] = jax.tree.map(np.array, params)

    final = fit(cfg, recipe, [copying(0)], evaluate_at=(0, 3, 10, 30), evaluate=evaluate)
    assert list(seen) == [0, 3, 10, 30]
    equal(seen[0], parameters(cfg, (0,)))
    equal(seen[30], final.trained)
    equal(fit(cfg, recipe, [copying(0)]).trained, final.trained)


def test_a_resumed_run_evaluates_from_its_checkpoint_on(cfg, recipe, copying, tmp_path):
    seen = []
    run = lambda **more: fit(
        cfg, recipe, [copying(0)], store=Store(tmp_path, every=4), evaluate_at=(0, 5, 10, 25),
        evaluate=lambda step, _: seen.append(step), **more,
    )  # fmt: skip
    with pytest.raises(Stopped):
        run(on_step=stop_at(20))
    assert seen == [0, 5, 10]
    run()
    assert seen == [0, 5, 10, 25], "it was stopped at 20, and 20 was stored"


def test_spans_end_at_every_mark():
    assert _spans(0, 10, 4, {0, 3, 8, 99}) == [range(3), range(3, 7), range(7, 8), range(8, 10)]
    assert _spans(10, 10, 4, {3}) == []


def test_metrics_come_once_a_chunk(cfg, recipe, copying):
    seen = []
    started = time.perf_counter()
    fit(cfg, recipe, [copying(0), copying(1)], on_step=lambda *args: seen.append(args))
    assert [step for step, _ in seen] == [20, 30]
    for _, metrics in seen:
        assert metrics["loss"].shape == (2,) and metrics["gradient"].shape == (2,)
        assert metrics["tokens_per_second"] > 0
    assert time.perf_counter() > started


def test_members_without_batches_or_parameters_are_refused(cfg, recipe, copying):
    with pytest.raises(ValueError, match="0 streams"):
        fit(cfg, recipe, [])
    with pytest.raises(ValueError, match="params of 2 members for 1 streams"):
        fit(cfg, recipe, [copying(0)], params=parameters(cfg, (0, 1)))
