"""A probe reads what is there, and shuffled labels read nothing."""

import doctest

import numpy as np
import pyarrow as pa

from data.recall import MQAR
from experiments import stats
from experiments.measure import readable
from experiments.measure.readable import Readable, probed

TEXT = MQAR(pairs=2, vocabulary=16, T=12)


def test_the_docstring_shows_a_value_that_is_read():
    assert doctest.testmod(readable).failed == 0


def test_features_that_say_nothing_are_read_at_chance():
    rng = np.random.default_rng(1)
    read = [probed(rng.normal(size=(90, 200)), rng.integers(4, size=90), 4).mean()
            for _ in range(20)]  # fmt: skip
    assert abs(np.mean(read) - 0.25) < 0.08


def share(items: pa.Table, **cell: str) -> float:
    return float(np.mean(stats.where(items, **cell)["read"].to_pylist()))


def test_a_state_of_key_value_products_is_read_and_a_stream_of_the_last_value_is_not(monkeypatch):
    def held(cfg, params, tokens):
        pairs = np.eye(16)[tokens].reshape(len(tokens), -1, 2, 16)
        state = np.einsum("bpk,bpv->bkv", pairs[:, :, 0], pairs[:, :, 1])
        return {"state": state.reshape(len(tokens), -1), "residual": pairs[:, -1, 1]}

    monkeypatch.setattr(readable, "_held", held)
    items = Readable(TEXT, rows=600)(None, None)
    assert share(items, place="state", labels="own") > 0.95
    assert share(items, place="state", labels="shuffled") < 0.25
    # Of two pairs the last value alone is known: one in two, and a guess of the other.
    assert 0.4 < share(items, place="residual", labels="own") < 0.7
    assert set(items["chance"].to_pylist()) == {1 / 8}
