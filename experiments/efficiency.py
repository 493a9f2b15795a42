"""Efficiency: what does a second language in the model cost the first, in nats and in text?

Question  A model that reads L1 and L2 is worse at L1 than its monolingual twin, which reads the
          same L1 and nothing else: the curse of multilinguality. How much worse, in nats and in
          text? Does that depend on capacity, and on how words are cut into tokens?

Design    L2 is a clone: L1's grammar, with a form of its own for every word, mark and name, so that
          neither helps the other by a shared surface. Every fact is stated in both languages, half
          of the documents are in L2, and none is in two. The twin is trained with the same seed on
          the same stream, row by row, with the documents of L2 blanked out (data/silence.py): as
          many steps, the same L1 in the same places, nothing in between. Both are trained in three
          ways: the standard one (a token is a word); at half the width; and with byte pairs (in
          rows of twice as many tokens, so about the same text), where two languages of one script
          share pieces though no words. The yardstick for text is L1 alone on five shares of all
          tokens: the same steps and learning rates, each step on a share of the rows. At one half
          it is the twin itself, whose efficiency is thus 1 up to the error of the fit, and which
          the bilingual model is compared with.

Measures  loss: nats a token of unseen L1, the same documents for both of a pair. The curse is the
          bilingual model's loss over its twin's, minus 1: a ratio, since tokens differ in length
          between tokenizers. Token efficiency: experiments/scaling.py.

Run       python -m experiments.run efficiency --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 50 pretrainings, about 32 min (by FLOPs). small:
          one GPU, not yet measured. full: as Goldfish: 125M parameters, 1B tokens a language.

Result    2026-11-27, fb96367, toy, 5 seeds, gla, 1 CPU core, 3,595 s.
          B6 gla: the curse: loss in L1 beside L2, less that of the twin without L2: 0.11 [0.09,
            0.13] nat, reproduced.
          B6 gla: it is one of capacity: the curse at half the width, less that at full: 0.04 [0.01,
            0.07] share of the loss, reproduced.
          B6 gla: a small vocabulary helps: the curse with byte pairs, less that with words: 0.03
            [-0.00, 0.06] share of the loss, inconclusive.
          B6 gla: what the L1 of a bilingual model is worth: token efficiency, less that of the
            twin: -0.42 [-0.48, -0.37] TE, reproduced.
"""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.silence import Silenced
from data.tokenizer import BPE
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure.loss import Loss
from experiments.scaling import DRAWS, drawn, efficiency, shorter, thinner
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Size, mixers, pretrained

ROWS = ("B6",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 32 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "as Goldfish: 125M parameters, 1B tokens a language",
}
Settings = standard.Settings

PIECES = 320  # tokens with byte pairs: 256 bytes, <doc>, and merges
WAYS = ("words", "half the width", "byte pairs")
ALONE = {f"L1 alone, {Fraction(share)}": share for share in (1 / 8, 1 / 4, 3 / 8, 1.0)}
YARDSTICK = ALONE | {"twin": 0.5}  # L1 alone, and the share of all text that is read


def sized(name: str, way: str = "words") -> Size:
    """Half of the standard steps, to afford ten models; and what a way changes."""
    size = SIZES[name]
    size = dataclasses.replace(size, pretrain=shorter(size.pretrain, 0.5))
    match way:
        case "half the width":
            return dataclasses.replace(size, D=size.D // 2)
        case "byte pairs":
            return dataclasses.replace(size, T=2 * size.T)
    return size


def corpus(size: Size, seed: int, way: str = "words") -> Corpus:
    """A language and its clone, in words or in byte pairs."""
    text = standard.cloned(size, seed)
    return dataclasses.replace(text, subword=pieces(text)) if way == "byte pairs" else text


def pieces(text: Corpus) -> BPE:
    """Byte pairs learned on the first rows of both languages."""
    rows = text.rows(0, 500)["tokens"]
    lines = ("".join(f" {text.tokenizer.tokens[i]}" for i in row[row > 0]) for row in rows)
    return BPE.train(lines, PIECES)


def stages(settings: Settings) -> list[Stage]:
    """The model and its twin in three ways, and L1 alone on shares of the text."""
    found = []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for way in WAYS:
            size = sized(settings.size, way)
            text = corpus(size, seed, way)
            asked = (Loss(text),)
            for arm, read in {"both": text, "twin": Silenced(text, "L2")}.items():
                found.append(pretrained(size, mixer, seed, read, asked, way=way, arm=arm))
        size = sized(settings.size)
        text = corpus(size, seed)
        for arm, share in ALONE.items():
            less = dataclasses.replace(size, pretrain=thinner(size.pretrain, share))
            alone = dataclasses.replace(text, ratio=0.0)
            found.append(pretrained(less, mixer, seed, alone, (Loss(text),), way=WAYS[0], arm=arm))
    return found


def preview() -> Corpus:
    """What `python -m data.preview efficiency` shows."""
    return corpus(sized("toy"), seed=0)


def _loss(arm: str, way: str = WAYS[0]) -> dict[str, str]:
    return {"measure": "loss", "language": "L1", "way": way, "arm": arm}


def curse(means: np.ndarray) -> np.ndarray:
    """The statistic: (draws, 2) losses of a model and its twin -> (draws,) ratio less 1."""
    return means[:, 0] / means[:, 1] - 1


def worth(means: np.ndarray) -> np.ndarray:
    """The statistic: (draws, 6) losses of the YARDSTICK and of the bilingual model -> (draws, 2)
    token efficiencies of the latter and of the twin, whose one loss is also in the fit."""
    twin = means[:, [*YARDSTICK].index("twin")]
    return efficiency(tuple(YARDSTICK.values()), (0.5, 0.5))(np.column_stack([means, twin]))


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    pair = lambda way: [_loss(arm, way) for arm in ("both", "twin")]
    compare = lambda of, *ways: stats.contrast(
        items, "loss", *(cell for way in ways for cell in pair(way)), of=of, paired=len(ways) == 1
    )
    more = lambda means: curse(means[:, :2]) - curse(means[:, 2:])
    cells = [_loss(arm) for arm in (*YARDSTICK, "both")]
    return [
        Claim(
            row="B6",
            claim=f"{mixer}: the curse: loss in L1 beside L2, less that of the twin without L2",
            unit="nat",
            estimate=compare(stats.difference, "words"),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=None,
            reference_source="Schäfer et al. 2024, 50/50 clones: perplexity 26.13, and 25.31 alone "
            "in half of the steps; direction alone",
        ),
        Claim(
            row="B6",
            claim=f"{mixer}: it is one of capacity: the curse at half the width, less that at full",
            unit="share of the loss",
            estimate=compare(more, "half the width", "words"),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=None,
            reference_source="Conneau et al. 2020 (1911.02116): capacity dilution; direction alone",
        ),
        Claim(
            row="B6",
            claim=f"{mixer}: a small vocabulary helps: the curse with byte pairs, less that with "
            "words",
            unit="share of the loss",
            estimate=compare(more, "byte pairs", "words"),
            reproduced=below(0.0),
            opposite=above(0.0),
            reference=None,
            reference_source="Cosma 2026 (2605.26683): smaller vocabularies often transfer better",
        ),
        Claim(
            row="B6",
            claim=f"{mixer}: what the L1 of a bilingual model is worth: token efficiency, less "
            "that of the twin",
            unit="TE",
            estimate=stats.bootstrap(
                stats.by_seed(items, "loss", *cells),
                lambda m: stats.difference(worth(m)),
                draws=DRAWS,
                alike=(0,) * len(cells),
            ),
            reproduced=below(0.0),
            opposite=above(0.0),
            reference=None,
            reference_source="Schäfer et al. 2024, 50/50: .887 and .885, over models alone of "
            "fewer steps; direction alone",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """The curse in three ways, the yardstick with the bilingual model on it, what that is worth."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_curse(items, mixer), _yardstick(items, mixer), _text(items, mixer)]
    return [*found, report.losses(results.curves, line=("mixer", "arm"), panel="way")]


def _curse(items: pa.Table, mixer: str) -> report.Section:
    rows = {}
    for way in WAYS:
        arms = [_loss(arm, way) for arm in ("both", "twin")]
        rows[way] = (curse(stats.matrix(items, "loss", *arms)).tolist(), True)
    note = (
        "Loss in L1 of the bilingual model over that of its twin, which read the same L1 in the "
        "same rows and no L2, less 1. Right of the dotted line L2 costs L1 something. Dots are "
        "seeds."
    )
    body = figure.dots({"L1": rows}, "loss over the twin's, less 1", 0.0, meaning="no cost")
    return report.Section(f"{mixer}: the curse of multilinguality", note, body)


def _yardstick(items: pa.Table, mixer: str) -> report.Section:
    mean = lambda arm: stats.means(items, "loss", _loss(arm))
    shares, arms = zip(*sorted((share, arm) for arm, share in YARDSTICK.items()), strict=True)
    lines = {
        "L1 alone": [(shares, losses) for losses in zip(*map(mean, arms), strict=True)],
        "L1 beside L2": [((0.5,), (loss,)) for loss in mean("both")],
        "its twin": [((0.5,), (loss,)) for loss in mean("twin")],
    }
    note = (
        "Loss in L1 against the L1 read, as a share of all tokens of a run, after as many steps: "
        "models of L1 alone on five shares, a line a seed, of which the twin is the one at a half, "
        "and the bilingual model."
    )
    body = figure.curves({"L1": lines}, xlabel="share of the text")
    return report.Section(f"{mixer}: what L1 is worth", note, body)


def _text(items: pa.Table, mixer: str) -> report.Section:
    found = worth(stats.matrix(items, "loss", *map(_loss, (*YARDSTICK, "both"))))
    rows = {"L1 beside L2": (found[:, 0].tolist(), True), "its twin": (found[:, 1].tolist(), False)}
    note = (
        "How much text of L1 alone gives the same loss, over the text of L1 that was read. The "
        "twin is a point of the yardstick: how far it is from 1 (dotted) is the error of the fit. "
        f"{drawn(found)}"
    )
    body = figure.dots({"L1": rows}, "token efficiency", 1.0, meaning="L1 alone")
    return report.Section(f"{mixer}: token efficiency", note, body)
