"""Recall within a row, scored for models whose answers are known."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.recall import MQAR
from experiments.measure import associative
from experiments.measure.associative import Associative, asked

TEXT = MQAR(pairs=4, vocabulary=32, T=24)


def scored(monkeypatch, logits):
    """The items of a model that says logits(tokens) (B,T,W)."""
    # The program is compiled anew for each model, which the argument that is static tells apart.
    monkeypatch.setattr(associative, "apply", lambda cfg, params, tokens: (logits(tokens), None))
    return Associative(TEXT, rows=8)(object(), None).to_pydict()


def test_the_docstring_shows_where_a_row_asks():
    assert doctest.testmod(associative).failed == 0


def test_a_model_that_sees_the_next_token_is_always_right(monkeypatch):
    ahead = lambda tokens: 5.0 * jax.nn.one_hot(jnp.roll(tokens, -1, axis=1), TEXT.vocabulary)
    items = scored(monkeypatch, ahead)
    assert set(items["exact"]) == {1.0}
    np.testing.assert_allclose(items["log_odds"], 5.0, rtol=1e-5)
    assert len(items["exact"]) == 8 * TEXT.pairs
    assert items["split"].count("choose") == items["split"].count("report") == 16


def test_a_model_that_knows_the_values_but_not_their_keys_is_at_no_log_odds(monkeypatch):
    def said(tokens):
        values = jax.nn.one_hot(tokens[:, 1 : 2 * TEXT.pairs : 2], TEXT.vocabulary).sum(1)
        noise = jax.random.normal(jax.random.key(0), (*tokens.shape, TEXT.vocabulary))
        return 20 * values[:, None] + noise

    items = scored(monkeypatch, said)
    assert 0 < np.mean(items["exact"]) < 0.6
    assert abs(np.mean(items["log_odds"])) < 0.7


def test_what_is_asked_is_what_weighs():
    rows = TEXT.rows(0, 8)
    at, values = asked(rows, TEXT.pairs)
    for b in range(8):
        assert (rows["weights"][b, at[b] + 1] == 1).all() and rows["weights"][b].sum() == 4
        # Every query is a key, and its value is the one that stands behind it in the pairs.
        pairs = dict(zip(rows["tokens"][b, 0:8:2], values[b], strict=True))
        for place in at[b]:
            assert pairs[rows["tokens"][b, place]] == rows["tokens"][b, place + 1]


def test_one_pair_and_an_odd_number_of_rows_are_refused():
    with pytest.raises(ValueError, match="2 pairs"):
        Associative(MQAR(pairs=1))
    with pytest.raises(ValueError, match="even"):
        Associative(TEXT, rows=7)
