"""The flagship: the reversal curse, and instructions tuned in one language and asked in another.

Question  After pretraining on "the R of x is y", does a model answer "the R' of y is x" (R' the
          inverse of R), in the same or in the other language? And after instruction tuning in L1
          alone, does it follow instructions in L2?

Design    Every seed draws a world (pairs x, y of a bijective relation with an inverse, and homes),
          two languages (L2 is L1 edited: other words, the possessor first, own or shared names) and
          a corpus in which every fact's exposures are known. Coverage groups state each fact in
          some cells of (language x direction) and are asked in all of them:
            G0 both directions, both languages  G4 forward in L1 and reverse in L2
            G1 forward only, both languages     G5 reverse only, L1 only
            G2 forward only, L1 only            G6 forward only, L2 only
            G3 both directions, L1 only         G7 never stated
          Half of the pairs of a group carry one name in both languages, the others one in each. The
          corpus also tells list tasks as stories, and asks them in a quiz register that is answered
          one time in five (else another question follows). Tuning, in L1 only, with the loss on the
          response: T1 the quiz register, always answered; T2 a chat wrapper never seen before.
          Controls: the same tuning in L2 (the ceiling), the untuned base, matched exposures.

Measures  recall: the completion is decoded greedily (exact match up to the end of the document);
          log-odds log p(gold) - mean log p(others), and rank (0 best, chance .5), among the answers
          of the same type, group and names, which training said as often. following: decoded
          answers in three bins along the tuning: right in the prompt's language, right in the other
          language, wrong; items whose two answers coincide are left out. Nothing is teacher-forced;
          one prompt a window.

          Claims revised 2026-11-27 after a second reading: "reversed at chance" was log-odds within
          0.5 nat, a mean that is also near 0 where many facts are known; now the rank decides.

Run       python -m experiments.run flagship --size toy --mixers gla,softmax --seeds 8

Result    2026-11-27, 0c48fd5, toy, 8 seeds, gla,softmax, 1 CPU core, 1,347 s.
          D1 gla: stated forward only (G1), asked in L1: forward minus reverse: 1.00 [1.00, 1.00]
            EM, reproduced.
          D1 gla: the same facts reversed are at chance (margin 0.1): -0.02 [-0.08, 0.03] rank above
            chance, inconclusive.
          D1 gla: control, facts stated both ways (G0) are answered reversed in L1: 1.00 [1.00,
            1.00] EM, reproduced.
          B13 gla: stated forward in L1 (G2), asked forward in L2: shared - own names: 0.00 [0.00,
            0.00] EM, opposite.
          B13 gla: the same contrast in log-odds: 0.29 [-0.28, 1.16] nat log-odds, inconclusive.
          D4 gla: forward in L1 and reverse in L2 (G4), asked reverse in L1, against forward in L1
            alone (G2); shared names: 0.00 [0.00, 0.00] EM, opposite.
          C1 gla: T1 tuned in L1 only, L2 answered right after 30 steps: gain as a share of tuning
            in L2: 0.59 [0.40, 0.72] transfer ratio, reproduced.
          C1 gla: T2 tuned in L1 only, L2 answered right after 30 steps: gain as a share of tuning
            in L2: 0.05 [0.00, 0.13] transfer ratio, inconclusive.
          C1 gla: T1 transfer peaks early: L2 right after 30 minus 200 steps: 0.30 [0.21, 0.40] EM,
            reproduced.
          D1 softmax: stated forward only (G1), asked in L1: forward minus reverse: 1.00 [1.00,
            1.00] EM, reproduced.
          D1 softmax: the same facts reversed are at chance (margin 0.1): 0.12 [0.06, 0.18] rank
            above chance, inconclusive.
          D1 softmax: control, facts stated both ways (G0) are answered reversed in L1: 1.00 [1.00,
            1.00] EM, reproduced.
          B13 softmax: stated forward in L1 (G2), asked forward in L2: shared - own names: 0.10
            [0.03, 0.24] EM, inconclusive.
          B13 softmax: the same contrast in log-odds: 3.27 [2.38, 4.11] nat log-odds, reproduced.
          D4 softmax: forward in L1 and reverse in L2 (G4), asked reverse in L1, against forward in
            L1 alone (G2); shared names: 0.19 [0.07, 0.34] EM, inconclusive.
          C1 softmax: T1 tuned in L1 only, L2 answered right after 30 steps: gain as a share of
            tuning in L2: 0.38 [0.27, 0.52] transfer ratio, reproduced.
          C1 softmax: T2 tuned in L1 only, L2 answered right after 30 steps: gain as a share of
            tuning in L2: 0.03 [0.01, 0.11] transfer ratio, inconclusive.
          C1 softmax: T1 transfer peaks early: L2 right after 30 minus 200 steps: 0.16 [0.10, 0.21]
            EM, reproduced.
          A2 GLA minus softmax, facts stated both ways, all cells (equal within 0.05): 0.00 [0.00,
            0.00] EM, reproduced.
          A2 GLA minus softmax, reverse of facts stated forward only, log-odds (equal within 0.5):
            -0.54 [-0.79, -0.29] nat log-odds, inconclusive.
"""

import dataclasses
import functools
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from experiments import report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following, recall
from experiments.measure.recall import asked
from experiments.stage import Stage, extent, seeds
from experiments.standard import LANGUAGES, SIZES, TIERS, corpus, mixers, pretrained, tuned, tuning

ROWS = ("D1", "B13", "D4", "C1", "A2")
COST = {"toy": "2 CPU cores, 3 seeds, one mixer: under 5 min", "small": "one GPU, not yet measured"}


@dataclasses.dataclass(frozen=True)
class Settings(standard.Settings):
    """Options of the flagship. Seeds and mixers add runs to a folder and change none in it."""

    seeds: int = extent(3)


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, and its tunings: two tiers x (L1, and L2 as the ceiling)."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        base = pretrained(
            size, mixer, seed, text, (recall.Recall(text),), tier="base", tuned="none"
        )
        found.append(base)
        for (tier, register), language in itertools.product(TIERS.items(), LANGUAGES):
            own, follow = tuning(text, register, language), following.Following(text, register)
            found.append(tuned(base, own, size.tune, (follow,), size.at, tier=tier, tuned=language))
    return found


def preview() -> Corpus:
    """What `python -m data.preview flagship` shows."""
    return corpus(SIZES["toy"], seed=0)


def pretrain_spec() -> Stage:
    """What `python -m train.pretrain flagship` trains."""
    return stages(Settings(seeds=1))[0]


def tune_spec() -> Stage:
    """What `python -m train.tune flagship` trains: tier T1 in L1."""
    return stages(Settings(seeds=1))[1]


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one. EM is the share of exact
    matches, decoded."""
    found = []
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    for mixer in mixers:
        items = stats.where(results.items, mixer=mixer)
        found += [*_recall_claims(items, mixer), *_following_claims(items, mixer)]
    if set(mixers) >= {"gla", "softmax"}:
        found += _mixer_claims(results.items)
    return found


def _recall_claims(items: pa.Table, mixer: str) -> list[Claim]:
    estimate = functools.partial(stats.contrast, items)
    forward, reverse = (asked("G1", "L1", way) for way in ("forward", "reverse"))
    across = [asked("G2", "L2", "forward", names=names) for names in ("shared", "own")]
    return [
        Claim(
            row="D1",
            claim=f"{mixer}: stated forward only (G1), asked in L1: forward minus reverse",
            unit="EM",
            estimate=estimate("exact", forward, reverse),
            reproduced=above(0.5),
            opposite=below(0.1),
            reference=0.966,
            reference_source="Berglund et al. 2023, descriptions to names: 96.7% and 0.1%",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: the same facts reversed are at chance (margin 0.1)",
            unit="rank above chance",
            estimate=estimate("rank", reverse, of=recall.above_chance),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=0.05,
            reference_source="softmax pilot, one seed: rank .45",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: control, facts stated both ways (G0) are answered reversed in L1",
            unit="EM",
            estimate=estimate("exact", asked("G0", "L1", "reverse"), of=stats.mean),
            reproduced=above(0.9),
            opposite=below(0.5),
            reference=1.0,
            reference_source="pilots of both mixers, one seed each",
        ),
        Claim(
            row="B13",
            claim=f"{mixer}: stated forward in L1 (G2), asked forward in L2: shared - own names",
            unit="EM",
            estimate=estimate("exact", *across),
            reproduced=above(0.5),
            opposite=below(0.1),
            reference=1.0,
            reference_source="softmax pilots with shared and with own names, one seed each",
        ),
        Claim(
            row="B13",
            claim=f"{mixer}: the same contrast in log-odds",
            unit="nat log-odds",
            estimate=estimate("log_odds", *across),
            reproduced=above(1.0),
            opposite=below(1.0),
            reference=9.4,
            reference_source="softmax pilots, one seed each: 9.4 and 0.0",
        ),
        Claim(
            row="D4",
            claim=f"{mixer}: forward in L1 and reverse in L2 (G4), asked reverse in L1, against "
            "forward in L1 alone (G2); shared names",
            unit="EM",
            estimate=estimate(
                "exact", *(asked(group, "L1", "reverse", names="shared") for group in ("G4", "G2"))
            ),
            reproduced=above(0.1),
            opposite=below(0.1),
            reference=None,
            reference_source="new; expected positive if facts are unified over languages",
        ),
    ]


def _following_claims(items: pa.Table, mixer: str) -> list[Claim]:
    early, last = following.early(items), following.steps(items)[-1]

    def answers(tier: str, tuned: str, step: int, language: str = "L2") -> dict[str, object]:
        return {"measure": "following", "tier": tier, "tuned": tuned, "step": step,
                "language": language, "ambiguous": "no"}  # fmt: skip

    right = lambda *cells, of=None: stats.contrast(items, "right", *cells, of=of)
    pilot = "softmax pilot, two seeds:"

    def gains(tier: str) -> stats.Estimate:
        reached, base = answers(tier, "L1", early), answers(tier, "L1", 0)
        return right(reached, base, answers(tier, "L2", last), of=stats.ratio_of_gains)

    return [
        *(Claim("C1", f"{mixer}: {tier} tuned in L1 only, L2 answered right after {early} steps: "
                "gain as a share of tuning in L2", "transfer ratio", gains(tier), above(0.1),
                below(0.1), {"T1": 0.4, "T2": 0.2}[tier],
                f"{pilot} EM .16-.39 (T1), .12-.31 (T2) at 30 steps; ceilings .64-.97")
          for tier in TIERS),
        Claim("C1", f"{mixer}: T1 transfer peaks early: L2 right after {early} minus {last} steps",
              "EM", right(answers("T1", "L1", early), answers("T1", "L1", last)), above(0.0),
              below(0.0), 0.15, f"{pilot} .16 and .14"),
    ]  # fmt: skip


def _mixer_claims(items: pa.Table) -> list[Claim]:
    forward_only = "reverse of facts stated forward only, log-odds"
    contrasts = {
        "facts stated both ways, all cells": ("exact", {"measure": "recall", "group": "G0"}),
        forward_only: ("log_odds", asked("G1", "L1", "reverse")),
    }
    found = []
    for what, (value, cell) in contrasts.items():
        margin = 0.05 if value == "exact" else 0.5
        arms = [cell | {"mixer": mixer} for mixer in ("gla", "softmax")]
        found.append(
            Claim(
                row="A2",
                claim=f"GLA minus softmax, {what} (equal within {margin})",
                unit="EM" if value == "exact" else "nat log-odds",
                estimate=stats.contrast(items, value, *arms),
                reproduced=within(margin),
                opposite=outside(margin),
                reference=0.0,
                reference_source="Yang et al. 2024: competitive at equal size",
            )
        )
    return found


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "tuned"))]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        facts = stats.where(items, measure="recall", relation="parent")
        follow = stats.where(items, measure="following", ambiguous="no")
        found += [*recall.coverage(facts, mixer), following.transfer(follow, mixer, tuned="L1")]
        said = stats.where(follow, tuned="L1", language="L2")
        found += [_facts_said(facts, mixer), following.said(said, f"{mixer}, tuned in L1")]
    return [*found, recall.exposures(results, relation="parent")]


def _facts_said(facts: pa.Table, mixer: str) -> report.Section:
    cells = [
        dict(group=group, language=language, direction=way, names=names)
        for group, language, way in (
            ("G0", "L1", "reverse"),
            ("G1", "L1", "forward"),
            ("G1", "L1", "reverse"),
            ("G2", "L2", "forward"),
            ("G4", "L1", "reverse"),
        )
        for names in ("shared", "own")
    ]
    note = "The first fact of a cell, first seed. Decoded greedily until the document ends."
    title = f"{mixer}: facts asked, and what was said"
    return report.examples(facts, [(cell, cell) for cell in cells], "exact", title, note)
