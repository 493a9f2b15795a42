"""Imbalance: does a rare language learn more from its clone than a frequent one does?

Question  Two or five languages share one grammar and not one word. What is a token of one of them
          worth, in text of that language alone, as a function of how the text is divided among
          them? And does what a model was tuned to do in L1 come out in the clone?

Design    After Schäfer et al. 2024 (2404.07982). L2 to L5 are clones of L1: every word, mark and
          chat marker has a form of its own, and only <doc> is shared. All arms train for the same
          number of steps and tokens, on one world, with one vocabulary and one stream of random
          numbers; they differ in the ratio of the languages. Every fact is stated in every language
          and direction, and no document is in two languages (no dictionary, nothing parallel). The
          yardstick is L1 alone on five shares of the tokens, from 1/16 to all: the same steps and
          learning rates, each step on a share of the rows, so that a language among several gets no
          more steps than the same text does alone. (In the paper, less text means fewer steps.) Its
          control is L1 alone on a sixth share, 3/32, near that of the rare clone: it must be worth
          itself, efficiency 1. The language is drawn per document, in the paper per sequence; no
          document sees another, so this changes nothing. Then 50/50 and 90/10 are tuned to answer
          questions (T1) in L1. The ceiling is tuning in L2 for as many steps: a model is weaker in
          a rare clone, and may be harder to tune there.

Measures  loss: nats a token of unseen documents, the same ones for all arms. Token efficiency:
          experiments/scaling.py, a fit to five points. similarity: cosine of the residual streams
          at the last word of the same question in L1 and L2, minus that of different questions.
          alignment: retrieval@1 of nouns. following: decoded answers to quiz questions in L2;
          transfer is their gain over the gain of tuning in L2.

Run       python -m experiments.run imbalance --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 55 pretrainings and 20 tunings, about 43 min (by
          FLOPs). small: one GPU, not yet measured. full: Schäfer et al.: 12 layers, D=768, 1.2B
          tokens an arm.

Result    2026-11-27, 3c40699, toy, 5 seeds, gla, 1 CPU core, 5,374 s.
          B1 gla: a clone with 10% of the text against one with half: token efficiency of L2: 0.10
            [-0.00, 0.16] TE, inconclusive.
          B1 gla: a token of a clone with half of the text is worth less than one of L1 alone on
            half: token efficiency of L2 minus that of L1: -0.71 [-1.12, -0.23] TE, inconclusive.
          B1 gla: with 90% of the text L1 loses nothing: its loss minus that of L1 alone on all
            (equal within .05): 0.02 [0.00, 0.02] nats a token, reproduced.
          B1 gla: five languages, L1 with half of the text against all alike: token efficiency of
            L2: 0.07 [0.05, 0.09] TE, reproduced.
          B1 gla: H2: the states of the same question in L1 and L2, 90/10 minus 50/50, layer 1 of 2:
            0.03 [-0.01, 0.11] cosine, inconclusive.
          B1 gla: T1 tuned in L1, 30 steps, asked in L2: 90/10 minus 50/50, each over tuning in L2:
            0.01 [0.00, 0.04] transfer ratio, inconclusive.
          B1 gla: against H4: T1 transfer to a clone, of which no token is shared, 90/10, 30 steps:
            0.00 [0.00, 0.00] transfer ratio, inconclusive.
"""

import dataclasses
import itertools
from collections.abc import Callable
from fractions import Fraction

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Clone
from data.language import Family
from data.lexicon import Phonology
from data.world import BOTH, Group
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.alignment import Alignment, Similarity
from experiments.measure.loss import Loss
from experiments.scaling import DRAWS, SHARES, drawn, efficiency, shorter, thinner
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, SEPARATE, SIZES, Size, mixers, pretrained, tuned, tuning

ROWS = ("B1",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 43 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "Schäfer et al.: 12 layers, D=768, 1.2B tokens an arm",
}

ARMS = {
    "50/50": (0.5, 0.5, 0.0, 0.0, 0.0),
    "70/30": (0.7, 0.3, 0.0, 0.0, 0.0),
    "90/10": (0.9, 0.1, 0.0, 0.0, 0.0),
    "five alike": (0.2,) * 5,
    "five, L1 half": (0.5, *(0.125,) * 4),
}
CHECK = 3 / 32  # of the text, for L1 alone, and not in the fit
ALONE = {f"L1 alone, {Fraction(share)}": share for share in (*SHARES, CHECK)}
FITTED = tuple(ALONE)[: len(SHARES)]
TUNED = ("50/50", "90/10")
SOURCE = "Schäfer et al. 2024"
FEWER = "over models alone of fewer steps; direction alone"
Settings = standard.Settings


def corpus(size: Size, seed: int, ratio: tuple[float, ...] = ARMS["50/50"]) -> Corpus:
    """A fifth of the world of the size, told in five languages."""
    cells = tuple(itertools.product(range(5), BOTH))
    world = dataclasses.replace(
        size.world, pairs=size.world.pairs // 5, groups=(Group("G0", cells),), seed=seed
    )
    family = Family(((Clone(),),) * 4, seed, Phonology(syllables=size.syllables))
    return Corpus(world, family, T=size.T, mixture=SEPARATE, ratio=ratio, seed=seed)


def sized(name: str) -> Size:
    """Three quarters of the standard steps, to afford eleven arms."""
    size = SIZES[name]
    return dataclasses.replace(size, pretrain=shorter(size.pretrain, 0.75))


def stages(settings: Settings) -> list[Stage]:
    """Every ratio, L1 alone on shares of the text, and the tunings of two arms."""
    size, found = sized(settings.size), []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        loss = Loss(text)
        for arm, ratio in ARMS.items():
            asked = (loss, Alignment(text), Similarity(text))
            own = dataclasses.replace(text, ratio=ratio)
            base = pretrained(size, mixer, seed, own, asked, arm=arm, tuned="none")
            found.append(base)
            for language in LANGUAGES if arm in TUNED else ():
                follow = (following.Following(text, "quiz"),)
                found.append(tuned(base, tuning(text, "quiz", language), size.tune, follow,
                                   size.at, tuned=language))  # fmt: skip
        for arm, share in ALONE.items():
            less = dataclasses.replace(size, pretrain=thinner(size.pretrain, share))
            alone = dataclasses.replace(text, ratio=(1.0, 0.0, 0.0, 0.0, 0.0))
            found.append(pretrained(less, mixer, seed, alone, (loss,), arm=arm, tuned="none"))
    return found


def preview() -> Corpus:
    """What `python -m data.preview imbalance` shows."""
    return corpus(SIZES["toy"], seed=0)


def _loss(arm: str, language: str) -> dict[str, str]:
    return {"measure": "loss", "arm": arm, "language": language}


def _read(arm: str, language: str) -> float:
    """The share of all text that an arm reads in a language."""
    return ALONE[arm] if arm in ALONE else ARMS[arm][LANGUAGES.index(language)]


def _worth(*arms: tuple[str, str]) -> tuple[list[dict[str, str]], Callable]:
    """The cells of the yardstick and of every (arm, language), and the statistic: TE of these."""
    cells = [_loss(arm, "L1") for arm in FITTED] + [_loss(*arm) for arm in arms]
    return cells, efficiency(SHARES, [_read(*arm) for arm in arms])


def _efficiency(items: pa.Table, *arms: tuple[str, str], of=stats.mean) -> stats.Estimate:
    """Token efficiency of an (arm, language), or what `of` makes of those of two."""
    cells, worth = _worth(*arms)
    seeds = stats.by_seed(items, "loss", *cells)
    alike = tuple(LANGUAGES.index(cell["language"]) for cell in cells)  # the same documents
    return stats.bootstrap(seeds, lambda means: of(worth(means)), draws=DRAWS, alike=alike)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    layers = sorted(pc.unique(items["layer"]).drop_null().to_pylist())
    same = {"measure": "similarity", "layer": layers[(len(layers) - 1) // 2]}
    similar = [same | {"arm": arm} for arm in ("90/10", "50/50")]
    half = [("50/50", "L2"), ("L1 alone, 1/2", "L1")]  # by one fit: its error is in both
    spared = [_loss("90/10", "L1"), _loss("L1 alone, 1", "L1")]
    rare = [(arm, "L2") for arm in ("90/10", "50/50")]
    five = [(arm, "L2") for arm in ("five, L1 half", "five alike")]
    return [
        Claim("B1", f"{mixer}: a clone with 10% of the text against one with half: token "
              "efficiency of L2", "TE", _efficiency(items, *rare, of=stats.difference),
              above(0.0), below(0.0), None, f"{SOURCE}: 2.076 and .885, {FEWER}"),
        Claim("B1", f"{mixer}: a token of a clone with half of the text is worth less than one of "
              "L1 alone on half: token efficiency of L2 minus that of L1", "TE",
              _efficiency(items, *half, of=stats.difference),
              below(0.0), above(0.0), None, f"{SOURCE}: .887 and .885, {FEWER}"),
        Claim("B1", f"{mixer}: with 90% of the text L1 loses nothing: its loss minus that of L1 "
              "alone on all (equal within .05)", "nats a token",
              stats.contrast(items, "loss", *spared, paired=True),
              within(0.05), outside(0.05), None, f"{SOURCE}: token efficiency 1.000, {FEWER}"),
        Claim("B1", f"{mixer}: five languages, L1 with half of the text against all alike: token "
              "efficiency of L2", "TE", _efficiency(items, *five, of=stats.difference),
              above(0.0), below(0.0), None,
              f"{SOURCE}, ten languages: 3.56 and 1.67 to 1.69, {FEWER}"),
        Claim("B1", f"{mixer}: H2: the states of the same question in L1 and L2, 90/10 minus "
              f"50/50, layer {same['layer']} of {len(layers)}", "cosine",
              stats.contrast(items, "cosine", *similar), above(0.0), below(0.0), None,
              f"{SOURCE}, layer 6 of 12: cosines, not centred, of .96 and .83; direction alone"),
        *_transfer(items, mixer),
    ]  # fmt: skip


def _transfer(items: pa.Table, mixer: str) -> list[Claim]:
    early = following.early(items)
    asked = lambda arm: following.gains(early, arm=arm)
    ratio = lambda of, *cells: stats.contrast(items, "right", *cells, of=of)
    return [
        Claim("B1", f"{mixer}: T1 tuned in L1, {early} steps, asked in L2: 90/10 minus 50/50, each "
              "over tuning in L2", "transfer ratio",
              ratio(stats.difference_of_ratios, *asked("90/10"), *asked("50/50")),
              above(0.0), below(0.0), None,
              f"{SOURCE}, zero-shot GLUE: .65 at 10%, .54 at 50%; direction alone"),
        Claim("B1", f"{mixer}: against H4: T1 transfer to a clone, of which no token is shared, "
              f"90/10, {early} steps", "transfer ratio",
              ratio(stats.ratio_of_gains, *asked("90/10")),
              above(0.1), below(0.1), None,
              "Conneau et al. 2020 (1911.01464): transfer without shared words"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The yardstick with every arm on it, similarity by layer, and transfer along the tuning."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_yardstick(items, mixer), _text(items, mixer), _similarity(items, mixer)]
        for arm in TUNED:
            follow = stats.where(items, measure="following", arm=arm)
            follow = follow.append_column("tier", pa.array(["T1"] * len(follow)))
            follow = follow.filter(pc.is_in(follow["language"], pa.array(LANGUAGES)))
            found.append(following.transfer(follow, f"{mixer}, {arm}", tuned="L1"))
        asked = stats.where(items, measure="following", tuned="L1", language="L2")
        found.append(following.said(asked, f"{mixer}, T1 tuned in L1, asked in L2", by="arm"))
    return [*found, report.losses(results.curves, line=("mixer", "tuned"), panel="arm")]


def _yardstick(items: pa.Table, mixer: str) -> report.Section:
    mean = lambda arm, language: stats.means(items, "loss", _loss(arm, language))
    alone = zip(*(mean(arm, "L1") for arm in FITTED), strict=True)
    lines = {"L1 alone": [(SHARES, losses) for losses in alone]}
    for language, arm in itertools.product(LANGUAGES, ARMS):
        share = _read(arm, language)
        lines.setdefault(language, []).extend(((share,), (loss,)) for loss in mean(arm, language))
    note = (
        "Loss against a language's share of all text, after as many steps. Lines are L1 alone, one "
        "a seed; dots are one language of a multilingual model: below the line, the others helped "
        "it."
    )
    body = figure.curves({"all arms": lines}, xlabel="share of the text")
    return report.Section(f"{mixer}: what text of one language is worth", note, body)


def _text(items: pa.Table, mixer: str) -> report.Section:
    check = list(ALONE)[-1]
    arms = [*itertools.product(ARMS, LANGUAGES), (check, "L1")]
    cells, worth = _worth(*arms)
    found = worth(stats.matrix(items, "loss", *cells))
    rows = {
        f"{arm}: {language}": (te.tolist(), arm != check)
        for (arm, language), te in zip(arms, found.T, strict=True)
    }
    note = (
        "How much text of one language alone gives the same loss, over the text that was read. "
        "Dotted: 1, where the last row, which is not in the fit, must be. "
        f"{drawn(found)}"
    )
    panels = {"one language of several": rows}
    body = figure.dots(panels, "token efficiency", 1.0, meaning="alone")
    return report.Section(f"{mixer}: token efficiency", note, body)


def _similarity(items: pa.Table, mixer: str) -> report.Section:
    similar = stats.where(items, measure="similarity")
    words = stats.where(items, measure="alignment")
    layers = sorted(pc.unique(similar["layer"]).to_pylist())
    drawn = {f"layer {n}": (stats.where(similar, layer=n), "cosine") for n in layers}
    drawn["nouns found"] = (words, "retrieved")
    panels = {
        title: {arm: (stats.means(asked, metric, {"arm": arm}), True) for arm in ARMS}
        for title, (asked, metric) in drawn.items()
    }
    note = (
        "Cosine of the states before the answer to the same question in L1 and in L2, less that of "
        "other questions (chance 0); last panel: nouns whose translation is the nearest, "
        f"chance {words['chance'][0].as_py():.2f}. One dot a seed."
    )
    body = figure.dots(panels, "similarity")
    return report.Section(f"{mixer}: how alike L1 and L2 are inside", note, body)
