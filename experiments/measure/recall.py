"""Recall of facts by completion: exact match, log-odds and rank against entities of the type."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import Probe, facts
from experiments.measure.score import answer_logprobs, decoded, next_logprobs, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Recall:
    """Asks every fact of `corpus` in every language and direction, stated there or not.

    Columns: the probe's slices; prompt, gold, answer as text; and the metrics
      exact      1 if the decoded answer is the gold one and then ends, else 0
      log_odds   log p(gold) - mean log p(other entities of the type), nats; chance 0
      rank       share of the other entities more probable than the gold one; best 0, chance .5
    Exact match alone hides everything near zero: an intervention may move the gold answer by nats
    and by not one exact match.
    """

    corpus: Corpus

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe, tokenizer = facts(self.corpus), self.corpus.tokenizer
        said = decoded(cfg, params, probe.prompts, probe.lengths, probe.answers.shape[1] + 1)
        right = np.pad(probe.answers, ((0, 0), (0, 1)))
        log_odds, rank = _against_the_type(cfg, params, probe)
        exact = (said == right).all(1)
        return table(probe, tokenizer, said, exact=exact, log_odds=log_odds, rank=rank)


def _against_the_type(cfg: LM, params: dict, probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and rank of each gold answer among the candidates of its type."""
    first = next_logprobs(cfg, params, probe.prompts, probe.lengths)
    log_odds, rank = np.zeros(len(first)), np.zeros(len(first))
    for kind, candidates in probe.candidates.items():
        asked = np.flatnonzero(probe.slices["candidates"] == kind)
        if not len(asked):
            continue
        if candidates.shape[1] == 1:
            scores = first[asked][:, candidates[:, 0]]
        else:
            scores = np.stack([_one(cfg, params, probe, asked, c) for c in candidates], 1)
        gold = scores[np.arange(len(asked)), probe.gold[asked]]
        others = len(candidates) - 1
        log_odds[asked] = gold - (scores.sum(1) - gold) / others
        # Ties count half; the gold answer ties with itself.
        above, level = scores > gold[:, None], scores == gold[:, None]
        rank[asked] = (above.sum(1) + (level.sum(1) - 1) / 2) / others
    return log_odds, rank


def _one(cfg: LM, params: dict, probe: Probe, asked: np.ndarray, candidate: np.ndarray):
    """Log-probability of one candidate of several tokens after each of the prompts asked."""
    answers = np.broadcast_to(candidate, (len(asked), len(candidate)))
    return answer_logprobs(cfg, params, probe.prompts[asked], probe.lengths[asked], answers)
