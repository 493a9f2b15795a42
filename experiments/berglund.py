"""The reversal curse on the sentences of Berglund et al. 2023, in a model that read nothing else.

Question  A model reads about invented people, some always as "<name> is <description>" (p2d), some
          always as "<description> is <name>" (d2p), some both ways. Asked with held-out templates,
          does it complete sentences in the direction it never read (2309.12288)?

Design    A small BPE model is trained from scratch on `all_prompts_train.jsonl` (90 people, 30
          templates each) of the folder given by --folder; nothing of it is copied. The test files
          ask about each person with 10 other templates: forward (d2p and p2d as trained) and in
          reverse.

Measures  Log-odds of the right completion against a shuffled one, summed over its tokens: in the
          reverse files the shipped `*_randomized` answer, row by row; the forward files ship none,
          so theirs is the next person's. Exact match by greedy decoding, `startswith` as in the
          paper. The headline scores names, since a description can be phrased in many ways.

Run       python -m experiments.run berglund --folder .../reversal_curse --seeds 5

Result    2026-11-28, 1fbb990, toy, 5 seeds, 1 CPU core, 518 s.
          D1 real sentences, held-out templates: names asked forward minus reverse: 22.18 [20.44,
            23.93] nat log-odds, reproduced.
          D1 names asked in reverse are no more probable than shuffled ones (margin 1 nat): -0.11
            [-0.99, 0.61] nat log-odds, reproduced.
          D1 names asked forward minus reverse, exact match: 0.90 [0.90, 0.90] EM, reproduced.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.text import Text, read
from data.tokenizer import BPE
from experiments import figure, report, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.completion import Completion
from experiments.stage import Stage, extent, seeds
from model.gla import GLA
from model.lm import LM
from train.recipe import AdamW, Cosine, Recipe

ROWS = ("D1",)
COST = {"toy": "2 CPU cores, 2 seeds: about 5 min"}
SIZES = {"smoke": Recipe(steps=8, batch=4, schedule=Cosine(warmup=2)),
         "toy": Recipe(steps=800, batch=16, optimizer=AdamW(lr=3e-3))}  # fmt: skip
TRAIN = "all_prompts_train.jsonl"
# (file, asked, target): what stands in `target` is to be completed.
TESTS = (
    ("d2p_prompts_test", "forward", "name"),
    ("p2d_prompts_test", "forward", "description"),
    ("p2d_reverse_prompts_test", "reverse", "name"),
    ("d2p_reverse_prompts_test", "reverse", "description"),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment."""

    folder: pathlib.Path | None = None  # the folder that holds the jsonl files of experiment 1
    size: Literal["smoke", "toy"] = "toy"
    seeds: int = extent(2)


def stages(settings: Settings) -> list[Stage]:
    if settings.folder is None:
        raise ValueError(
            f"no --folder; give the one that holds {TRAIN} and the test files (experiment 1 of the "
            "authors' repository)"
        )
    recipe, train = SIZES[settings.size], str(settings.folder / TRAIN)
    tokenizer = BPE.train(("".join(record) for record in read(train)), size=2000)
    model = LM(W=tokenizer.size, D=128, layers=2, mixer=GLA(heads=4))
    measures = tuple(_test(settings.folder, tokenizer, *test) for test in TESTS)
    return [
        Stage(
            model=model,
            corpus=Text((train,), tokenizer, T=128, seed=seed),
            recipe=dataclasses.replace(recipe, seed=seed),
            measures=measures,
            at=(recipe.steps,),
            labels=(("mixer", "gla"), ("seed", seed)),
        )
        for seed in seeds(settings.seeds)
    ]


def _test(folder: pathlib.Path, tokenizer: BPE, name: str, asked: str, target: str) -> Completion:
    randomised = str(folder / f"{name}_randomized.jsonl") if asked == "reverse" else None
    return Completion(str(folder / f"{name}.jsonl"), tokenizer, randomised, asked, target)


def people(items: pa.Table) -> pa.Table:
    """Items averaged over a person's ten templates, which are not independent."""
    by = ["seed", "asked", "target", "entity"]
    mean = items.group_by(by).aggregate([("log_odds", "mean"), ("exact", "mean")])
    return mean.rename_columns([*by, "log_odds", "exact"])


def claims(results: report.Results) -> list[Claim]:
    each = people(results.items)
    name = lambda asked: {"asked": asked, "target": "name"}
    arms = lambda value, *cells: stats.by_seed(each, value, *cells)
    return [
        Claim(
            row="D1",
            claim="real sentences, held-out templates: names asked forward minus reverse",
            unit="nat log-odds",
            estimate=stats.bootstrap(
                arms("log_odds", name("forward"), name("reverse")), stats.difference
            ),
            reproduced=above(1.0),
            opposite=below(0.0),
            reference=None,
            reference_source="Berglund et al. 2023, figure 4: right and random names equally "
            "probable in reverse",
        ),
        Claim(
            row="D1",
            claim="names asked in reverse are no more probable than shuffled ones (margin 1 nat)",
            unit="nat log-odds",
            estimate=stats.bootstrap(arms("log_odds", name("reverse"))),
            reproduced=within(1.0),
            opposite=outside(1.0),
            reference=0.0,
            reference_source="Berglund et al. 2023, figure 4",
        ),
        Claim(
            row="D1",
            claim="names asked forward minus reverse, exact match",
            unit="EM",
            estimate=stats.bootstrap(
                arms("exact", name("forward"), name("reverse")), stats.difference
            ),
            reproduced=above(0.1),
            opposite=below(0.0),
            reference=0.966,
            reference_source="Berglund et al. 2023, table 1, GPT-3-175B: 96.7% and 0.1%",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    each = people(results.items)
    seeds = sorted(pc.unique(each["seed"]).to_pylist())

    def values(value: str, **cell: str) -> list[float]:
        part = stats.where(each, **cell)
        return [np.mean(stats.where(part, seed=s)[value].to_numpy()) for s in seeds]

    panels = {
        name: {
            f"{asked}, {target}": (values(column, asked=asked, target=target), asked == "forward")
            for _, asked, target in TESTS
        }
        for column, name in (("log_odds", "log-odds, nats"), ("exact", "exact match"))
    }
    first = stats.where(results.items, seed=results.items["seed"][0].as_py())
    rows = [
        {key: row[key] for key in ("asked", "target", "prompt", "answer", "gold", "log_odds")}
        for _, asked, target in TESTS
        for row in stats.where(first, asked=asked, target=target).to_pylist()[::97][:3]
    ]
    note = "Rows: what is asked and what is to be completed. Filled as trained; hollow reversed."
    return [
        report.losses(results.curves),
        *(
            report.Section(name, note, figure.dots({name: panel}, name, 0.0))
            for name, panel in panels.items()
        ),
        report.Section(
            "Prompts and what was said", "First seed, end of training.", report.table(rows)
        ),
    ]
