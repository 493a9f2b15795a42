"""Schedules, what decays, and what a recipe refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.lm import LM, init
from model.mamba import Mamba
from tests.train.every import MIXERS
from train.adapter import LoRA
from train.mesh import pathname
from train.recipe import WSD, AdamW, Constant, Cosine, Muon, Recipe, numbers, with_numbers


def test_cosine_warms_up_from_the_first_step_and_ends_at_its_share():
    rate = Cosine(warmup=10, final=0.05).schedule(2e-3, 110)
    assert float(rate(0)) == pytest.approx(2e-4), "no step is spent at rate 0"
    assert float(rate(4)) == pytest.approx(1e-3)
    assert float(rate(9)) == pytest.approx(2e-3)
    assert float(rate(59)) == pytest.approx(2e-3 * (1.05 / 2)), "half-way down"
    assert float(rate(109)) == pytest.approx(1e-4)


def test_constant_is_constant():
    rate = Constant().schedule(5e-4, 7)
    assert [float(rate(t)) for t in range(7)] == pytest.approx([5e-4] * 7)


def test_wsd_warms_up_stays_and_goes_down():
    rate = WSD(warmup=10, decay=0.2, final=0.1).schedule(1.0, 100)
    assert float(rate(0)) == pytest.approx(0.1), "no step is spent at rate 0"
    assert [float(rate(t)) for t in (9, 50, 79)] == pytest.approx([1.0] * 3)
    assert float(rate(89)) == pytest.approx(0.55), "half-way down"
    assert float(rate(99)) == pytest.approx(0.1)


def muon_s(params):
    """Paths of the leaves that have a momentum of Muon's."""
    state = Muon().transform(0.1).init(params)
    found = jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "ns_coeffs"))
    (own,) = [s.mu for s in found if hasattr(s, "ns_coeffs")]
    return {pathname(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(own)}


@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
def test_embeddings_heads_norms_biases_and_adapters_are_never_under_muon(mixer):
    params = init(LM(W=9, D=16, layers=1, mixer=mixer, tied=False), jax.random.key(0))
    shapes = {pathname(k): leaf.shape for k, leaf in jax.tree_util.tree_leaves_with_path(params)}
    own = muon_s(params)
    other = shapes.keys() - own
    assert {"embedding/w", "head/w"} <= other
    assert not any(part in path for path in own for part in ("norm", "bias", "gain", "convolution"))
    assert all(len(shapes[path]) == 2 for path in own)
    assert {"blocks/0/mlp/gate_up/w", "blocks/0/mlp/down/w", "blocks/0/mixer/out/w"} <= own
    thin = ("embedding", "head", "norm", "convolution", "bias", "gain", "mixer/a", "mixer/b",
            "mixer/d", "mixer/places")  # fmt: skip
    # Mamba's steps/w has one row where D is 16 or less: then Muon gives its gradient a norm.
    assert all(any(part in path for part in thin) for path in other), "and nothing else is left out"
    assert not muon_s(LoRA().split(params, jax.random.key(0))[0])
    assert not muon_s({"prompt": {"w": jnp.ones((4, 16))}})


def test_muon_s_update_is_orthogonal_and_scaled():
    params = {"blocks": {"0": {"mlp": {"down": {"w": jnp.zeros((8, 16))}}}}}
    gradient = jax.tree.map(lambda w: jax.random.normal(jax.random.key(0), w.shape), params)
    optimizer = Muon(weight_decay=0.0).transform(1.0)
    update, _ = optimizer.update(gradient, optimizer.init(params), params)
    (w,) = jax.tree.leaves(update)
    singular = np.linalg.svd(np.asarray(w) / (0.2 * 16**0.5), compute_uv=False)
    assert (singular > 0.6).all() and (singular < 1.3).all(), "Newton-Schulz to its own accuracy"


def test_what_is_not_muon_s_is_adamw_s():
    params = {"embedding": {"w": jnp.ones((3, 4))}, "norm": {"gain": jnp.ones(4)}}
    runs = []
    for own in (Muon(), AdamW(b1=0.9, weight_decay=0.0)):
        optimizer = own.transform(0.1)
        state = optimizer.init(params)
        for t in range(2):  # in the first Nesterov's momentum shows, in the second the averages
            draw = lambda x, t=t: jax.random.normal(jax.random.key(t), x.shape)
            updates, state = optimizer.update(jax.tree.map(draw, params), state, params)
            runs.append(updates)
    for one, other in ((runs[0], runs[2]), (runs[1], runs[3])):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, other)


@pytest.mark.parametrize("mixer", [GLA(heads=2), Mamba(state=4)], ids=["gla", "mamba"])
def test_only_matrices_decay(mixer):
    params = init(LM(W=9, D=16, layers=1, mixer=mixer), jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 1, params)  # biases start at 0, which hides decay
    optimizer = AdamW(weight_decay=0.5).transform(0.1)
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(still, optimizer.init(params), params)
    for (path, update), leaf in zip(
        jax.tree_util.tree_leaves_with_path(updates), jax.tree.leaves(params), strict=True
    ):
        matrix = leaf.ndim >= 2 and path[-1].key != "a"  # the rates at which Mamba forgets
        expected = -0.1 * 0.5 * leaf if matrix else jnp.zeros_like(leaf)
        np.testing.assert_allclose(update, expected, rtol=1e-6, err_msg=str(path))


def test_the_gradient_is_clipped_before_adam():
    params = {"w": jnp.ones((2, 2))}
    optimizer = AdamW().transform(3e-3)
    _, state = optimizer.update({"w": jnp.full((2, 2), 50.0)}, optimizer.init(params), params)
    moment = next(
        s.mu for s in jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")
    )
    np.testing.assert_allclose(moment["w"], 0.1 * 0.5)  # (1 - b1) x 50 / norm 100


@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"batch": 0}, "batch=0 must be at least 1"),
        ({"schedule": Cosine(warmup=10)}, "choose a warm-up from 0 to 9"),
        ({"schedule": WSD(warmup=9, decay=0.2)}, "warmup=9 and decay=0.2 of steps=10 do not fit"),
        ({"schedule": WSD(warmup=2, decay=0.04)}, "warmup=2 and decay=0.04 of steps=10 do not"),
        ({"schedule": WSD(warmup=2, decay=np.nan)}, "warmup=2 and decay=nan of steps=10 do not"),
        ({"schedule": WSD(warmup=2, final=-1.0)}, "final=-1.0 is no share of the learning rate"),
        ({"schedule": Cosine(warmup=2, final=2.0)}, "final=2.0 is no share of the learning rate"),
        ({"seed": 2**32}, "seed=4294967296 is another one's double"),
        ({"seed": -1}, "seed=-1 is another one's double"),
    ],
)
def test_an_impossible_recipe_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"steps": 10, "batch": 2, "schedule": Cosine(warmup=2)} | change)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AdamW(lr=0.0), r"lr=0\.0"),
        (lambda: AdamW(lr=np.nan), "lr=nan"),
        (lambda: Muon(lr=np.inf), "lr=inf and clip=1.0 must be above 0, and the lr finite"),
        (lambda: Muon(clip=np.nan), "clip=nan"),
        (lambda: AdamW(weight_decay=-0.1), "weight_decay=-0.1 must be 0 or more"),
        (lambda: AdamW(b1=1.0), "b1=1.0 is how much a running average keeps"),
        (lambda: AdamW(b2=-0.1), "b2=-0.1 is how much"),
        (lambda: Muon(momentum=1.0), "momentum=1.0 is how much"),
    ],
)
def test_an_optimizer_whose_numbers_make_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_rates_are_the_schedule_step_by_step():
    warm = WSD(warmup=3, decay=0.5, final=0.1)
    for schedule in (Cosine(warmup=3, final=0.1), Cosine(warmup=0), Constant(), warm):
        recipe = Recipe(steps=12, batch=1, schedule=schedule)
        rate = schedule.schedule(recipe.optimizer.lr, 12)
        np.testing.assert_allclose(recipe.rates(), [rate(t) for t in range(12)], rtol=1e-5)


def test_recipes_that_differ_in_numbers_only_have_one_structure():
    base = Recipe(steps=10, batch=2, schedule=Constant())
    other = Recipe(steps=999, batch=2, optimizer=AdamW(lr=1.0, clip=2.0, b1=0.5), seed=7)
    assert base.structure() == other.structure()
    assert base.structure() != Recipe(steps=10, batch=4, schedule=Constant()).structure()


def test_numbers_are_the_float_fields_and_go_back_in():
    spec = AdamW(lr=0.5, b1=0.8)
    assert numbers(spec)["b1"] == 0.8 and with_numbers(AdamW(), numbers(spec)) == spec
