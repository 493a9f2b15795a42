"""Surprisal of the markers that count-based rules put between words."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.impossible import PLURAL, SINGULAR
from data.probe import encode
from experiments.measure.bits import nats
from experiments.measure.loss import UNSEEN
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Marker:
    """Asks `rows` rows that no training has read for the markers of number that hops put there
    (data/impossible.py; Kallini et al. 2024, section 4.3).

    One item a marker, in the order of the text, so that items of a hop and of its control are the
    markers of the same documents. Columns: item, marker; and the metric
      surprisal  -log p(marker | the row before it), nats
    """

    corpus: Corpus
    rows: int = 128

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = self.corpus.rows(UNSEEN, UNSEEN + self.rows)
        tokens, few = rows["tokens"], encode(self.corpus, [SINGULAR])
        said = np.isin(tokens, few + encode(self.corpus, [PLURAL]))
        spent = nats(cfg, params, tokens, said.astype(np.float32), rows["segments"])[said]
        marker = np.where(tokens[said] == few, SINGULAR, PLURAL)
        return pa.table({"item": np.arange(len(spent)), "marker": marker, "surprisal": spent})
