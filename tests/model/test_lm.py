"""The language model: its four functions, and what no mixer may do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.lm import LM, apply, bind, fresh, init, shapes
from model.softmax import Softmax

MIXERS = {
    "gla": GLA(heads=2),
    "gla with convolution": GLA(heads=2, convolution=4),
    "softmax": Softmax(heads=2),
    "hybrid": (GLA(heads=2), Softmax(heads=4)),
}
run = jax.jit(apply, static_argnums=0)
each_mixer = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def small(mixer, **more) -> LM:
    layers = len(mixer) if isinstance(mixer, tuple) else 1
    return LM(**{"W": 11, "D": 16, "layers": layers, "mixer": mixer} | more)


def tokens(B=2, T=12, W=11):
    return jax.random.randint(jax.random.key(7), (B, T), 0, W)


def influence(cfg, segments=None, T=12):
    """|d logits_t / d embedded input_s| summed over everything but t and s: (T, T)."""
    net = bind(cfg, init(cfg, jax.random.key(0)))

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


@each_mixer
def test_no_token_sees_a_later_one(mixer):
    seen = influence(small(mixer))
    assert (np.triu(seen, 1) == 0).all()
    assert (seen[np.tril_indices(12)] > 0).all(), "and every earlier one is seen"


@each_mixer
def test_no_document_sees_another(mixer):
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2, 3, 1, 1, 0]])
    seen = influence(small(mixer), segments)
    owner = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 4])  # the second 1 is a new document
    same = (owner[:, None] == owner) & np.tri(12, dtype=bool)
    # The gradient of the decay is a difference of sums over the row: rounding, and nothing else,
    # may remain of other documents.
    assert ((seen > 1e-6 * seen.max()) == same).all()


@each_mixer
def test_another_document_changes_nothing_but_rounding(mixer):
    cfg = small(mixer)
    params = init(cfg, jax.random.key(0))
    segments = jnp.array([[1] * 5 + [2] * 7] * 2)
    one, _ = run(cfg, params, tokens(), segments)
    other, _ = run(cfg, params, tokens().at[:, :5].set(3), segments)
    np.testing.assert_allclose(one[:, 5:], other[:, 5:], atol=1e-5)
    assert float(jnp.abs(one[:, :5] - other[:, :5]).max()) > 0.1


@each_mixer
def test_token_by_token_and_piece_by_piece_are_the_parallel_form(mixer):
    cfg = small(mixer)
    params = init(cfg, jax.random.key(0))
    whole, _ = run(cfg, params, tokens())
    for state, n in ((None, 4), (fresh(cfg, 2, 12), 1)):
        steps = []
        for t in range(0, 12, n):
            logits, state = run(cfg, params, tokens()[:, t : t + n], None, state)
            steps.append(logits)
        np.testing.assert_allclose(jnp.concatenate(steps, 1), whole, atol=2e-5)


@each_mixer
def test_a_document_goes_on_over_a_cut(mixer):
    """The state belongs to the open document: the next call's first, whatever its number."""
    cfg = small(mixer)
    params = init(cfg, jax.random.key(0))
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3]] * 2)
    whole, _ = run(cfg, params, tokens(), segments)
    for state in (None, fresh(cfg, 2, 12)):
        a, state = run(cfg, params, tokens()[:, :5], segments[:, :5], state)
        b, _ = run(cfg, params, tokens()[:, 5:], segments[:, 5:] + 5, state)
        np.testing.assert_allclose(jnp.concatenate([a, b], 1), whole, atol=2e-5)


@pytest.mark.parametrize("T", [1, 2, 3])
def test_a_sequence_may_be_shorter_than_the_convolution(T):
    """In value and in gradient: fla's were wrong for chunks shorter than the convolution."""
    cfg = small(GLA(heads=2, convolution=4))
    params = init(cfg, jax.random.key(0))

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


def test_the_number_of_parameters_is_the_formula():
    D, F, W, L = 32, 96, 11, 3
    count = lambda cfg: sum(leaf.size for leaf in jax.tree.leaves(shapes(cfg)))
    frame = W * D + D + L * (2 * D + 3 * D * F)
    gla = D * (16 + 16 + 32 + 32 + 16) + 16 * 16 + 16 + 8 + 32 * D  # K = 4, V = 8, rank 16
    cfg = LM(W=W, D=D, F=F, layers=L, mixer=GLA(heads=4))
    assert count(cfg) == frame + L * gla
    assert count(dataclasses.replace(cfg, tied=False)) == frame + L * gla + D * W
    assert count(dataclasses.replace(cfg, mixer=Softmax(heads=4))) == frame + L * 4 * D * D
    convolution = dataclasses.replace(cfg, mixer=GLA(heads=4, convolution=4))
    assert count(convolution) == frame + L * (gla + 4 * (16 + 16 + 32))


def test_f_is_eight_thirds_d_in_steps_of_64():
    assert [LM(W=2, D=D, layers=1, mixer=Softmax(heads=1)).width for D in (24, 128, 512, 1024)] == [
        64,
        384,
        1408,
        2752,
    ]


def test_init_gives_the_shapes_and_float32():
    for mixer in MIXERS.values():
        cfg = small(mixer, dtype="bfloat16")
        found = jax.tree.map(lambda x: (x.shape, x.dtype), init(cfg, jax.random.key(0)))
        assert found == jax.tree.map(lambda x: (x.shape, jnp.dtype("float32")), shapes(cfg))


def test_bind_names_the_first_wrong_keys_and_shapes():
    cfg = small(GLA(heads=2), layers=2)
    params = init(cfg, jax.random.key(0))
    params["blocks"]["1"]["mlp"]["down"]["w"] = jnp.zeros((3, 3))
    params["blocks"]["0"]["spare"] = jnp.zeros(1)
    del params["norm"]
    with pytest.raises(ValueError) as error:
        bind(cfg, params)
    for part in ("blocks/0/spare is not a parameter", "norm is missing", "(3, 3), not (64, 16)"):
        assert part in str(error.value)


def test_twelve_layers_keep_their_order():
    """nnx.merge sorts '10' before '2' when keys are strings; bind must not hand it any."""
    cfg = small(Softmax(heads=2), layers=12)
    params = init(cfg, jax.random.key(0))
    for i in range(12):
        params["blocks"][str(i)]["mlp_norm"]["gain"] = jnp.full(16, float(i))
    gains = [float(block.mlp_norm.gain[...][0]) for block in bind(cfg, params).blocks]
    assert gains == list(range(12))


def test_bfloat16_is_near_float32():
    cfg = small(GLA(heads=2))
    params = init(cfg, jax.random.key(0))
    exact, _ = run(cfg, params, tokens())
    rough, _ = run(dataclasses.replace(cfg, dtype="bfloat16"), params, tokens())
    assert rough.dtype == jnp.float32
    # Rounding to 8 bits at each of about ten layers' outputs, of logits with deviation 1.
    np.testing.assert_allclose(rough, exact, atol=0.1)
    assert float(jnp.abs(rough - exact).max()) > 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"D": 250, "mixer": Softmax(heads=4)}, "not divisible by heads=4; choose D=248 or 252"),
        ({"D": 250}, "D=250 times 0.5 is not divisible by heads=4; choose D=248 or 256"),
        ({"D": 12, "mixer": Softmax(heads=4)}, "rotary"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"mixer": (GLA(heads=4),)}, "tuple of 1 for layers=2"),
        ({"dtype": "float16"}, "not one of float32, bfloat16"),
        ({"mixer": GLA(heads=4, rank=0)}, "rank >= 1"),
        ({"mixer": GLA(heads=0)}, "heads=0 must be at least 1"),
    ],
)  # fmt: skip
def test_an_impossible_model_is_refused_with_the_way_out(change, message):
    with pytest.raises(ValueError) as error:
        LM(**{"W": 11, "D": 32, "layers": 2, "mixer": GLA(heads=4)} | change)
    assert message in str(error.value)
