"""Instructions after a few examples, or none: exact match against log-probability."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import Probe, tasks
from experiments.measure.score import answer_logprobs, decoded, table
from model.lm import LM

FOILS = 8  # wrong answers to every question


@dataclasses.dataclass(frozen=True)
class Shots:
    """Asks `items` questions of every list task in a register, after `shots` answered examples in
    the question's language.

    Columns: the probe's slices; prompt, gold, answer as text; and the metrics
      exact      1 if the decoded answer is the gold one and then ends, else 0
      log_odds   log p(gold) - mean log p(foils), nats, summed over tokens. A foil is as many words
                 as the gold answer, those of the question in any order: 0 for a model that repeats
                 what it is asked about and does not know the task
    The log-odds are of the answer once begun as much as of beginning it: whether a model answers at
    all is the same for gold and foils.
    """

    corpus: Corpus
    register: str = "quiz"
    shots: int = 0
    items: int = 16
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        ask = lambda shots: tasks(self.corpus, self.register, self.items, self.seed, shots)
        probe, bare = ask(self.shots), ask(0)  # the same questions in the same order
        assert (probe.answers == bare.answers).all()
        asked = (cfg, params, probe.prompts, probe.lengths)
        said = decoded(*asked, probe.answers.shape[1] + 1)
        wrong = [answer_logprobs(*asked, foil) for foil in foils(bare, self.seed)]
        return table(
            probe,
            self.corpus.tokenizer,
            said,
            exact=(said == np.pad(probe.answers, ((0, 0), (0, 1)))).all(1),
            log_odds=answer_logprobs(*asked, probe.answers) - np.mean(wrong, axis=0),
        )


def foils(probe: Probe, seed: int) -> np.ndarray:
    """(FOILS, N, A) wrong answers to questions without examples before them: what is asked about in
    any order, from its first word on as often as the right answer is long, and not that answer."""
    rng = np.random.Generator(np.random.Philox(seed))
    found = np.zeros((FOILS, *probe.answers.shape), np.int32)
    answers = set(np.unique(np.concatenate([probe.answers.ravel(), probe.other.ravel()]))) - {0}
    for i, (prompt, gold) in enumerate(zip(probe.prompts, probe.answers, strict=True)):
        own = [token for token in prompt if token in answers]
        length = np.count_nonzero(gold)
        for foil in found[:, i]:
            while not foil.any() or (foil == gold).all():
                foil[:length] = np.resize(rng.permutation(own), length)
    return found
