"""Layouts: rules for every parameter; any layout trains the same; checkpoints move between them."""

import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from model.gla import GLA
from model.lm import LM, shapes
from model.softmax import Softmax
from tests.train import every
from train import replay
from train.loop import fit
from train.member import Member
from train.mesh import Layout, pathname, placed, rule
from train.recipe import Cosine, Recipe
from train.store import Store

ROOT = pathlib.Path(__file__).parents[2]
MIXERS = {"gla": GLA(heads=2), "short": GLA(heads=2, convolution=4), "softmax": Softmax(heads=2)}


def ensemble(copying, stores=(None, None), steps=4, broken=None):
    """Two members; the second has a loss that is NaN in the step `broken`."""
    recipe = Recipe(steps=steps, batch=4, schedule=Cosine(warmup=2))
    seeded = lambda s: dataclasses.replace(recipe, seed=s)
    batches = [copying(0), copying(1, broken_at=broken)]
    return [Member(recipe=seeded(s), batches=batches[s], store=stores[s]) for s in range(2)]


def model(mixer):
    return LM(W=16, D=16, layers=1, mixer=MIXERS[mixer], F=32)


def losses(cfg, members, layout=Layout()):
    """Every step's loss of every member."""
    found = []
    fit(cfg, members, layout=layout, steps_per_call=1, on_step=lambda p: found.append(p.loss))
    return np.array(found)


@pytest.mark.parametrize("mixer", every.MIXERS, ids=repr)
def test_every_parameter_is_matched_by_exactly_one_rule(mixer):
    for tied in (True, False):
        cfg = LM(W=16, D=16, layers=1, mixer=mixer, F=32, tied=tied)
        for keys, _ in jax.tree_util.tree_leaves_with_path(shapes(cfg)):
            rule(pathname(keys))


def test_an_unknown_parameter_is_refused_by_name():
    with pytest.raises(ValueError, match="blocks/0/mlp/secret is matched by 0 rules"):
        rule("blocks/0/mlp/secret")


def test_matrices_are_split_and_what_does_not_divide_stays_whole():
    mesh = Layout(member=2, fsdp=4).mesh()
    tree = {"embedding": {"w": np.zeros((2, 16, 8))}, "norm": {"gain": np.zeros((2, 8))}}
    specs = jax.tree.map(lambda s: tuple(s.spec), placed(tree, mesh))
    assert specs["embedding"]["w"] == ("member", "fsdp") and specs["norm"]["gain"] == ("member",)
    odd = placed({"embedding": {"w": np.zeros((3, 9, 8))}}, mesh)["embedding"]["w"]
    assert tuple(odd.spec) == (None, None)


LAYOUTS = {
    "members and fsdp": Layout(member=2, fsdp=2, data=2),
    "members and tokens": Layout(member=2, sequence=2, fsdp=2),
    "all but members": Layout(data=2, fsdp=2, sequence=2, remat="products"),
    "parts": Layout(fsdp=2, accumulate=2, remat="input"),
}
FIRST = ("short", "members and tokens")  # the hardest in the fast suite


ALL = [
    pytest.param(mixer, name, marks=() if (mixer, name) == FIRST else pytest.mark.slow)
    for mixer in ("short", "softmax")
    for name in LAYOUTS
]


@pytest.mark.parametrize("mixer, name", ALL)
def test_any_layout_gives_the_same_losses(mixer, name, copying):
    layout = LAYOUTS[name]
    want = losses(model(mixer), ensemble(copying))
    np.testing.assert_allclose(losses(model(mixer), ensemble(copying), layout), want, rtol=2e-5)


def test_a_layout_that_does_not_divide_is_refused(copying):
    for layout, message in (
        (Layout(member=4), "S=2 is not divisible by member=4"),
        (Layout(data=8), "B=4 is not divisible"),
        (Layout(sequence=8), "T=12 is not divisible by sequence=8"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(model("gla"), ensemble(copying), layout=layout)
    with pytest.raises(ValueError, match="needs 16 devices, and there are 8"):
        Layout(data=16).mesh()


@pytest.mark.slow
def test_a_checkpoint_moves_between_layouts(copying, tmp_path):
    cfg = model("gla")
    want = losses(cfg, ensemble(copying, steps=6))
    stores = lambda: [Store(tmp_path / str(s), every=2) for s in range(2)]

    class Stopped(Exception): ...

    def stop(progress):
        if progress.step[0] == 3:
            raise Stopped

    with pytest.raises(Stopped):
        layout = Layout(member=2, fsdp=2)
        fit(cfg, ensemble(copying, stores(), 6), layout=layout, steps_per_call=1, on_step=stop)
    found = losses(cfg, ensemble(copying, stores(), 6), Layout(data=2, sequence=2))
    assert len(found) == 4, "it went on from step 2"
    np.testing.assert_allclose(found, want[2:], rtol=2e-5)


PROCESS = """
import json, sys
import jax
from jax.experimental import multihost_utils
number, port, folder, layout, stop, broken = int(sys.argv[1]), *sys.argv[2:]
if port != "alone":
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, number, initialization_timeout=60)
    multihost_utils.sync_global_devices("peers")  # before compiling sets them apart
from tests.train.conftest import Copying
from tests.train.test_mesh import ensemble, model
from train.loop import fit
from train.mesh import Layout
from train.store import Store
found = []
class Stopped(Exception): ...
def see(progress):
    found.append(progress.loss.tolist())
    if progress.step[0] == int(stop):
        raise Stopped
stores = [Store(f"{folder}/{s}", every=2) for s in range(2)]
layout = Layout(**json.loads(layout))
try:
    members = ensemble(Copying, stores, 6, json.loads(broken))
    fit(model("gla"), members, layout=layout, steps_per_call=1, on_step=see)
except Stopped:
    pass
print("losses", json.dumps(found), flush=True)
if port != "alone":
    jax.distributed.shutdown()
"""


def in_processes(count, devices, folder, layout, stop, broken=None):
    """The ensemble in so many processes with so many fake devices each; losses of the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = "alone" if count == 1 else str(free.getsockname()[1])
    flags = f"--xla_force_host_platform_device_count={devices}"
    env = os.environ | {
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": flags,
    }
    words = [port, str(folder), json.dumps(layout), str(stop), json.dumps(broken)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(i), *words],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(count)
    ]  # fmt: skip
    texts = [process.communicate(timeout=500)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(texts)[-3000:]
    line = next(line for line in texts[0].splitlines() if line.startswith("losses"))
    return np.array(json.loads(line.removeprefix("losses")))


@pytest.mark.slow
def test_two_processes_train_as_one_and_their_checkpoint_goes_on_in_one(copying, tmp_path):
    want = losses(model("gla"), ensemble(copying, steps=6))
    layout = {"member": 2, "fsdp": 2}
    both = in_processes(2, 2, tmp_path, layout, stop=4)
    np.testing.assert_allclose(both, want[:4], rtol=2e-5)
    alone = in_processes(1, 2, tmp_path, {"data": 2}, stop=99)
    np.testing.assert_allclose(alone, want[-len(alone) :], rtol=2e-5)
    assert len(alone) < 6, "it went on from the checkpoint of two processes"


@pytest.mark.slow
def test_a_member_lost_over_two_processes_leaves_one_file_that_is_whole(tmp_path):
    """Each holds half of every matrix, and neither could write what it has."""
    in_processes(2, 1, tmp_path / "both", {"fsdp": 2}, stop=99, broken=3)
    in_processes(1, 1, tmp_path / "alone", {}, stop=99, broken=3)
    both, alone = (dict(np.load(tmp_path / name / "1" / "not-finite-3.npz")) for name in
                   ("both", "alone"))  # fmt: skip
    assert both.keys() == alone.keys()
    for name in both.keys() - {"spec"}:
        np.testing.assert_allclose(both[name], alone[name], rtol=2e-5, atol=1e-6, err_msg=name)
    found = replay.replay(tmp_path / "both" / "1" / "not-finite-3.npz")
    assert found.step == 3 and np.isnan(found.loss) and not found.values
