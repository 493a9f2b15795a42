"""What is trained and what is not, for every mixer."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from model.gla import GLA
from model.lm import LM, apply, init, shapes
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.softmax import Softmax
from tests.kernels.compare import slow_but
from tests.train.every import MIXERS
from train.adapter import BIAS_ONLY, Embeddings, Full, LoRA, Masked, Only, divide
from train.loop import Member, fit
from train.mesh import Layout, moved
from train.recipe import AdamW, Constant, Recipe
from train.step import State, keys, parameters, result

SLICES = [Full(), Only(r"blocks/1/.*"), BIAS_ONLY, Embeddings((3, 1))]
ADAPTERS = [*SLICES, LoRA(rank=1), LoRA(rank=3)]
SEEDS = (0, 5)
KEY = jax.random.key(1)


def model(mixer, tied=True):
    return LM(W=9, D=16, layers=2, mixer=mixer, F=32, tied=tied)


def flat(tree):
    return flatten_dict(tree, sep="/")


def sizes(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
@pytest.mark.parametrize("adapter", ADAPTERS, ids=repr)
def test_a_model_taken_apart_and_put_together_is_the_same(mixer, adapter):
    params = init(model(mixer), jax.random.key(0))
    trained, frozen = adapter.split(params, jax.random.key(1))
    assert sizes(trained) > 0
    equal(adapter.join(trained, frozen), params)
    if adapter in SLICES:
        assert sizes(trained) + sizes(frozen) == sizes(params), "each is on exactly one side"
    else:
        equal(frozen, params)


def tuned(cfg, adapter, stream, seeds=SEEDS):
    """(before, after) three steps, with a leading axis of members."""
    recipe = Recipe(
        steps=3, batch=4, optimizer=AdamW(lr=0.05), schedule=Constant(), adapter=adapter
    )
    before = parameters(cfg, tuple(10 + seed for seed in seeds))
    members = [Member(recipe=dataclasses.replace(recipe, seed=s), batches=stream) for s in seeds]
    state, lost = fit(cfg, members, params=before, steps_per_call=3)
    assert not lost
    return before, result(cfg, tuple(member.recipe for member in members), state, before)


def changed(before, after):
    before, after = flat(before), flat(after)
    return {path for path in before if (np.asarray(before[path]) != after[path]).any()}


# Softmax is trained below by every adapter.
QUICK = [pytest.param(m, marks=() if m == GLA(heads=2, convolution=4) else pytest.mark.slow)
         for m in MIXERS]  # fmt: skip


@pytest.mark.parametrize("mixer", QUICK, ids=repr)
@pytest.mark.parametrize(
    "adapter",
    [
        pytest.param(LoRA(rank=2), id="LoRA"),
        pytest.param(BIAS_ONLY, id="biases", marks=pytest.mark.slow),
    ],
)
def test_only_what_is_trained_moves_and_the_rest_stays_bit_for_bit(mixer, adapter, copying):
    before, after = tuned(model(mixer), adapter, copying(0))
    params = jax.tree.map(lambda leaf: leaf[0], before)
    trained, _ = adapter.split(params, jax.random.key(0))
    expected = set(flat(trained))
    if adapter is not BIAS_ONLY:  # a and b of each matrix, whose name has dots
        expected = {path.split("/")[0].replace(".", "/") for path in expected}
    assert changed(before, after) == expected
    assert not any("norm" in path for path in expected) or adapter is BIAS_ONLY


# Everything, and a pattern, are trained by other tests of this folder.
@pytest.mark.parametrize("adapter", slow_but(ADAPTERS[2:5], ADAPTERS))
def test_every_adapter_trains_something_and_what_it_freezes_stays_bit_for_bit(adapter, copying):
    before, after = tuned(model(Softmax(heads=2)), adapter, copying(0))
    assert changed(before, after)
    if adapter in SLICES:  # what is frozen is a part of the parameters, by leaf or by row
        one, other = (divide([adapter] * 2, params, keys(SEEDS))[1] for params in (before, after))
        equal(one, other)
    else:
        named = {path for path in flat(before) if re.fullmatch(adapter.pattern, path)}
        assert changed(before, after) == named


@pytest.mark.slow
def test_low_rank_changes_have_that_rank(copying):
    before, after = tuned(model(GLA(heads=2)), LoRA(rank=2), copying(0))
    for path in changed(before, after):
        change = np.asarray(flat(after)[path] - flat(before)[path])
        assert (np.linalg.matrix_rank(change, tol=1e-4) == 2).all(), path


@pytest.mark.parametrize(
    ("mixer", "own"),
    [
        (Softmax(heads=2), ()),
        (GLA(heads=2), ("bias", "norm/gain")),
        (Mamba(state=4), ("b", "convolution/bias")),
        (Mamba2(state=4, width=8), ("b", "convolution/bias", "norm/gain")),
    ],
    ids=["softmax", "gla", "mamba", "mamba2"],
)
def test_biases_are_these(mixer, own):
    params = init(LM(W=9, D=16, layers=1, mixer=mixer), KEY)
    block = ("mixer_norm/gain", "mlp_norm/gain", *(f"mixer/{name}" for name in own))
    found = set(flat(BIAS_ONLY.split(params, KEY)[0]))
    assert found == {"norm/gain", *(f"blocks/0/{name}" for name in block)}


def test_rows_of_the_embedding_are_trained_alone(copying):
    before, after = tuned(model(Softmax(heads=2)), Embeddings((3, 1)), copying(0))
    assert changed(before, after) == {"embedding/w"}
    moved = (flat(before)["embedding/w"] != flat(after)["embedding/w"]).any(-1)
    assert np.flatnonzero(moved[0]).tolist() == [1, 3]


def test_a_pattern_trains_what_it_matches(copying):
    before, after = tuned(model(Softmax(heads=2)), Only(r"blocks/1/mlp/.*"), copying(0))
    assert changed(before, after) == {"blocks/1/mlp/gate_up/w", "blocks/1/mlp/down/w"}


@pytest.mark.slow
def test_a_member_of_an_ensemble_starts_and_ends_as_alone(copying):
    cfg, adapter = model(GLA(heads=2)), LoRA(rank=2)
    _, both = tuned(cfg, adapter, copying(0))
    _, alone = tuned(cfg, adapter, copying(0), seeds=SEEDS[1:])
    equal(jax.tree.map(lambda leaf: leaf[1:], both), alone)
    trained, _ = divide([adapter] * 2, parameters(cfg, SEEDS), keys(SEEDS))
    a = trained["blocks.0.mlp.down.w"]["a"]
    assert (a[0] != a[1]).all(), "each member draws its own"


@pytest.mark.slow
def test_members_with_masks_of_their_own_train_in_one_program_as_each_alone(copying):
    cfg, patterns = model(Softmax(heads=2)), (r"blocks/1/mlp/.*", r".*/gain")
    recipes = [
        Recipe(
            steps=3, batch=4, optimizer=AdamW(lr=0.05), schedule=Constant(), adapter=adapter, seed=7
        )
        for adapter in (*map(Masked, patterns), *map(Only, patterns))
    ]
    before = parameters(cfg, (10, 10))

    def trained(recipes, params):
        members = [Member(recipe=recipe, batches=copying(0)) for recipe in recipes]
        state, lost = fit(cfg, members, params=params, steps_per_call=3)
        assert not lost
        return result(cfg, tuple(recipes), state, params)

    both = flat(trained(recipes[:2], before))
    own = lambda tree, s: jax.tree.map(lambda leaf: leaf[s : s + 1], tree)
    for s, pattern in enumerate(patterns):
        alone, start = flat(trained([recipes[2 + s]], own(before, s))), flat(own(before, s))
        for path in both:
            np.testing.assert_allclose(both[path][s], alone[path][0], rtol=1e-5, atol=1e-6)
            moved = (np.asarray(both[path][s]) != start[path][0]).any()
            assert moved == bool(re.fullmatch(pattern, path)), (pattern, path)


def test_what_was_trained_on_several_devices_is_put_together_there():
    cfg, adapter = model(Softmax(heads=2)), Only("norm/gain")
    recipes = (Recipe(steps=3, batch=4, schedule=Constant(), adapter=adapter),)
    params = jax.tree.map(lambda x: jnp.asarray(np.ones((1, *x.shape))), shapes(cfg))
    mesh = Layout(data=2).mesh()
    state = State(moved({"norm": params["norm"]}, mesh), {}, np.zeros(1, np.int32))
    found = result(cfg, recipes, state, params, mesh)
    equal(found, params)
    assert all(len(leaf.sharding.device_set) == 2 for leaf in jax.tree.leaves(found))


def test_what_is_put_together_runs(copying):
    cfg = model(Softmax(heads=2), tied=False)
    for adapter in ADAPTERS:
        params = adapter.join(*adapter.split(init(cfg, jax.random.key(0)), jax.random.key(1)))
        apply(cfg, params, jnp.asarray(copying(0)[0]["tokens"]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda params: Only("block/.*").split(params, KEY), "no parameter matches 'block/"),
        (lambda params: LoRA(rank=0), "rank=0 must be at least 1"),
        (lambda params: LoRA(scale=np.nan), "rank=4 .* scale=nan"),
        (lambda params: LoRA(pattern="norm/gain").split(params, KEY), "norm/gain .16,. is no"),
        (lambda params: Embeddings(()), "one at least"),
        (lambda params: Embeddings((1, 1)), "must be different"),
        (lambda params: Embeddings((9,)).split(params, KEY), "token 9 is not one of the W=9"),
    ],
)
def test_what_cannot_be_trained_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(init(model(GLA(heads=2)), jax.random.key(0)))
