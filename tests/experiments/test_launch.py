"""Ensembles as jobs: in what order, what is lost, and through submitit's own local executor."""

import types

import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.world import World
from experiments import launch, stage
from experiments.stage import Stage, home
from model.lm import LM
from model.softmax import Softmax
from train.recipe import Constant, Recipe


class Here:
    """An executor that does a job when its result is asked for."""

    def __init__(self, folder, cluster):
        assert cluster == "local"

    def update_parameters(self, name):
        assert name

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


@pytest.mark.slow
def test_jobs_leave_the_files_of_a_run_in_one_process(tmp_path):
    stages = chain()[3:]
    assert not launch.complete(stages, tmp_path / "jobs", "local")
    with stage.Display(stages) as display:
        assert not stage.complete(stages, tmp_path / "here", display)
    for each in stages:
        one, other = (home(tmp_path / name, each) for name in ("jobs", "here"))
        for name in ("metrics.jsonl", "ledger.parquet"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.slow
def test_a_job_that_fails_is_one_line(tmp_path):
    (tmp_path / "stages").write_text("a file where a folder should be")
    with pytest.raises(launch.Failed, match=r"job \d+ failed: .*cannot write to"):
        launch.complete(chain()[3:], tmp_path, "local")


def test_a_machine_without_slurm_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(launch.Failed, match="launch='local'"):
        launch.complete(chain(), tmp_path, "slurm")
