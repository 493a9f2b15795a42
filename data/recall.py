"""Multi-query associative recall with the token layout of Zoology (Arora et al. 2023, 2312.04927).

    k1 v1 k2 v2 ... kn vn | . . k2 v2 . . . . k1 v1 . .

Keys are different tokens below half of the vocabulary, values different tokens above. After the
pairs every key is asked once: at place 2g of the rest, g drawn without replacement with probability
proportional to (g + 1)^(power - 1), so that short gaps are the most frequent, as in text. The value
follows its query and is the only target. The places between are filled with random tokens, or with
0 (<doc>).

Zoology has a filler where the value stands here, and the value as a label beside it; a model that
predicts the next token has to find it in the row. No key is asked twice, so a value that is read
answers nothing later. A row is one document without a <doc> before it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data.draw import below, distinct, stretch
from data.key import key
from data.stream import Documented
from data.tokenizer import Word


@dataclass(frozen=True)
class MQAR(Documented):
    """Rows of T tokens with `pairs` keys and values; `filled` says whether random tokens stand
    where nothing is asked.

    >>> toy = MQAR(pairs=2, vocabulary=16, T=12, filled=False)
    >>> for name, value in toy.row(2).items(): print(name, value.tolist())
    tokens [7, 14, 2, 12, 2, 12, 0, 0, 7, 14, 0, 0]
    weights [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    segments [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    pairs [2]
    """

    pairs: int = 4
    vocabulary: int = 8192
    T: int = 64
    power: float = 0.01
    filled: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        key("recall", self.seed)  # checks it
        if self.pairs < 1 or self.T % 2 or 4 * self.pairs > self.T:
            raise ValueError(
                f"T={self.T} with pairs={self.pairs}: T is even and has 4 places or more a pair; "
                f"choose T={4 * max(self.pairs, 1)} or more"
            )
        if self.vocabulary % 2 or self.pairs >= self.vocabulary // 2:
            raise ValueError(
                f"vocabulary={self.vocabulary} with pairs={self.pairs}: half of it are keys, but "
                f"for <doc>, and half values; choose an even number from {2 * self.pairs + 2}"
            )
        if self.power <= 0:
            raise ValueError(f"power={self.power} is not positive; choose 1 for uniform gaps")

    @cached_property
    def tokenizer(self) -> Word:
        half = self.vocabulary // 2
        keys = (f"k{i}" for i in range(1, half))
        return Word((*keys, *(f"v{i}" for i in range(half))))

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return {}

    @property
    def space(self) -> int:
        """Places at which a key can be asked."""
        return (self.T - 2 * self.pairs) // 2

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and the number of `pairs` (B, 1)."""
        K, half = self.pairs, self.vocabulary // 2
        u = stretch("recall", self.seed, start, stop, 4 * K + self.space + self.T)
        keys, values, race, filler = np.split(u, np.cumsum([2 * K, 2 * K, self.space]), axis=1)
        keys, values = 1 + distinct(keys, half - 1), half + distinct(values, half)
        # Whoever comes first of exponentials with these rates is drawn first.
        rate = np.arange(1, self.space + 1) ** (self.power - 1)
        gaps = (-np.log((race + 0.5) / 2**32) / rate).argsort(1)[:, :K]
        tokens = below(filler, self.vocabulary if self.filled else 1)
        weights = np.zeros(tokens.shape, np.float32)
        tokens[:, 0 : 2 * K : 2], tokens[:, 1 : 2 * K : 2] = keys, values
        asked = 2 * K + 2 * gaps
        np.put_along_axis(tokens, asked, keys, 1)
        np.put_along_axis(tokens, asked + 1, values, 1)
        np.put_along_axis(weights, asked + 1, 1, 1)
        rows = dict(tokens=tokens.astype(np.int32), weights=weights)
        rows["segments"] = np.ones(tokens.shape, np.int32)
        return rows | self.provenance(start, stop)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """How many pairs a row has."""
        return dict(pairs=np.full((stop - start, 1), self.pairs, np.int32))
