"""What every mixer does and none may do: see the future, see another document, forget its state."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM, apply, bind, fresh, init, shapes
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.mixer import Mixer
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer, transnormer

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
CONVOLVED = ("gla with convolution", "mamba", "mamba2")
run = jax.jit(apply, static_argnums=0)
each_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def small(mixer, **more) -> LM:
    layers = len(mixer) if isinstance(mixer, tuple) else 1
    return LM(**{"W": 11, "D": 16, "layers": layers, "mixer": mixer} | more)


def varied(cfg: LM):
    """Parameters of which none is at a special value, as biases and contextual places begin."""
    leaves, tree = jax.tree.flatten(init(cfg, jax.random.key(0)))
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


def tokens(B=2, T=12, W=11):
    return jax.random.randint(jax.random.key(7), (B, T), 0, W)


def influence(cfg, segments=None, T=12):
    """|d logits_t / d embedded input_s| summed over everything but t and s: (T, T)."""
    net = bind(cfg, varied(cfg))

    def residual(x):
        documents = None
        if segments is not None:
            documents = jnp.cumsum(jnp.diff(segments, axis=1, prepend=segments[:, :1]) != 0, axis=1)
        for block in net.blocks:
            x, _ = block(x, documents)
        return net.unembed(net.norm(x))

    x = jax.random.normal(jax.random.key(1), (1, T, cfg.D))
    jacobian = np.asarray(jax.jit(jax.jacobian(residual))(x))
    return np.abs(jacobian).sum((0, 2, 3, 5))


def in_sight(mixer, T=12):
    """Which s a mixer lets t see: all up to t, or the last of them."""
    back = np.arange(T)[:, None] - np.arange(T)
    return (back >= 0) & (back < (getattr(mixer, "window", None) or T))


@each_mixer
def test_it_follows_the_contract(mixer):
    for one in mixer if isinstance(mixer, tuple) else (mixer,):
        assert isinstance(one, Mixer)


@each_mixer
def test_no_token_sees_a_later_one(mixer):
    seen = influence(small(mixer))
    assert ((seen > 0) == in_sight(mixer)).all(), "and every earlier one is seen"


@each_mixer
def test_no_document_sees_another(mixer):
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2, 3, 1, 1, 0]])
    seen = influence(small(mixer), segments)
    owner = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 4])  # the second 1 is a new document
    same = (owner[:, None] == owner) & in_sight(mixer)
    # The gradient of the decay is a difference of sums over the row: rounding, and nothing else,
    # may remain of other documents.
    assert ((seen > 1e-6 * seen.max()) == same).all()


@each_mixer
def test_another_document_changes_nothing_but_rounding(mixer):
    cfg = small(mixer)
    params = varied(cfg)
    segments = jnp.array([[1] * 5 + [2] * 7] * 2)
    one, _ = run(cfg, params, tokens(), segments)
    other, _ = run(cfg, params, tokens().at[:, :5].set(3), segments)
    np.testing.assert_allclose(one[:, 5:], other[:, 5:], atol=1e-5)
    assert float(jnp.abs(one[:, :5] - other[:, :5]).max()) > 0.1


@each_mixer
def test_token_by_token_and_piece_by_piece_are_the_parallel_form(mixer):
    cfg = small(mixer)
    params = varied(cfg)
    whole, _ = run(cfg, params, tokens())
    for state, sizes in (
        (None, (4, 4, 4)),
        (fresh(cfg, 2, 12), (1,) * 12),
        (fresh(cfg, 2, 12), (7, 1, 1, 1, 2)),  # a prompt, then steps
    ):
        pieces, t = [], 0
        for n in sizes:
            logits, state = run(cfg, params, tokens()[:, t : t + n], None, state)
            pieces.append(logits)
            t += n
        np.testing.assert_allclose(jnp.concatenate(pieces, 1), whole, atol=2e-5)


@each_mixer
def test_a_step_leaves_the_shape_of_the_state(mixer):
    """So that one compiled loop can carry it; and constant memory for all but whole softmax."""
    cfg = small(mixer)
    state = jax.eval_shape(lambda: fresh(cfg, 2, 12))
    token = jax.ShapeDtypeStruct((2, 1), jnp.int32)
    _, after = jax.eval_shape(lambda p, x, s: apply(cfg, p, x, None, s), shapes(cfg), token, state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    longer = jax.eval_shape(lambda: fresh(cfg, 2, 100))
    whole = [m for m in cfg.mixers if isinstance(m, Softmax) and m.window is None]
    assert (longer == state) == (not whole)


@each_mixer
def test_a_document_goes_on_over_a_cut(mixer):
    """The state belongs to the open document: the next call's first, whatever its number."""
    cfg = small(mixer)
    params = varied(cfg)
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3]] * 2)
    whole, _ = run(cfg, params, tokens(), segments)
    for state in (None, fresh(cfg, 2, 12)):
        a, state = run(cfg, params, tokens()[:, :5], segments[:, :5], state)
        b, _ = run(cfg, params, tokens()[:, 5:], segments[:, 5:] + 5, state)
        np.testing.assert_allclose(jnp.concatenate([a, b], 1), whole, atol=2e-5)


@pytest.mark.parametrize("T", [1, 2, 3])
@pytest.mark.parametrize("name", CONVOLVED)
def test_a_sequence_may_be_shorter_than_the_convolution(name, T):
    """In value and in gradient: fla's were wrong for chunks shorter than the convolution."""
    cfg = small(MIXERS[name])
    params = varied(cfg)

    def loss(params, text):
        return apply(cfg, params, text)[0][:, :T].std()

    padded = jnp.pad(tokens(T=T), ((0, 0), (0, 8)))
    short, long = (
        jax.jit(jax.value_and_grad(loss))(params, text) for text in (tokens(T=T), padded)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), short, long)


@each_mixer
def test_members_are_separate_models(mixer):
    cfg = small(mixer)
    keys = jax.random.split(jax.random.key(3), 3)
    fresh_one = lambda key: init(cfg, key)
    together = jax.jit(jax.vmap(fresh_one))(keys)
    logits = jax.jit(jax.vmap(lambda params: apply(cfg, params, tokens())[0]))(together)
    for s in range(3):
        alone = jax.jit(fresh_one)(keys[s])
        own = jax.tree.map(lambda leaf: leaf[s], together)  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, own, alone)
        np.testing.assert_allclose(logits[s], run(cfg, alone, tokens())[0], atol=2e-5)


@each_mixer
def test_a_longer_sequence_than_any_before_is_the_same_model(mixer):
    """No length is part of a model: what T = 12 gave, T = 150 gives, and goes on from there."""
    cfg = small(mixer)
    params = varied(cfg)
    long = tokens(T=150)
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


@each_mixer
def test_bfloat16_is_near_float32(mixer):
    cfg = small(mixer)
    params = init(cfg, jax.random.key(0))
    exact, _ = run(cfg, params, tokens())
    rough, state = run(dataclasses.replace(cfg, dtype="bfloat16"), params, tokens())
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
            assert (mixer.flops(64, 4096) > mixer.flops(64, 1024)) == grows


def test_layers_of_a_transnormer_forget_less_the_deeper_they_are():
    assert [m.depth for m in transnormer(4, heads=2)] == [0, 0.25, 0.5, 0.75]
    LM(W=11, D=16, layers=4, mixer=transnormer(4, heads=2))


@pytest.mark.parametrize(
    "mixer, message",
    [
        (GLA(heads=4, kv_heads=3), "kv_heads=3 does not divide heads=4; choose 1, 2, 4"),
        (GLA(heads=2, rank=0), "rank >= 1"),
        (GLA(heads=2, convolution=-1), "convolution=-1 must be at least 0"),
        (SimpleGLA(heads=2, normaliser=0.0), "normaliser=0.0 must be above 0"),
        (RetNet(heads=16), "width 1 rotates 1 channels"),
        (TransNormer(heads=2, depth=1.0), "depth=1.0 must be layer / layers"),
        (Softmax(heads=4, rotary=0.3), "rotary=0.3 of heads of width 4 rotates 1.2 channels"),
        (Softmax(heads=4, window=0), "window >= 1"),
        (Mamba(state=0), "must be at least 1"),
        (Mamba2(width=5), "not divisible by heads=5"),
    ],
    ids=str,
)
def test_an_impossible_mixer_is_refused_with_the_way_out(mixer, message):
    with pytest.raises(ValueError) as error:
        small(mixer)
    assert message in str(error.value)
