"""Loss by position, in rows longer than any that training had."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.stream import Documented
from experiments.measure.bits import nats
from experiments.measure.loss import UNSEEN
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Reach:
    """Nats a token of `rows` unseen rows of `corpus`, by how far into the row a token stands.

    One item a (row, reach): `reach` r, a power of two, holds the tokens from r/2 to r times
    `trained`, the length of the rows of training; 1 holds all of those up to it. `loss` is the
    mean over its tokens.
    """

    corpus: Documented
    trained: int
    rows: int = 32

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = self.corpus.rows(UNSEEN, UNSEEN + self.rows)
        weights = (rows["segments"] > 0).astype(np.float32)
        weights[:, 0] = 0
        spent = nats(cfg, params, rows["tokens"], weights, rows["segments"])
        items = []
        for reach in reaches(self.trained, self.corpus.T):
            start = 0 if reach == 1 else reach * self.trained // 2
            part = slice(start, reach * self.trained)
            count = weights[:, part].sum(1)
            for row in np.flatnonzero(count):
                loss = float(spent[row, part].sum() / count[row])
                items.append({"reach": reach, "item": int(row), "loss": loss})
        return pa.Table.from_pylist(items)


def reaches(trained: int, T: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to T / trained.

    >>> reaches(64, 1024)
    (1, 2, 4, 8, 16)
    """
    if T % trained or (T // trained) & (T // trained - 1):
        raise ValueError(
            f"rows of {T} tokens after training on {trained}: choose a power of two times as many"
        )
    return tuple(2**i for i in range((T // trained).bit_length()))
