"""The step compiled for machines that are not here: libtpu for TPUs, the CUDA plugin for Hopper."""

import dataclasses
import importlib.util
import os
import re
import sys

import jax
import pytest
from jax.experimental import topologies

from model.gla import GLA
from model.lm import LM
from model.preset import preset
from model.softmax import Softmax
from train import plan
from train.mesh import Layout
from train.pretrain import run
from train.recipe import Cosine, Recipe
from train.step import chunk

SMALL = plan.Plan(
    model=LM(W=256, D=128, layers=1, mixer=GLA(heads=2), dtype="bfloat16"),
    T=256,
    recipe=Recipe(steps=10, batch=8, schedule=Cosine(warmup=2)),
)


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        reason = f"{package} is not installed here (make compilers)"
        if os.environ.get("DIGLOSSIA_COMPILERS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize("topology", ["v5e:2x2", pytest.param("h100:4", marks=pytest.mark.slow)])
@pytest.mark.parametrize("member, data", [(4, 1), (2, 2), (1, 4)])
def test_kernels_are_in_the_step_wherever_members_and_rows_lie(topology, member, data):
    """Mosaic's kernels refuse devices that the compiler would have to split them over."""
    needs("libtpu" if topology.startswith("v") else "jax_cuda13_plugin")
    layout = Layout(member=member, data=data)
    mesh = layout.mesh(plan._devices(topology))
    wide = dataclasses.replace(SMALL.model, D=256)  # 64 key channels a head, which kernels take
    given = plan.arguments(dataclasses.replace(SMALL, model=wide), 4, mesh)
    step = chunk(wide, SMALL.recipe, layout, mesh)
    with jax.set_mesh(mesh):
        text = step.lower(*given).as_text()
    assert "tpu_custom_call" in text or "mosaic_gpu" in text


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v5e:2x4", "v6e:2x4", "tpu7x:2x2x1"])
def test_a_small_step_compiles_for_tpus_that_are_not_here(topology):
    needs("libtpu")
    row = plan.compiled(SMALL, topology, Layout(fsdp=4, data=2))
    assert row.devices == 8 and row.fits and row.collectives
    assert row.state < row.total < 2**30


@pytest.mark.slow
def test_a_small_step_compiles_for_hopper():
    needs("jax_cuda13_plugin")
    row = plan.compiled(SMALL, "h100:1")
    assert row.devices == 1 and row.fits and not row.collectives


@pytest.mark.slow
def test_what_does_not_fit_is_said_with_its_size():
    needs("libtpu")
    wide = dataclasses.replace(SMALL.model, W=65_536, D=8192)
    row = plan.compiled(dataclasses.replace(SMALL, model=wide), "v5e:2x2", Layout(data=4))
    assert not row.fits and row.total > 16 * plan.GIB


def test_of_what_has_no_program_the_size_is_said_and_no_collectives(monkeypatch, capsys):
    monkeypatch.setattr(plan, "_devices", lambda _: jax.devices()[:1])
    monkeypatch.setitem(plan.HBM, "cpu", 20)
    monkeypatch.setattr(plan, "_needs", lambda *_: {"state": 2, "total": 21})
    row = plan.compiled(SMALL, "here")
    assert row.total == 21 and row.collectives is None and not row.fits
    plan.show(SMALL, [row])
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("not installed"), NotImplementedError("cuda")])
def test_a_missing_compiler_is_named_with_how_to_get_it(error, monkeypatch):
    def missing(*_, **__):
        raise error

    monkeypatch.setattr(topologies, "get_topology_desc", missing)
    for topology in ("v5e:2x2", "h100:1"):
        with pytest.raises(ValueError, match=f"no compiler for {topology} here: make compilers"):
            plan.compiled(SMALL, topology)


def test_a_device_whose_memory_nobody_noted_is_refused(monkeypatch):
    monkeypatch.setattr(plan, "_devices", lambda _: jax.devices()[:1])
    with pytest.raises(ValueError, match=r"what a cpu holds is not in HBM"):
        plan.compiled(SMALL, "v4:2x2x1")


@pytest.mark.parametrize("name", ["50M", "340M", "1.3B", "softmax-1.3B"])
def test_what_is_planned_is_the_preset_of_that_name(name, monkeypatch):
    seen = []
    monkeypatch.setattr(plan, "compiled", lambda asked, *_: seen.append(asked))
    monkeypatch.setattr(plan, "show", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["plan", name])
    plan.main()
    assert seen[0].model == preset(name)


def test_an_unknown_topology_is_refused_with_those_there_are():
    needs("libtpu")
    with pytest.raises(ValueError, match="no topology 'v9:1x1': v5e:4x8"):
        plan.compiled(SMALL, "v9:1x1")


@pytest.mark.parametrize(
    "mixer", [GLA(heads=2), pytest.param(Softmax(heads=2), marks=pytest.mark.slow)]
)
def test_the_estimate_from_shapes_is_near_what_a_compiler_says(mixer):
    """Near enough to decide how many members fit: within a factor of two."""
    cfg = LM(W=512, D=64, layers=2, mixer=mixer)
    recipe = Recipe(steps=10, batch=8, schedule=Cosine(warmup=2))
    state, _ = plan.abstract(cfg, recipe, 1)
    held, used = plan.memory(cfg, 8, 64)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert size == pytest.approx(held, rel=0.01)
    arguments = plan.arguments(plan.Plan(model=cfg, T=64, recipe=recipe), 1, None)
    analysis = chunk(cfg, recipe).lower(*arguments).compile().memory_analysis()
    assert 0.5 < analysis.temp_size_in_bytes / (held + used) < 2


def test_help_says_what_options_are_in_what_form_and_which_specs_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plan", "340M", "--help"])
    with pytest.raises(SystemExit):
        plan.main()
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("Does a run fit", "tokens of a row", "tpu7x:AxBxC", "along `fsdp` rows and every"):
        assert part in said
    monkeypatch.setattr(sys, "argv", ["plan", "--help"])
    run(plan.main, "pretrain_spec")
    assert re.search("^SPECs: .*flagship", capsys.readouterr().out, re.MULTILINE)
