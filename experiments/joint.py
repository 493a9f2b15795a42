"""The joint question: does tuning in one language change what is recalled, or heal, in the other?

Question  Instruction tuning in L1 carries the mode of answering over to L2 (C1). Does it carry, or
          break, the facts of L2, and does it touch reversal? A remedy against the curse that is
          trained in L1 alone: does it heal L2? Does the answer depend on the mixer? Both halves are
          known apart; nobody has asked them together.

Design    The standard base of every seed and mixer, and from it
            tuned L1      instructions in the quiz register, always answered, in L1
            tuned L2      the same in L2
            more          as many steps on the pretraining corpus: any training at all
            plain         trained on, documents four fifths of which state facts (as in mitigation)
            healed L1     the same, and every row again with its facts of L1 reversed by entities;
                          L2 is never reversed
            healed both   the same in both languages: the ceiling
          Tunings differ in the language alone, remedies in what is reversed. What tuning in L2 does
          to L1 is the mirror image. The ledger counts what the remedies state: nothing reversed of
          G1 in L2, where L1 alone is healed.

Measures  recall: exact match, log-odds among the answers of the cell, rank; following: right in the
          prompt's language, right in the other, wrong.

Run       python -m experiments.run joint --size toy --mixers gla,softmax --seeds 5

Result    2026-11-24, 443e58b, toy, 5 seeds, gla,softmax, 2 CPU cores, 1,042 s. C1 gla: control,
          tuning in L2 takes: instructions in L2 right, minus base: 0.66 [0.57, 0.72] EM,
          reproduced. C1 gla: H1: tuning in L1 selects a mode and leaves the facts of L2: G1 forward
          in L2, tuned minus base (margin 0.05): -0.80 [-0.94, -0.50] EM, opposite. D1 gla: and does
          not reverse them: G1 reversed in L2, tuned minus base (margin 0.5 nat): -0.00 [-0.30,
          0.30] nat log-odds, reproduced. D2 gla: control, reversed documents in L1 heal L1 (G1,
          minus plain): 2.97 [2.38, 3.47] nat log-odds, reproduced. D4 gla: reversed documents in L1
          alone heal L2 (G1, minus plain): 0.08 [-0.22, 0.41] nat log-odds, opposite. D4 gla: H3:
          and more where both names are shared: L2, shared minus own names: -0.42 [-0.98, 0.03] nat
          log-odds, inconclusive. C1 softmax: control, tuning in L2 takes: instructions in L2 right,
          minus base: 0.76 [0.71, 0.80] EM, reproduced. C1 softmax: H1: tuning in L1 selects a mode
          and leaves the facts of L2: G1 forward in L2, tuned minus base (margin 0.05): -0.87
          [-0.94, -0.72] EM, opposite. D1 softmax: and does not reverse them: G1 reversed in L2,
          tuned minus base (margin 0.5 nat): -0.10 [-0.34, 0.22] nat log-odds, reproduced. D2
          softmax: control, reversed documents in L1 heal L1 (G1, minus plain): 4.48 [3.51, 4.92]
          nat log-odds, reproduced. D4 softmax: reversed documents in L1 alone heal L2 (G1, minus
          plain): 1.33 [0.77, 1.71] nat log-odds, inconclusive. D4 softmax: H3: and more where both
          names are shared: L2, shared minus own names: 2.79 [2.18, 3.43] nat log-odds, reproduced.
          D4 the mixer does not matter: what L1's remedy gains in L2, gla minus softmax (margin 0.5
          nat): -1.24 [-1.69, -0.58] nat log-odds, inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.reorder import ReverseEntities
from data.stream import Documented
from data.transform import Transformed
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import recall
from experiments.measure.following import Following
from experiments.measure.recall import Recall
from experiments.mitigation import CONTINUED, HEAL
from experiments.stage import Stage, extent, seeds
from experiments.standard import LANGUAGES, SIZES, corpus, mixers, pretrained, tuned, tuning

ROWS = ("C1", "D1", "D2", "D4")
COST = {
    "toy": "2 CPU cores, 5 seeds, two mixers: about 15 min and the standard bases",
    "small": "one GPU, not yet measured",
}
HEALED = {"plain": None, "healed L1": (0,), "healed both": ()}  # arm -> languages reversed
WAYS = ("forward", "reverse")
ARMS = ("base", "tuned L1", "tuned L2", "more", *HEALED)


@dataclasses.dataclass(frozen=True)
class Settings(standard.Settings):
    """Options of the experiment: the answer may depend on the mixer, so there are two."""

    mixers: str = extent("gla,softmax")


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, two tunings, three ways to go on, and more of the same."""
    size, found = SIZES[settings.size], []
    more = HEAL[settings.size]
    more = dataclasses.replace(more, steps=2 * more.steps)  # homes are stated too
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        asked = (Recall(text), Following(text, "quiz"))
        base = pretrained(size, mixer, seed, text, asked, arm="base")
        found.append(base)
        for language in LANGUAGES:
            own = tuning(text, "quiz", language)
            found.append(tuned(base, own, size.tune, asked, arm=f"tuned {language}"))
        found.append(tuned(base, text, size.tune, asked, arm="more"))
        for arm in HEALED:
            found.append(tuned(base, healing(text, arm), more, asked, arm=arm))
    return found


def preview() -> Corpus:
    """What `python -m data.preview joint` shows: what the base reads."""
    return corpus(SIZES["toy"], seed=0)


def healing(text: Corpus, arm: str) -> Documented:
    """What is trained on: plainly, or with every row's facts again, reversed in some languages."""
    more, languages = dataclasses.replace(text, mixture=CONTINUED), HEALED[arm]
    if languages is None:
        return more
    return Transformed(
        more, ReverseEntities(), share=1.0, doubled=True, kinds=("fact",), languages=languages
    )


def _asked(arm: str, group: str, language: str, way: str, **more: str) -> dict[str, str]:
    return {"measure": "recall", "relation": "parent", "arm": arm, "group": group,
            "language": language, "direction": way} | more  # fmt: skip


def _right(arm: str, language: str = "L2") -> dict[str, str]:
    return {"measure": "following", "arm": arm, "language": language, "ambiguous": "no"}


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    found = []
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    for mixer in mixers:
        items = stats.where(results.items, mixer=mixer)
        found += [*_tuning(items, mixer), *_healing(items, mixer)]
    if len(mixers) == 2:
        found.append(_mixers(results.items, mixers))
    return found


def _tuning(items: pa.Table, mixer: str) -> list[Claim]:
    forward = [_asked(arm, "G1", "L2", "forward") for arm in ("tuned L1", "base")]
    reverse = [_asked(arm, "G1", "L2", "reverse") for arm in ("tuned L1", "base")]
    return [
        Claim(
            row="C1",
            claim=f"{mixer}: control, tuning in L2 takes: instructions in L2 right, minus base",
            unit="EM",
            estimate=stats.contrast(items, "right", _right("tuned L2"), _right("base")),
            reproduced=above(0.3),
            opposite=below(0.1),
            reference=0.72,
            reference_source="flagship pilot, after 200 steps",
        ),
        Claim(
            row="C1",
            claim=f"{mixer}: H1: tuning in L1 selects a mode and leaves the facts of L2: G1 "
            "forward in L2, tuned minus base (margin 0.05)",
            unit="EM",
            estimate=stats.contrast(items, "exact", *forward),
            reproduced=within(0.05),
            opposite=below(-0.05),
            reference=0.0,
            reference_source="new; H1 (mode selection) predicts no change",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: and does not reverse them: G1 reversed in L2, tuned minus base "
            "(margin 0.5 nat)",
            unit="nat log-odds",
            estimate=stats.contrast(items, "log_odds", *reverse),
            reproduced=within(0.5),
            opposite=outside(0.5),
            reference=0.0,
            reference_source="new; Berglund et al. 2023: tuning on facts does not reverse",
        ),
    ]


def _healing(items: pa.Table, mixer: str) -> list[Claim]:
    gain = lambda language, arm="healed L1": stats.contrast(
        items, "log_odds", *(_asked(a, "G1", language, "reverse") for a in (arm, "plain"))
    )
    return [
        Claim(
            row="D2",
            claim=f"{mixer}: control, reversed documents in L1 heal L1 (G1, minus plain)",
            unit="nat log-odds",
            estimate=gain("L1"),
            reproduced=above(1.0),
            opposite=below(1.0),
            reference=7.8,
            reference_source="softmax pilot, half of all documents reversed, one seed",
        ),
        Claim(
            row="D4",
            claim=f"{mixer}: reversed documents in L1 alone heal L2 (G1, minus plain)",
            unit="nat log-odds",
            estimate=gain("L2"),
            reproduced=above(1.0),
            opposite=below(1.0),
            reference=None,
            reference_source="new; positive if facts are unified over languages",
        ),
        Claim(
            row="D4",
            claim=f"{mixer}: H3: and more where both names are shared: L2, shared minus own names",
            unit="nat log-odds",
            estimate=stats.contrast(
                items,
                "log_odds",
                *(_asked("healed L1", "G1", "L2", "reverse", names=n) for n in ("shared", "own")),
            ),
            reproduced=above(0.5),
            opposite=below(0.0),
            reference=None,
            reference_source="new; H3 (lexical alignment) predicts it",
        ),
    ]


def _mixers(items: pa.Table, mixers: list[str]) -> Claim:
    arms = itertools.product(mixers, ("healed L1", "plain"))
    cells = [_asked(arm, "G1", "L2", "reverse") | {"mixer": mixer} for mixer, arm in arms]
    return Claim(
        row="D4",
        claim=f"the mixer does not matter: what L1's remedy gains in L2, {mixers[0]} minus "
        f"{mixers[1]} (margin 0.5 nat)",
        unit="nat log-odds",
        estimate=stats.contrast(items, "log_odds", *cells, of=stats.interaction),
        reproduced=within(0.5),
        opposite=outside(0.5),
        reference=None,
        reference_source="new",
    )


def sections(results: report.Results) -> list[report.Section]:
    """Facts of G1 by arm and cell, instructions by arm, answers, and what was counted."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_facts(items, mixer, value) for value in ("log_odds", "exact")]
        found += [_instructions(items, mixer), _said(items, mixer)]
    first = results.items["mixer"][0].as_py()
    told = stats.where(results.ledger, mixer=first, relation="parent", group="G1")
    return [*found, recall.exposures(told, by="arm")]


def _facts(items: pa.Table, mixer: str, value: str) -> report.Section:
    panels = {
        f"{language} {way}": {
            f"{arm}, {names}": (
                stats.means(items, value, _asked(arm, "G1", language, way, names=names)),
                way == "forward" or arm == "healed both" or (arm, language) == ("healed L1", "L1"),
            )
            for arm, names in itertools.product(ARMS, ("shared", "own"))
        }
        for language, way in itertools.product(LANGUAGES, WAYS)
    }
    name = {"log_odds": "log-odds, nats", "exact": "exact match"}[value]
    note = (
        "Facts stated forward in both languages (G1), by whether names are shared. Filled: "
        "training stated the cell, if in another order of words. One dot a seed."
    )
    body = figure.dots(panels, name, 0.0)
    return report.Section(f"{mixer}: facts after each training, {name}", note, body)


def _instructions(items: pa.Table, mixer: str) -> report.Section:
    panels = {
        language: {arm: (stats.means(items, "right", _right(arm, language)), True) for arm in ARMS}
        for language in LANGUAGES
    }
    note = "Share of list tasks answered rightly in the prompt's language, quiz register."
    body = figure.dots(panels, "right", None, (-0.05, 1.05))
    return report.Section(f"{mixer}: instructions after each training", note, body)


def _said(items: pa.Table, mixer: str) -> report.Section:
    cells = [
        ({"arm": arm, "asked in L2": way}, _asked(arm, "G1", "L2", way))
        for arm, way in itertools.product(("base", "tuned L1", "healed L1"), WAYS)
    ]
    note = "The first fact of G1, first seed."
    return report.examples(items, cells, "exact", f"{mixer}: what was said", note)
