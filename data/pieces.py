"""Words as the pieces that a tokenizer makes of them."""

import numpy as np


class Pieces:
    """The tokens of every word, ragged."""

    def __init__(self, pieces: list[list[int]]) -> None:
        self.count = np.array([len(ids) for ids in pieces])
        self.start = np.cumsum(self.count) - self.count
        self.flat = np.array([i for ids in pieces for i in ids], np.int32)

    def of(self, words: np.ndarray) -> np.ndarray:
        """The tokens of words, one after another."""
        count = self.count[words]
        shift = self.start[words] - np.cumsum(count) + count
        return self.flat[np.arange(count.sum()) + np.repeat(shift, count)]


def sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sums over consecutive runs of the given lengths, all positive."""
    return np.add.reduceat(values, np.cumsum(lengths) - lengths) if len(lengths) else lengths
