"""Activations by name, and edits of them: nothing changes where they are unused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.collect import Tap, add, mean_ablate, replace, scale
from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM, apply, bind, init, names
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer

RECURRENT = {
    "gla": GLA(heads=2, convolution=4),
    "gla in groups": GLA(heads=4, kv_heads=2, expand_k=1.0),
    "simple gla": SimpleGLA(heads=2),
    "linear attention": LinearAttention(heads=2),
    "retnet": RetNet(heads=2),
    "transnormer": TransNormer(heads=2),
    "mamba": Mamba(state=4),
    "mamba2": Mamba2(state=4, width=8),
}
MIXERS = RECURRENT | {
    "softmax": Softmax(heads=2),
    "cope in a window": Softmax(heads=4, kv_heads=2, rotary=0.0, cope=3, window=4),
}
each_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
each_recurrent = pytest.mark.parametrize("mixer", RECURRENT.values(), ids=RECURRENT)
B, T = 2, 7
SEGMENTS = jnp.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 3, 3]])
MEMORY = "blocks/0/mixer/state"


@functools.cache
def model(mixer, layers=1):
    cfg = LM(W=11, D=16, layers=layers, mixer=mixer)
    return cfg, init(cfg, jax.random.key(0))


def text(key=7):
    return jax.random.randint(jax.random.key(key), (B, T), 0, 11)


def logits(mixer, edits=None, key=7, segments=SEGMENTS, layers=1):
    cfg, params = model(mixer, layers)
    return jax.jit(lambda e: apply(cfg, params, text(key), segments, edits=e)[0])(edits)


def seen(mixer, *collect, at=None, key=7, layers=1):
    cfg, params = model(mixer, layers)
    run = jax.jit(lambda at: apply(cfg, params, text(key), SEGMENTS, collect=collect, at=at)[2])
    return run(at)


@each_mixer
def test_what_is_not_asked_for_costs_nothing(mixer, monkeypatch):
    """The program is the one of a model whose taps are the identity."""
    cfg, params = model(mixer)
    program = lambda: str(jax.make_jaxpr(lambda p, x: apply(cfg, p, x, SEGMENTS))(params, text()))
    own = program()
    monkeypatch.setattr(Tap, "__call__", lambda self, name, x: x)
    monkeypatch.setattr(Tap, "asked", lambda self, name: False)
    assert own == program()


@each_mixer
def test_all_names_are_seen_and_seeing_changes_nothing(mixer):
    cfg, params = model(mixer)
    run = jax.jit(lambda: apply(cfg, params, text(), SEGMENTS, collect=("*",)))
    out, _, found = run()
    assert sorted(found) == list(names(cfg))
    np.testing.assert_allclose(out, logits(mixer), atol=2e-5)
    for name, x in found.items():
        assert x.shape[:2] == (B, T) and np.isfinite(x).all(), name
    x = found["embedding"] + found["blocks/0/mixer"] + found["blocks/0/mlp"]
    np.testing.assert_allclose(found["blocks/0/residual"], x, atol=1e-6)
    net = bind(cfg, params)
    np.testing.assert_allclose(net.unembed(net.norm(x)), out, atol=1e-5)


@each_mixer
def test_positions_pick_tokens_of_each_row(mixer):
    at = jnp.array([[6, 2], [0, 4]])
    whole, some = seen(mixer, "*"), seen(mixer, "*", at=at)
    for name, x in whole.items():
        np.testing.assert_allclose(some[name], x[jnp.arange(B)[:, None], at], atol=1e-6)


@each_recurrent
def test_the_state_seen_after_a_token_is_the_state_returned_there(mixer):
    cfg, params = model(mixer)
    states = seen(mixer, MEMORY)[MEMORY]
    for t in (0, 3, 6):
        _, (state,) = apply(cfg, params, text()[:, : t + 1], SEGMENTS[:, : t + 1])
        np.testing.assert_allclose(states[:, t], state["memory"], atol=1e-5)


@each_mixer
def test_what_is_replaced_by_itself_changes_nothing(mixer):
    edits = {name: replace(x) for name, x in seen(mixer, "*").items()}
    np.testing.assert_allclose(logits(mixer, edits), logits(mixer), atol=2e-5)


@each_recurrent
def test_a_transplanted_state_continues_the_other_text(mixer):
    """Patch S_t, and what the convolution still holds, and the donor's document goes on."""
    mixer = GLA(heads=2) if mixer.convolution else mixer
    donor = seen(mixer, MEMORY, key=8)[MEMORY]
    cfg, params = model(mixer)
    where = (jnp.arange(T) == 4).reshape(1, T, 1, 1, 1)
    patched = logits(mixer, {MEMORY: replace(donor, where)}, segments=None)
    _, (state,) = apply(cfg, params, text(8)[:, :5], None)
    rest, _ = apply(cfg, params, text()[:, 5:], None, (state,))
    np.testing.assert_allclose(patched[0, 5:], rest[0], atol=2e-5)


def test_a_patched_residual_carries_the_other_run():
    edits = {
        "blocks/1/residual": replace(seen(GLA(heads=2), "*", key=8, layers=3)["blocks/1/residual"])
    }
    patched = logits(GLA(heads=2), edits, layers=3)
    np.testing.assert_allclose(patched, logits(GLA(heads=2), key=8, layers=3), atol=2e-5)


def test_one_pattern_edits_all_layers_and_a_mask_some_neurons():
    mixer = GLA(heads=2)
    every = logits(mixer, {"blocks/*/mlp/neurons": scale(0.0)}, layers=2)
    each = logits(mixer, {f"blocks/{i}/mlp": scale(0.0) for i in range(2)}, layers=2)
    np.testing.assert_allclose(every, each, atol=1e-6)
    where = jnp.arange(64) == 5
    x = seen(mixer, "blocks/0/mlp/neurons")["blocks/0/mlp/neurons"]
    ablated = {"blocks/0/mlp/neurons": mean_ablate(x, where)}
    by_hand = {
        "blocks/0/mlp/neurons": replace(jnp.where(where[None, None], x.mean((0, 1))[None, None], x))
    }
    np.testing.assert_allclose(logits(mixer, ablated), logits(mixer, by_hand), atol=1e-6)
    assert float(jnp.abs(logits(mixer, ablated) - logits(mixer)).max()) > 1e-6


def test_vectors_to_add_may_be_mapped_and_differentiated():
    """A sweep of steering vectors is a vmap; attribution is the gradient of an added zero."""
    cfg, params = model(GLA(heads=2))
    name = "blocks/0/residual"

    def out(vector):
        return apply(cfg, params, text(), edits={name: add(vector)})[0][0, -1, 3]

    vectors = jax.random.normal(jax.random.key(2), (3, 16))
    swept = jax.jit(jax.vmap(out))(vectors)
    np.testing.assert_allclose(swept, jnp.stack([out(v) for v in vectors]), atol=1e-5)
    gradient = jax.grad(out)(jnp.zeros(16))
    step = (out(1e-2 * gradient) - out(-1e-2 * gradient)) / 2e-2
    np.testing.assert_allclose(step, jnp.sum(gradient**2), rtol=1e-2)


def test_attention_weights_are_weights():
    name = "blocks/0/mixer/pattern"
    weights = seen(MIXERS["softmax"], name)[name]  # (B,T,H,T)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    t = np.arange(T)
    hidden = (t[:, None] < t) | (np.asarray(SEGMENTS)[:, :, None] != np.asarray(SEGMENTS)[:, None])
    assert (np.moveaxis(np.asarray(weights), 2, 1)[np.repeat(hidden[:, None], 2, 1)] == 0).all()


def test_an_unknown_name_is_refused_with_the_nearest():
    cfg, params = model(GLA(heads=2))
    for asked in ({"collect": ("blocks/0/mixers",)}, {"edits": {"blocks/0/mixers": scale(0)}}):
        with pytest.raises(ValueError, match="did you mean blocks/0/mixer"):
            apply(cfg, params, text(), **asked)
