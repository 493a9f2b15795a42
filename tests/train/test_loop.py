"""fit: continuing, stopping, failing, evaluating."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from train.denoise import MLMU
from train.loop import _agreed, _saves_finished, _spans, fit
from train.member import Member, NotFinite
from train.mesh import pathname
from train.preference import DPO
from train.step import parameters
from train.store import Store

ROOT = pathlib.Path(__file__).parent.parent.parent


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def train(cfg, recipe, *streams, stores=(), options=None, **member):
    """The states of members with these streams, seeds counting up; none may be lost. Calls are
    of five steps, the same in nearly all tests: another number is another program."""
    members = [
        Member(
            recipe=dataclasses.replace(recipe, seed=recipe.seed + s),
            batches=stream,
            store=stores[s] if stores else None,
            **member,
        )
        for s, stream in enumerate(streams)
    ]
    state, lost = fit(cfg, members, **{"steps_per_call": 5} | (options or {}))
    assert not lost
    return state


class Stopped(Exception):
    pass


def stop_at(step):
    def on_step(progress):
        if max(progress.step) >= step:
            raise Stopped

    return on_step


@pytest.mark.optimised
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(cfg, recipe, copying, tmp_path):
    batches = [copying(0), copying(1)]
    stores = lambda name: [Store(tmp_path / name / str(s), every=10) for s in range(2)]
    straight = train(cfg, recipe, *batches, stores=stores("a"))
    with pytest.raises(Stopped):
        train(cfg, recipe, *batches, stores=stores("b"), options={"on_step": stop_at(13)})
    assert not (tmp_path / "b" / "0" / "checkpoints" / "30").exists()
    again = stores("b")
    equal(straight, train(cfg, recipe, *batches, stores=again, options={"steps_per_call": 10}))
    for one, other in zip(again, stores("a"), strict=True):
        assert one.metrics() == other.metrics()
        assert [row["step"] for row in one.metrics()] == list(range(1, 31))


@pytest.mark.optimised
@pytest.mark.slow
def test_members_resume_each_from_its_own_step_in_any_company(cfg, recipe, copying, tmp_path):
    """A kill between two saves leaves members apart; the next run may group them otherwise."""
    streams = [copying(s) for s in range(3)]
    straight = train(cfg, recipe, *streams)
    for s, step in ((0, 14), (1, 28)):
        store = Store(tmp_path / str(s), every=7)
        own = dataclasses.replace(recipe, seed=s)
        with pytest.raises(Stopped):
            options = {"on_step": stop_at(step), "steps_per_call": 7}
            train(cfg, own, streams[s], stores=[store], options=options)
        store.close()
    stores = [Store(tmp_path / str(s), every=7) for s in range(3)]
    seen = []
    equal(straight, train(cfg, recipe, *streams, stores=stores, options={"on_step": seen.append}))
    assert len(set(seen[0].step)) == 3, "they began at different steps"
    for store in stores:
        assert [row["step"] for row in store.metrics()] == list(range(1, 31))


SCRIPT = """
import signal, sys, time
sys.path.insert(0, "tests/train")
from conftest import Copying
from model.lm import LM
from model.softmax import Softmax
from train.loop import fit
from train.member import Member
from train.recipe import Cosine, Recipe
from train.store import Store
cfg = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)
recipe = Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))
def on_step(progress):
    print(progress.step[0], flush=True)
    time.sleep(0.2)
member = Member(recipe=recipe, batches=Copying(0), store=Store(sys.argv[1], every=5))
fit(cfg, [member], on_step=on_step, steps_per_call=5)
"""


def interrupted(folder, number):
    """Start the run above, send it a signal after step 15, return its exit status and stderr."""
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_DEFAULT_MATMUL_PRECISION": "highest"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in run.stdout:
        if int(line) >= 15:
            run.send_signal(number)
            break
    _, errors = run.communicate(timeout=120)
    return run.returncode, errors


@pytest.mark.optimised
@pytest.mark.parametrize(
    "number, status",
    [
        pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
        pytest.param(signal.SIGINT, -signal.SIGINT, id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="kill -9", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_ended_goes_on_bit_for_bit(cfg, recipe, copying, tmp_path, number, status):
    straight = train(cfg, recipe, copying(0))
    code, errors = interrupted(tmp_path, number)
    assert code == status, errors
    store = Store(tmp_path, every=5)
    steps = []
    options = {"on_step": lambda progress: steps.append(progress.step[0])}
    resumed = train(cfg, recipe, copying(0), stores=[store], options=options)
    assert steps and steps[0] > 5, "it did not begin again"
    equal(straight, resumed)
    assert [row["step"] for row in store.metrics()] == list(range(1, 31))


def test_a_finished_run_is_read_and_not_repeated(cfg, recipe, copying, tmp_path):
    first = train(cfg, recipe, copying(0), stores=[Store(tmp_path)])
    options = {"on_step": stop_at(0)}
    equal(first, train(cfg, recipe, copying(0), stores=[Store(tmp_path)], options=options))


def test_a_member_that_has_ended_is_said_to_be_at_its_end_beside_one_that_goes_on(
    cfg, recipe, copying, tmp_path
):
    train(cfg, recipe, copying(0), stores=[Store(tmp_path / "0")])
    seen, stores = [], [Store(tmp_path / str(s)) for s in range(2)]
    train(cfg, recipe, copying(0), copying(1), stores=stores, options={"on_step": seen.append})
    assert [progress.step for progress in seen] == [[30, n] for n in range(5, 31, 5)]


def test_a_checkpoint_of_a_longer_run_is_refused(cfg, recipe, copying, tmp_path):
    train(cfg, recipe, copying(0), stores=[Store(tmp_path)])
    short = dataclasses.replace(recipe, steps=20)
    with pytest.raises(ValueError, match=r"holds step 30 of a longer run, and steps=20; choose an"):
        train(cfg, short, copying(0), stores=[Store(tmp_path)])


def test_nan_loses_the_member_and_keeps_its_batch_and_state(cfg, recipe, copying, tmp_path):
    batches = [copying(0), copying(1, broken_at=13), copying(2)]
    stores = [Store(tmp_path / str(s), every=5) for s in range(3)]
    members = [
        Member(recipe=dataclasses.replace(recipe, seed=s), batches=b, name=f"seed {s}", store=t)
        for s, (b, t) in enumerate(zip(batches, stores, strict=True))
    ]
    _, lost = fit(cfg, members)
    assert "seed 1, step 13: loss nan" in str(lost[1])
    assert "not-finite-13.npz" in str(lost[1].__notes__)
    assert f"python -m train.replay {tmp_path / '1'}" in str(lost[1].__notes__)
    assert [row["step"] for row in stores[1].metrics()] == list(range(1, 14))
    assert [row["step"] for row in stores[2].metrics()] == list(range(1, 31))
    assert not list(tmp_path.glob("[02]/not-finite*"))
    with np.load(tmp_path / "1" / "not-finite-13.npz") as kept:
        np.testing.assert_array_equal(kept["batch/tokens"], batches[1][13]["tokens"])
        assert kept["state/step"] == 13
        kept = dict(kept)
    seen = []

    def evaluate(step, params):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            np.testing.assert_array_equal(leaf, kept[f"state/trained/{pathname(path)}"])
        seen.append(step)

    own = dataclasses.replace(recipe, seed=1)
    train(cfg, own, copying(1), evaluate_at=(13,), evaluate=evaluate)
    assert seen == [13], "what was kept is the state before the step"


def test_what_is_said_of_a_lost_step_in_one_line_has_where_to_do_it_again():
    error = NotFinite("seed 1", 13, float("nan"), 1.0)
    error.add_note("`python -m train.replay DIR` does the step again")
    assert str(error).endswith(
        "lengthen the warm-up; `python -m train.replay DIR` does the step again"
    )


def test_a_bad_state_is_never_saved(cfg, recipe, copying, tmp_path):
    broken = Member(recipe=recipe, batches=copying(0, broken_at=9), store=Store(tmp_path, every=5))
    _, lost = fit(cfg, [broken])
    assert list(lost) == [0]
    repaired = train(cfg, recipe, copying(0), stores=[Store(tmp_path, every=5)])
    equal(repaired, train(cfg, recipe, copying(0)))


def test_evaluations_come_at_their_steps_with_the_parameters_of_then(cfg, recipe, copying):
    seen = {}

    def evaluate(step, params):
        seen[step] = jax.tree.map(lambda leaf: np.array(leaf)[None], params)

    final = train(cfg, recipe, copying(0), evaluate_at=(0, 3, 10, 30), evaluate=evaluate)
    assert list(seen) == [0, 3, 10, 30]
    equal(seen[0], parameters(cfg, (0,)))
    equal(seen[30], final.trained)
    equal(train(cfg, recipe, copying(0)).trained, final.trained)


def test_a_resumed_run_evaluates_from_its_checkpoint_on(cfg, recipe, copying, tmp_path):
    seen = []
    run = lambda options=None: train(
        cfg, recipe, copying(0), stores=[Store(tmp_path, every=5)], evaluate_at=(0, 5, 10, 25),
        evaluate=lambda step, _: seen.append(step), options=options,
    )  # fmt: skip
    with pytest.raises(Stopped):
        run({"on_step": stop_at(20)})
    assert seen == [0, 5, 10]
    run()
    assert seen == [0, 5, 10, 25], "it was stopped at 20, and 20 was stored"


def test_a_stopped_member_is_saved_where_it_stopped(cfg, recipe, copying, tmp_path):
    enough = lambda step, _: step == 10
    run = lambda: train(
        cfg, recipe, copying(0), stores=[Store(tmp_path)], evaluate_at=(5, 10), evaluate=enough
    )
    first = run()
    assert first.step[0] == 10
    equal(first, run())


def test_spans_end_at_every_mark():
    assert _spans(0, 10, 4, {0, 3, 8, 99}) == [range(3), range(3, 7), range(7, 8), range(8, 10)]
    assert _spans(10, 10, 4, {3}) == []


def test_metrics_come_once_a_chunk(cfg, recipe, copying):
    seen = []
    options = {"on_step": seen.append, "steps_per_call": 10}
    train(cfg, recipe, copying(0), copying(1), options=options)
    assert [progress.step for progress in seen] == [[10, 10], [20, 20], [30, 30]]
    for progress in seen:
        assert progress.loss.shape == (2,) and progress.gradient.shape == (2,)
        assert progress.tokens_per_second > 0


def test_no_members_or_parameters_of_others_are_refused(cfg, recipe, copying):
    with pytest.raises(ValueError, match="no members"):
        fit(cfg, [])
    with pytest.raises(ValueError, match="params of 2 members for 1"):
        train(cfg, recipe, copying(0), options={"params": parameters(cfg, (0, 1))})
    with pytest.raises(ValueError, match="steps_per_call=0 must be at least 1"):
        train(cfg, recipe, copying(0), options={"steps_per_call": 0})


class Other:
    """The batches of another, changed."""

    def __init__(self, stream, change):
        self.stream, self.change = stream, change

    def __getitem__(self, t):
        return {name: self.change(x) for name, x in self.stream[t].items()}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x[:1], "seed 1: batch=4 in its recipe and 1 in its batches"),
        (lambda x: x[:, :8], r"seed 1: its rows are .*\(4, 8\).* first member's tokens \(4, 12\)"),
        (lambda x: x + 1, "seed 1: tokens from 2 to 9, and of W=9 words the last is 8; give"),
        (lambda x: x - 2, "seed 1: tokens from -1 to 6, and"),
    ],
)
def test_rows_that_are_not_the_recipe_s_the_ensemble_s_or_the_model_s_are_refused(
    cfg, recipe, copying, change, message
):
    """Of any member: rows of one would be repeated, and an unknown word is NaN."""
    streams = {"seed 0": copying(0), "seed 1": Other(copying(1), change)}
    members = [Member(recipe=recipe, batches=own, name=name) for name, own in streams.items()]
    with pytest.raises(ValueError, match=message):
        fit(cfg, members)


def test_a_later_batch_of_another_shape_is_refused(cfg, recipe, copying):
    """NumPy would repeat its one row."""

    class Late:
        def __getitem__(self, t):
            return {name: x[: 1 if t == 7 else 4] for name, x in copying(0)[t].items()}

    with pytest.raises(ValueError, match=r"tokens of step 7 are \(1, 12\), those of step 0 \(4, "):
        train(cfg, recipe, Late())


def test_members_that_share_a_folder_or_are_asked_at_a_step_that_never_comes_are_refused(
    cfg, recipe, copying, tmp_path
):
    with pytest.raises(ValueError, match=r"two members write to \S+; give each a folder"):
        train(cfg, recipe, copying(0), copying(1), stores=[Store(tmp_path), Store(tmp_path)])
    with pytest.raises(ValueError, match=r"evaluate_at=\[-1, 31\] of steps=30 never come"):
        train(cfg, recipe, copying(0), evaluate_at=(-1, 30, 31))


@pytest.mark.slow
def test_a_batch_is_counted_as_the_data_make_it_and_not_as_the_objective_does(cfg, recipe, copying):
    twice = dataclasses.replace(recipe, steps=6, objective=MLMU(mask=8))
    train(cfg, twice, copying(0))
    pairs = dataclasses.replace(recipe, batch=2, steps=6, objective=DPO())
    train(cfg, pairs, Other(copying(0), lambda x: x.reshape(2, 2, 12)))


def test_a_state_is_saved_with_the_mean_loss_of_the_call_before_it(
    cfg, recipe, copying, tmp_path, monkeypatch
):
    store, seen = Store(tmp_path, every=10), {}
    save = store.save

    def saved(step, state, *, loss, **more):
        seen[step] = loss
        save(step, state, loss=loss, **more)

    monkeypatch.setattr(store, "save", saved)
    train(cfg, recipe, copying(0), stores=[store])
    losses = np.array([row["loss"][0] for row in store.metrics()]).reshape(6, 5).mean(1)
    assert seen == pytest.approx({10: losses[1], 20: losses[3], 30: losses[5]})
    store.close()


def test_a_signal_while_the_last_step_is_saved_is_not_lost(cfg, recipe, copying, tmp_path):
    def on_step(progress):
        if progress.step[0] == 30:
            signal.raise_signal(signal.SIGTERM)

    store = Store(tmp_path)
    with pytest.raises(SystemExit) as ended:
        train(cfg, recipe, copying(0), stores=[store], options={"on_step": on_step})
    assert ended.value.code == 0 and (tmp_path / "checkpoints" / "30").is_dir()
    store.close()


def test_a_signal_during_an_evaluation_saves_its_step_and_evaluates_no_further(
    cfg, recipe, copying, tmp_path
):
    """The rest is evaluated when the run continues, of the very step."""
    seen, asked = [], []

    def evaluate(step, s):
        seen.append((s, step))
        if not asked:
            asked.append(signal.raise_signal(signal.SIGTERM))

    def run():
        members = [
            Member(
                recipe=recipe, batches=copying(s), store=Store(tmp_path / str(s)),
                evaluate_at=(10,), evaluate=lambda step, _, s=s: evaluate(step, s),
            )
            for s in range(2)
        ]  # fmt: skip
        try:
            return fit(cfg, members, steps_per_call=10)
        finally:
            for member in members:
                member.store.close()

    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0 and seen == [(0, 10)]
    for s in range(2):
        assert (tmp_path / str(s) / "checkpoints" / "10").is_dir()
    run()
    assert seen == [(0, 10), (0, 10), (1, 10)]


def test_all_who_are_due_are_saved_before_one_is_evaluated(
    cfg, recipe, copying, tmp_path, monkeypatch
):
    said, save = [], Store.save
    monkeypatch.setattr(
        Store, "save", lambda own, step, state, **more: (said.append("saved"),
                                                        save(own, step, state, **more))[1],
    )  # fmt: skip
    stores = [Store(tmp_path / str(s), every=30) for s in range(2)]
    judge = lambda *_: said.append("evaluated")
    train(cfg, recipe, *map(copying, range(2)), stores=stores, evaluate_at=(30,), evaluate=judge)
    assert said == ["saved", "saved", "evaluated", "evaluated"]


def test_a_store_that_fails_keeps_no_other_from_being_waited_for(tmp_path, monkeypatch):
    stores, waited = [Store(tmp_path / str(s)) for s in range(3)], []

    def wait(store):
        waited.append(store)
        if store == stores[1]:
            raise ValueError("the disk is full")

    monkeypatch.setattr(Store, "wait", wait)
    with pytest.raises(ValueError, match="is full"), _saves_finished(stores):
        pass
    assert {*waited} == {*stores}


def test_processes_end_together_when_one_of_them_is_asked(monkeypatch):
    asked = KeyboardInterrupt()
    assert _agreed([]) is None and _agreed([asked]) is asked
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for other in (False, True):
        say = lambda own, other=other: np.array([own, other])
        monkeypatch.setattr(multihost_utils, "process_allgather", say)
        ends = _agreed([])
        assert (isinstance(ends, SystemExit) and ends.code == 0) if other else ends is None
        assert _agreed([asked]) is asked
