"""A model and batches small enough to train in a test."""

import numpy as np
import pytest

from model.lm import LM
from model.softmax import Softmax
from train.recipe import Cosine, Recipe


class Copying:
    """Rows of 12 tokens whose second half repeats the first: learnable, and a function of step."""

    def __init__(self, seed: int, broken_at: int | None = None):
        self.seed, self.broken_at = seed, broken_at

    def __getitem__(self, t: int) -> dict[str, np.ndarray]:
        draw = np.random.Generator(np.random.Philox(key=[self.seed, t]))
        tokens = draw.integers(1, 9, (4, 12)).astype(np.int32)
        tokens[:, 6:] = tokens[:, :6]
        weights = np.ones((4, 12), np.float32)
        weights[:, 0] = 0
        if t == self.broken_at:
            weights[0, 3] = np.nan
        return {"tokens": tokens, "weights": weights, "segments": np.ones((4, 12), np.int32)}


@pytest.fixture
def copying():
    return Copying


@pytest.fixture
def cfg() -> LM:
    return LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(steps=30, batch=4, schedule=Cosine(warmup=5))
