"""Optional logs and the profile, with libraries that stand in for those not installed."""

import pathlib
import sys
import types

import jax
import jax.numpy as jnp
import pytest

from train.log import Trace, writer


def test_each_library_gets_numbers_by_name_and_step(tmp_path, monkeypatch):
    for kind in ("wandb", "trackio"):
        said = []
        fake = types.ModuleType(kind)
        fake.init = lambda said=said, **options: said.append(options)
        fake.log = lambda values, step, said=said: said.append((step, values))
        monkeypatch.setitem(sys.modules, kind, fake)
        writer(kind, tmp_path, {"steps": 3})(7, {"loss": 0.5})
        assert said[0]["config"] == {"steps": 3} and said[0]["project"] == "diglossia"
        assert said[1:] == [(7, {"loss": 0.5})]


@pytest.mark.parametrize(("kind", "known"), [("wandb", "id"), ("trackio", "name")])
def test_a_run_that_continues_is_the_same_one_and_no_other_is(kind, known, tmp_path, monkeypatch):
    said = []
    fake = types.ModuleType(kind)
    fake.init = lambda **options: said.append(options)
    monkeypatch.setitem(sys.modules, kind, fake)
    monkeypatch.chdir(tmp_path)
    a, b = tmp_path / "a" / "run", tmp_path / "b" / "run"
    for folder, steps in ((a, 3), (pathlib.Path("a/run"), 3), (b, 3), (a, 4)):
        writer(kind, folder, {"steps": steps})
    assert all(options["resume"] == "allow" for options in said)
    first, again, elsewhere, other = (options[known] for options in said)
    assert first == again and len({first, elsewhere, other}) == 3


def test_tensorboard_gets_scalars_and_forgets_those_it_had_from_the_first_step_on(
    tmp_path, monkeypatch
):
    said = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            said.append((folder, purge_step))

        def add_scalar(self, *own):
            said.append(own)

        def flush(self):
            said.append("flushed")

    fake = types.ModuleType("tensorboardX")
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    write = writer("tensorboard", tmp_path, {})
    write(3, {"loss": 0.25})
    write(6, {"loss": 0.5})
    first, second = ("loss", 0.25, 3), ("loss", 0.5, 6)
    assert said == [(str(tmp_path / "tensorboard"), 3), first, "flushed", second, "flushed"]


def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match="needs trackio, which is not installed: pip install"):
        writer("trackio", tmp_path, {})


def test_a_trace_is_written_for_its_steps(tmp_path):
    trace = Trace(tmp_path, 2, 4, 1)
    trace(0)
    assert not (tmp_path / "trace").exists()
    trace(3)
    jnp.ones(3).block_until_ready()
    trace(5)
    trace.close()
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))
    with pytest.raises(ValueError, match="steps 4 to 4"):
        Trace(tmp_path, 4, 4, 1)


@pytest.mark.parametrize(
    ("first", "last", "begun", "ended"), [(0, 10, 0, 20), (5, 15, 0, 20), (101, 119, 80, 120)]
)
def test_a_trace_covers_its_steps_though_it_is_told_of_calls_alone(
    first, last, begun, ended, tmp_path, monkeypatch, capsys
):
    """When a step is told, the call after it is under way: what is begun then is the second."""
    seen, now = [], 0
    monkeypatch.setattr(jax.profiler, "start_trace", lambda _: seen.append(now))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: seen.append(now))
    trace = Trace(tmp_path, first, last, 20)
    for now in range(0, 200, 20):
        trace(now)
    trace.close()
    assert seen == [begun, ended] and not capsys.readouterr().err


def test_a_trace_that_recorded_nothing_says_so(tmp_path, capsys):
    trace = Trace(tmp_path, 100, 110, 20)
    trace(300)
    trace.close()
    assert "no profile: steps 100 to 110" in capsys.readouterr().err
