"""The language model: its four functions, whatever the mixer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.lm import LM, _check, bind, init, shapes
from model.softmax import Softmax


def small(mixer, **more) -> LM:
    return LM(**{"W": 11, "D": 16, "layers": 1, "mixer": mixer} | more)


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
    for mixer in (GLA(heads=2, convolution=4), Softmax(heads=2)):
        cfg = small(mixer, dtype="bfloat16")
        found = jax.tree.map(lambda x: (x.shape, x.dtype), init(cfg, jax.random.key(0)))
        assert found == jax.tree.map(lambda x: (x.shape, jnp.dtype("float32")), shapes(cfg))


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_a_bfloat16_model_are_not_rounded_to_it_and_their_gradient_is_as_before(tied):
    cfg = small(Softmax(heads=2), tied=tied, dtype="bfloat16")
    net = bind(cfg, init(cfg, jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (2, 5, 16), "bfloat16")
    w = (net.embedding.w[...].T if tied else net.head.w[...]).astype("bfloat16")
    found = net.unembed(x)
    assert found.dtype == jnp.float32 and (found != found.astype("bfloat16")).any()
    np.testing.assert_allclose(found, x.astype("float32") @ w.astype("float32"), rtol=1e-5)
    weigh = jax.random.normal(jax.random.key(2), found.shape)
    rough = lambda x: jnp.sum((x @ w).astype(jnp.float32) * weigh)
    own = jax.grad(lambda x: jnp.sum(net.unembed(x) * weigh))(x)
    np.testing.assert_array_equal(own, jax.grad(rough)(x))


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


@pytest.mark.parametrize(
    "tokens, segments, state, message",
    [
        ((3,), None, None, r"tokens of shape \(3,\) and int32 must be"),
        ((2, 0), None, None, r"tokens of shape \(2, 0\)"),
        ((2, 3), (3,), None, r"segments \(3,\) must have the shape of tokens \(2, 3\)"),
        ((2, 3), (2, 3), (), "a state of 0 layers for a model of 2"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tokens, segments, state, message):
    """By the function itself: in tests beartype would refuse them first."""
    number = lambda shape: shape and jnp.zeros(shape, jnp.int32)
    with pytest.raises(ValueError, match=message):
        _check(number(tokens), number(segments), state, 2)


def test_twelve_layers_keep_their_order():
    """nnx.merge sorts '10' before '2' when keys are strings; bind must not hand it any."""
    cfg = small(Softmax(heads=2), layers=12)
    params = init(cfg, jax.random.key(0))
    for i in range(12):
        params["blocks"][str(i)]["mlp_norm"]["gain"] = jnp.full(16, float(i))
    gains = [float(block.mlp_norm.gain[...][0]) for block in bind(cfg, params).blocks]
    assert gains == list(range(12))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Unchecked(LM):
    """As users meet it: the arguments of LM itself are checked by beartype, in tests alone."""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"D": 250, "mixer": Softmax(heads=4)}, "not divisible by heads=4; choose D=248 or 252"),
        ({"D": 250}, "D=250 times 0.5 is not divisible by heads=4; choose D=248 or 256"),
        ({"D": 12, "mixer": Softmax(heads=4)}, "rotary"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"W": 11.0}, "W=11.0 of _Unchecked must be int"),
        ({"F": 24.0}, "F=24.0 of _Unchecked must be int | None"),
        ({"tied": "no"}, "tied='no' of _Unchecked must be bool"),
        ({"mixer": GLA}, "is neither a mixer, as GLA(heads=4), nor a tuple of them"),
        ({"mixer": (GLA(heads=4),)}, "tuple of 1 for layers=2"),
        ({"dtype": "float16"}, "not one of float32, bfloat16"),
        ({"mixer": GLA(heads=4, rank=0)}, "rank >= 1"),
        ({"mixer": GLA(heads=0)}, "heads=0 must be at least 1"),
    ],
)  # fmt: skip
def test_an_impossible_model_is_refused_with_the_way_out(change, message):
    with pytest.raises(ValueError) as error:
        _Unchecked(**{"W": 11, "D": 32, "layers": 2, "mixer": GLA(heads=4)} | change)
    assert message in str(error.value)
