"""Instructions to rewrite a string, by rules of the training and by rules that no training saw."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.probe import completion
from data.rewrite import Rewrite
from experiments.measure.score import answer_logprobs, decoded, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Rewriting:
    """Asks `items` strings that no row has, in each language, by `seen` rules and by unseen ones.

    Columns: `rules` ("seen" or "unseen"), language, noop, item; prompt, gold, answer as text; and
      exact      1 if the decoded answer is the rewritten string and then ends, else 0
      copied     1 if it is the string as it was
      log_odds   log p(rewritten) - log p(the string as it was), summed over tokens, nats
    A model that reads the string and ignores the rule copies, and its log-odds are below 0.
    """

    corpus: Rewrite
    items: int = 128

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        return pa.concat_tables(self._asked(cfg, params, rules) for rules in ("seen", "unseen"))

    def _asked(self, cfg: LM, params: dict, rules: str) -> pa.Table:
        records, slices = self.corpus.questions(self.items, unseen=rules == "unseen")
        language, noop = slices["language"], slices["noop"]
        known = dict(rules=rules, language=language, noop=noop, item=slices["rule"])
        probe = completion(records, self.corpus.tokenizer, **known)
        string = probe.prompts[:, -1 - self.corpus.length : -1]  # before the mark that ends it
        steps = max(probe.answers.shape[1], self.corpus.length) + 1
        said = decoded(cfg, params, probe.prompts, probe.lengths, steps)
        is_said = lambda a: (said == np.pad(a, ((0, 0), (0, steps - a.shape[1])))).all(1)
        log_p = lambda a: answer_logprobs(cfg, params, probe.prompts, probe.lengths, a)
        return table(
            probe,
            self.corpus.tokenizer,
            said,
            exact=is_said(probe.answers),
            copied=is_said(string),
            log_odds=log_p(probe.answers) - log_p(string),
        )
