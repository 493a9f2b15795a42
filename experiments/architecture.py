"""Architecture: the mixers on one skeleton, at equal parameters, each at its best learning rate.

Question  The same bilingual corpus, the same skeleton, as many parameters: what does the token
          mixer change in the loss of either language, and in the recall of facts?

Design    GLA, softmax with rotary positions (a LLaMA-style Transformer), RetNet and Mamba, twins of
          one another (model/preset.py): feed-forward layers make up for what a mixer has more or
          fewer. Each has its own sweep of learning rates, since recurrent mixers take to fewer of
          them; its rate is the one with the lowest mean loss over seeds and both languages on every
          other unseen document, and losses are reported on the rest. Corpus, order of rows and
          world are the standard ones, the same for all of a seed.

Measures  loss: nats a token of unseen rows, by language. recall: exact match and log-odds of facts
          by completion, of those stated both ways in both languages (G0).

Run       python -m experiments.run architecture --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, about 90 min (estimated), at width 64; small: one GPU, half a
          day a seed; full: 340M and 1.3B parameters on 15B and 100B tokens, as in the paper

Result    not yet run
"""

import dataclasses
import itertools
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from experiments import figure, report, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.loss import Loss
from experiments.measure.recall import Recall
from experiments.stage import Stage, extent, seeds
from experiments.standard import LANGUAGES, MIXERS, SIZES, corpus
from model.lm import LM
from model.preset import twin

ROWS = ("A2",)
COST = {
    "toy": "2 CPU cores, 5 seeds, all mixers: about 90 min (estimated)",
    "small": "one GPU: half a day a seed, not yet measured",
}
WIDTHS = {"smoke": 32, "toy": 64, "small": 512}
RATES = {
    "smoke": (3e-3, 6e-3),
    "toy": (1.5e-3, 3e-3, 6e-3),
    "small": (3e-4, 1e-3, 3e-3),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment. The mixers are its arms."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)


def stages(settings: Settings) -> list[Stage]:
    """A model from scratch of every seed, mixer and learning rate."""
    size, found = SIZES[settings.size], []
    for seed in seeds(settings.seeds):
        text = corpus(size, seed)
        W, D = text.tokenizer.size, WIDTHS[settings.size]
        gla = LM(W=W, D=D, layers=size.layers, mixer=MIXERS["gla"])
        for (mixer, own), lr in itertools.product(MIXERS.items(), RATES[settings.size]):
            optimizer = dataclasses.replace(size.pretrain.optimizer, lr=lr)
            found.append(Stage(
                model=twin(gla, own),
                corpus=text,
                recipe=dataclasses.replace(size.pretrain, optimizer=optimizer, seed=seed),
                measures=(Loss(text), Recall(text)),
                at=(size.pretrain.steps,),
                labels=(("mixer", mixer), ("rate", f"{lr:g}"), ("seed", seed)),
            ))  # fmt: skip
    return found


def halves(items: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The losses to choose a rate by, those of every other document; and what is reported."""
    even = pc.equal(pc.bit_wise_and(items["item"], 1), 0)
    chooses = pc.and_kleene(pc.equal(items["measure"], "loss"), even)  # facts are not numbered
    return items.filter(chooses), items.filter(pc.invert(chooses))


def best(losses: pa.Table) -> dict[str, str]:
    """Of each mixer, the rate with the lowest mean loss."""
    rows = losses.group_by(["mixer", "rate"]).aggregate([("loss", "mean")]).to_pylist()
    rows.sort(key=lambda row: -row["loss_mean"])  # the lowest comes last
    return {row["mixer"]: row["rate"] for row in rows}


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; every mixer at its best rate."""
    choose, items = halves(results.items)
    rate = best(choose)
    lost = lambda mixer, language: dict(
        measure="loss", mixer=mixer, rate=rate[mixer], language=language
    )
    known = lambda mixer: dict(
        measure="recall", mixer=mixer, rate=rate[mixer], relation="parent", group="G0"
    )
    # The documents are the same for all mixers, so what differs is taken of each.
    paired = lambda value, a, b: stats.bootstrap(
        [(one - two,) for one, two in stats.by_seed(items, value, a, b)]
    )
    table = "Yang et al. 2024, table 2"
    equal = lambda a, b, language, source: Claim(
        row="A2",
        claim=f"loss in {language}, {a} minus {b} (equal within 0.05)",
        unit="nats a token",
        estimate=paired("loss", lost(a, language), lost(b, language)),
        reproduced=within(0.05),
        opposite=outside(0.05),
        reference=0.0,
        reference_source=source,
    )
    return [
        *(equal("gla", "softmax", l, f"{table}: near Transformer++") for l in LANGUAGES),
        equal("gla", "mamba", "L1", f"{table}: near Mamba"),
        Claim(
            row="A2",
            claim="loss in L1, retnet minus gla: a decay that sees the data is worth something",
            unit="nats a token",
            estimate=paired("loss", lost("retnet", "L1"), lost("gla", "L1")),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=None,
            reference_source=f"{table}: RetNet behind GLA",
        ),
        *(
            Claim(
                row="A2",
                claim=f"facts stated both ways, all cells, gla minus {other} (equal within 0.05)",
                unit="EM",
                estimate=paired("exact", known("gla"), known(other)),
                reproduced=within(0.05),
                opposite=outside(0.05),
                reference=0.0,
                reference_source="facts are stored in weights, of which there are as many",
            )
            for other in ("softmax", "retnet")
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """Loss and recall at the best rates, then along the rates."""
    choose, items = halves(results.items)
    rate = best(choose)
    mean = lambda value, cell: stats.means(items, value, cell)
    at_best = lambda value, **cell: {
        mixer: (mean(value, dict(mixer=mixer, rate=rate[mixer], **cell)), True) for mixer in rate
    }
    note = "Every mixer at its best learning rate, as many parameters. One dot a seed."
    losses = {f"loss, {l}": at_best("loss", measure="loss", language=l) for l in LANGUAGES}
    facts = dict(measure="recall", relation="parent", group="G0")
    known = {f"recall, {l}": at_best("exact", language=l, **facts) for l in LANGUAGES}
    rates = sorted(set(items["rate"].to_pylist()), key=float)
    swept = {
        mixer: {r: (mean("loss", dict(measure="loss", mixer=mixer, rate=r)), r == rate[mixer])
                for r in rates}
        for mixer in rate
    }  # fmt: skip
    return [
        report.losses(results.curves, line=("rate",), panel="mixer"),
        report.Section("Loss by language", note, figure.dots(losses, "nats a token")),
        report.Section("Facts stated both ways", note, figure.dots(known, "exact match")),
        report.Section("The sweep of rates", "Filled: the best.", figure.dots(swept, "loss")),
    ]
