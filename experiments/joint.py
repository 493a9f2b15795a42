"""The joint question: does tuning or healing in one language change recall in the other?

Question  Instruction tuning in L1 carries the mode of answering over to L2 (C1). Does it also
          carry, or break, the facts of L2, and does it touch reversal? Does a remedy against the
          curse that is trained in L1 alone heal L2? Does the answer depend on the mixer? Both
          halves are known apart; here they are asked together.

Design    The standard base of every seed and mixer, and from it
            tuned L1     instructions in the quiz register, always answered, in L1
            tuned L2     the same in L2
            more         as many steps on the pretraining corpus: any training at all
            plain        trained further, on documents four fifths of which state facts (as in
                         mitigation)
            healed L1    the same, and every row again with its facts of L1 reversed by entities; L2
                         is never reversed
            healed both  the same in both languages: the ceiling
          Tunings differ in the language alone, remedies in what is reversed. What tuning in L2 does
          to L1 is the mirror image. The ledger counts what remedies state: nothing of G1 reversed
          in L2 where L1 alone is healed. Controls: what tuning in L1 does to L1's own facts, and
          `more` to those of L2; own names beside shared ones, with and without a remedy.

Measures  recall: exact match, log-odds among the answers of the cell, rank; following: right in the
          prompt's language, right in the other, wrong.

          Claims revised 2026-11-27 after a second reading. That tuning in L1 leaves the facts of L2
          was exact match in L2 alone (GLA: -0.80), which does not tell an effect on L2 from one on
          everything that is completed. H3 compared shared with own names after the remedy alone
          (softmax: 2.79 nat), without subtracting what `plain` has of that difference.

Run       python -m experiments.run joint --size toy --mixers gla,softmax --seeds 8

Cost      toy: one CPU core beside another run, two mixers, 70 trainings, 81 min; small:
          one GPU, not yet measured; full: as small, with 8 seeds

Result    2026-11-28, 1fbb990, toy, 8 seeds, gla,softmax, 1 CPU core, 771 s.
          C1 gla: control, tuning in L2 takes: instructions in L2 right, minus base: 0.72 [0.67,
            0.77] EM, reproduced.
          C1 gla: H1: tuning in L1 selects a mode and leaves the facts of L2: G1 forward in L2,
            tuned minus base (margin 0.05): -0.71 [-0.88, -0.48] EM, opposite.
          C1 gla: control, as many steps on the pretraining corpus leave them (margin 0.05): 0.00
            [0.00, 0.00] EM, reproduced.
          C1 gla: they change as those of L1: G1 forward, tuned in L1 minus base, L2 minus L1
            (margin 0.1): 0.12 [-0.12, 0.41] EM, inconclusive.
          C1 gla: what is not said is still known: G1 forward in L2 after tuning in L1: 4.13 [3.14,
            5.32] nat log-odds, reproduced.
          D1 gla: and does not reverse them: G1 reversed in L2, tuned minus base (margin 0.5 nat):
            0.02 [-0.16, 0.24] nat log-odds, reproduced.
          D2 gla: control, reversed documents in L1 heal L1 (G1, minus plain): 3.41 [3.07, 3.79] nat
            log-odds, reproduced.
          D4 gla: reversed documents in L1 alone heal L2 (G1, minus plain): 0.19 [0.03, 0.38] nat
            log-odds, opposite.
          D4 gla: H3: and more where both names are shared: L2's gain, shared minus own names: 0.40
            [0.08, 0.72] nat log-odds, inconclusive.
          C1 softmax: control, tuning in L2 takes: instructions in L2 right, minus base: 0.72 [0.69,
            0.77] EM, reproduced.
          C1 softmax: H1: tuning in L1 selects a mode and leaves the facts of L2: G1 forward in L2,
            tuned minus base (margin 0.05): -0.79 [-0.89, -0.62] EM, opposite.
          C1 softmax: control, as many steps on the pretraining corpus leave them (margin 0.05):
            0.00 [0.00, 0.00] EM, reproduced.
          C1 softmax: they change as those of L1: G1 forward, tuned in L1 minus base, L2 minus L1
            (margin 0.1): 0.07 [-0.11, 0.26] EM, inconclusive.
          C1 softmax: what is not said is still known: G1 forward in L2 after tuning in L1: 3.67
            [3.02, 4.61] nat log-odds, reproduced.
          D1 softmax: and does not reverse them: G1 reversed in L2, tuned minus base (margin 0.5
            nat): -0.08 [-0.30, 0.11] nat log-odds, reproduced.
          D2 softmax: control, reversed documents in L1 heal L1 (G1, minus plain): 4.51 [3.86, 5.06]
            nat log-odds, reproduced.
          D4 softmax: reversed documents in L1 alone heal L2 (G1, minus plain): 1.50 [1.12, 1.92]
            nat log-odds, inconclusive.
          D4 softmax: H3: and more where both names are shared: L2's gain, shared minus own names:
            2.68 [2.11, 3.19] nat log-odds, reproduced.
          D4 the mixer does not matter: what L1's remedy gains in L2, gla minus softmax (margin 0.5
            nat): -1.32 [-1.80, -0.92] nat log-odds, opposite.
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
from experiments.measure.recall import Recall, asked
from experiments.mitigation import CONTINUED, HEAL
from experiments.stage import Stage, extent, seeds
from experiments.standard import LANGUAGES, SIZES, corpus, mixers, pretrained, tuned, tuning

ROWS = ("C1", "D1", "D2", "D4")
COST = {
    "toy": "one CPU core, 5 seeds, two mixers: 81 min with the standard bases",
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
    more = dataclasses.replace(more, steps=2 * more.steps)  # homes are stated here too
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        measures = (Recall(text), Following(text, "quiz"))
        base = pretrained(size, mixer, seed, text, measures, arm="base")
        found.append(base)
        for language in LANGUAGES:
            own = tuning(text, "quiz", language)
            found.append(tuned(base, own, size.tune, measures, arm=f"tuned {language}"))
        found.append(tuned(base, text, size.tune, measures, arm="more"))
        for arm in HEALED:
            found.append(tuned(base, healing(text, arm), more, measures, arm=arm))
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


def _right(arm: str, language: str = "L2") -> dict[str, str]:
    return {"measure": "following", "arm": arm, "language": language, "ambiguous": "no"}


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one."""
    found = []
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    for mixer in mixers:
        items = stats.where(results.items, mixer=mixer)
        found += [*_tuning(items, mixer), *_healing(items, mixer)]
    if len(mixers) == 2:
        found.append(_mixers(results.items, mixers))
    return found


def _tuning(items: pa.Table, mixer: str) -> list[Claim]:
    """What tuning in L1 does to instructions and to the facts of L2, and of L1."""
    estimate = lambda value, *cells, of=None: stats.contrast(items, value, *cells, of=of)
    change = lambda arm, language="L2", way="forward": [
        asked("G1", language, way, arm=a) for a in (arm, "base")
    ]
    return [
        Claim("C1", f"{mixer}: control, tuning in L2 takes: instructions in L2 right, minus base",
              "EM", estimate("right", _right("tuned L2"), _right("base")), above(0.3), below(0.1),
              0.72, "flagship pilot, after 200 steps"),
        Claim("C1", f"{mixer}: H1: tuning in L1 selects a mode and leaves the facts of L2: G1 "
              "forward in L2, tuned minus base (margin 0.05)", "EM",
              estimate("exact", *change("tuned L1")), within(0.05), below(-0.05), 0.0,
              "new; H1 (mode selection) predicts no change"),
        Claim("C1", f"{mixer}: control, as many steps on the pretraining corpus leave them (margin "
              "0.05)", "EM", estimate("exact", *change("more")), within(0.05), outside(0.05), 0.0,
              "else any training would change them"),
        Claim("C1", f"{mixer}: they change as those of L1: G1 forward, tuned in L1 minus base, L2 "
              "minus L1 (margin 0.1)", "EM",
              estimate("exact", *change("tuned L1"), *change("tuned L1", "L1"),
                       of=stats.interaction),
              within(0.1), outside(0.1), 0.0, "new; H1: the mode is of no language"),
        Claim("C1", f"{mixer}: what is not said is still known: G1 forward in L2 after tuning in "
              "L1", "nat log-odds", estimate("log_odds", change("tuned L1")[0]), above(1.0),
              below(1.0), None, "new; H1: facts are out of use and not lost"),
        Claim("D1", f"{mixer}: and does not reverse them: G1 reversed in L2, tuned minus base "
              "(margin 0.5 nat)", "nat log-odds",
              estimate("log_odds", *change("tuned L1", way="reverse")), within(0.5), outside(0.5),
              0.0, "new; Berglund et al. 2023: tuning on facts does not reverse"),
    ]  # fmt: skip


def _healing(items: pa.Table, mixer: str) -> list[Claim]:
    """What a remedy in L1 does to L1, to L2, and to L2 by names."""
    gain = lambda language, **names: [
        asked("G1", language, "reverse", arm=arm, **names) for arm in ("healed L1", "plain")
    ]
    estimate = lambda *cells, of=None: stats.contrast(items, "log_odds", *cells, of=of)
    return [
        Claim("D2", f"{mixer}: control, reversed documents in L1 heal L1 (G1, minus plain)",
              "nat log-odds", estimate(*gain("L1")), above(1.0), below(1.0), 7.8,
              "softmax pilot, half of all documents reversed, one seed"),
        Claim("D4", f"{mixer}: reversed documents in L1 alone heal L2 (G1, minus plain)",
              "nat log-odds", estimate(*gain("L2")), above(1.0), below(1.0), None,
              "new; positive if facts are unified over languages"),
        Claim("D4", f"{mixer}: H3: and more where both names are shared: L2's gain, shared minus "
              "own names", "nat log-odds",
              estimate(*gain("L2", names="shared"), *gain("L2", names="own"),
                       of=stats.interaction),
              above(0.5), below(0.0), None, "new; H3 (lexical alignment) predicts it"),
    ]  # fmt: skip


def _mixers(items: pa.Table, mixers: list[str]) -> Claim:
    arms = itertools.product(mixers, ("healed L1", "plain"))
    cells = [asked("G1", "L2", "reverse", arm=arm, mixer=mixer) for mixer, arm in arms]
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
    return [*found, recall.exposures(results, by="arm", relation="parent", group="G1")]


def _facts(items: pa.Table, mixer: str, value: str) -> report.Section:
    panels = {
        f"{language} {way}": {
            f"{arm}, {names}": (
                stats.means(items, value, asked("G1", language, way, arm=arm, names=names)),
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
        ({"arm": arm, "asked in L2": way}, asked("G1", "L2", way, arm=arm))
        for arm, way in itertools.product(("base", "tuned L1", "healed L1"), WAYS)
    ]
    note = "The first fact of G1, first seed."
    return report.examples(items, cells, "exact", f"{mixer}: what was said", note)
