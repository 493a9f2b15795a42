"""How far apart two languages are, as an item of the models that learn them."""

import dataclasses

import pyarrow as pa

from data.corpus import Corpus
from data.distance import distances
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Distance:
    """One row: how far L2 is from L1 in samples of `corpus` (data/distance.py). No model is asked.

    Columns, each from 0 for one language said twice:
      lexicon      share of the words said whose stem is another in L2: inflection is not counted
      order        (1 - Kendall's tau) / 2 of the order in which both mention the same concepts
      inflection   bits a form has in L2 when its concept is known, more than in L1
    """

    corpus: Corpus
    rows: int = 60

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        found = distances(self.corpus, self.rows)
        columns = {
            "lexicon": 1 - found["overlap of stems"],
            "order": (1 - found["order (Kendall tau)"]) / 2,
            "inflection": found["inflection (bits)"],
        }
        return pa.table({name: [float(value)] for name, value in columns.items()})
