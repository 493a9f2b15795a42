"""Ranking of responses: is an instruction's own response likelier than another's?"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.probe import tasks
from experiments.measure.score import answer_logprobs, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Compares the response to each of the questions of `Following` with the response to another
    one, of the same task, language and number of arguments (Hewitt et al. 2024, 2409.14254,
    section 4). No decoding: a model that never says an answer may still rank it.

    Columns: the probe's slices; prompt, gold, answer (the other response) as text; and the metrics
      ranked    1 if the own response is the more probable, 1/2 if they are level; chance .5
      log_odds  log p(own) - log p(other), summed over tokens, nats; chance 0
    Items without another of their kind, or whose responses are the same, are left out.
    """

    corpus: Corpus
    register: str
    items: int = 16
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = tasks(self.corpus, self.register, self.items, self.seed)
        kind = np.stack([probe.slices[name].astype(str) for name in _KIND], 1)
        another = probe.answers[following(kind)]
        score = lambda said: answer_logprobs(cfg, params, probe.prompts, probe.lengths, said)
        log_odds = score(probe.answers) - score(another)
        ranked = (log_odds > 0) + 0.5 * (log_odds == 0)
        found = table(probe, self.corpus.tokenizer, another, ranked=ranked, log_odds=log_odds)
        return found.filter(pc.not_equal(found["gold"], found["answer"]))


_KIND = ("task", "language", "arguments")


def following(kind: np.ndarray) -> np.ndarray:
    """(N) the next row of the same kind (N, columns), after the last the first; alone, itself.

    >>> following(np.array([["a"], ["b"], ["a"], ["a"]])).tolist()
    [2, 1, 3, 0]
    """
    _, group = np.unique(kind, axis=0, return_inverse=True)
    after = np.arange(len(kind))
    for g in np.unique(group):
        (own,) = np.nonzero(group.ravel() == g)
        after[own] = np.roll(own, -1)
    return after
