"""The training commands: one process, and two that find each other, are the same run."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.corpus import Corpus
from data.language import Pair
from data.world import World
from experiments.stage import Stage
from model.lm import LM, shapes
from model.softmax import Softmax
from train import pretrain, tune
from train.mesh import Layout
from train.recipe import Constant, Recipe
from train.step import State
from train.store import describe, identity, load_params, save_params

ROOT = pathlib.Path(__file__).parent.parent.parent
pytestmark = pytest.mark.optimised  # compared with other processes
STEPS = ("--recipe.steps", "6", "--recipe.batch", "8")
SHORT = {"pretrain": (*STEPS, "--recipe.schedule.warmup", "1"), "tune": STEPS}
SPREAD = ("--layout.data", "2")


def start(
    out: pathlib.Path, *options: str, command: str = "pretrain", **environment: str
) -> subprocess.Popen:
    words = [
        sys.executable,
        "-m",
        f"train.{command}",
        "flagship",
        *SHORT[command],
        *options,
        "--out",
        out,
    ]
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | environment
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return subprocess.Popen(words, cwd=ROOT, env=env, **pipe)


def told(i: int) -> dict[str, str]:
    """What process i of two is told by hand; its port is added."""
    return dict(JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(i))


def slurm(i: int) -> dict[str, str]:
    """What SLURM tells process i of two; the port is made of the job's number by jax."""
    return dict(
        SLURM_STEP_NODELIST="localhost", SLURM_NTASKS="2", SLURM_PROCID=str(i),
        SLURM_LOCALID=str(i), SLURM_STEP_NUM_NODES="1",
    )  # fmt: skip


def pair(
    out: pathlib.Path, *options: str, how=told, command: str = "pretrain"
) -> list[subprocess.Popen]:
    """Two processes of one run."""
    port = free()
    place = dict(JAX_COORDINATOR_ADDRESS=f"localhost:{port}")
    if how is slurm:
        place = dict(SLURM_JOB_ID=str(port - (2**16 - 2**12)))
    return [start(out, *options, command=command, **place, **how(i)) for i in range(2)]


def free() -> int:
    """A port that nobody has, of those that jax takes under SLURM."""
    while True:
        port = random.randrange(2**16 - 2**12, 2**16)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def finish(*processes: subprocess.Popen) -> str:
    """What the first one printed; all must have ended well."""
    texts = [process.communicate(timeout=500)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(texts)[-3000:]
    return texts[0]


def losses(out: pathlib.Path) -> np.ndarray:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return np.array([row["loss"][0] for row in rows])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone")
    assert "6/6" in finish(start(out))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("how", [told, slurm])
def test_two_processes_are_one_run_of_the_training_command(how, alone, tmp_path):
    assert "6/6" in finish(*pair(tmp_path, *SPREAD, how=how))
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=2e-5)


@pytest.mark.slow
def test_two_processes_tune_what_one_has_pretrained(alone, tmp_path):
    """Parameters of a finished run are read by a process that has not the first device."""
    one, two = tmp_path / "one", tmp_path / "two"
    base = ("--base", str(alone))
    finish(start(one, *base, command="tune"))
    assert "6/6" in finish(*pair(two, *base, *SPREAD, command="tune"))
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-5)


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_saves_the_step_of_both(tmp_path):
    """And what they say on the way: a checkpoint is due at no other step than the last."""
    options = (*SPREAD, "--recipe.steps", "40", "--every", "1000", "--steps-per-call", "2")
    both = pair(tmp_path, *options)
    for line in both[0].stdout:
        if "step 4/40" in line:
            both[1].send_signal(signal.SIGTERM)
            break
    finish(*both)
    (saved,) = (tmp_path / "checkpoints").glob("[0-9]*")
    assert 4 < int(saved.name) < 40 and int(saved.name) == len(losses(tmp_path))
    assert f"step {int(saved.name) + 2}/40" in finish(*pair(tmp_path, *options))
    assert len(losses(tmp_path)) == 40


@pytest.mark.slow
def test_a_layout_that_leaves_devices_of_other_processes_out_is_refused(tmp_path):
    both = pair(tmp_path / "out")
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1], texts
    assert all("--layout.data 2" in text for text in texts), texts


def test_a_folder_of_another_run_is_refused_with_the_difference(tmp_path):
    recipe = Recipe(steps=900, batch=2)
    for _ in range(2):
        pretrain.claim(tmp_path, recipe)
    with pytest.raises(ValueError, match=r"holds another run \(steps: 900, not 800\); choose ano"):
        pretrain.claim(tmp_path, dataclasses.replace(recipe, steps=800))
    assert json.loads((tmp_path / "spec.json").read_text()) == describe(recipe)


def test_a_corpus_of_more_words_than_the_model_has_is_refused(monkeypatch):
    """They would be clamped in the embedding, and NaN in the loss."""
    monkeypatch.setattr(sys, "argv", ["pretrain", "flagship", "--model.W", "300"])
    with pytest.raises(ValueError, match=r"W=300 is less than the (\d+) words .*; --model.W \1$"):
        pretrain.launched("pretrain_spec", pretrain.__doc__)


def drawn(cfg, seed):
    """Parameters of an ensemble of one."""
    draw = np.random.default_rng(seed)
    own = lambda x: jnp.asarray(draw.normal(size=(1, *x.shape)), x.dtype)
    return jax.tree.map(own, shapes(cfg))


def test_what_a_tuning_starts_from_is_part_of_what_it_is(tmp_path, monkeypatch):
    """Of two bases, each in a format that both training commands and stages leave."""
    spec, seen = pretrain.find("flagship", "tune_spec"), []
    monkeypatch.setattr(tune, "peers", lambda: None)
    monkeypatch.setattr(tune, "train", lambda *own: seen.append(own))
    bases = [tmp_path / "runs" / "one", tmp_path / "stages" / "0123456789ab"]
    for seed, base in enumerate(bases):
        save_params(base, drawn(spec.model, seed))
    for base in bases:
        monkeypatch.setattr(sys, "argv", ["tune", "flagship", "--base", str(base)])
        tune.main()
    names = [identity(own[0]) for own in seen]
    assert len({*names, identity(spec)}) == 3
    assert [own[1].name for own in seen] == names
    assert {leaf.shape[0] for leaf in jax.tree.leaves(seen[0][3])} == {1}


OPTIONS = types.SimpleNamespace(layout=Layout(), every=9, log=(), trace=None, steps_per_call=2)


def toy():
    corpus = Corpus(World(pairs=32, cities=4, nouns=8), Pair(), T=32)
    model = LM(W=corpus.tokenizer.size, D=8, layers=1, mixer=Softmax(heads=2), F=8)
    return Stage(model=model, corpus=corpus, recipe=Recipe(steps=4, batch=2, schedule=Constant()))


def test_a_training_command_leaves_parameters_as_a_stage_does(tmp_path, monkeypatch):
    spec = toy()
    params = drawn(spec.model, 0)
    fit = lambda *_, **__: (State(params, {}, np.array([4])), {})
    monkeypatch.setattr(pretrain, "fit", fit)
    before = signal.getsignal(signal.SIGTERM)
    pretrain.train(spec, tmp_path, OPTIONS)
    signal.signal(signal.SIGTERM, before)
    jax.tree.map(np.testing.assert_array_equal, load_params(tmp_path, params), params)


def test_a_signal_before_or_after_the_training_ends_the_command_well(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(pretrain, "fit", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    try:
        with pytest.raises(SystemExit) as ended:
            pretrain.train(toy(), tmp_path, OPTIONS)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 0
