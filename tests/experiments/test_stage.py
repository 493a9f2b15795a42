"""Stages in groups: who trains together, and that a stage's files do not tell."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import types

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.preference import Preference
from data.task import LISTS
from data.task.style import Marked
from data.world import World
from experiments import flagship, run, stage
from experiments.display import Display
from experiments.stage import Stage, groups, home
from model.lm import LM, shapes
from model.softmax import Softmax
from train.denoise import MLMU
from train.lock import Held, Lock
from train.objective import NextToken
from train.plan import memory
from train.preference import DPO, Near
from train.recipe import AdamW, Constant, Recipe
from train.step import stacked
from train.store import load_params

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Sum:
    """One row: the sum of all parameters."""

    def __call__(self, cfg, params):
        total = sum(float(np.asarray(leaf).sum()) for leaf in jax.tree.leaves(params))
        return pa.table({"total": [total]})


def toy(seed=0, base=None, **recipe):
    corpus = Corpus(World(pairs=32, cities=4, nouns=8, seed=seed), Pair((Lexicon(0.3),)), T=32)
    own = {"steps": 4, "batch": 2, "schedule": Constant(), "seed": seed} | recipe
    return Stage(
        model=LM(W=corpus.tokenizer.size, D=8, layers=1, mixer=Softmax(heads=2), F=8),
        corpus=corpus, recipe=Recipe(**own), base=base, measures=(Sum(),), at=(0, 2, 4),
        labels=(("seed", seed), ("lr", str(own.get("optimizer", "")))),
    )  # fmt: skip


def test_seeds_and_numbers_train_together_and_bases_come_first():
    bases = [toy(0), toy(1), toy(1, optimizer=AdamW(lr=1e-4, weight_decay=0.3), steps=3)]
    tuned = [toy(s, base=bases[s]) for s in range(2)]
    other = toy(2, batch=4)
    mixed = [tuned[0], bases[0], other, bases[1], tuned[1], bases[2]]
    found = groups(mixed, lambda _: 9)
    assert [set(group) for group in found] == [set(bases), {other}, set(tuned)]


def test_a_group_is_split_when_memory_says_so():
    seven = [toy(seed) for seed in range(7)]
    assert [len(group) for group in groups(seven, lambda _: 3)] == [3, 3, 1]


def test_the_flagship_is_two_programs_a_mixer():
    stages = flagship.stages(flagship.Settings(size="smoke", seeds=3, mixers="gla,softmax"))
    assert sorted(len(group) for group in groups(stages, lambda _: 99)) == [3, 3, 12, 12]


def test_one_training_asked_for_twice_is_not_two_in_one_folder():
    one = toy()
    again = dataclasses.replace(one, labels=(("seed", 0), ("asked", "again")))
    assert groups([one, again], lambda _: 9) == [[one], [again]]


def test_what_is_asked_beside_one_stage_is_not_found_beside_another(tmp_path):
    one, other = (dataclasses.replace(toy(), beside=toy(seed)) for seed in (1, 2))
    assert stage.identity(one) == stage.identity(other)
    files = [set(stage._files(home(tmp_path, each), each, 4)) for each in (toy(), one, other)]
    assert len(set.union(*files)) == 3


def test_room_is_what_half_of_this_machine_s_memory_holds(monkeypatch):
    one = toy()
    held, used = memory(one.model, 2, 32)
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2 * (used + 5 * held + held // 2)}
    monkeypatch.setattr(stage.os, "sysconf", pages.get)
    assert stage.room(one) == 5


def rows(objective, pairs=False):
    """A stage on an objective, and what the estimate of its memory is asked."""
    one = toy(objective=objective)
    corpus = one.corpus
    if pairs:
        world = dataclasses.replace(corpus.world, tasks=(*LISTS, Marked()))
        corpus = Preference(dataclasses.replace(corpus, world=world))
    return dataclasses.replace(one, corpus=corpus)


@pytest.mark.parametrize(
    ("objective", "pairs", "B", "T", "copies"),
    [
        (NextToken(), False, 2, 32, 0),
        (MLMU(mask=1), False, 2, 64, 0),
        (Near(), False, 2, 32, 1),
        (DPO(), True, 4, 32, 1),
    ],
)
def test_room_is_for_the_rows_the_objective_makes_and_its_base(
    objective, pairs, B, T, copies, monkeypatch
):
    one = rows(objective, pairs)
    held, used = memory(one.model, B, T)
    held += copies * 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes(one.model)))
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2 * (used + 5 * held + held // 2)}
    monkeypatch.setattr(stage.os, "sysconf", pages.get)
    assert stage.room(one) == 5


HOLD = """
import pathlib, sys, time
from train.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""


def test_a_folder_that_another_process_is_at_is_not_thrown_away(tmp_path, capsys):
    """A measurement is missing of a step that has gone by: only a new training would pass it."""
    one = toy()
    folder = home(tmp_path, one)
    (folder / "checkpoints" / "3").mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ValueError, match=rf"written by process {other.pid} on"):
            stage._member(one, folder, [2])
        assert (folder / "checkpoints" / "3").is_dir() and not capsys.readouterr().err
        other.kill()
    stage._member(one, folder, [2]).store.close()
    assert not (folder / "checkpoints" / "3").exists()
    said = capsys.readouterr().err
    assert f"{one.title}: measurements of steps 2 are missing" in said and str(folder) in said


def test_who_finds_a_folder_held_keeps_no_other(tmp_path, monkeypatch):
    """Two that wait for each other would wait for ever."""
    pair, seen = [toy(0), toy(1)], []

    def fit(cfg, members, **_):
        seen.extend(member.store for member in members)
        seen[0]._lock = Lock(seen[0].folder)
        raise Held("another has it")

    monkeypatch.setattr(stage, "fit", fit)
    with pytest.raises(Held):
        stage._train(pair, tmp_path, {each: [] for each in pair}, Display(pair))
    assert len(seen) == 2 and seen[0]._lock is None


def test_a_table_that_does_not_fit_on_the_disk_is_one_line(mounted):
    disk = mounted("size=1m")
    table = pa.table({"x": np.random.default_rng(0).random(300_000)})
    with pytest.raises(ValueError, match=r"the disk of \S+ is full"):
        stage.write(table, disk / "table.parquet")
    assert not (disk / "table.parquet").exists()


def files(folder):
    names = [p for p in folder.rglob("*") if p.suffix in (".jsonl", ".parquet")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in names}


@pytest.mark.slow
def test_a_stage_s_files_do_not_tell_who_trained_beside_it(tmp_path):
    """Two that end apart, one that is lost: the others have the very bytes of a run alone."""
    broken = toy(2, optimizer=AdamW(lr=1e30))
    group = [toy(0), broken, toy(1, steps=3, optimizer=AdamW(lr=1e-4))]
    group[2] = dataclasses.replace(group[2], at=(0, 3))
    together, alone = tmp_path / "together", tmp_path / "alone"
    with Display(group) as display:
        lost = stage.complete(group, together, display)
    assert list(lost) == [broken] and str(lost[broken]).startswith(broken.title)
    assert not (home(together, broken) / "params").exists()
    for each in (group[0], group[2]):
        with Display([each]) as display:
            assert stage.complete([each], alone, display) == {}
        assert files(home(together, each)) == files(home(alone, each)) != {}
        params = [load_params(home(out, each), stacked(each.model)) for out in
                  (together, alone)]  # fmt: skip
        jax.tree.map(np.testing.assert_array_equal, *params)


@pytest.mark.slow
def test_members_are_dealt_out_over_the_accelerators_there_are(tmp_path, monkeypatch):
    """Three on two (fake) devices: two side by side, the third alone; each as on one device."""
    group = [toy(seed) for seed in range(3)]
    seen, fit = [], stage.fit
    monkeypatch.setattr(
        stage, "fit", lambda *args, layout, **options: (seen.append((len(args[1]), layout.member)),
                                                        fit(*args, layout=layout, **options))[1],
    )  # fmt: skip
    for name, devices in (("one", 1), ("two", 2)):
        monkeypatch.setattr(stage, "_accelerators", lambda devices=devices: devices)
        with Display(group) as display:
            assert stage.complete(group, tmp_path / name, display) == {}
    assert seen == [(3, 1), (2, 2), (1, 1)]
    for each in group:
        one, two = (load_params(home(tmp_path / name, each), stacked(each.model)) for name
                    in ("one", "two"))  # fmt: skip
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, two)


@pytest.mark.slow
def test_a_seed_that_lost_a_stage_is_left_out_of_the_tables_and_named(tmp_path, monkeypatch):
    """Its base is whole and its tuning is not: no arm of it may stand in a paired comparison."""
    tuning = lambda base, **more: toy(base.recipe.seed, base=base, **more)
    bases = [toy(0), toy(1)]
    wanted = [*bases, tuning(bases[0]), tuning(bases[1], optimizer=AdamW(lr=1e30))]
    module = types.SimpleNamespace(
        __name__="experiments.toy", stages=lambda _: wanted, claims=lambda _: []
    )
    monkeypatch.setattr(run.report, "write", lambda folder: folder / "report.html")
    monkeypatch.setattr(run.jax.config, "update", lambda *_: None)
    with pytest.raises(FloatingPointError, match=r"1 of 4 stages were lost.*report.html is of"):
        run.run(module, flagship.Settings(size="smoke"), tmp_path)
    for name in ("items", "curves"):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        assert len(table) and set(table["seed"].to_pylist()) == {0}
    record = json.loads((tmp_path / "spec.json").read_text())["run"]
    assert record["lost"] == wanted[3].title
    assert (home(tmp_path, bases[1]) / "params").is_dir(), "what it did finish is kept"
