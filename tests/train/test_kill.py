"""kill -9 at random moments: nothing is lost, nothing twice, the end is the same bit for bit."""

import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from train.recipe import Cosine, Recipe
from train.step import abstract
from train.store import Store

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPT = """
import json, pathlib, sys, time
sys.path.insert(0, "tests/train")
from conftest import Copying
from model.lm import LM
from model.softmax import Softmax
from train.lock import whole
from train.loop import fit
from train.member import Member
from train.recipe import Cosine, Recipe
from train.store import Store

cfg = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)

def member(seed):
    folder = pathlib.Path(sys.argv[1]) / str(seed)

    def evaluate(step, params):
        table = {"step": step, "sum": float(params["embedding"]["w"].sum())}
        whole(folder / f"table-{step}.json", json.dumps(table))

    recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5), seed=seed)
    return Member(recipe=recipe, batches=Copying(seed), store=Store(folder, every=2 + seed),
                  evaluate_at=(0, 7, 14, 23, 30), evaluate=evaluate)

def on_step(progress):
    print(progress.step, flush=True)
    time.sleep(0.02)

members = [member(seed) for seed in range(2)]
fit(cfg, members, on_step=on_step, steps_per_call=1)
for each in members:
    each.store.close()
"""


def run(folder, seconds=None, early=False):
    """The run above, killed so many seconds after its first step, or after its beginning if
    `early`; whether it was killed, and how long it took to its first step."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        end = threading.Timer(seconds or 0, process.kill)
        if early:
            end.start()
        process.stdout.readline()
        first = time.monotonic() - began
        if seconds is not None and not early:
            end.start()
        process.stdout.read()
        end.cancel()
    assert process.returncode in (0, -9)
    return process.returncode == -9, first


@pytest.mark.parametrize("kills", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_as_the_one_that_was_not(cfg, tmp_path, kills):
    """Every other kill falls before a first step: into imports, a restore, a compilation."""
    draw, killed, round = random.Random(kills), 0, 0
    whole, first = run(tmp_path / "straight")
    assert not whole
    while killed < kills:
        early = killed % 2 == 1
        moment = draw.uniform(0.2, 1) * first if early else draw.uniform(0, 0.8)
        own, began = run(tmp_path / f"killed-{round}", moment, early)
        first = first if early else began  # it compiles once, and the machine has other work
        killed += own
        round += not own  # it came to its end before its moment: the next one begins anew
    assert not run(tmp_path / f"killed-{round}")[0]
    ends = {folder.name: [end(cfg, folder, seed) for seed in range(2)] for folder in
            sorted(tmp_path.iterdir())}  # fmt: skip
    straight = ends.pop("straight")
    for _, rows, tables in straight:
        assert [row["step"] for row in rows] == list(range(1, 31)) and len(tables) == 5
    for members in ends.values():
        for (one, own_rows, own_tables), (state, rows, tables) in zip(
            members, straight, strict=True
        ):
            jax.tree.map(np.testing.assert_array_equal, one, state)
            assert own_rows == rows and own_tables == tables


def end(cfg, folder, seed):
    """State, metrics and tables that a run left of a member."""
    recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))
    store = Store(folder / str(seed))
    state = store.restore(abstract(cfg, recipe, 1)[0])
    tables = {path.name: path.read_text() for path in (folder / str(seed)).glob("table-*.json")}
    found = state, store.metrics(), tables
    store.close()
    return found
