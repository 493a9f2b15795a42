"""Instruction following: decoded answers to list tasks in three bins, by language."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import tasks
from data.prompt import Prompt
from experiments import figure, report, stats
from experiments.measure.score import decoded, next_logprobs, table
from model.lm import LM
from train.rule import Rules

EARLY = 30  # steps of a tuning, where transfer peaks


@dataclasses.dataclass(frozen=True)
class Following:
    """Asks `items` questions of every task in a register, the same ones in both languages.

    `shots` answered examples stand before each, a soft `prompt` before all; `rules` adjust what is
    said.

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
    shots: int = 0
    prompt: Prompt | None = None
    rules: Rules | None = None

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = tasks(self.corpus, self.register, self.items, self.seed, self.shots)
        tokenizer = self.corpus.tokenizer
        if self.prompt:
            probe, tokenizer = self.prompt.before(probe, tokenizer)
        steps = probe.answers.shape[1] + 1
        said = decoded(cfg, params, probe.prompts, probe.lengths, steps, self.rules)
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
            steps, right, other = shares(stats.where(asked, tuned=tuned))
            panels[name] = (steps, right, other)
            ceilings[name] = shares(stats.where(asked, tuned=language))[1].mean(0)
    note = (
        "T1 tunes the quiz register that pretraining left mostly unanswered, T2 a chat wrapper it "
        "never saw. Answers are decoded greedily and must end. Dots are seeds. Items whose answers "
        "coincide in both languages are left out."
    )
    body = figure.three_bins(panels, ceilings)
    return report.Section(f"{title}: instruction following along the tuning", note, body)


def told(items: pa.Table) -> pa.Table:
    """The answers of this measure to items whose answers in the two languages differ."""
    return stats.where(items, measure="following", ambiguous="no")


def steps(items: pa.Table) -> list[int]:
    """The steps at which this measure was taken."""
    return sorted(set(stats.where(items, measure="following")["step"].to_pylist()))


def early(items: pa.Table) -> int:
    """The step at which transfer peaks, or the last one of those that items were answered at."""
    asked = steps(items)
    return EARLY if EARLY in asked else asked[-1]


def gains(step: int, **cell: object) -> list[dict[str, object]]:
    """The cells of `stats.ratio_of_gains` into L2: what tuning in L1 reaches there in so many
    steps, the base, and what tuning in L2 does."""
    ways = (("L1", step), ("L1", 0), ("L2", step))
    asked = {"measure": "following", "language": "L2"}
    return [asked | cell | {"tuned": tuned, "step": at} for tuned, at in ways]


def by_arm(items: pa.Table, value: str, column: str, arms: Sequence[object]) -> np.ndarray:
    """(seeds, arms) means of column `value` by the value of another."""
    return stats.matrix(items, value, *({column: arm} for arm in arms))


def share(items: pa.Table, value: str, **cell: object) -> float:
    """The mean over seeds of the means of column `value` in a cell."""
    return float(np.mean(stats.means(items, value, cell)))


def said(items: pa.Table, title: str, by: str = "tier") -> report.Section:
    """Real answers of the first seed to three tasks, by the value of a column, along the steps."""
    steps, values = (sorted(set(items[column].to_pylist())) for column in ("step", by))
    cells = [
        ({by: value, "steps": step, "task": task}, {by: value, "step": step, "task": task})
        for value, step, task in itertools.product(values, steps[::2], ("copy", "reverse", "swap"))
    ]
    note = "First seed. ∅ is an empty answer: the document ended, or another question began."
    return report.examples(items, cells, "right", f"{title}: what was said", note)


def shares(items: pa.Table) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Steps (N,), and the shares right and right in the other language, each (seeds, N)."""
    steps = sorted(set(items["step"].to_pylist()))
    right, other = (by_arm(items, metric, "step", steps) for metric in ("right", "other"))
    return steps, right, other
