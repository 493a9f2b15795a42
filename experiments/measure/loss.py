"""Loss on unseen rows of a corpus, by the language and the register of its documents."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.stream import Documented
from experiments.measure.bits import by_document, nats
from model.lm import LM

UNSEEN = 2**31  # the first row asked: no training comes this far


@dataclasses.dataclass(frozen=True)
class Loss:
    """Nats a token of `rows` rows that no training has read, in context as training packs them.

    One item per document. `loss` is its nats over the mean tokens of a document of its language and
    register, so that the mean over these documents is their nats a token, and exp of it their
    perplexity; the mean over several registers is that of theirs, weighted by their documents. A
    document's tokens are its words and the <doc> that ends it; an unfinished one at the end of a
    row counts as far as it goes.
    """

    corpus: Documented
    rows: int = 128

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = self.corpus.rows(UNSEEN, UNSEEN + self.rows)
        tokens, segments = rows["tokens"], rows["segments"]
        weights = (segments > 0).astype(np.float32)
        weights[:, 1:] = segments[:, :-1] > 0  # the <doc> after the last document ends it
        weights[:, 0] = 0
        owner = np.pad(segments, ((0, 0), (1, 0)))[:, :-1]
        each = lambda values: by_document(values, owner, rows["language"].shape[1] + 1)
        spent, count = each(nats(cfg, params, tokens, weights, segments)), each(weights)
        place = np.pad(rows["language"] >= 0, ((0, 0), (1, 0))).ravel()
        column = lambda name: np.pad(rows[name], ((0, 0), (1, 0))).ravel()[place]
        spent, count, keys = spent[place], count[place], ("language", "register")
        numbers = np.stack([column(name) for name in keys], 1)
        _, kind = np.unique(numbers, axis=0, return_inverse=True)
        mean = np.bincount(kind.ravel(), count) / np.bincount(kind.ravel())
        names = {
            name: np.asarray(self.corpus.legend[name])[numbers[:, i]] for i, name in enumerate(keys)
        }
        return pa.table(names | {"item": np.arange(len(spent)), "loss": spent / mean[kind.ravel()]})
