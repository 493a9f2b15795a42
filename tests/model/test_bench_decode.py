"""The benchmark of decoding measures what it says, at a toy size."""

import jax.numpy as jnp
import pytest

from model import bench_decode
from model.gla import GLA
from model.lm import LM


@pytest.mark.parametrize("mixer", bench_decode.MIXERS.values(), ids=bench_decode.MIXERS)
def test_a_context_is_decoded_from_or_too_large_and_named(mixer, monkeypatch):
    monkeypatch.setattr(bench_decode, "REPEATS", 1)
    cfg = LM(W=11, D=16, layers=1, mixer=mixer)
    assert float(bench_decode._speed(cfg, B=2, context=8, steps=3).replace(",", "")) > 0
    monkeypatch.setattr(bench_decode, "ROOM", 1)
    assert bench_decode._speed(cfg, B=2, context=8, steps=3) == "(a state of 0 GiB)"


def test_a_python_that_dies_without_a_word_is_named(monkeypatch):
    monkeypatch.setattr(bench_decode, "_generate", lambda *_: lambda: jnp.zeros(1))
    with pytest.raises(ValueError, match="false cannot run GPT-2: it ended with 1"):
        bench_decode.against("false", LM(W=11, D=16, layers=1, mixer=GLA(heads=2)), 1, 1)
