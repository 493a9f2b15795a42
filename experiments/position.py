"""Positions: what an attention layer knows of order, for counting, lists and longer rows.

Question  Does a model with contextual positions count better than one with rotary ones? Does one
          without any do as well on lists? And which of them, and which recurrent mixers, still
          recall when rows are longer than those of training?

Design    One skeleton, trained from scratch on two texts. Lists: quiz questions of L1, all
          answered, of the six list tasks and of counting, parity and the k-th; those of 3 or 4
          words are held out, and asked. Recall: key-value pairs (data/recall.py) in rows of T,
          asked in rows of T, 2T and 4T with as many pairs: what grows is the distance from a pair
          to its query, filled with words that mean nothing. Arms: in softmax, rotary positions (Su
          et al. 2021), rotary on a quarter of the channels, over all frequencies (Black et al.
          2022; p-RoPE, Barbero et al. 2025, cuts the low ones instead), none, and CoPE (Golovneva
          et al. 2024, 2405.18719); GLA and RetNet.

Measures  following: the decoded answer is right and ends. associative: accuracy and log-odds
          against the row's other values. Both at the last step, at one learning rate for all arms
          (mqar sweeps it); recall beyond T is compared with what it was at T.

Run       python -m experiments.run position --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, 54 min; small: one GPU, not yet measured

Result    2026-11-27, 90f429d, toy, 5 seeds, 2 CPU cores, 3,241 s.
          A4 counting and parity: contextual minus rotary positions: -0.06 [-0.24, 0.08] EM,
            inconclusive.
          A4 list tasks: no positions minus rotary ones (equal within 0.1): 0.00 [-0.08, 0.07] EM,
            inconclusive.
          A4 list tasks: a quarter of the rotary channels minus all (equal within 0.1): 0.05 [-0.02,
            0.09] EM, inconclusive.
          A4 recall in rows of 64 after training on 16: rotary loses more than none: 0.07 [0.02,
            0.16] accuracy lost, inconclusive.
          A4 recall in rows of 64 after training on 16: rotary loses more than GLA: 0.23 [0.15,
            0.32] accuracy lost, inconclusive.
"""

import dataclasses
import itertools
from typing import Literal

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.mixture import Mixture
from data.recall import MQAR
from data.sample import label
from data.task import LISTS
from data.task.listing import Count, Kth, Parity
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.associative import Associative
from experiments.measure.following import Following
from experiments.stage import Stage, extent, seeds
from experiments.standard import corpus
from model.gla import GLA
from model.lm import LM
from model.mixer import Mixer
from model.retnet import RetNet
from model.softmax import Softmax
from train.recipe import AdamW, Cosine, Recipe

ROWS = ("A4",)
COST = {
    "toy": "2 CPU cores, 5 seeds: 54 min",
    "small": "one GPU, not yet measured",
}
ARMS: dict[str, Mixer] = {
    "rotary": Softmax(heads=2),
    "quarter rotary": Softmax(heads=2, rotary=0.25),
    "none": Softmax(heads=2, rotary=0.0),
    "cope": Softmax(heads=2, rotary=0.0, cope=16),
    "gla": GLA(heads=2, convolution=4),
    "retnet": RetNet(heads=2, convolution=4),
}
COUNTED = (Count(), Parity())
TASKS = (*LISTS, *COUNTED, Kth())
QUIZ = Mixture(facts=0, stories=0, quiz=1.0, answered=1.0, dictionary=0)
LONGER = (1, 2, 4)  # times the rows of training


@dataclasses.dataclass(frozen=True)
class Size:
    """The width of the models, and how long they read lists and pairs."""

    D: int
    lists: Recipe
    pairs: Recipe
    recall: MQAR


SIZES = {
    "smoke": Size(
        D=32,
        lists=Recipe(steps=6, batch=4, schedule=Cosine(warmup=2)),
        pairs=Recipe(steps=6, batch=4, schedule=Cosine(warmup=2)),
        recall=MQAR(pairs=2, vocabulary=16, T=8),
    ),
    "toy": Size(
        D=64,
        lists=Recipe(steps=800, batch=32),
        pairs=Recipe(steps=1000, batch=32),
        recall=MQAR(pairs=4, vocabulary=32, T=16),
    ),
    "small": Size(
        D=256,
        lists=Recipe(steps=6_000, batch=64, optimizer=AdamW(lr=1e-3)),
        pairs=Recipe(steps=12_000, batch=256, optimizer=AdamW(lr=1e-3)),
        recall=MQAR(pairs=8, vocabulary=8192, T=64),
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment. The mixers are its arms."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)


def lists(size: str, seed: int) -> Corpus:
    """Quiz questions of L1, all answered."""
    of = standard.SIZES[size]
    world = dataclasses.replace(of.world, tasks=TASKS)
    text = corpus(dataclasses.replace(of, world=world, T=64), seed, mixture=QUIZ)
    return dataclasses.replace(text, ratio=0.0)


def stages(settings: Settings) -> list[Stage]:
    """Two models from scratch of every seed and arm: one reads lists, one pairs."""
    size, found = SIZES[settings.size], []
    for seed, (arm, mixer) in itertools.product(seeds(settings.seeds), ARMS.items()):
        read = lists(settings.size, seed)
        pairs = dataclasses.replace(size.recall, seed=seed)
        longer = [dataclasses.replace(pairs, T=pairs.T * times) for times in LONGER]
        for name, text, recipe, measures in (
            ("lists", read, size.lists, (Following(read, "quiz"),)),
            ("recall", pairs, size.pairs, tuple(map(Associative, longer))),
        ):
            found.append(Stage(
                model=LM(W=text.tokenizer.size, D=size.D, layers=2, mixer=mixer),
                corpus=text,
                recipe=dataclasses.replace(recipe, seed=seed),
                measures=measures,
                at=(recipe.steps,),
                labels=(("text", name), ("arm", arm), ("seed", seed)),
            ))  # fmt: skip
    return found


def _asked(items: pa.Table) -> pa.Table:
    """The lists, asked in L1, which alone was read."""
    return stats.where(items, text="lists", language="L1")


def lost(means: np.ndarray) -> np.ndarray:
    """Of arms a, b at T and a, b at 4T, (draws, 4): what a loses minus what b loses.

    >>> lost(np.array([[1.0, 0.9, 0.2, 0.8]])).round(2)
    array([0.7])
    """
    return (means[:, 0] - means[:, 2]) - (means[:, 1] - means[:, 3])


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    listed = _asked(results.items)
    counted = listed.filter(np.isin(listed["task"].to_pylist(), [label(t) for t in COUNTED]))
    of_lists = listed.filter(np.isin(listed["task"].to_pylist(), [label(t) for t in LISTS]))
    lengths = sorted(set(stats.where(results.items, text="recall")["length"].to_pylist()))
    near, far = lengths[0], lengths[-1]
    contrast = lambda items, *arms: stats.contrast(items, "right", *({"arm": arm} for arm in arms))
    at = lambda arm, T: dict(text="recall", arm=arm, length=T)
    longer = lambda a, b: stats.contrast(
        results.items, "exact", at(a, near), at(b, near), at(a, far), at(b, far), of=lost
    )
    return [
        Claim(
            row="A4",
            claim="counting and parity: contextual minus rotary positions",
            unit="EM",
            estimate=contrast(counted, "cope", "rotary"),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="Golovneva et al. 2024: CoPE counts where rotary fails",
        ),
        Claim(
            row="A4",
            claim="list tasks: no positions minus rotary ones (equal within 0.1)",
            unit="EM",
            estimate=contrast(of_lists, "none", "rotary"),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=0.0,
            reference_source="Kazemnejad et al. 2023: a causal mask tells the order",
        ),
        Claim(
            row="A4",
            claim="list tasks: a quarter of the rotary channels minus all (equal within 0.1)",
            unit="EM",
            estimate=contrast(of_lists, "quarter rotary", "rotary"),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=0.0,
            reference_source="Black et al. 2022: a quarter of the channels will do; Barbero et al. "
            "2025: the low frequencies can be dropped",
        ),
        Claim(
            row="A4",
            claim=f"recall in rows of {far} after training on {near}: rotary loses more than none",
            unit="accuracy lost",
            estimate=longer("rotary", "none"),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="Kazemnejad et al. 2023: no positions extrapolate",
        ),
        Claim(
            row="A4",
            claim=f"recall in rows of {far} after training on {near}: rotary loses more than GLA",
            unit="accuracy lost",
            estimate=longer("rotary", "gla"),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="Yang et al. 2024: GLA and RetNet extrapolate, rotary does not",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """Lists by task, recall by length, a few answers."""
    listed = _asked(results.items)
    panels = {
        task.strip("()").lower(): {
            arm: (stats.means(listed, "right", dict(arm=arm, task=task)),
                  True)
            for arm in ARMS
        }
        for task in map(label, TASKS)
    }  # fmt: skip
    note = "Asked in L1; lists of 3 or 4 words are held out of training. One dot a seed."
    body = figure.dots(panels, "exact match", limits=(-0.05, 1.05))
    found = [report.Section("Lists by task and positions", note, body)]
    recall = stats.where(results.items, text="recall")
    lengths = sorted(set(recall["length"].to_pylist()))
    for value, name, chance in (("exact", "accuracy", None), ("log_odds", "log-odds, nats", 0.0)):
        panels = {
            f"rows of {T}": {
                arm: (stats.means(recall, value, dict(arm=arm, length=T)),
                      lengths[0] == T)
                for arm in ARMS
            }
            for T in lengths
        }  # fmt: skip
        note = "Filled: the length of training; hollow: longer. As many pairs in each."
        body = figure.dots(panels, name, chance)
        found.append(report.Section(f"Recall in longer rows: {name}", note, body))
    return [*found, _answers(listed)]


def _answers(listed: pa.Table) -> report.Section:
    shown = itertools.product(("rotary", "cope", "gla"), ("swap", label(Count())))
    cells = [(cell, cell) for cell in (dict(arm=arm, task=task) for arm, task in shown)]
    return report.examples(listed, cells, "right", "What was asked and said", "First seed.")
