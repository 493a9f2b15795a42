"""Associative recall within a row: which value belongs to the key that is asked."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from data.recall import MQAR
from experiments.measure.loss import UNSEEN
from model.lm import LM, apply

ROWS = 64  # rows a call: bounds memory, changes no number


@dataclasses.dataclass(frozen=True)
class Associative:
    """Every query of `rows` rows that no training has read; one item a query.

    Columns: `split`, "choose" for the first half of the rows and "report" for the second, so that
    what is chosen on one is reported on the other; `length` of the rows; `item`; and the metrics
      exact      1 if the most probable of all tokens is the key's value (Zoology's accuracy)
      log_odds   log p(value) - mean log p(the row's other values), nats; chance 0
    The value of a query stands before the next query, as in training.
    """

    corpus: MQAR
    rows: int = 256

    def __post_init__(self):
        if self.corpus.pairs < 2 or self.rows < 2 or self.rows % 2:
            raise ValueError(
                f"rows={self.rows} of pairs={self.corpus.pairs}: a value needs another in its row, "
                "and the rows two halves; choose 2 pairs or more and an even number of rows"
            )

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        found = []
        for start in range(UNSEEN, UNSEEN + self.rows, ROWS):
            rows = self.corpus.rows(start, min(start + ROWS, UNSEEN + self.rows))
            found.append(_scores(cfg, params, rows["tokens"], *asked(rows, self.corpus.pairs)))
        exact, own, others = (np.concatenate(parts).ravel() for parts in zip(*found, strict=True))
        half = len(exact) // 2
        return pa.table({
            "split": np.repeat(["choose", "report"], half),
            "length": np.full(len(exact), self.corpus.T),
            "item": np.arange(len(exact)),
            "exact": exact.astype(float),
            "log_odds": (own - others).astype(float),
        })  # fmt: skip


def asked(rows: dict[str, np.ndarray], pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (B, pairs) of the queries, and the values (B, pairs) of each row.

    >>> rows = MQAR(pairs=2, vocabulary=16, T=12, filled=False).rows(2, 3)
    >>> at, values = asked(rows, 2)
    >>> rows["tokens"][0].tolist(), at.tolist(), values.tolist()
    ([7, 14, 2, 12, 2, 12, 0, 0, 7, 14, 0, 0], [[4, 8]], [[14, 12]])
    """
    _, place = np.nonzero(rows["weights"])
    return place.reshape(-1, pairs) - 1, rows["tokens"][:, 1 : 2 * pairs : 2]


@functools.partial(jax.jit, static_argnums=0)
def _scores(cfg, params, tokens, at, values):
    """Whether the value is the most probable token, its log p, and the others' mean (B, pairs)."""
    logits, _ = apply(cfg, params, tokens)
    said = jax.nn.log_softmax(jnp.take_along_axis(logits, at[..., None], 1))
    gold = jnp.take_along_axis(tokens, at + 1, 1)
    own = jnp.take_along_axis(said, gold[..., None], 2)[..., 0]
    every = jnp.take_along_axis(
        said, jnp.broadcast_to(values[:, None], said.shape[:2] + values.shape[1:]), 2
    )
    others = (every.sum(2) - own) / (values.shape[1] - 1)
    return jnp.argmax(said, 2) == gold, own, others
