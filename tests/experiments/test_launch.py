"""Ensembles as jobs: in what order, what is lost, and through submitit's own local executor."""

import dataclasses
import json
import os
import signal
import threading
import time
import types

import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.world import World
from experiments import launch, stage
from experiments.display import Display
from experiments.stage import Stage, home
from model.lm import LM
from model.softmax import Softmax
from train.lock import Held
from train.recipe import Constant, Recipe


class Here:
    """An executor that does a job when its result is asked for."""

    def __init__(self, folder, cluster, **limits):
        assert cluster == "local" and min(limits.values()) > 1000

    def update_parameters(self, name, timeout_min):
        assert name and timeout_min > 30 * launch.DAY

    def submit(self, job):
        return types.SimpleNamespace(job_id=0, result=job)


def toy(seed, base=None, batch=2, steps=4):
    corpus = Corpus(World(pairs=32, cities=4, nouns=8, seed=seed), Pair((Lexicon(0.3),)), T=32)
    model = LM(W=corpus.tokenizer.size, D=8, layers=1, mixer=Softmax(heads=2), F=8)
    recipe = Recipe(steps=steps, batch=batch, schedule=Constant(), seed=seed)
    return Stage(model=model, corpus=corpus, recipe=recipe, base=base, labels=(("seed", seed),))


def chain():
    bases = [toy(0), toy(1)]
    return [toy(2, batch=4), *(toy(s, base=bases[s], steps=3) for s in range(2)), *bases]


def test_bases_are_done_before_what_starts_from_them_and_the_lost_take_theirs_along(
    tmp_path, monkeypatch
):
    stages, said = chain(), []

    def complete(group, out, display):
        said.append(list(group))
        return {each: FloatingPointError("nan") for each in group if each == stages[4]}

    monkeypatch.setattr(launch.submitit, "AutoExecutor", Here)
    monkeypatch.setattr(stage, "complete", complete)
    lost = launch.complete(stages, tmp_path, "local")
    assert said == [[stages[0]], stages[3:], [stages[1]]] or said == [
        stages[3:], [stages[0]], [stages[1]],
    ]  # fmt: skip
    assert set(lost) == {stages[4], stages[2]} and str(lost[stages[2]]) == "nan"


@pytest.mark.optimised
@pytest.mark.slow
def test_jobs_leave_the_files_of_a_run_in_one_process(tmp_path):
    stages = chain()[3:]
    assert not launch.complete(stages, tmp_path / "jobs", "local")
    with Display(stages) as display:
        assert not stage.complete(stages, tmp_path / "here", display)
    for each in stages:
        one, other = (home(tmp_path / name, each) for name in ("jobs", "here"))
        for name in ("metrics.jsonl", "ledger.parquet"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


def checkpoints(folder):
    return {int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()}


def ask(folder, number, saved):
    """Sends a signal to who trains in a folder, once somebody does; what was saved at once."""
    metrics, end = folder / "metrics.jsonl", time.monotonic() + 300
    while not metrics.exists() or metrics.read_text().count("\n") < 100:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(json.loads((folder / "lock").read_text())["pid"], number)
    while not saved and time.monotonic() < end:
        saved.extend(step for step in checkpoints(folder) if step % 200)
        time.sleep(0.01)


@pytest.mark.optimised
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_job_that_is_sent_a_signal_saves_and_ends_as_one_that_was_not(number, tmp_path):
    """submitit's own is put back; the other is SLURM's before a kill, and scancel's."""
    one, saved = toy(0, steps=2000), []
    folder = home(tmp_path / "jobs", one)
    asking = threading.Thread(target=ask, args=(folder, number, saved))
    asking.start()
    assert launch.complete([one], tmp_path / "jobs", "local") == {}
    asking.join()
    assert saved, "between two checkpoints that are due"
    (log,) = (tmp_path / "jobs" / "jobs").glob("*.err")
    (said,) = (tmp_path / "jobs" / "jobs").glob("*.out")
    said = log.read_text() + said.read_text()
    assert ("Requeued job" in said) == (number == signal.SIGUSR2), said
    with Display([one]) as display:
        assert not stage.complete([one], tmp_path / "here", display)
    for name in ("metrics.jsonl", "ledger.parquet"):
        assert (folder / name).read_bytes() == (home(tmp_path / "here", one) / name).read_bytes()


def test_one_training_asked_for_twice_is_never_two_jobs_at_once(tmp_path, monkeypatch):
    one, said = toy(0), []
    again = dataclasses.replace(one, labels=(("seed", 0), ("asked", "again")))

    class Noting(Here):
        def submit(self, job):
            said.append("submitted")
            return types.SimpleNamespace(job_id=0, result=lambda: (said.append("done"), {})[1])

    monkeypatch.setattr(launch.submitit, "AutoExecutor", Noting)
    assert launch.complete([one, again], tmp_path, "local") == {}
    assert said == ["submitted", "done"] * 2


def test_a_job_waits_for_another_that_is_at_its_stages(tmp_path, monkeypatch, capsys):
    """That of a command which was started again while its jobs were running."""
    found = [Held("written by process 7"), {}]

    def complete(*_):
        own = found.pop(0)
        if isinstance(own, Held):
            raise own
        return own

    monkeypatch.setattr(stage, "complete", complete)
    monkeypatch.setattr(launch, "PAUSE", 0.0)
    assert launch.Job([toy(0)], tmp_path)() == {} and not found
    assert "written by process 7" in capsys.readouterr().err


def test_a_signal_outside_of_a_training_is_submitit_s_at_once(monkeypatch):
    seen = []
    old = [signal.signal(n, lambda n, _: seen.append(n)) for n in (signal.SIGUSR2, signal.SIGTERM)]
    try:
        with launch._saved_before() as put_back:
            signal.raise_signal(signal.SIGUSR2)
            put_back()
            assert seen == [signal.SIGUSR2], "once"
            signal.signal(signal.SIGTERM, lambda *_: seen.append("saved"))  # as fit listens
            signal.raise_signal(signal.SIGUSR2)
            assert seen == [signal.SIGUSR2, "saved"]
            put_back()
        assert seen == [signal.SIGUSR2, "saved", signal.SIGUSR2]
    finally:
        for number, handler in zip((signal.SIGUSR2, signal.SIGTERM), old, strict=True):
            signal.signal(number, handler)


def test_a_job_outlives_the_end_of_a_training_and_not_its_own(monkeypatch, tmp_path):
    ends = [SystemExit(0), None, SystemExit(144)]

    def complete(*_):
        end = ends.pop(0)
        if end is not None:
            raise end
        return {}

    monkeypatch.setattr(stage, "complete", complete)
    before = signal.getsignal(signal.SIGUSR2)
    job = launch.Job([toy(0)], tmp_path)
    assert job() == {} and len(ends) == 1
    with pytest.raises(SystemExit, match="144"):
        job()
    assert signal.getsignal(signal.SIGUSR2) == before


def test_a_job_has_the_time_that_the_site_is_asked_for_and_may_come_back(tmp_path, monkeypatch):
    """submitit's defaults are 5 minutes and 3 times."""
    seen = []

    def submit(executor, command):
        text = executor._make_submission_file_text(command, "0")
        seen.append((text, executor.max_num_timeout))
        raise KeyboardInterrupt

    monkeypatch.setattr(launch.submitit.SlurmExecutor, "affinity", classmethod(lambda _: 2))
    monkeypatch.setattr(launch.submitit.SlurmExecutor, "_submit_command", submit)
    for limit, asked in (("", "1440"), ("2-12", "3600")):
        monkeypatch.setenv("SBATCH_TIMELIMIT", limit)
        with pytest.raises(KeyboardInterrupt):
            launch.complete([toy(0)], tmp_path, "slurm")
        assert f"#SBATCH --time={asked}\n" in seen[-1][0] and seen[-1][1] > 1000
    monkeypatch.setenv("SBATCH_TIMELIMIT", "tomorrow")
    with pytest.raises(ValueError, match="SBATCH_TIMELIMIT=tomorrow is no time; sbatch takes"):
        launch.complete([toy(0)], tmp_path, "slurm")


@pytest.mark.parametrize("limit, found", [
    ("90", 90), ("90:00", 90), ("1:30:00", 90), ("2-0", 2880), ("2-12:30", 3630),
    ("1-0:0:30", 1440), ("0:20", 1), ("UNLIMITED", 1440), ("", 1440),
])  # fmt: skip
def test_a_time_is_read_as_sbatch_reads_it(limit, found):
    assert launch.minutes(limit) == found


@pytest.mark.slow
def test_a_job_that_fails_is_one_line(tmp_path):
    (tmp_path / "stages").write_text("a file where a folder should be")
    with pytest.raises(launch.Failed, match=r"job \d+ failed: .*cannot write to"):
        launch.complete(chain()[3:], tmp_path, "local")


def test_a_machine_without_slurm_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(launch.Failed, match="launch='local'"):
        launch.complete(chain(), tmp_path, "slurm")
