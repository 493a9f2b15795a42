"""One writer a folder; full, read-only and missing folders."""

import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import lock
from train.lock import Lock, whole, writing
from train.loop import fit
from train.member import Member
from train.store import Store

ROOT = pathlib.Path(__file__).parent.parent.parent
HOLD = """
import pathlib, sys, time
from train.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""


def test_a_second_process_is_told_who_writes_and_a_dead_one_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"locked\n"
        store = Store(tmp_path)
        with pytest.raises(ValueError, match=rf"written by process {other.pid} on \S+; wait"):
            store.restore({"w": jnp.zeros(1)})
        other.send_signal(signal.SIGKILL)
    assert json.loads((tmp_path / "lock").read_text())["pid"] == other.pid, "a lock of the dead"
    assert store.restore({"w": jnp.zeros(1)}) is None
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    store.close()


def test_a_process_does_not_lock_itself_out_and_may_give_a_lock_back(tmp_path):
    first, second = Lock(tmp_path), Lock(tmp_path)
    second.release()
    first.release()
    Lock(tmp_path).release()


def test_another_container_s_process_of_our_number_and_host_name_is_another(tmp_path, monkeypatch):
    own = Lock(tmp_path)
    monkeypatch.setattr(lock, "_OWN", "another", raising=False)
    with pytest.raises(ValueError, match=rf"written by process {os.getpid()} on"):
        Lock(tmp_path)
    own.release()


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(ValueError, match=r"cannot be locked: No locks available; choose a folder"):
        Lock(tmp_path)


def test_a_file_is_replaced_whole(tmp_path):
    whole(tmp_path / "rows.jsonl", "one")
    whole(tmp_path / "rows.jsonl", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]
    assert (tmp_path / "rows.jsonl").read_text() == "two"


def test_what_is_no_matter_of_writing_passes_through(tmp_path):
    with pytest.raises(ValueError, match="something else"), writing(tmp_path):
        raise ValueError("something else")
    with pytest.raises(ValueError, match=r"is full; the checkpoints before"), writing(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write to \S+/file/run: Not a directory; choose"):
        Store(tmp_path / "file" / "run")


TREE = {"w": jax.random.normal(jax.random.key(0), (250, 1000))}  # a megabyte


def test_a_full_disk_is_named_and_older_checkpoints_go_on_when_there_is_room(mounted):
    disk = mounted("size=3m")
    (disk / "ballast").write_bytes(bytes(400_000))
    store = Store(disk / "run", every=1)
    for step in (1, 2):
        store.save(step, jax.tree.map(lambda x, step=step: x + step, TREE))
        store.wait()
    with pytest.raises(ValueError, match=r"the disk of \S+ is full; the checkpoints before"):
        store.save(3, TREE)
        store.wait()
    store.close()
    (disk / "ballast").unlink()
    again = Store(disk / "run", every=1)
    np.testing.assert_array_equal(again.restore(TREE)["w"], TREE["w"] + 2)
    again.save(3, TREE)
    again.wait()
    np.testing.assert_array_equal(again.restore(TREE)["w"], TREE["w"])
    again.close()


def test_a_training_on_a_full_disk_goes_on_when_there_is_room(mounted, cfg, recipe, copying):
    disk = mounted("size=2m")
    member = Member(recipe=recipe, batches=copying(0))
    kept = lambda folder: dataclasses.replace(member, store=Store(folder, every=5))
    run = lambda member: fit(cfg, [member], steps_per_call=5)[0]
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2 * 2**20 - 150_000))  # room for two checkpoints of 55 kB or so
    with pytest.raises(ValueError, match=r"the disk of \S+ is full; the checkpoints before"):
        run(kept(disk / "run"))
    ballast.unlink()
    saved = [int(p.name) for p in (disk / "run" / "checkpoints").glob("*") if p.name.isdigit()]
    assert saved and max(saved) < 30
    end, straight = run(kept(disk / "run")), run(member)
    jax.tree.map(np.testing.assert_array_equal, end, straight)
    rows = [json.loads(row) for row in (disk / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 31))


def test_a_read_only_folder_is_one_line(mounted):
    disk = mounted("ro,size=1m")
    with pytest.raises(ValueError, match=r"cannot write to \S+: Read-only file system; choose"):
        Store(disk / "run")
