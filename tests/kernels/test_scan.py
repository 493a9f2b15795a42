"""The selective scan against its definition in NumPy, in float64: values and every gradient."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.scan import CHUNK, scan
from tests.kernels.compare import assert_close

B, I, K = 2, 3, 5
NAMES = ("dt", "a", "x", "b", "c", "initial_state")


def inputs(T):
    """Arguments and the gradients of both outputs, float64; documents of about five tokens."""
    rng = np.random.default_rng(T)
    normal = lambda *shape: rng.normal(size=shape)
    x = dict(zip(NAMES, (normal(B, T, I), normal(I, K), normal(B, T, I), normal(B, T, K),
                         normal(B, T, K), normal(B, I, K)), strict=True))  # fmt: skip
    x["dt"], x["a"] = np.log1p(np.exp(x["dt"])), -np.exp(x["a"])
    return (
        x,
        {"y": normal(B, T, I), "state": normal(B, I, K)},
        jnp.asarray(rng.random((B, T)) < 0.2),
    )


def definition(x, grad, starts):
    """h_t = keep_t h_{t-1} + dt_t x_t b_t, y_t = h_t . c_t, and the chain rule backwards."""
    dt, a, u, b, c, h = (x[name] for name in NAMES)
    keep = np.where(starts[..., None, None], 0, np.exp(dt[..., None] * a))
    states = [h]
    for t in range(dt.shape[1]):
        states.append(keep[:, t] * states[-1] + (dt * u)[:, t, :, None] * b[:, t, None])
    after = np.stack(states[1:], axis=1)
    out = {"y": (after * c[:, :, None]).sum(-1), "state": states[-1]}
    d = {name: np.zeros_like(value) for name, value in x.items()}
    dh = grad["state"]
    for t in reversed(range(dt.shape[1])):
        d["c"][:, t] = (grad["y"][:, t, :, None] * after[:, t]).sum(1)
        dh = dh + grad["y"][:, t, :, None] * c[:, t, None]
        power = dh * keep[:, t] * states[t]  # gradient of dt a
        inner = (dh * b[:, t, None]).sum(-1)  # gradient of dt x
        d["a"] += (power * dt[:, t, :, None]).sum(0)
        d["dt"][:, t] = (power * a).sum(-1) + inner * u[:, t]
        d["x"][:, t] = inner * dt[:, t]
        d["b"][:, t] = (dh * (dt * u)[:, t, :, None]).sum(1)
        dh = keep[:, t] * dh
    return out | {f"d{name}": value for name, value in (d | {"initial_state": dh}).items()}


def results(x, grad, starts):
    def run(x):
        state = x["initial_state"]
        return scan(*(x[name] for name in NAMES[:5]), starts=starts, initial_state=state)

    def both(x, grad):
        (y, state), vjp = jax.vjp(run, x)
        gradients = vjp((grad["y"], grad["state"]))[0]
        return {"y": y, "state": state} | {f"d{name}": g for name, g in gradients.items()}

    return jax.jit(both)(*jax.tree.map(jnp.float32, (x, grad)))


# One token, below a chunk, a chunk, one more, and many with a rest.
@pytest.mark.parametrize("T", [1, 5, CHUNK, CHUNK + 1, 3 * CHUNK + 2])
def test_it_is_its_definition_in_value_and_gradient(T):
    """Sums over T tokens of products that float32 rounds to 6e-8 each."""
    x, grad, starts = inputs(T)
    for begin in (jnp.zeros_like(starts), starts):
        assert_close(results(x, grad, begin), definition(x, grad, begin), 3e-6)


def test_a_document_begins_from_zero_exactly():
    """Not a bit of what came before, whatever it was, and no gradient to it."""
    x, grad, _ = inputs(20)
    starts = jnp.zeros((B, 20), bool).at[:, 9].set(True)
    one = results(x, grad, starts)
    for name in ("dt", "x", "b", "c"):
        x[name][:, :9] = 3.0
    other = results(x | {"initial_state": x["initial_state"] + 1e6}, grad, starts)
    np.testing.assert_array_equal(one["y"][:, 9:], other["y"][:, 9:])
    np.testing.assert_array_equal(one["state"], other["state"])
    late = {"y": grad["y"] * (np.arange(20) >= 9)[:, None], "state": grad["state"]}
    found = results(x, late, starts)
    assert (found["dinitial_state"] == 0).all() and (found["dx"][:, :9] == 0).all()


def test_the_state_carries_over_a_cut():
    x, _, starts = inputs(23)
    x = jax.tree.map(jnp.float32, x)
    tokens = lambda cut: (x["dt"][:, cut], x["a"], x["x"][:, cut], x["b"][:, cut], x["c"][:, cut])
    run = lambda cut, state: scan(*tokens(cut), starts=starts[:, cut], initial_state=state)
    whole, last = run(slice(None), x["initial_state"])
    y1, state = run(slice(0, 9), x["initial_state"])
    y2, state = run(slice(9, None), state)
    np.testing.assert_allclose(jnp.concatenate([y1, y2], axis=1), whole, atol=1e-5)
    np.testing.assert_allclose(state, last, atol=1e-5)


def test_without_a_state_it_begins_from_zero_and_bfloat16_keeps_the_state_in_float32():
    x, _, _ = inputs(7)
    arguments = [jnp.float32(x[name]) for name in NAMES[:5]]
    y, _ = scan(*arguments)
    zero, _ = scan(*arguments, initial_state=jnp.zeros((B, I, K)))
    np.testing.assert_array_equal(y, zero)
    half = [arguments[0], arguments[1], *(z.astype(jnp.bfloat16) for z in arguments[2:])]
    rough, rough_state = scan(*half)
    state = jnp.zeros((B, I, K), jnp.bfloat16)
    assert scan(*half, initial_state=state)[1].dtype == jnp.float32
    assert rough.dtype == jnp.bfloat16 and rough_state.dtype == jnp.float32
    # Inputs of 8 bits, three of which make one term.
    assert_close({"y": rough}, {"y": y}, 2e-2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": (2, 0, 3), "dt": (2, 0, 3)}, "x of shape"),
        ({"dt": (2, 6, 1)}, "dt of shape"),
        ({"a": (5, 3)}, "a of shape"),
        ({"b": (1, 6, 5)}, "b of shape"),
        ({"c": (2, 6, 1)}, "c of shape"),
        ({"starts": (1, 6)}, "starts of shape"),
        ({"initial_state": (2, 5, 3)}, "initial_state of shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict, message: str):
    """And not broadcast in silence."""
    shapes = {"dt": (B, 6, I), "a": (I, K), "x": (B, 6, I), "b": (B, 6, K), "c": (B, 6, K)}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(scan)(
            **{name: jnp.zeros(shape) for name, shape in (shapes | change).items()}
        )


def test_no_state_is_kept_for_every_token():
    """What the gradient keeps of the states is one a chunk."""
    T = 8 * CHUNK
    x, _, starts = inputs(T)

    def loss(x):
        return scan(*(x[name] for name in NAMES[:5]), starts=starts)[0].sum()

    text = str(jax.make_jaxpr(jax.grad(loss))(jax.tree.map(jnp.float32, x)))
    assert f"f32[8,{B},{I},{K}]" in text
    assert f"f32[8,{CHUNK},{B},{I},{K}]" not in text
