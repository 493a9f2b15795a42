"""Products of primes: how much more a model loses than what cannot be known (data/product.py)."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.product import Product
from data.reorder import ReverseTokens
from data.stream import Documented
from data.transform import Transformed
from experiments.measure.bits import by_document, nats
from experiments.measure.loss import UNSEEN
from model.lm import LM


def read(product: Product, backward: bool) -> Documented:
    """The corpus as it is written, or every document from its end."""
    return Transformed(product, ReverseTokens(), share=1.0) if backward else product


@dataclasses.dataclass(frozen=True)
class Excess:
    """Of `rows` rows that no training has read, one item a document: `loss`, nats a token of it
    after its <doc>, and `excess`, the same less the entropy, which is equal in both directions."""

    product: Product
    backward: bool = False
    rows: int = 128

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = read(self.product, self.backward).rows(UNSEEN, UNSEEN + self.rows)
        tokens, segments = rows["tokens"], rows["segments"]
        inside = (segments > 0) & (tokens != 0)
        spent = by_document(
            nats(cfg, params, tokens, inside.astype(np.float32), segments),
            segments,
            segments.max() + 1,
        )
        loss = spent.reshape(len(tokens), -1)[:, 1:].ravel() / (self.product.length - 1)
        best = self.product.entropies().mean()
        return pa.table({"item": np.arange(len(loss)), "loss": loss, "excess": loss - best})
