"""A step that was not finite is done again from what fit left."""

import dataclasses
import json
import math
import sys

import jax
import numpy as np
import pytest

from experiments import flagship
from train import replay
from train.adapter import LoRA
from train.loop import fit
from train.member import Member
from train.mesh import Layout
from train.preference import Near
from train.step import Metrics, parameters
from train.store import Store, describe, rebuild


@pytest.mark.optimised
@pytest.mark.slow
def test_one_command_shows_the_bad_step_again(cfg, recipe, copying, tmp_path, monkeypatch, capsys):
    own = dataclasses.replace(recipe, adapter=LoRA(rank=2), objective=Near())
    member = Member(recipe=own, batches=copying(0, broken_at=13), store=Store(tmp_path, every=5))
    fit(cfg, [member], params=parameters(cfg, (3,)))
    monkeypatch.setattr(sys, "argv", ["replay", str(tmp_path)])
    replay.main()
    said = capsys.readouterr().out
    assert "not-finite-13.npz: step 13, loss nan, gradient norm nan" in said
    assert "not finite before the step: no parameter" in said and "blocks.0.mlp.down.w/b" in said


def test_a_finite_step_replays_to_the_loss_that_was_logged(cfg, recipe, copying, tmp_path):
    """What makes it bad is in the file: with the row repaired it is the step of a good run."""
    folders = [tmp_path / name for name in ("good", "bad")]
    for folder, broken in zip(folders, (None, 13), strict=True):
        store = Store(folder, every=50)
        member = Member(recipe=recipe, batches=copying(0, broken_at=broken), store=store)
        fit(cfg, [member], steps_per_call=10)
        rows = store.metrics()
        if broken is None:
            logged = rows[13]
        store.close()
    path = folders[1] / "not-finite-13.npz"
    with np.load(path) as kept:
        repaired = dict(kept) | {"batch/weights": np.asarray(copying(0)[13]["weights"])}
    np.savez(path, **repaired)
    found = replay.replay(path)
    assert math.isclose(found.loss, logged["loss"][0], rel_tol=0, abs_tol=0)
    assert found.gradient == logged["gradient"][0] and not found.gradients


def test_a_step_is_done_again_in_as_many_parts(cfg, recipe, copying, tmp_path, monkeypatch):
    store = Store(tmp_path, every=50)
    member = Member(recipe=recipe, batches=copying(0, broken_at=13), store=store)
    fit(cfg, [member], steps_per_call=10)
    path, seen = tmp_path / "not-finite-13.npz", []
    with np.load(path) as kept:
        spec = json.loads(str(kept["spec"]))
        assert spec["layout"] == describe(Layout())
        spec["layout"] = describe(Layout(accumulate=2, data=4))
        np.savez(path, **dict(kept) | {"spec": np.array(json.dumps(spec))})
    step = lambda *_: (None, Metrics(np.ones((1, 1)), np.ones((1, 1))))
    monkeypatch.setattr(replay, "chunk", lambda *own: (seen.append(own[-1]), step)[1])
    monkeypatch.setattr(replay, "loss_and_gradient", lambda *own: (seen.append(own[-1]), {}))
    replay.replay(path)
    assert seen == [Layout(accumulate=2)] * 2


def test_a_folder_without_a_lost_step_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["replay", str(tmp_path)])
    with pytest.raises(ValueError, match=r"no not-finite-<step>.npz in \S+; give the folder"):
        replay.main()


def test_a_spec_comes_back_from_its_description():
    spec = flagship.pretrain_spec()
    for part in (spec.model, spec.recipe):
        assert rebuild(describe(part)) == part
    assert jax.tree.leaves(rebuild({"a": [1, 2]})) == [1, 2]
