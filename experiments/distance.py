"""Distance: which differences between two languages keep what is learned in L1 out of L2?

Question  L2 starts out as L1 itself, and one property at a time is changed in it: order, head
          direction, case, agreement, script, lexicon. How much of what is tuned in L1 comes out in
          L2, and what predicts it: words, order or inflection? And what of facts that only L1
          states?

Design    An arm changes L2's features and nothing else; at distance 0 the two languages are one, so
          tuning in either is the same, and transfer is exactly 1. The mixture has plain sentences,
          because only they show every switch of head direction, and no document is in two
          languages. T1 is tuned in L1 and, as the ceiling, in L2 itself, which may be harder to
          answer in. Head direction does not show in a question, so that arm is not tuned: it is
          only asked for facts, where the possessor comes first.
          Where the languages share their words, the right answer is the same in both, and the bins
          "right" and "right in the other language" cannot be told apart: all items count (a column
          has the share of ambiguous ones). Distances are measured on samples of what is asked,
          answered quiz questions said in both languages, and not read off the features. A token is
          a word, so another script amounts to other words, as another lexicon does, and an
          inflected form is another token: the distance in words is therefore that of stems, and
          inflection is counted apart, in bits.

Measures  following: decoded answers to quiz questions. Transfer of an arm: the gain in L2 of tuning
          in L1 over that of tuning in L2, after all 100 steps. distance: share of L2's stems that
          L1 lacks; order, from Kendall's tau; bits of inflection. Transfer is regressed (least
          squares) on these three over the tuned arms, each distance divided by its largest in any
          arm, so that a coefficient is the cost of the largest change there is. For words that is
          nearly all of them; for order it is a question's verb at its end, one pair of words in
          twenty: the two are not comparable. recall: facts stated in L1 only (G2), asked in L2,
          minus those that L2 states too (G1). Arms are asked the same items, so intervals are of
          pairs.

          Claims revised 2026-11-28 after the first run: transfer had been taken at 30 steps, when
          `all` had gained only .09 even by tuning in L2, so that the regression was undefined.

Run       python -m experiments.run distance --size toy --seeds 5

Cost      toy: 2 CPU cores, 40 pretrainings and 70 short tunings, about 41 min a mixer (by FLOPs);
          small: one GPU, not yet measured; full: as small, with 8 seeds and all mixers

Result    2026-11-28, 7b97b46, toy, 5 seeds, gla, 1 CPU core, 3,705 s.
          B3 gla: control: to an identical language all is transferred: less 1 (margin .05): 0.00
            [0.00, 0.00] transfer ratio, reproduced.
          B3 gla: transfer that it costs to change all words: coefficient: -0.54 [-0.60, -0.42]
            transfer ratio, reproduced.
          B3 gla: transfer that it costs to change the verb's place in a question: coefficient: 0.37
            [0.23, 0.48] transfer ratio, opposite.
          B3 gla: transfer that it costs to change inflection: coefficient: -0.62 [-0.69, -0.52]
            transfer ratio, reproduced.
          B3 gla: the three distances explain transfer over 7 arms: 0.65 [0.42, 0.74] adjusted R
            squared, inconclusive.
          B3 gla: facts of L1 asked in L2: what head direction costs: those of L1 alone less those
            of both, heads less identical: -0.97 [-1.20, -0.56] nat log-odds, reproduced.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Agreement, Articles, Case, Lexicon, Names, Order, PossessorFirst, Script
from data.head import AdjectiveLast, ComplementizerLast, Postpositions, RelativeFirst
from data.world import Vocabulary
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.distance import Distance
from experiments.measure.following import Following
from experiments.measure.recall import Recall, asked
from experiments.scaling import shorter
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, SEPARATE, SIZES, Size, mixers, pretrained, tuned, tuning

ROWS = ("B3",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 41 min (by FLOPs)",
    "small": "one GPU, not yet measured",
}
Settings = standard.Settings

HEADS = (PossessorFirst(), Postpositions(), AdjectiveLast(), RelativeFirst(), ComplementizerLast())
INFLECTED = (Agreement("gender x number"), Articles())
WORDS = (Lexicon(0.0), Names(0.5))
ARMS = {
    "identical": (),
    "order": (Order("SOV"),),
    "heads": HEADS,
    "case": (Case(4),),
    "agreement": INFLECTED,
    "script": (Script("mapped"),),
    "lexicon": WORDS,
    "all": (Order("SOV"), *HEADS, Case(4), *INFLECTED, *WORDS),
}
TUNED = tuple(arm for arm in ARMS if arm != "heads")  # heads show in no question
DISTANCES = ("lexicon", "order", "inflection")


def sized(name: str) -> Size:
    """Three fifths of the standard steps, to afford eight arms, and half of those of the tuning,
    which is done twice."""
    size, half = SIZES[name], SIZES[name].tune.steps // 2
    return dataclasses.replace(
        size,
        pretrain=shorter(size.pretrain, 0.6),
        tune=dataclasses.replace(size.tune, steps=half),
        at=tuple(step for step in size.at if step <= half),
    )


def corpus(size: Size, seed: int, arm: str) -> Corpus:
    """The standard world with verbs, told in L1 and in the L2 of an arm."""
    world = dataclasses.replace(size.world, vocabulary=Vocabulary(verbs=6))
    mixture = dataclasses.replace(SEPARATE, plain=0.15)
    return standard.corpus(dataclasses.replace(size, world=world), seed, ARMS[arm], mixture)


def stages(settings: Settings) -> list[Stage]:
    """A base of every arm, and its tunings in L1 and in L2."""
    size, found = sized(settings.size), []
    for seed, mixer, arm in itertools.product(seeds(settings.seeds), mixers(settings.mixers), ARMS):
        text = corpus(size, seed, arm)
        learn = {language: tuning(text, "quiz", language) for language in LANGUAGES}
        measures = (Distance(learn["L2"]), Recall(text, groups=("G1", "G2")))
        base = pretrained(size, mixer, seed, text, measures, arm=arm, tuned="none")
        found.append(base)
        follow = (Following(text, "quiz"),)
        for language in LANGUAGES if arm in TUNED else ():
            own = learn[language]
            found.append(tuned(base, own, size.tune, follow, size.at, tuned=language))
    return found


def preview() -> Corpus:
    """What `python -m data.preview distance` shows."""
    return corpus(sized("toy"), 0, "all")


def transfers(means: np.ndarray) -> np.ndarray:
    """(draws, 3 N) -> (draws, N): of N arms the transfer ratio, from the means in L2 of (tuned in
    L1, untuned, tuned in L2); nan where tuning in L2 gains less than .1."""
    return stats.ratio_of_gains(means.reshape(-1, 3)).reshape(len(means), -1)


def regression(distances: np.ndarray):
    """The statistic (draws, N) -> (draws, M + 1): coefficients of least squares of N transfers on
    `distances` (N, M), each over its largest, with an intercept; last the share of variance
    explained, adjusted for how many they are: 0 is what any M numbers would explain.

    >>> far = np.array([[0.0, 0], [2, 0], [0, 1], [2, 1], [1, 0]])
    >>> regression(far)(np.array([[1, 0.5, 0.8, 0.3, 0.75]])).round(6)
    array([[-0.5, -0.2,  1. ]])
    """
    largest = np.abs(distances).max(0)
    x = np.hstack([distances / np.where(largest > 0, largest, 1), np.ones((len(distances), 1))])

    def statistic(y: np.ndarray) -> np.ndarray:
        found = y @ np.linalg.pinv(x).T
        left = ((y - found @ x.T) ** 2).sum(1)
        about = ((y - y.mean(1, keepdims=True)) ** 2).sum(1)
        free = (len(x) - 1) / (len(x) - x.shape[1])
        explained = 1 - free * left / np.where(about > 0, about, np.nan)
        return np.hstack([found[:, :-1], explained[:, None]])

    return statistic


def _cells(items: pa.Table) -> list[dict[str, object]]:
    """Of every tuned arm the three means that `transfers` asks for."""
    last = following.steps(items)[-1]
    return [cell for arm in TUNED for cell in following.gains(last, arm=arm)]


def _fact(arm: str, group: str) -> dict[str, object]:
    return asked(group, "L2", "forward", arm=arm)


def measured(items: pa.Table) -> np.ndarray:
    """(tuned arms, distances): means over seeds."""
    own = lambda arm, name: stats.where(items, measure="distance", arm=arm)[name].to_numpy().mean()
    return np.array([[own(arm, name) for name in DISTANCES] for arm in TUNED])


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    seeds, fitted = stats.by_seed(items, "right", *_cells(items)), regression(measured(items))
    alike = (0,) * len(seeds[0])  # the same questions, said in other languages
    estimate = lambda of: stats.bootstrap(seeds, lambda m: of(transfers(m)), alike=alike)
    facts = [_fact(arm, group) for arm in ("heads", "identical") for group in ("G2", "G1")]
    lexicon, order, inflection, explained = range(4)
    costs = lambda what, which, source: Claim(
        "B3", f"{mixer}: transfer that it costs to change {what}: coefficient", "transfer ratio",
        estimate(lambda y: fitted(y)[:, which]), below(0.0), above(0.0), None, source
    )  # fmt: skip
    muller = "Muller et al. 2022 (2212.01757), mT5:"
    return [
        Claim("B3", f"{mixer}: control: to an identical language all is transferred: less 1 "
              "(margin .05)", "transfer ratio", estimate(lambda y: y[:, 0] - 1), within(0.05),
              outside(0.05), 0.0, "by construction"),
        costs("all words", lexicon, "K et al. 2020 have none, Cosma 2026 much; direction alone"),
        costs("the verb's place in a question", order,
              "Deshpande et al. 2022, Dufter & Schütze 2020; direction alone"),
        costs("inflection", inflection, f"{muller} morphology predicts transfer; direction alone"),
        Claim("B3", f"{mixer}: the three distances explain transfer over {len(TUNED)} arms",
              "adjusted R squared", estimate(lambda y: fitted(y)[:, explained]), above(0.5),
              below(0.5), None, "none: whether the regression may be read"),
        Claim("B3", f"{mixer}: facts of L1 asked in L2: what head direction costs: those of L1 "
              "alone less those of both, heads less identical", "nat log-odds",
              stats.contrast(items, "log_odds", *facts, of=stats.interaction, paired=True),
              below(0.0), above(0.0), None,
              f"{muller} syntax predicts transfer; direction alone"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """Transfer by arm, facts by arm, the distances as measured, and some answers."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_transfer(items, mixer), _facts(items, mixer)]
        found += [_distances(items, mixer), _said(items, mixer)]
    return [*found, report.losses(results.curves, line=("mixer", "tuned"), panel="arm")]


def _transfer(items: pa.Table, mixer: str) -> report.Section:
    means = stats.matrix(items, "right", *_cells(items))
    by_arm = zip(TUNED, transfers(means).T, strict=True)
    rows = {arm: (values[np.isfinite(values)].tolist() or [np.nan], True) for arm, values in by_arm}
    note = (
        "Asked in L2: gain of tuning in L1 over that of tuning in L2. Each row is L1 with one "
        "thing changed. Dots are seeds, those left out gained nothing by tuning in L2."
    )
    body = figure.dots({"T1": rows}, "transfer ratio", 1.0, meaning="tuning in L2")
    return report.Section(f"{mixer}: transfer by what differs", note, body)


def _facts(items: pa.Table, mixer: str) -> report.Section:
    groups = {"stated in L1 alone (G2)": "G2", "stated in both (G1)": "G1"}
    panels = {
        title: {arm: (stats.means(items, "log_odds", _fact(arm, group)), False) for arm in ARMS}
        for title, group in groups.items()
    }
    note = (
        "Facts asked forward in L2, the answer in L2's own form of the name; in script no name is "
        "shared, in lexicon half of them are. Dots are seeds."
    )
    body = figure.dots(panels, "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: facts by what differs", note, body)


def _distances(items: pa.Table, mixer: str) -> report.Section:
    far = measured(items)
    follow = stats.where(items, measure="following", language="L2")
    same = lambda arm: stats.where(follow, arm=arm)["ambiguous"].to_pylist()
    rows = [
        {"arm": arm}
        | dict(zip(DISTANCES, map(float, row), strict=True))
        | {"answers alike in both languages": float(np.mean([x == "yes" for x in same(arm)]))}
        for arm, row in zip(TUNED, far, strict=True)
    ]
    note = "Distances of L2 from L1 as measured on quiz questions and answers; means over seeds."
    return report.Section(f"{mixer}: how far L2 is", note, report.table(rows))


def _said(items: pa.Table, mixer: str) -> report.Section:
    last = following.steps(items)[-1]
    cell = {"measure": "following", "language": "L2", "step": last, "tuned": "L1"}
    shown = [dict(arm=a, task=t) for a, t in itertools.product(TUNED, ("reverse", "swap"))]
    cells = [(label, cell | label) for label in shown]
    note = f"Questions in L2 after {last} steps of tuning in L1; first seed."
    return report.examples(items, cells, "right", f"{mixer}: what was said", note)
