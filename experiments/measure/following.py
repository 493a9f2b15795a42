"""Instruction following: decoded answers to list tasks in three bins, by language."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import tasks
from experiments import figure, report, stats
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
        openers = [probe.openers[f"answer {language}"] for language in ("L1", "L2")]
        nouns = np.unique(np.concatenate(openers))
        mode = first[:, nouns].sum(1)
        wrong = ~right & ~other
        return table(probe, tokenizer, said, right=right, other=other, wrong=wrong, mode=mode)


def transfer(items: pa.Table, title: str, tuned: str) -> report.Section:
    """The three bins along the tuning in `tuned`, by tier and language, below their ceilings."""
    panels, ceilings = {}, {}
    for tier in sorted(set(items["tier"].to_pylist())):
        for language in sorted(set(items["language"].to_pylist())):
            asked = stats.where(items, tier=tier, language=language)
            name = f"{tier}: tuned {tuned}, asked {language}"
            steps, right, other = _shares(stats.where(asked, tuned=tuned))
            panels[name] = (steps, right, other)
            ceilings[name] = _shares(stats.where(asked, tuned=language))[1].mean(0)
    note = (
        "T1 tunes the quiz register that pretraining left mostly unanswered, T2 a chat wrapper it "
        "never saw. Answers are decoded greedily and must end. Dots are seeds. Items whose answers "
        "coincide in both languages are left out."
    )
    body = figure.three_bins(panels, ceilings)
    return report.Section(f"{title}: instruction following along the tuning", note, body)


def _shares(items: pa.Table) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Steps (N,), and the shares right and right in the other language, each (seeds, N)."""
    steps = sorted(set(items["step"].to_pylist()))
    arms = [{"step": step} for step in steps]
    share = lambda metric: np.array(
        [[cell.mean() for cell in cells] for cells in stats.by_seed(items, metric, *arms)]
    )
    return steps, share("right"), share("other")
