"""Instruction following: decoded answers to list tasks in three bins, by language."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import tasks
from experiments.measure.score import decoded, next_logprobs, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Following:
    """Asks `items` questions of every task in a register, the same ones in both languages.

    Columns: the probe's slices (`ambiguous`: the answers of both languages coincide); prompt, gold,
    answer as text; and the metrics, each 0 or 1 but for the last
      right   the decoded answer is the gold one, in the prompt's language, and ends there
      other   it is the gold one said in the other language
      wrong   anything else
      mode    probability that an answer begins at all: the first token's mass on nouns
    """

    corpus: Corpus
    register: str
    items: int = 16
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = tasks(self.corpus, self.register, self.items, self.seed)
        tokenizer = self.corpus.tokenizer
        said = decoded(cfg, params, probe.prompts, probe.lengths, probe.answers.shape[1] + 1)
        equal = lambda answers: (said == np.pad(answers, ((0, 0), (0, 1)))).all(1)
        right = equal(probe.answers)
        other = equal(probe.other) & ~right
        first = np.exp(next_logprobs(cfg, params, probe.prompts, probe.lengths))
        nouns = np.unique(np.concatenate([probe.openers[f"answer {l}"] for l in ("L1", "L2")]))
        mode = first[:, nouns].sum(1)
        wrong = ~right & ~other
        return table(probe, tokenizer, said, right=right, other=other, wrong=wrong, mode=mode)
