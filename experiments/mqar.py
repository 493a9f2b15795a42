"""Multi-query associative recall: does a mixer find the value of a key within the row?

Question  Rows list key-value pairs and then ask for every key (Zoology's layout, Arora et al. 2023,
          2312.04927; data/recall.py). How many pairs does each mixer recall, and does a recurrent
          one recall more with a larger state? In-context questions mean nothing to a mixer that
          cannot do this.

Design    Every model is trained from scratch on rows of one number of pairs. The size of the state
          is set by the number of heads, which hardly changes the number of parameters. Each mixer
          has its own sweep of learning rates, up to Zoology's highest, since recurrent mixers learn
          recall in a narrow window of them: the best rate is chosen on one set of unseen rows and
          reported on another. Arms: softmax; GLA with a large and a small state, and without the
          short convolution that brings a key beside its value; RetNet, whose decay is fixed; Mamba.
          Recurrent mixers have convolutions of 4 unless said otherwise. Controls: softmax recalls,
          so the rows can be learned; no arm does better at an end of the sweep than within it, so
          no best rate is cut off. (The first run swept from 0.003 on, where softmax and Mamba were
          best: the control failed, and the two rates below were added.)

Measures  associative: accuracy, the value being the most probable of all tokens; and log-odds
          against the row's other values, which are zero for a model that knows which values the row
          has but not their keys.

Run       python -m experiments.run mqar --size toy --seeds 5
Cost      toy: 1 CPU core, 5 seeds, 150 trainings, 46 min; small: one
          GPU, 4 to 16 pairs in 64 tokens; in Zoology: to 64 pairs in 256 tokens, widths 64 to 512.
          The toy has 4 pairs in 16 tokens of 32 words, all that a CPU teaches: it says nothing of
          more, and the number of pairs is swept from small on

Result    2026-11-27, 143fb18, toy, 5 seeds, 1 CPU core, 1,401 s.
          A3 softmax minus RetNet, 4 pairs: -0.11 [-0.31, -0.00] accuracy, inconclusive.
          A3 GLA minus RetNet, whose decay is fixed, 4 pairs: -0.01 [-0.02, 0.00] accuracy,
            inconclusive.
          A3 GLA, large minus small state, 4 pairs: 0.27 [0.18, 0.32] accuracy, reproduced.
          A3 GLA with minus without the short convolution, 4 pairs: 0.41 [0.37, 0.43] accuracy,
            reproduced.
          A3 best minus worst learning rate (0.0003 to 0.03), GLA minus softmax, 4 pairs: 0.17
            [0.07, 0.36] accuracy, inconclusive.
          A3 control: softmax recalls 4 pairs, so they can be learned from these rows: 0.89 [0.69,
            1.00] accuracy, inconclusive.
          A3 control: of no arm is an end of the sweep better than all within it: the least lead of
            what is within, 4 pairs (slack 0.02): 0.00 [-0.01, 0.00] accuracy, reproduced.
"""

import dataclasses
import itertools
from typing import Literal

import jax
import numpy as np
import pyarrow as pa

from data.recall import MQAR
from experiments import figure, report, stats
from experiments.claim import Claim, above, below
from experiments.measure.associative import Associative
from experiments.stage import Stage, extent, seeds
from model.gla import GLA
from model.lm import LM, fresh
from model.mamba import Mamba
from model.mixer import Mixer
from model.retnet import RetNet
from model.softmax import Softmax
from train.recipe import AdamW, Cosine, Recipe

ROWS = ("A3",)
COST = {
    "toy": "1 CPU core, 5 seeds, all mixers: 46 min",
    "small": "one GPU: about an hour a seed, not yet measured",
}
ARMS: dict[str, Mixer] = {
    "softmax": Softmax(heads=2),
    "gla": GLA(heads=2, convolution=4),
    "gla, small state": GLA(heads=16, convolution=4),
    "gla, no convolution": GLA(heads=2),
    "retnet": RetNet(heads=2, convolution=4),
    "mamba": Mamba(state=16),
}


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers of pairs, the rows they are in, the width of the models, and how they train."""

    pairs: tuple[int, ...]
    text: MQAR
    D: int
    recipe: Recipe
    rates: tuple[float, ...]


SIZES = {
    "smoke": Size(
        pairs=(2, 4),
        text=MQAR(vocabulary=16, T=16),
        D=32,
        recipe=Recipe(steps=4, batch=4, schedule=Cosine(warmup=1)),
        rates=(1e-3, 3e-3, 1e-2),
    ),
    "toy": Size(
        pairs=(4,),
        text=MQAR(vocabulary=32, T=16),
        D=64,
        recipe=Recipe(steps=800, batch=32),
        rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    ),
    "small": Size(
        pairs=(4, 8, 16),
        text=MQAR(vocabulary=8192, T=64),
        D=64,
        recipe=Recipe(steps=12_000, batch=256),
        rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    ),
}
LAYERS = 2  # as in Zoology: one can bring a key beside its value, the next recall


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment. The mixers are its arms."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)


def stages(settings: Settings) -> list[Stage]:
    """A model from scratch of every seed, arm, number of pairs and learning rate."""
    size, found = SIZES[settings.size], []
    for seed, (arm, mixer) in itertools.product(seeds(settings.seeds), ARMS.items()):
        cfg = LM(W=size.text.vocabulary, D=size.D, layers=LAYERS, mixer=mixer)
        for pairs, lr in itertools.product(size.pairs, size.rates):
            text = dataclasses.replace(size.text, pairs=pairs, seed=seed)
            labels = dict(arm=arm, state=carried(cfg, text.T), pairs=pairs, rate=f"{lr:g}")
            found.append(Stage(
                model=cfg,
                corpus=text,
                recipe=dataclasses.replace(size.recipe, optimizer=AdamW(lr=lr), seed=seed),
                measures=(Associative(text),),
                at=(size.recipe.steps,),
                labels=(*labels.items(), ("seed", seed)),
            ))  # fmt: skip
    return found


def preview() -> MQAR:
    """What `python -m data.preview mqar` shows."""
    return SIZES["toy"].text


def carried(cfg: LM, T: int) -> int:
    """How many numbers a layer carries of one row of T tokens: the memory of a recurrent mixer with
    the inputs that its convolution waits with, or the keys and values of all tokens."""
    state = jax.eval_shape(lambda: fresh(cfg, 1, T))[0]
    return sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim > 2)


def best(items: pa.Table) -> pa.Table:
    """The rows to report: of each arm and number of pairs, those at the learning rate whose mean
    accuracy over seeds is the highest on the rows to choose by."""
    chosen = stats.where(items, split="choose")
    means = chosen.group_by(["arm", "pairs", "rate"]).aggregate([("exact", "mean")])
    top: dict[tuple[str, int], dict] = {}
    for row in sorted(means.to_pylist(), key=lambda r: (r["exact_mean"], float(r["rate"]))):
        top[row["arm"], row["pairs"]] = row  # the highest comes last, of equals the highest rate
    reported = [
        stats.where(items, split="report", arm=arm, pairs=pairs, rate=row["rate"])
        for (arm, pairs), row in top.items()
    ]
    return pa.concat_tables(reported)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. Accuracy is that of the most pairs, at each arm's best rate."""
    most = max(results.items["pairs"].to_pylist())
    items = stats.where(best(results.items), pairs=most)
    every = stats.where(results.items, pairs=most, split="report")
    rates = sorted(set(every["rate"].to_pylist()), key=float)
    swept = lambda *names: [{"arm": name, "rate": rate} for name in names for rate in rates]
    contrast = lambda claim, more, fewer, source: Claim(
        row="A3",
        claim=f"{claim}, {most} pairs",
        unit="accuracy",
        estimate=stats.contrast(items, "exact", {"arm": more}, {"arm": fewer}),
        reproduced=above(0.05),
        opposite=below(-0.05),
        reference=None,
        reference_source=source,
    )
    return [
        contrast("softmax minus RetNet", "softmax", "retnet",
                 "Arora et al. 2023: recall is where linear attention loses"),
        contrast("GLA minus RetNet, whose decay is fixed", "gla", "retnet",
                 "Yang et al. 2024, MQAR: GLA above RetNet"),
        contrast("GLA, large minus small state", "gla", "gla, small state",
                 "Arora et al. 2023: pairs recalled grow with the state"),
        contrast("GLA with minus without the short convolution", "gla", "gla, no convolution",
                 "2505.15105: recall of recurrent mixers rests on the convolution"),
        Claim(
            row="A3",
            claim=f"best minus worst learning rate ({rates[0]} to {rates[-1]}), GLA minus softmax, "
            f"{most} pairs",
            unit="accuracy",
            estimate=stats.contrast(every, "exact", *swept("gla", "softmax"), of=window),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="2508.19029: recurrent mixers learn recall in a narrow window",
        ),
        Claim(
            row="A3",
            claim=f"control: softmax recalls {most} pairs, so they can be learned from these rows",
            unit="accuracy",
            estimate=stats.contrast(items, "exact", {"arm": "softmax"}),
            reproduced=above(0.9),
            opposite=below(0.5),
            reference=None,
            reference_source="UOR-Foundation/uor-r4, issue 1049: Zoology's softmax, 4 pairs in 64 "
            "tokens, 0.992",
        ),
        Claim(
            row="A3",
            claim="control: of no arm is an end of the sweep better than all within it: the least "
            f"lead of what is within, {most} pairs (slack 0.02)",
            unit="accuracy",
            estimate=stats.contrast(every, "exact", *swept(*ARMS), of=stats.lead(len(rates))),
            reproduced=above(-0.02),
            opposite=below(-0.02),
            reference=None,
            reference_source="a best rate at an end may not be the best there is",
        ),
    ]  # fmt: skip


def window(means: np.ndarray) -> np.ndarray:
    """Best minus worst of the first half of the arms, minus that of the second: (draws, 2N).

    >>> window(np.array([[0.2, 0.9, 0.5, 0.9, 1.0, 0.95]])).round(2)
    array([0.6])
    """
    first, second = np.split(means, 2, axis=1)
    return np.ptp(first, axis=1) - np.ptp(second, axis=1)


def sections(results: report.Results) -> list[report.Section]:
    """Accuracy at the best rate, along the rates, and in numbers."""
    every = stats.where(results.items, split="report")
    chosen = best(results.items)
    pairs = sorted(set(every["pairs"].to_pylist()))
    rates = sorted(set(every["rate"].to_pylist()), key=float)
    means = lambda items, value, cell: stats.means(items, value, cell)
    found = []
    for value, name, chance in (("exact", "accuracy", None), ("log_odds", "log-odds, nats", 0.0)):
        panels = {
            f"{n} pairs": {
                arm: (means(chosen, value, {"arm": arm, "pairs": n}), arm != "softmax")
                for arm in ARMS
            }
            for n in pairs
        }
        note = (
            "At each arm's best learning rate, on other rows than those it was chosen by. One dot "
            "a seed. Who knows the row's values but not their keys is right once in the number of "
            "pairs. Hollow: softmax, which keeps every token."
        )
        body = figure.dots(panels, name, chance)
        found.append(report.Section(f"Recall by mixer and pairs: {name}", note, body))
    panels = {
        arm: {
            rate: (means(every, "exact", {"arm": arm, "pairs": pairs[-1], "rate": rate}), True)
            for rate in rates
        }
        for arm in ARMS
    }
    note = (
        f"{pairs[-1]} pairs; rows are learning rates. Where the best is the first or the last of "
        "them, a better one may lie beyond."
    )
    body = figure.dots(panels, "accuracy", limits=(-0.05, 1.05))
    found.append(report.Section("The window of learning rates", note, body))
    return [*found, _numbers(chosen, rates)]


def _numbers(chosen: pa.Table, rates: list[str]) -> report.Section:
    rows = []
    kinds = chosen.group_by(["arm", "state", "pairs", "rate"], use_threads=False)
    for row in kinds.aggregate([("exact", "mean"), ("log_odds", "mean")]).to_pylist():
        rows.append({"arm": row["arm"], "numbers a layer carries": row["state"],
                     "pairs": row["pairs"], "best rate": row["rate"],
                     "at an end": "yes" if row["rate"] in (rates[0], rates[-1]) else "no",
                     "accuracy": row["exact_mean"], "log-odds": row["log_odds_mean"]})  # fmt: skip
    rows.sort(key=lambda row: (list(ARMS).index(row["arm"]), row["pairs"]))
    note = "Means over seeds."
    return report.Section("The same in numbers", note, report.table(rows))
