"""The loss against its definition, in value and in gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.lm import LM, Net, bind, init
from model.softmax import Softmax
from train import objective
from train.objective import ResponseAlone, pieces, surprise


class Fixed(Net):
    """A net whose logits are given."""

    def __init__(self, logits):
        self.logits = logits

    def trunk(self, tokens, segments, around):
        return self.logits, ()

    def unembed(self, x):
        return x


def next_token(logits, tokens, weights):
    batch = {"tokens": tokens, "weights": weights, "segments": None}
    nats, weight = objective.next_token(Fixed(logits), batch)
    return nats / jnp.maximum(weight, 1e-9)


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


@pytest.mark.parametrize("tied", [True, False])
def test_logits_in_pieces_give_the_same_loss_and_gradients(tied, monkeypatch):
    cfg = LM(W=50, D=16, layers=1, mixer=Softmax(heads=2), tied=tied)
    tokens = jax.random.randint(jax.random.key(1), (3, 12), 0, 50)
    weights = jax.random.uniform(jax.random.key(2), (3, 12))
    batch = {"tokens": tokens, "weights": weights, "segments": jnp.ones_like(tokens)}
    loss = lambda params: objective.next_token(bind(cfg, params), batch)[0]
    params = init(cfg, jax.random.key(0))
    whole = jax.jit(jax.value_and_grad(loss))(params)
    monkeypatch.setattr(objective, "PIECE", 3 * 12 * 50 // 5)  # not in 5 pieces: 12 has no fifth
    program = str(jax.make_jaxpr(jax.value_and_grad(loss))(params))
    assert "3,2,50" in program and "3,12,50" not in program, "logits of six pieces, never in full"
    cut = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(cut[0], whole[0], rtol=1e-6)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, cut[1], whole[1])


def test_a_small_vocabulary_stays_in_one_piece_and_a_large_one_is_cut():
    assert pieces(32 * 64 * 900, 64) == 1
    assert pieces(8 * 2048 * 50_304, 2048) == 64
    assert pieces(10**12, 7) == 7


def packed():
    """Two documents, each an instruction, a marker 8 and a response, and padding."""
    return {
        "tokens": np.array([[0, 3, 8, 5, 6, 0, 4, 4, 8, 7, 0, 0]], np.int32),
        "weights": np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0]], np.float32),
        "segments": np.array([[1] * 5 + [2] * 5 + [0] * 2], np.int32),
    }


def test_a_response_alone_has_its_markers_and_nothing_of_the_instruction():
    found = ResponseAlone(keep=(8,)).rows(packed(), 0)
    assert found["tokens"].tolist() == [[0, 8, 5, 6, 0, 8, 7, 0, 0, 0, 0, 0]]
    assert found["weights"].tolist() == [[0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0]]
    assert found["segments"].tolist() == [[1] * 4 + [2] * 3 + [0] * 5]
    assert {x.dtype.name for x in found.values()} == {"int32", "float32"}


def test_a_response_alone_is_ended_also_where_its_end_is_the_row_s_padding():
    """Guards against a response of which nobody learns the end: that of a row's last document."""
    row = dict(
        tokens=[[0, 7, 8, 5, 0, 0]], weights=[[0, 0, 0, 1, 1, 0]], segments=[[1] * 4 + [0] * 2]
    )
    found = ResponseAlone(keep=(8,)).rows({k: np.array(v) for k, v in row.items()}, 0)
    assert found["tokens"].tolist() == [[0, 8, 5, 0, 0, 0]]
    assert found["weights"].tolist() == [[0, 0, 1, 1, 0, 0]]
    assert found["segments"].tolist() == [[1, 1, 1, 0, 0, 0]]
