"""Activations by name, and edits of them: nothing changes where they are unused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.collect import Tap, add, check, mean_ablate, replace, scale
from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM, apply, bind, fresh, names
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer
from tests.model.toy import each, tokens, varied

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
OWN_CODE = ("gla", "mamba", "mamba2", "softmax", "cope in a window")  # the others share gla's
B, T = 2, 7
SEGMENTS = jnp.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 3, 3]])
AT = jnp.array([[-1, 2], [0, 4]])
MEMORY = "blocks/0/mixer/state"


@functools.cache
def model(mixer, layers=1):
    cfg = LM(W=11, D=16, layers=layers, mixer=mixer)
    return cfg, varied(cfg)


def text(seed=7):
    return tokens(B, T, seed=seed)


@functools.cache
def everything(mixer):
    """All that one program gives: outputs plain, collected, at some tokens, replaced by itself."""
    cfg, params = model(mixer)

    def program(params):
        plain, (after,) = apply(cfg, params, text(), SEGMENTS)
        looked, _, found = apply(cfg, params, text(), SEGMENTS, collect=("*",))
        some = apply(cfg, params, text(), SEGMENTS, collect=("*",), at=AT)[2]
        edits = {name: replace(x) for name, x in found.items()}
        replaced, _ = apply(cfg, params, text(), SEGMENTS, edits=edits)
        _, (early,) = apply(cfg, params, text()[:, :4], SEGMENTS[:, :4])
        net = bind(cfg, params)
        residual = found["embedding"] + found["blocks/0/mixer"] + found["blocks/0/mlp"]
        by_hand = net.unembed(net.norm(residual))
        outputs = {"looked": looked, "replaced": replaced, "by hand": by_hand}
        return plain, outputs, found, some, {3: early, 6: after}

    return jax.jit(program)(params)


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_what_is_not_asked_for_costs_nothing(mixer, monkeypatch):
    """The program is the one of a model whose taps are the identity."""
    cfg, params = model(mixer)
    program = lambda: str(jax.make_jaxpr(lambda p, x: apply(cfg, p, x, SEGMENTS))(params, text()))
    own = program()
    monkeypatch.setattr(Tap, "__call__", lambda self, name, x: x)
    monkeypatch.setattr(Tap, "asked", lambda self, name: False)
    assert own == program()


@each(MIXERS, *OWN_CODE)
def test_seeing_all_names_and_replacing_each_by_itself_change_nothing(mixer):
    plain, outputs, found, *_ = everything(mixer)
    assert sorted(found) == list(names(model(mixer)[0]))
    for out in outputs.values():
        np.testing.assert_allclose(out, plain, atol=2e-5)
    for name, x in found.items():
        assert x.shape[:2] == (B, T) and np.isfinite(x).all(), name
    x = found["embedding"] + found["blocks/0/mixer"] + found["blocks/0/mlp"]
    np.testing.assert_allclose(found["blocks/0/residual"], x, atol=1e-6)


@each(MIXERS, *OWN_CODE)
def test_positions_pick_tokens_of_each_row(mixer):
    _, _, whole, some, _ = everything(mixer)
    for name, x in whole.items():
        np.testing.assert_allclose(some[name], x[jnp.arange(B)[:, None], AT], atol=1e-6)


@each(RECURRENT, *OWN_CODE)
def test_the_state_seen_after_a_token_is_the_state_returned_there(mixer):
    _, _, found, _, returned = everything(mixer)
    for t, state in returned.items():
        np.testing.assert_allclose(found[MEMORY][:, t], state["memory"], atol=1e-5)


@each(MIXERS, *OWN_CODE)
def test_every_name_can_be_edited_at_one_token_and_no_earlier_one_changes(mixer):
    """Each moved alone, in one program mapped over which; doubled, a norm would not tell."""
    plain, _, found, *_ = everything(mixer)
    at = {
        name: (jnp.arange(T) == 3).reshape(1, T, *(1,) * (x.ndim - 2)) for name, x in found.items()
    }

    def moved(by):
        ways = {name: jnp.linspace(1.0, -1.0, x.shape[-1]) for name, x in found.items()}
        edits = {name: add(by[i] * ways[name], at[name]) for i, name in enumerate(at)}
        return apply(*model(mixer), text(), SEGMENTS, edits=edits)[0]

    changed = jax.jit(jax.vmap(moved))(jnp.eye(len(at)))
    change = np.abs(changed - plain[None]).max((1, 3))
    for name, here in zip(at, change, strict=True):
        assert (here[:3] < 2e-5).all() and here[3:].max() > 1e-4, name
        if name.endswith(("mixer/k", "mixer/v", "gate", "state")):
            assert here[4:].max() > 2e-5, name


@each({name: mixer for name, mixer in RECURRENT.items() if not mixer.convolution}, "retnet")
def test_a_transplanted_state_continues_the_other_text(mixer):
    """Patch S_t, and the donor's document goes on; what rotates is at the same place in both."""
    cfg, params = model(mixer)
    where = (jnp.arange(T) == 4).reshape(1, T, 1, 1, 1)

    def both(params):
        _, _, donor = apply(cfg, params, text(8), collect=(MEMORY,))
        patched, _ = apply(cfg, params, text(), edits={MEMORY: replace(donor[MEMORY], where)})
        _, state = apply(cfg, params, text(8)[:, :5])
        return patched[:, 5:], apply(cfg, params, text()[:, 5:], None, state)[0]

    patched, continued = jax.jit(both)(params)
    np.testing.assert_allclose(patched, continued, atol=2e-5)


def test_a_patched_residual_carries_the_other_run():
    name = "blocks/1/residual"
    cfg, params = model(GLA(heads=2), 3)

    def both(params):
        other, _, donor = apply(cfg, params, text(8), SEGMENTS, collect=(name,))
        return apply(cfg, params, text(), SEGMENTS, edits={name: replace(donor[name])})[0], other

    patched, other = jax.jit(both)(params)
    np.testing.assert_allclose(patched, other, atol=2e-5)


def test_one_pattern_edits_all_layers_and_a_mask_some_neurons():
    neurons = "blocks/0/mlp/neurons"
    cfg, params = model(GLA(heads=2), 2)
    where = jnp.arange(64) == 5

    def program(params):
        run = lambda edits: apply(cfg, params, text(), SEGMENTS, edits=edits)[0]
        plain, _, found = apply(cfg, params, text(), SEGMENTS, collect=(neurons,))
        x = found[neurons]
        by_hand = jnp.where(where[None, None], x.mean((0, 1))[None, None], x)
        every = run({"blocks/*/mlp/neurons": scale(0.0)})
        each = run({f"blocks/{i}/mlp": scale(0.0) for i in range(2)})
        ablated = run({neurons: mean_ablate(x, where)})
        return every, each, ablated, run({neurons: replace(by_hand)}), plain

    every, each, ablated, by_hand, plain = jax.jit(program)(params)
    np.testing.assert_allclose(every, each, atol=1e-6)
    np.testing.assert_allclose(ablated, by_hand, atol=1e-6)
    assert float(jnp.abs(ablated - plain).max()) > 1e-6


def test_vectors_to_add_may_be_mapped_and_differentiated():
    """A sweep of steering vectors is a vmap; attribution is the gradient of an added zero."""
    cfg, params = model(GLA(heads=2))
    name = "blocks/0/residual"

    def edited(edits):
        return apply(cfg, params, text(), edits=edits)[0][0, -1, 3]

    out = lambda vector: edited({name: add(vector)})
    one, swept, slope = (jax.jit(f) for f in (out, jax.vmap(out), jax.grad(edited)))
    vectors = jax.random.normal(jax.random.key(2), (3, 16))
    np.testing.assert_allclose(swept(vectors), jnp.stack([one(v) for v in vectors]), atol=1e-5)
    gradient = slope({name: add(jnp.zeros(16))})[name].shift
    step = (one(1e-2 * gradient) - one(-1e-2 * gradient)) / 2e-2
    np.testing.assert_allclose(step, jnp.sum(gradient**2), rtol=1e-2)


@each({name: MIXERS[name] for name in ("gla", "softmax")}, "softmax")
def test_a_call_that_continues_shows_what_the_whole_does(mixer):
    cfg, params = model(mixer)

    def both(params):
        whole = apply(cfg, params, text(), collect=("*",))[2]
        _, state = apply(cfg, params, text()[:, :4], None, fresh(cfg, B, T))
        return whole, apply(cfg, params, text()[:, 4:], None, state, collect=("*",))[2]

    whole, rest = jax.jit(both)(params)
    for name, x in rest.items():
        np.testing.assert_allclose(x, whole[name][:, 4:], atol=2e-5, err_msg=name)


def test_attention_weights_are_weights():
    weights = everything(MIXERS["softmax"])[2]["blocks/0/mixer/pattern"]  # (B,T,H,T)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    t = np.arange(T)
    hidden = (t[:, None] < t) | (np.asarray(SEGMENTS)[:, :, None] != np.asarray(SEGMENTS)[:, None])
    assert (np.moveaxis(np.asarray(weights), 2, 1)[np.repeat(hidden[:, None], 2, 1)] == 0).all()


def test_a_mamba2_layer_adds_what_its_heads_give_and_nothing_else():
    """A head's skip d x_t belongs to its output."""
    cfg, params = model(MIXERS["mamba2"])
    see = Tap(edits={"heads": scale(0)})
    (state,) = fresh(cfg, B, 1)
    layer = lambda params, x: bind(cfg, params).blocks[0].mixer(x, None, state, see)[0]
    assert (jax.jit(layer)(params, jnp.ones((B, 1, 16))) == 0).all()


def counted(**asked):
    """What is seen of S_t = S_{t-1} + 1 from zero, (B,T,1)."""
    see = Tap(**asked)
    see.scan("s", lambda S, t: S + 1, lambda S, t: S, jnp.zeros((B, 1)), T)
    return see.found.get("s")


def test_an_edit_of_the_state_of_another_length_is_refused():
    """A slice of it would be moved back to where it fits, without a word."""
    with pytest.raises(ValueError, match=r"float32\[2,4,1\] and requested type=float32\[2,7,1\]"):
        counted(edits={"s": replace(jnp.zeros((B, 4, 1)))})


def test_a_position_that_is_not_there_is_nan():
    at = jnp.array([[T, 0], [-1, -T - 1]])
    np.testing.assert_array_equal(
        counted(collect=("s",), at=at)[..., 0], [[np.nan, 1], [T, np.nan]]
    )


def test_an_unknown_name_is_refused_with_the_nearest():
    cfg, params = model(GLA(heads=2))
    for asked in ({"collect": ("blocks/0/mixers",)}, {"edits": {"blocks/0/mixers": scale(0)}}):
        with pytest.raises(ValueError, match="did you mean blocks/0/mixer"):
            apply(cfg, params, text(), **asked)


def test_what_would_be_ignored_is_refused():
    """Which of two edits of a name came first depended on jit, which sorts a dict."""
    cfg, params = model(GLA(heads=2))
    two = {"blocks/0/mlp": replace(5.0), "blocks/*/mlp": scale(0)}
    with pytest.raises(ValueError, match=r"blocks/0/mlp is edited by blocks/0/mlp and by blocks/"):
        apply(cfg, params, text(), edits=two)
    with pytest.raises(ValueError, match=r"is a string; give a tuple, \('embedding',\)"):
        check("embedding", (), names(cfg))
    with pytest.raises(ValueError, match="at= says where to collect"):
        apply(cfg, params, text(), at=AT)
