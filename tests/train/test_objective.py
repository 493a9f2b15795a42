"""The loss against its definition, in value and in gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from train.objective import next_token, surprise


def example():
    logits = 5 * jax.random.normal(jax.random.key(0), (2, 6, 7))
    tokens = jax.random.randint(jax.random.key(1), (2, 6), 0, 7)
    weights = jax.random.uniform(jax.random.key(2), (2, 6)).at[:, 0].set(0)
    return logits, tokens, weights


def plain(logits, tokens, weights):
    log_p = jax.nn.log_softmax(logits[:, :-1])
    nats = -jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)[..., 0]
    return (nats * weights[:, 1:]).sum() / weights[:, 1:].sum()


def test_the_loss_is_the_weighted_mean_surprise_of_the_next_token():
    both = [jax.value_and_grad(f)(*example()) for f in (next_token, plain)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *both)


def test_position_t_is_weighted_as_a_target():
    logits, tokens, weights = example()
    only = jnp.zeros_like(weights).at[1, 4].set(1)
    expected = -jax.nn.log_softmax(logits[1, 3])[tokens[1, 4]]
    np.testing.assert_allclose(next_token(logits, tokens, only), expected, rtol=1e-6)


def test_the_first_position_is_nobody_s_target():
    logits, tokens, weights = example()
    wrong = weights.at[:, 0].set(9)
    assert next_token(logits, tokens, wrong) == next_token(logits, tokens, weights)


def test_no_weight_is_no_loss_and_no_gradient():
    logits, tokens, weights = example()
    value, gradient = jax.value_and_grad(next_token)(logits, tokens, 0 * weights)
    assert value == 0 and (np.asarray(gradient) == 0).all()


def test_surprise_is_finite_for_huge_logits():
    logits = jnp.array([[[1e4, 0.0, -1e4]]])
    value, gradient = jax.value_and_grad(lambda x: surprise(x, jnp.array([[1]])).sum())(logits)
    np.testing.assert_allclose(value, 1e4)
    np.testing.assert_allclose(gradient, [[[1, -1, 0]]])
