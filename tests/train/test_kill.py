"""kill -9 at random moments: nothing is lost, nothing twice, the end is the same bit for bit."""

import os
import pathlib
import random
import subprocess
import sys
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

folder = pathlib.Path(sys.argv[1])
cfg = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)
recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))

def evaluate(step, params):
    table = {"step": step, "sum": float(params["embedding"]["w"].sum())}
    whole(folder / f"table-{step}.json", json.dumps(table))

def on_step(progress):
    print(progress.step[0], flush=True)
    time.sleep(0.02)

member = Member(recipe=recipe, batches=Copying(0), store=Store(folder, every=2),
                evaluate_at=(0, 7, 14, 23, 30), evaluate=evaluate)
fit(cfg, [member], on_step=on_step, steps_per_call=1)
member.store.close()
"""


def run(folder, seconds=None):
    """The run above, killed so many seconds after its first step; whether it came to its end."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        started = process.stdout.readline()
        if seconds is not None and started:
            time.sleep(seconds)
            process.kill()
        process.stdout.read()
    assert process.returncode in (0, -9)
    return process.returncode == 0


@pytest.mark.parametrize("moments", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_as_the_one_that_was_not(cfg, tmp_path, moments):
    draw, killed, round = random.Random(moments), 0, 0
    assert run(tmp_path / "straight")
    while killed < moments:  # a run that came to its end before its moment makes room for another
        round += run(tmp_path / f"killed-{round}", draw.uniform(0, 0.8))
        killed += 1
    assert run(tmp_path / f"killed-{round}")
    recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))
    like, _ = abstract(cfg, recipe, 1)
    ends = {}
    for folder in sorted(tmp_path.iterdir()):
        store = Store(folder)
        ends[folder.name] = (
            store.restore(like),
            store.metrics(),
            {path.name: path.read_text() for path in folder.glob("table-*.json")},
        )
        store.close()
    state, rows, tables = ends.pop("straight")
    assert [row["step"] for row in rows] == list(range(1, 31)) and len(tables) == 5
    for one, own_rows, own_tables in ends.values():
        jax.tree.map(np.testing.assert_array_equal, one, state)
        assert own_rows == rows and own_tables == tables
