"""The training commands: one process, and two that find each other, are the same run."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
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
