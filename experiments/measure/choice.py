"""Facts in four formats, against the same few options: completion, open, choice and context."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.fact import FORMATS, facts
from data.probe import Probe
from experiments.measure.score import answer_logprobs, decoded, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Choice:
    """Asks every fact of `corpus`, or those of `groups`, in one of FORMATS.

    Columns: the probe's slices; prompt, gold, answer as text; and the metrics
      exact      1 if the decoded answer is the gold one and then ends, else 0
      chosen     1 if the gold answer is the most probable of its options; of n that are level 1/n
      chance     of `chosen`: 1 over the number of options
      log_odds   log p(gold) - mean log p(other options), summed over tokens, nats; chance 0
    The options are of one type and, as far as there are such, of one length.
    """

    corpus: Corpus
    format: str = "completion"
    groups: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.format not in FORMATS:
            raise ValueError(f"format={self.format!r} is not known; choose among {FORMATS}")

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = facts(self.corpus, self.format, self.groups)
        said = decoded(cfg, params, probe.prompts, probe.lengths, probe.answers.shape[1] + 1)
        exact = (said == np.pad(probe.answers, ((0, 0), (0, 1)))).all(1)
        scores = option_logprobs(cfg, params, probe)
        return table(probe, self.corpus.tokenizer, said, exact=exact, **chosen(scores, probe.gold))


def option_logprobs(cfg: LM, params: dict, probe: Probe) -> np.ndarray:
    """(N, O) log-probability of every option after its prompt, summed over tokens; -inf where an
    option is empty."""
    score = lambda answers: answer_logprobs(cfg, params, probe.prompts, probe.lengths, answers)
    scores = np.stack([score(probe.options[:, o]) for o in range(probe.options.shape[1])], 1)
    return np.where(probe.options.any(2), scores, -np.inf)


def chosen(scores: np.ndarray, gold: np.ndarray) -> dict[str, np.ndarray]:
    """`chosen`, `chance` and `log_odds` (N) from the scores (N, O) of the options.

    >>> chosen(np.array([[0.0, -2.0, -4.0], [1.0, 1.0, 0.0]]), np.array([0, 1]))
    ... # doctest: +NORMALIZE_WHITESPACE
    {'chosen': array([1. , 0.5]), 'chance': array([0.33333333, 0.33333333]),
     'log_odds': array([3. , 0.5])}
    """
    there, best = np.isfinite(scores), scores.max(1, keepdims=True)
    own, options = scores[np.arange(len(scores)), gold], there.sum(1)
    others = np.where(there, scores, 0).sum(1) - own
    return dict(
        chosen=(own == best[:, 0]) / (scores == best).sum(1),
        chance=1 / options,
        log_odds=own - others / (options - 1),
    )
