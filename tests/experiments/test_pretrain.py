"""The training command: one process, and two that find each other, are the same run."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
SHORT = ("--recipe.steps", "6", "--recipe.batch", "8", "--recipe.schedule.warmup", "1")


def start(out: pathlib.Path, *options: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "train.pretrain", "flagship", *SHORT, *options, "--out", out]
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | environment
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return subprocess.Popen(command, cwd=ROOT, env=env, **pipe)


def pair(out: pathlib.Path, *options: str) -> list[subprocess.Popen]:
    """Two processes of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"localhost:{free.getsockname()[1]}"
    peers = dict(JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2")
    return [start(out, *options, **peers, JAX_PROCESS_ID=str(i)) for i in range(2)]


def finish(*processes: subprocess.Popen) -> str:
    """What the first one printed; all must have ended well."""
    texts = [process.communicate(timeout=500)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(texts)[-3000:]
    return texts[0]


def losses(out: pathlib.Path) -> np.ndarray:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return np.array([row["loss"][0] for row in rows])


@pytest.mark.slow
def test_two_processes_are_one_run_of_the_training_command(tmp_path):
    alone = tmp_path / "alone"
    assert "6/6" in finish(start(alone))
    both = tmp_path / "both"
    assert "6/6" in finish(*pair(both, "--layout.data", "2"))
    np.testing.assert_allclose(losses(both), losses(alone), rtol=2e-5)


@pytest.mark.slow
def test_a_layout_that_leaves_devices_of_other_processes_out_is_refused(tmp_path):
    both = pair(tmp_path / "out")
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1], texts
    assert all("--layout.data 2" in text for text in texts), texts
