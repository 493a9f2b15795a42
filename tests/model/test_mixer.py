"""What every mixer does and none may do: see the future, see another document, forget its state.

By default each mixer runs two programs that prove most of it at once; what proves the rest, or the
same in another way, is slow.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from model.collect import add
from model.gla import GLA
from model.layer import ShortConvolution
from model.linear import LinearAttention
from model.lm import LM, apply, fresh, init, shapes
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.mixer import Mixer
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer, transnormer
from tests.model.toy import each, tokens, varied

MIXERS = {
    "gla": GLA(heads=2),
    "gla with convolution": GLA(heads=2, convolution=4),
    "gla in groups": GLA(heads=4, kv_heads=2, expand_k=1.0, rotary=0.5),
    "simple gla": SimpleGLA(heads=4, kv_heads=2),
    "linear attention": LinearAttention(heads=2),
    "retnet": RetNet(heads=2),
    "transnormer": TransNormer(heads=2, depth=0.5),
    "mamba": Mamba(state=4),
    "mamba2": Mamba2(state=4, width=8),
    "softmax": Softmax(heads=2),
    "softmax in groups": Softmax(heads=4, kv_heads=2, rotary=0.5),
    "no positions": Softmax(heads=2, rotary=0.0),
    "cope": Softmax(heads=2, rotary=0.0, cope=4),
    "window": Softmax(heads=2, window=5),
    "hybrid": (GLA(heads=2), Softmax(heads=4, window=5), Softmax(heads=2)),
}
# The rest is others' code, again.
BY_DEFAULT = "gla with convolution", "mamba", "window"
CONVOLVED = ("gla with convolution", "mamba", "mamba2")
B, T, D, W = 3, 12, 16, 11
CUT = 5
# A document, one that goes on over the cut, and many, the last but one numbered as the first.
SEGMENTS = jnp.array([[1] * 12, [1] * 3 + [2] * 9, [1, 1, 1, 2, 2, 2, 2, 2, 3, 1, 1, 0]])
run = jax.jit(apply, static_argnums=0)
begin = jax.jit(init, static_argnums=0)
each_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def small(mixer, **more) -> LM:
    layers = len(mixer) if isinstance(mixer, tuple) else 1
    return LM(**{"W": W, "D": D, "layers": layers, "mixer": mixer} | more)


def influence(cfg, segments):
    """|d logits_t / d embedded input_s|, (B,T,T), and the logits, which one program gives.

    Of the logits along one direction, summed over rows: no row can see another.
    """
    direction = jnp.asarray(np.random.default_rng(3).normal(size=W), jnp.float32)

    def along(moved):
        edits = {"embedding": add(moved)}
        logits, _ = apply(cfg, varied(cfg), tokens(B, T), segments, edits=edits)
        return jnp.einsum("btw,w->t", logits, direction), logits

    jacobian, logits = jax.jit(jax.jacrev(along, has_aux=True))(jnp.zeros((B, T, D)))
    return np.abs(jacobian).sum(-1).swapaxes(0, 1), logits


with_segments = functools.cache(lambda mixer: influence(small(mixer), SEGMENTS))


def in_sight(mixer):
    """Which s a mixer lets t see: all up to t, or the last of them."""
    back = np.arange(T)[:, None] - np.arange(T)
    return (back >= 0) & (back < (getattr(mixer, "window", None) or T))


@each_mixer
def test_it_follows_the_contract(mixer):
    for one in mixer if isinstance(mixer, tuple) else (mixer,):
        assert isinstance(one, Mixer)


@each(MIXERS, *BY_DEFAULT)
def test_a_token_sees_its_document_up_to_itself_and_nothing_else(mixer):
    seen, _ = with_segments(mixer)
    documents = np.cumsum(np.diff(SEGMENTS, axis=1, prepend=SEGMENTS[:, :1]) != 0, axis=1)
    same = (documents[:, :, None] == documents[:, None]) & in_sight(mixer)
    # The gradient of the decay is a difference of sums over the row: rounding, and nothing else,
    # may remain of other documents.
    assert ((seen > 1e-6 * seen.max()) == same).all()


@each(MIXERS, *BY_DEFAULT)
def test_a_prompt_and_steps_are_the_parallel_form_and_members_are_separate(mixer):
    """The steps are a scan, so the state keeps its shape; the document goes on over the cut."""
    cfg = small(mixer)
    members = jax.tree.map(lambda *x: jnp.stack(x), varied(cfg, 1), varied(cfg, 0))

    def forms(params, text, segments):
        whole, _ = apply(cfg, params, text, segments)
        state = fresh(cfg, 2, T)
        prompt, state = apply(cfg, params, text[:, :CUT], segments[:, :CUT], state)

        def step(state, token):
            logits, state = apply(cfg, params, token[:, None], None, state)
            return state, logits[:, 0]

        _, steps = jax.lax.scan(step, state, text[:, CUT:].T)
        return whole, jnp.concatenate([prompt, jnp.swapaxes(steps, 0, 1)], axis=1)

    together = jax.jit(jax.vmap(forms, (0, None, None)))
    whole, by_steps = together(members, tokens(B, T)[:2], SEGMENTS[:2])
    np.testing.assert_allclose(by_steps, whole, atol=2e-5)
    _, alone = with_segments(mixer)
    np.testing.assert_allclose(whole[1], alone[:2], atol=2e-5)
    assert float(jnp.abs(whole[0] - whole[1]).max()) > 0.1


@each_mixer
def test_only_whole_softmax_needs_room(mixer):
    cfg = small(mixer)
    short, long = (jax.eval_shape(lambda room=room: fresh(cfg, 2, room)) for room in (12, 100))
    whole = [m for m in cfg.mixers if isinstance(m, Softmax) and m.window is None]
    assert (long == short) == (not whole)


@pytest.mark.slow
@each_mixer
def test_without_segments_a_token_sees_up_to_itself(mixer):
    seen, _ = influence(small(mixer), None)
    assert ((seen > 0) == in_sight(mixer)).all(), "and every earlier one is seen"


@pytest.mark.slow
@each_mixer
def test_another_document_changes_nothing_but_rounding(mixer):
    cfg, text = small(mixer), tokens(2, T)
    params = varied(cfg)
    one, _ = run(cfg, params, text, SEGMENTS[:2])
    other, _ = run(cfg, params, text.at[1, :3].set((text[1, :3] + 1) % W), SEGMENTS[:2])
    np.testing.assert_allclose(one[1, 3:], other[1, 3:], atol=1e-5)
    assert float(jnp.abs(one[1, :3] - other[1, :3]).max()) > 0.1


@pytest.mark.slow
@each_mixer
def test_piece_by_piece_is_the_parallel_form(mixer):
    """With a state that grows, and with one that has room; and a document goes on over a cut."""
    cfg = small(mixer)
    params = varied(cfg)
    whole, _ = run(cfg, params, tokens(2, T), SEGMENTS[:2])
    for state in (None, fresh(cfg, 2, T)):
        pieces = []
        for t in range(0, T, 4):
            # What a later call numbers otherwise goes on as the document that was open.
            here = slice(t, t + 4)
            logits, state = run(cfg, params, tokens(2, T)[:, here], SEGMENTS[:2, here] + t, state)
            pieces.append(logits)
        np.testing.assert_allclose(jnp.concatenate(pieces, 1), whole, atol=2e-5)


@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_convolution_is_its_definition_at_any_length(T):
    """In value and in gradient: fla's were wrong for chunks shorter than the convolution."""
    rng = np.random.default_rng(T)
    w, x, before = (rng.normal(size=s).astype(np.float32) for s in ((4, 3), (1, T, 3), (1, 3, 3)))

    def by_layer(w, x, before):
        layer = ShortConvolution(3, 4, rngs=nnx.Rngs(0))
        layer.w = nnx.Param(w)
        return layer(x, None, before)

    def by_hand(w, x, before):
        past = jnp.concatenate([before, x], axis=1)
        y = [sum(w[j][None] * past[:, t + j] for j in range(4)) for t in range(T)]
        return jax.nn.silu(jnp.stack(y, axis=1)), past[:, T:]

    found, wanted = (
        jax.jit(lambda *x, f=f: (f(*x), jax.vjp(f, *x)[1](f(*x))))(w, x, before)
        for f in (by_layer, by_hand)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLVED)
def test_a_sequence_may_be_shorter_than_the_convolution(name):
    """In value and in gradient, of a whole model: padding at the end changes neither."""
    cfg = small(MIXERS[name])

    def losses(params):
        texts = tokens(B, 2), jnp.pad(tokens(B, 2), ((0, 0), (0, 8)))
        return jnp.stack([apply(cfg, params, text)[0][:, :2].std() for text in texts])

    value, gradient = jax.jit(lambda p: (losses(p), jax.jacrev(losses)(p)))(varied(cfg))
    np.testing.assert_allclose(value[0], value[1], atol=1e-5)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf[0], leaf[1], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@each_mixer
def test_members_begin_as_they_would_alone(mixer):
    cfg = small(mixer)
    keys = jax.random.split(jax.random.key(3), 2)
    together = jax.jit(jax.vmap(lambda key: init(cfg, key)))(keys)
    alone = begin(cfg, keys[1])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b), together, alone)


@pytest.mark.slow
@each_mixer
def test_a_longer_sequence_than_any_before_is_the_same_model(mixer):
    """No length is part of a model: what T = 12 gave, T = 150 gives, and goes on from there."""
    cfg = small(mixer)
    params = varied(cfg)
    long = tokens(2, 150)
    logits, _ = run(cfg, params, long)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[:, :12], run(cfg, params, long[:, :12])[0], atol=2e-5)


@each_mixer
def test_the_number_of_parameters_is_the_mixers_own_formula(mixer):
    for D in (16, 64):
        cfg = dataclasses.replace(small(mixer), D=D)
        for i, one in enumerate(cfg.mixers):
            leaves = jax.tree.leaves(shapes(cfg)["blocks"][str(i)]["mixer"])
            assert sum(leaf.size for leaf in leaves) == one.parameters(D)


@each(MIXERS, "softmax")
def test_bfloat16_is_near_float32(mixer):
    cfg = small(mixer)
    params = begin(cfg, jax.random.key(0))
    exact, _ = run(cfg, params, tokens(2, T))
    rough, state = run(dataclasses.replace(cfg, dtype="bfloat16"), params, tokens(2, T))
    assert rough.dtype == jnp.float32
    # Rounding to 8 bits at each of about ten layers' outputs, of logits with deviation 1.
    np.testing.assert_allclose(rough, exact, atol=0.1)
    assert float(jnp.abs(rough - exact).max()) > 0
    for name, leaf in jax.tree_util.tree_leaves_with_path(state):
        if "memory" in str(name):
            assert leaf.dtype == jnp.float32


def test_recurrent_flops_do_not_grow_with_the_length_and_softmax_flops_do():
    for mixer in MIXERS.values():
        if not isinstance(mixer, tuple):
            grows = isinstance(mixer, Softmax) and mixer.window is None
            # Of a window the few first tokens, which see less, weigh less and less.
            assert (mixer.flops(64, 4096) > 1.1 * mixer.flops(64, 1024)) == grows


def test_layers_of_a_transnormer_forget_less_the_deeper_they_are():
    assert [m.depth for m in transnormer(4, heads=2)] == [0, 0.25, 0.5, 0.75]
    LM(W=11, D=16, layers=4, mixer=transnormer(4, heads=2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Unchecked(GLA):
    """As users meet it: the arguments of GLA itself are checked by beartype, in tests alone."""


@pytest.mark.parametrize(
    "mixer, message",
    [
        (GLA(heads=4, kv_heads=3), "kv_heads=3 does not divide heads=4; choose 1, 2, 4"),
        (GLA(heads=2, rank=0), "rank >= 1"),
        (_Unchecked(heads=2.0), "heads=2.0 of _Unchecked must be int"),
        (GLA(heads=2, normaliser=float("nan")), "normaliser=nan of GLA must be a number"),
        (GLA(heads=2, convolution=-1), "convolution=-1 must be at least 0"),
        (SimpleGLA(heads=2, normaliser=0.0), "normaliser=0.0 must be above 0"),
        (RetNet(heads=16), "width 1 rotates 1 channels"),
        (TransNormer(heads=2, depth=1.0), "depth=1.0 must be layer / layers"),
        (Softmax(heads=4, rotary=0.3), "rotary=0.3 of heads of width 4 rotates 1.2 channels"),
        (Softmax(heads=4, window=0), "window >= 1"),
        (Mamba(state=0), "must be at least 1"),
        (Mamba2(width=5), "width=5 does not divide 2 D = 32; choose 1, 2, 4, 8, 16, 32"),
        (GLA(heads=4, expand_k=0.01), "D=16 times 0.01 is not divisible by heads=4; choose D=400"),
        (GLA(heads=4, expand_k=1e-9), "choose another share of D"),
        (GLA(heads=4, expand_k=0.07), "choose another share of D"),
        (GLA(heads=4, expand_v=-1.0), "expand_k=0.5 and expand_v=-1 must be above 0"),
    ],
    ids=str,
)
def test_an_impossible_mixer_is_refused_with_the_way_out(mixer, message):
    with pytest.raises(ValueError) as error:
        small(mixer)
    assert message in str(error.value)
