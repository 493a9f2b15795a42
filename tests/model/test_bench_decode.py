"""The benchmark of decoding measures what it says, at a toy size."""

import pytest

from model import bench_decode
from model.lm import LM


@pytest.mark.parametrize("mixer", bench_decode.MIXERS.values(), ids=bench_decode.MIXERS)
def test_a_context_is_decoded_from_or_too_large_and_named(mixer, monkeypatch):
    monkeypatch.setattr(bench_decode, "REPEATS", 1)
    cfg = LM(W=11, D=16, layers=1, mixer=mixer)
    assert float(bench_decode._speed(cfg, B=2, context=8, steps=3).replace(",", "")) > 0
    monkeypatch.setattr(bench_decode, "ROOM", 1)
    assert bench_decode._speed(cfg, B=2, context=8, steps=3) == "(a state of 0 GiB)"
