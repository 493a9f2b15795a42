"""The named cases that tests and benchmark share: sizes, gates and inputs of the op.

>>> case = CASES["ragged-65"]
>>> {name: x.shape for name, x in case.inputs().items() if name in "qkvg"}
{'q': (2, 65, 2, 16), 'k': (2, 65, 2, 16), 'v': (2, 65, 2, 24), 'g': (2, 65, 2, 16)}
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -x)


# Functions of a generator and a shape; the divisors are gate_logit_normalizer, 16 in the paper.
GATES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "zero": lambda rng, shape: np.zeros(shape),
    "/16": lambda rng, shape: _log_sigmoid(rng.normal(size=shape)) / 16,
    "/1": lambda rng, shape: _log_sigmoid(rng.normal(size=shape)),
    "/0.1": lambda rng, shape: _log_sigmoid(rng.normal(size=shape)) / 0.1,
    "spikes": lambda rng, shape: np.where(rng.random(shape) < 0.05, -40.0, -0.01),
    "all -40": lambda rng, shape: np.full(shape, -40.0),
    "resets": lambda rng, shape: np.where(rng.random(shape) < 0.05, -np.inf, -0.01),
    "mixed": lambda rng, shape: np.choose(
        rng.integers(0, 5, shape),
        [
            np.zeros(shape),
            np.full(shape, -40.0),
            _log_sigmoid(rng.normal(size=shape)) / 16,
            _log_sigmoid(rng.normal(size=shape)) / 0.1,
            np.full(shape, -1e-4),
        ],
    ),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One problem: `inputs()` gives NumPy float32 arrays, the same at every call."""

    B: int = 2
    T: int = 64
    H: int = 2
    K: int = 16
    V: int = 24
    gate: str = "/16"
    gate_shape: str = "BTHK"  # a letter of (B,T,H,K), or 1 where the gate is constant
    positive: bool = (
        False  # q, k, v uniform in (0, 1), as flash-linear-attention tests them, else normal
    )
    state: bool = False  # an initial state, and a cotangent for the final one
    segments: tuple[
        int, ...
    ] = ()  # lengths of the segments of row 0, rolled by one for each next row
    seed: int = 0

    def inputs(self) -> dict[str, np.ndarray]:
        """q, k, v, g, do, and by the case initial_state, dfinal, segment_ids."""
        rng = np.random.Generator(np.random.Philox(self.seed))
        draw = rng.random if self.positive else lambda shape: rng.normal(size=shape)
        sizes = {"B": self.B, "T": self.T, "H": self.H, "K": self.K, "1": 1}
        shape = (self.B, self.T, self.H)
        out = {
            name: draw((*shape, D)) for name, D in zip("qkv", (self.K, self.K, self.V), strict=True)
        }
        out["g"] = GATES[self.gate](rng, tuple(sizes[letter] for letter in self.gate_shape))
        out["do"] = rng.normal(size=(*shape, self.V))
        if self.state:
            out["initial_state"] = rng.normal(size=(self.B, self.H, self.K, self.V))
            out["dfinal"] = rng.normal(size=(self.B, self.H, self.K, self.V))
        out = {name: x.astype(np.float32) for name, x in out.items()}
        if self.segments:
            row = np.repeat(np.arange(len(self.segments)), self.segments)[: self.T]
            row = np.pad(row, (0, self.T - len(row)), constant_values=len(self.segments))
            out["segment_ids"] = np.stack([np.roll(row, b) for b in range(self.B)]).astype(np.int32)
        return out

    @property
    def tokens(self) -> int:
        """Token-heads: B T H."""
        return math.prod((self.B, self.T, self.H))


CASES: dict[str, Case] = {
    # T below, at and off every chunk size; K != V everywhere.
    "one-token": Case(T=1, state=True),
    "ragged-63": Case(T=63),
    "one-chunk": Case(T=64, state=True),
    "ragged-65": Case(T=65, state=True),
    "ragged-200": Case(T=200, positive=True),
    "long-1000": Case(B=1, T=1000, state=True),
    # Gates, all of one shape, to compile once. Near-zero ones carry the state furthest: a wrong
    # state between chunks shows there.
    "gate-zero": Case(T=130, gate="zero", state=True),
    "gate/1": Case(T=130, gate="/1", state=True),
    "gate/0.1": Case(T=130, gate="/0.1", state=True),
    "gate-spikes": Case(T=130, gate="spikes", state=True),
    "gate-all-40": Case(T=130, gate="all -40", state=True),
    "gate-resets": Case(T=130, gate="resets", state=True),
    "gate-mixed": Case(T=130, gate="mixed", state=True, positive=True),
    # Gates constant over some axes.
    "head-gate": Case(T=130, gate="/16", gate_shape="BTH1", state=True),
    "head-gate-spikes": Case(T=130, gate="spikes", gate_shape="BTH1", state=True),
    "head-gate-resets": Case(T=130, gate="resets", gate_shape="BTH1", state=True),
    "retention": Case(T=130, gate="/16", gate_shape="11H1", state=True),
    "retention-hard": Case(T=130, gate="/0.1", gate_shape="11H1", state=True),
    "linear-attention": Case(T=130, gate="zero", gate_shape="1111", state=True),
    "channel-gate": Case(T=65, gate="/16", gate_shape="11HK"),
    "token-gate": Case(T=65, gate="/1", gate_shape="1T1K"),
    # Segments: at, off and within chunks, of one token, and an id for the padding.
    "segments": Case(T=200, segments=(15, 49, 1, 63, 64), state=True),
    "segments-hard": Case(T=200, segments=(15, 49, 1, 63, 64), gate="mixed", state=True),
    "segments-head-gate": Case(T=130, segments=(40, 30, 30), gate_shape="BTH1", state=True),
    "selective-scan": Case(T=100, H=12, K=16, V=1, gate="/1", state=True),
}

# The first three fit a CPU; the others are the heads of GLA-340M, of its 7B and of its 1.3B.
BENCHMARKS: dict[str, Case] = {
    "long": Case(B=8, T=2048, H=4, K=32, V=64),
    "toy": Case(B=32, T=64, H=4, K=16, V=32, segments=(20, 22)),
    "small": Case(B=8, T=256, H=8, K=32, V=64),
    "340M": Case(B=8, T=2048, H=4, K=128, V=256),
    "7B": Case(B=2, T=16384, H=16, K=128, V=128),
    "1.3B": Case(B=8, T=2048, H=4, K=256, V=512),
}
