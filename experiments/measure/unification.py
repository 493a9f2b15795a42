"""Is a fact one state in two languages? Hidden states at its answer, across languages."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.fact import facts
from experiments.measure.alignment import centred, matched, residuals
from experiments.measure.consistency import CELL, cells
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Unification:
    """Asks every fact of an invertible relation in the first two languages, and compares the
    residual stream where its answer comes next. One row a fact and a layer.

    Columns: layer (1 is after the first block), fact, relation, group, names, direction; and the
    metrics
      unified    cosine of the two states, minus the mean over other facts of the cell; chance 0
      retrieved  1 if the same fact in the other language is the nearest by CSLS
    States of a language and cell are taken about their mean. A fact that nobody states scores what
    its names alone do.
    """

    corpus: Corpus

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = facts(self.corpus)
        states = np.asarray(residuals(cfg, params, probe.prompts, probe.lengths))
        found = []
        for cell, (one, two) in cells(self.corpus, probe):
            for layer, rows in enumerate(states, 1):
                scores = matched(centred(rows[one]), centred(rows[two]))
                columns = {name: [value] * len(one) for name, value in zip(CELL, cell, strict=True)}
                columns |= dict(layer=[layer] * len(one), fact=probe.slices["fact"][one])
                right = scores["best"] == np.arange(len(one))
                columns |= dict(unified=scores["cosine"], retrieved=right.astype(float))
                found.append(pa.table(columns))
        return pa.concat_tables(found)
