"""One step, and members of an ensemble."""

import dataclasses

import jax
import numpy as np
import pytest

from model.gla import GLA
from train.loop import fit
from train.member import Member
from train.mesh import Layout
from train.recipe import WSD, AdamW, Constant, Muon
from train.step import Span, Still, begin, chunk, constants, parameters


def one_step(cfg, recipe, stream, layout=Layout()):
    state = begin(recipe, parameters(cfg, (0,)))
    batch = jax.tree.map(lambda x: x[None, None], stream[0])
    span = Span(batch, recipe.rates()[None, :1], np.array([0]), np.array([1]))
    return chunk(cfg, recipe, layout=layout)(state, Still({}, {}), constants((recipe,)), span)


def alone(cfg, recipe, stream, **options):
    state, lost = fit(cfg, [Member(recipe=recipe, batches=stream)], **options)
    assert not lost
    return state


@pytest.mark.parametrize(
    "mixer, loss, gradient, size",
    [
        (None, 2.0488634, 2.1076014, 527.68881),
        (GLA(heads=2), 2.3894281, 3.4938853, 623.55494),
    ],
    ids=["softmax", "gla"],
)
def test_one_golden_step(cfg, recipe, copying, mixer, loss, gradient, size):
    """Guards against a change of the model, the loss or the optimizer that nobody meant.

    If one was meant, say so in the commit and copy the new numbers from the failure: they are
    what this machine-independent seed gave, not what is right.
    """
    cfg = dataclasses.replace(cfg, mixer=mixer or cfg.mixer)
    state, metrics = one_step(cfg, recipe, copying(0))
    norm = sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(state.trained))
    found = (float(metrics.loss[0, 0]), float(metrics.gradient[0, 0]), norm)
    assert found == pytest.approx((loss, gradient, size), rel=1e-5)


def equals_alone(cfg, members, state):
    """Bit for bit: every member is what it is without the others."""
    for s, member in enumerate(members):
        own, _ = fit(cfg, [member], steps_per_call=10)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[s], b[0]), state, own)  # noqa: B023


@pytest.mark.optimised
def test_members_that_differ_in_seed_numbers_and_data_are_each_alone_bit_for_bit(
    cfg, recipe, copying
):
    recipes = [
        recipe,
        dataclasses.replace(recipe, seed=1, optimizer=AdamW(lr=1e-2, weight_decay=0.0, b1=0.8)),
        dataclasses.replace(recipe, seed=2, schedule=Constant(), steps=17),
        dataclasses.replace(recipe, seed=3, optimizer=AdamW(clip=0.1), steps=24),
    ]
    members = [Member(recipe=one, batches=copying(s)) for s, one in enumerate(recipes)]
    state, lost = fit(cfg, members, steps_per_call=10)
    assert not lost and np.asarray(state.step).tolist() == [30, 30, 17, 24]
    equals_alone(cfg, members, state)
    assert len({id(chunk(cfg, one)) for one in recipes}) == 1, "one program for all"


@pytest.mark.optimised
@pytest.mark.slow
def test_how_steps_are_cut_into_calls_changes_no_bit(cfg, recipe, copying):
    runs = [alone(cfg, recipe, copying(0), steps_per_call=n) for n in (1, 7, 30)]
    for other in runs[1:]:
        jax.tree.map(np.testing.assert_array_equal, runs[0], other)


def test_recipes_of_other_structure_are_refused(cfg, recipe, copying):
    members = [Member(recipe=one, batches=copying(0)) for one in
               (recipe, dataclasses.replace(recipe, batch=8))]  # fmt: skip
    with pytest.raises(ValueError, match="recipes of 2 structures"):
        fit(cfg, members)


def test_a_member_that_is_lost_or_stopped_touches_no_other(cfg, recipe, copying):
    enough = lambda step, _: step == 11
    members = [
        Member(recipe=recipe, batches=copying(0), name="good"),
        Member(recipe=recipe, batches=copying(1, broken_at=13), name="seed 1"),
        Member(recipe=recipe, batches=copying(2), evaluate_at=(5, 11), evaluate=enough),
        Member(recipe=recipe, batches=copying(3)),
    ]
    seen = []
    state, lost = fit(cfg, members, steps_per_call=4, on_step=seen.append)
    assert list(lost) == [1] and "seed 1, step 13: loss nan" in str(lost[1])
    assert np.asarray(state.step).tolist() == [30, 13, 11, 30]
    assert seen[-1].step == [30, 13, 11, 30]
    assert np.isnan(seen[-1].loss).tolist() == [False, True, True, False]
    equals_alone(cfg, members, state)


def test_together_equals_one_after_the_other(cfg, recipe, copying, monkeypatch):
    """What an accelerator runs, `vmap`, against what a CPU runs, `lax.map`: to rounding."""
    recipes = [recipe, dataclasses.replace(recipe, steps=11, seed=1)]
    members = [Member(recipe=one, batches=copying(s)) for s, one in enumerate(recipes)]
    mapped, _ = fit(cfg, members, steps_per_call=10)
    monkeypatch.setattr(jax, "default_backend", lambda: "as on an accelerator")
    together, _ = fit(cfg, members, steps_per_call=10)
    assert np.asarray(together.step).tolist() == [30, 11]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        together.trained,
        mapped.trained,
    )


@pytest.mark.parametrize(
    "how",
    [
        {"accumulate": 2},
        {"remat": "input"},
        pytest.param({"remat": "products"}, marks=pytest.mark.slow),
    ],
)
def test_what_is_given_for_memory_changes_the_step_by_rounding_only(cfg, recipe, copying, how):
    want = one_step(cfg, recipe, copying(0))
    got = one_step(cfg, recipe, copying(0), Layout(**how))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got[1], want[1]
    )


def test_parts_of_unequal_weight_give_the_gradient_of_the_whole(cfg, recipe, copying):
    """Guards against a mean of means."""
    batch = copying(0)[0]
    batch["weights"][::2, 3:] = 0  # half of the rows count little
    want = one_step(cfg, recipe, [batch])
    got = one_step(cfg, recipe, [batch], Layout(accumulate=2))
    np.testing.assert_allclose(got[1].loss, want[1].loss, rtol=1e-6)
    np.testing.assert_allclose(got[1].gradient, want[1].gradient, rtol=1e-5)


def test_half_precision_computes_in_half_and_keeps_masters_in_full(cfg, recipe, copying):
    half = dataclasses.replace(cfg, dtype="bfloat16")
    state, metrics = one_step(half, recipe, copying(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(state.trained)} == {np.dtype("float32")}
    want = one_step(cfg, recipe, copying(0))[1]
    np.testing.assert_allclose(metrics.loss, want.loss, rtol=1e-2)
    assert metrics.loss[0, 0] != want.loss[0, 0], "it did compute in bfloat16"


def test_the_caller_s_parameters_survive(cfg, recipe, copying):
    params = parameters(cfg, (0,))
    before = jax.tree.map(np.array, params)
    alone(cfg, recipe, copying(0), params=params)
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_a_step_takes_the_place_of_the_state_it_is_given(cfg, recipe, copying):
    """Two states at once would be twice the memory."""
    state = begin(recipe, parameters(cfg, (0,)))
    batch = jax.tree.map(lambda x: x[None, None], copying(0)[0])
    span = Span(batch, recipe.rates()[None, :1], np.array([0]), np.array([1]))
    chunk(cfg, recipe)(state, Still({}, {}), constants((recipe,)), span)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


@pytest.mark.slow
def test_members_of_muon_train_by_their_own_numbers_whoever_is_beside(cfg, recipe, copying):
    numbers = (Muon(), Muon(lr=1e-2, momentum=0.8, weight_decay=0.0), Muon())
    members = [
        Member(
            recipe=dataclasses.replace(
                recipe, steps=6, optimizer=own, schedule=WSD(warmup=2, decay=0.5)
            ),
            batches=copying(0),
        )
        for own in numbers
    ]
    state, lost = fit(cfg, members)
    assert not lost and np.asarray(state.step).tolist() == [6, 6, 6]
    for before, leaf in zip(
        jax.tree.leaves(parameters(cfg, (0,))), jax.tree.leaves(state.trained), strict=True
    ):
        np.testing.assert_array_equal(leaf[0], leaf[2])
        assert (leaf[0] != leaf[1]).any() and (leaf[0] != before[0]).any()


def test_copying_is_learnt(cfg, recipe, copying):
    """Half of a row is predictable: the mean over both halves must fall below log 8 = 2.08."""
    losses = {}
    long = dataclasses.replace(recipe, steps=400)
    alone(cfg, long, copying(0), on_step=lambda p: losses.update({p.step[0]: float(p.loss[0])}))
    assert losses[20] > 1.9 and losses[400] < 1.7
