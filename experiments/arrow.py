"""The arrow of time: is a text harder to predict from its end, and does word order turn the arrow?

Question  Language models lose less forward than backward, although a text has the same probability
          in both directions (Papadopoulos et al. 2024, 2401.17505). Is that a matter of word order,
          or of what is computed? A head-final language is the mirror of a head-initial one: an
          effect of phrases should change its sign between the two, one of documents should not.

Design    The same corpus is read forward, and with the tokens of every document in reverse; model,
          seed, rows and recipe are the same. Half of it is in L2 and half in L3, twins of L1 with
          words of their own and with agreement. L3 has every switch of head direction the other
          way: each of its plain sentences is one of L2 read backward, in other words. Their
          difference is the local effect. Stories of list tasks say the answer after the question in
          both: a document's own order, which no switch turns, the global effect. Control: `p × q =
          n` (data/product.py), a multiplication forward and a factorisation backward, of equal
          entropy.

Measures  loss: nats a token of unseen rows, by language and register; excess: for products, the
          loss above the entropy. The arrow is backward minus forward.

Run       python -m experiments.run arrow --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, one mixer, about 29 min (by FLOPs); small: one GPU, not yet
          measured; full: GPT-2 to 774M, ten languages (Papadopoulos et al. 2024)

Result    2026-11-27, fb96367, toy, 5 seeds, gla, 1 CPU core, 2,754 s.
          D5 gla: control, products: factorising is harder than multiplying: 0.04 [0.03, 0.04] nat a
            token, reproduced.
          D5 gla: plain sentences, arrow of L2 minus that of its mirror L3: it turns (beyond 0.01
            nat): 0.01 [0.00, 0.01] nat a token, inconclusive.
          D5 gla: their mean: what is local cancels (margin 0.01 nat): -0.00 [-0.00, 0.00] nat a
            token, reproduced.
          D5 gla: stories, mean arrow of both twins: answer after question is easier: 0.16 [0.12,
            0.19] nat a token, reproduced.
          D5 gla: and in both twins alike: arrow of L2 minus L3 (margin 0.03 nat): 0.05 [-0.01,
            0.13] nat a token, inconclusive.
"""

import dataclasses
import functools
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Agreement, Lexicon, PossessorFirst
from data.head import (
    AdjectiveLast,
    ComplementizerLast,
    ObjectsTurned,
    PlaceFirst,
    Postpositions,
    RelativeFirst,
    SubjectLast,
    VerbLast,
)
from data.language import Family
from data.mixture import Mixture
from data.product import Product
from data.reorder import ReverseTokens
from data.stream import Documented
from data.transform import Transformed
from data.world import Vocabulary
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import product
from experiments.measure.loss import Loss
from experiments.measure.product import Excess
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Settings, mixers, pretrained

ROWS = ("D5",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 29 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "GPT-2 to 774M, ten languages (Papadopoulos et al. 2024)",
}
HEADS = (SubjectLast(), VerbLast(), ComplementizerLast(), Postpositions(), AdjectiveLast(),
         RelativeFirst(), PlaceFirst(), ObjectsTurned(), PossessorFirst())  # fmt: skip
OWN = (Lexicon(0.0), Agreement("gender x number"))
TWINS = {"L2": OWN, "L3": (*OWN, *HEADS)}
MIXTURE = Mixture(facts=0.0, stories=1.0, quiz=0.0, plain=0.6, dictionary=0.0)
READ = ("forward", "backward")
KINDS = ("plain", "story")  # registers that show the local and the global effect
LIMITS = {"smoke": 30, "toy": 1_000, "small": 10_000}  # above the primes of a product


def corpus(size: standard.Size, seed: int) -> Corpus:
    """Plain sentences and stories in the two twins of a base that is never spoken itself."""
    text = standard.corpus(size, seed)
    family = Family(tuple(TWINS.values()), seed, text.pair.phonology)
    world = dataclasses.replace(text.world, vocabulary=Vocabulary(verbs=8))
    return dataclasses.replace(
        text, world=world, pair=family, mixture=MIXTURE, ratio=(0.0, 0.5, 0.5)
    )


def read(text: Corpus, way: str) -> Documented:
    """The corpus as it is written, or every document from its end."""
    return text if way == "forward" else Transformed(text, ReverseTokens(), share=1.0)


def stages(settings: Settings) -> list[Stage]:
    """Of every seed and mixer: the twins and the products, each read in both directions."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        times = Product(LIMITS[settings.size], T=size.T, seed=seed)
        for way in READ:
            text = read(corpus(size, seed), way)
            labels = {"read": way, "said": "sentences"}
            found.append(pretrained(size, mixer, seed, text, (Loss(text, rows=512),), **labels))
            back = way == "backward"
            asked, labels = (Excess(times, back),), {"read": way, "said": "products"}
            text = product.read(times, back)
            found.append(pretrained(size, mixer, seed, text, asked, **labels))
    return found


def preview() -> Corpus:
    """What `python -m data.preview arrow` shows: the twins, read forward."""
    return corpus(SIZES["toy"], seed=0)


def arrows(items: pa.Table) -> pa.Table:
    """`arrow` of every document, its loss read backward minus its loss read forward: both models
    are asked the same documents in the same rows, so their difference is taken one by one."""
    keys = ["mixer", "seed", "said", "item"]
    kinds = ["language", "register", "loss"]
    forward, backward = (stats.where(items, read=way).select([*keys, *kinds]) for way in READ)
    backward = backward.drop_columns(kinds[:2])
    both = forward.join(backward, keys, right_suffix=" backward", join_type="inner")
    return both.append_column("arrow", pc.subtract(both["loss backward"], both["loss"]))


def _together(means: np.ndarray) -> np.ndarray:
    """(draws, 2) -> (draws,): the mean of two arrows."""
    return means.mean(1)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    found, every = [], arrows(results.items)
    for mixer in pc.unique(every["mixer"]).to_pylist():
        found += _claims(stats.where(every, mixer=mixer), mixer)
    return found


def _claims(each: pa.Table, mixer: str) -> list[Claim]:
    arrow = functools.partial(stats.contrast, each, "arrow")
    local, whole = ([dict(language=twin, register=kind) for twin in TWINS] for kind in KINDS)
    return [
        Claim(
            row="D5",
            claim=f"{mixer}: control, products: factorising is harder than multiplying",
            unit="nat a token",
            estimate=arrow({"said": "products"}),
            reproduced=above(0.01),
            opposite=below(-0.01),
            reference=None,
            reference_source="Papadopoulos et al. 2024: positive",
        ),
        Claim(
            row="D5",
            claim=f"{mixer}: plain sentences, arrow of L2 minus that of its mirror L3: it turns "
            "(beyond 0.01 nat)",
            unit="nat a token",
            estimate=arrow(*local),
            reproduced=outside(0.01),
            opposite=within(0.01),
            reference=None,
            reference_source="new; local effects change their sign with the order of phrases",
        ),
        Claim(
            row="D5",
            claim=f"{mixer}: their mean: what is local cancels (margin 0.01 nat)",
            unit="nat a token",
            estimate=arrow(*local, of=_together),
            reproduced=within(0.01),
            opposite=outside(0.01),
            reference=0.0,
            reference_source="symmetry: one twin's sentences are the other's from their end",
        ),
        Claim(
            row="D5",
            claim=f"{mixer}: stories, mean arrow of both twins: answer after question is easier",
            unit="nat a token",
            estimate=arrow(*whole, of=_together),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=None,
            reference_source="Papadopoulos et al. 2024: forward is better in every language",
        ),
        Claim(
            row="D5",
            claim=f"{mixer}: and in both twins alike: arrow of L2 minus L3 (margin 0.03 nat)",
            unit="nat a token",
            estimate=arrow(*whole),
            reproduced=within(0.03),
            opposite=outside(0.03),
            reference=None,
            reference_source="new; global effects do not turn with the order of phrases",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """Losses on the way, the arrows, and the numbers behind them."""
    found = [report.losses(results.curves, line=("mixer", "read"), panel="said")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_arrows(arrows(items), mixer), _numbers(items, mixer)]
    return found


def _arrows(each: pa.Table, mixer: str) -> report.Section:
    rows = {
        f"{twin}, {kind}": (
            stats.means(each, "arrow", dict(language=twin, register=kind)),
            kind == "plain",
        )
        for twin, kind in itertools.product(TWINS, KINDS)
    }
    control = {"p × q = n": (stats.means(each, "arrow", {"said": "products"}), True)}
    note = (
        "Loss read backward minus loss read forward of the same documents, a dot a seed. Filled: "
        "plain sentences, whose L3 is the mirror of L2. Above 0, forward is easier."
    )
    panels = {"languages": rows, "control": control}
    body = figure.dots(panels, "nats a token", 0.0, meaning="no arrow")
    return report.Section(f"{mixer}: arrows", note, body)


def _numbers(items: pa.Table, mixer: str) -> report.Section:
    said = [{"said": "sentences", "language": twin, "register": kind}
            for twin, kind in itertools.product(TWINS, KINDS)]  # fmt: skip
    rows, products = [], {"said": "products"}
    for cell, way in itertools.product([products, *said], READ):
        row = {name: cell.get(name) for name in ("said", "language", "register")} | {"read": way}
        row["loss"] = float(np.mean(stats.means(items, "loss", cell | {"read": way})))
        if cell == products:
            row["excess"] = float(np.mean(stats.means(items, "excess", cell | {"read": way})))
        rows.append(row)
    note = "Nats a token, means over seeds. Excess: above the entropy, known of products alone."
    return report.Section(f"{mixer}: losses", note, report.table(rows))
