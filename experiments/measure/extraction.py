"""Questions about biographies: can what was memorised be asked for?"""

import dataclasses

import numpy as np
import pyarrow as pa

from data.biography import Biography
from data.probe import completion
from experiments.measure.recall import against_the_others
from experiments.measure.score import decoded, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Asks for every attribute of `people` of a corpus in both languages, of those whom training
    asks about and of those whom it never does; of an `inverse` corpus, whose birth date it is.

    Columns: person, attribute, language, told (whether a biography is in that language), asked
    (whether training asks about the person), inverse; prompt, gold, answer as text; and the metrics
      exact      1 if the decoded answer is the gold one and then ends, else 0
      log_odds   log p(gold) - mean log p(others), nats; chance 0
      rank       share of the others more probable than the gold answer; best 0, chance .5
    The others are the answers about the other people asked alike.
    """

    corpus: Biography
    people: int = 100

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        return pa.concat_tables([self._asked(cfg, params, asked) for asked in (True, False)])

    def _asked(self, cfg: LM, params: dict, asked: bool) -> pa.Table:
        records, slices = self.corpus.questions(asked, self.people)
        flags = dict(asked=asked, inverse=self.corpus.inverse)
        probe = completion(records, self.corpus.tokenizer, **slices, **flags)
        said = decoded(cfg, params, probe.prompts, probe.lengths, probe.answers.shape[1] + 1)
        exact = (said == np.pad(probe.answers, ((0, 0), (0, 1)))).all(1)
        cells = np.stack([probe.slices[c].astype(str) for c in ("attribute", "language")], 1)
        log_odds, rank = against_the_others(cfg, params, probe, cells)
        metrics = dict(exact=exact, log_odds=log_odds, rank=rank)
        return table(probe, self.corpus.tokenizer, said, **metrics)
