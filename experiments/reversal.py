"""Reversal: does it help to see other facts both ways, another wording, another language?

Question  Does a model learn to reverse a fact from many others that are stated both ways (D1)? Does
          a fact that one language states forward become reversible through the other (D4)?

Design    Coverage: there are eight groups of pairs. The last, `held`, is stated forward only, in
          both languages, and has the same pairs in every arm. A share rho of all pairs is stated
          both ways; the rest are stated forward only or in reverse only, so that the form of the
          reversed question is known in every arm; if it were not, a failure would mean nothing.
            rho 0      no pair is stated both ways: the rule is never shown
            rho 1/2    half of all pairs are
            rho 7/8    all are but the held ones
            templates  as rho 1/2, every statement in one of four wordings, asked in a fifth
          More cells need more statements, so the share of facts grows with them, at the expense of
          stories and questions, and every stated cell has the same exposures (counted: the ledger).
          Languages: the standard base, some of whose groups state a fact in L1 only or in L2 only;
          all are asked in both languages and both directions: 2 x 2 x 2. G4 is stated forward in L1
          and reversed in L2. Exposures of every cell are matched. Direction is which entity is
          mentioned first, never its grammatical role: L2 puts the possessor first, and states no
          fact in reverse by that.
          Controls: where held facts may fail in reverse, those stated both ways are asked in the
          same words; where another language may help, facts with names of its own.

Measures  recall: exact match decoded, log-odds among the answers of the cell (chance 0), rank
          (chance .5). That nothing is known is decided by rank, within 0.1 of .5: a mean of
          log-odds is also near 0 where some facts are known and others denied.

Run       python -m experiments.run reversal --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, one mixer, about 39 min (by FLOPs), 31 without the standard
          base; small: one GPU, not yet measured; full: GPT-2 of 24 layers, 3,000 epochs (Zhu et
          al. 2024)

Result    2026-11-27, b121dad, toy, 5 seeds, gla, 1 CPU core, 6,317 s.
          D1 gla: control, facts stated both ways are answered reversed (rho 7/8): 1.00 [1.00, 1.00]
            EM, reproduced.
          D1 gla: control, facts stated both ways are answered reversed (templates): 1.00 [1.00,
            1.00] EM, reproduced.
          D1 gla: 7 of 8 facts show the rule, the held ones reversed are at chance (margin 0.1):
            -0.01 [-0.06, 0.06] rank above chance, inconclusive.
          D1 gla: coverage does not help: held facts reversed, rho 7/8 above rho 0 (margin 0.1):
            0.02 [-0.10, 0.11] rank, inconclusive.
          D1 gla: four wordings make facts answer a fifth, forward: 1.00 [1.00, 1.00] EM,
            reproduced.
          D1 gla: four wordings do not reverse them (margin 0.1): 0.00 [-0.05, 0.06] rank above
            chance, reproduced.
          D4 gla: stated forward in L1 (G2), shared names: forward in L2 minus reversed in L1:
            language is crossed and direction is not: 0.40 [-0.30, 1.61] nat log-odds, inconclusive.
          D4 gla: forward in L1 and reversed in L2 (G4), shared names, asked reversed in L1, against
            forward in L1 alone (G2): the other language gives the direction: 0.48 [-0.09, 0.96] nat
            log-odds, inconclusive.
          D4 gla: control, the same above what it is with own names: the name carries it: 0.69
            [-0.12, 1.26] nat log-odds, inconclusive.
          D4 gla: the curse is no matter of which direction: stated reversed in L1 (G5), asked
            forward in L1, at chance (margin 0.1): -0.05 [-0.14, 0.04] rank above chance,
            inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.mixture import Mixture
from data.world import FORWARD, RELATIONS, REVERSE, Group, Vocabulary
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import recall
from experiments.measure.recall import Recall
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Settings, mixers, pretrained

ROWS = ("D1", "D4")
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 31 min (by FLOPs) and the standard base",
    "small": "one GPU, not yet measured",
    "full": "GPT-2 of 24 layers, 3,000 epochs (Zhu et al. 2024)",
}
EIGHTHS = {"rho 0": 0, "rho 1/2": 4, "rho 7/8": 7, "templates": 4}  # groups stated both ways
WORDINGS = {"templates": Vocabulary(templates=5, held_out=1)}
WAYS = {"forward": (FORWARD,), "reverse": (REVERSE,), "both": (FORWARD, REVERSE)}


def groups(both: int) -> tuple[Group, ...]:
    """Eight groups of which so many are stated both ways and the last, `held`, forward only."""
    others = [("reverse", "forward")[i % 2] for i in range(7 - both)]
    kinds = [*["both"] * both, *others, "forward"]
    cells = lambda kind: tuple(itertools.product((0, 1), WAYS[kind]))
    names = [*(f"{kind}{i}" for i, kind in enumerate(kinds[:-1])), "held"]
    return tuple(Group(name, cells(kind)) for name, kind in zip(names, kinds, strict=True))


def corpus(size: standard.Size, seed: int, arm: str) -> Corpus:
    """The standard corpus with the arm's groups, and facts in proportion to stated cells."""
    text = standard.corpus(size, seed)
    world = dataclasses.replace(
        text.world,
        groups=groups(EIGHTHS[arm]),
        relations=RELATIONS[:1],
        vocabulary=WORDINGS.get(arm, text.world.vocabulary),
    )
    facts = 0.2 * (1 + EIGHTHS[arm] / 8)
    mixture = Mixture(facts=facts, stories=0.6 * (1 - facts), quiz=0.4 * (1 - facts))
    return dataclasses.replace(text, world=world, mixture=mixture)


def stages(settings: Settings) -> list[Stage]:
    """Of every seed and mixer: the arms of coverage, and the standard base."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for arm in EIGHTHS:
            text = corpus(size, seed, arm)
            template = 4 if arm in WORDINGS else 0
            asked = Recall(text, template=template)
            found.append(pretrained(size, mixer, seed, text, (asked,), arm=arm))
        text = standard.corpus(size, seed)
        found.append(pretrained(size, mixer, seed, text, (Recall(text),), arm="languages"))
    return found


def preview() -> Corpus:
    """What `python -m data.preview reversal` shows: the arm of several templates."""
    return corpus(SIZES["toy"], 0, "templates")


def _held(arm: str, way: str) -> dict[str, object]:
    return {"arm": arm, "group": "held", "direction": way}


def _told(group: str, language: str, way: str, **more: str) -> dict[str, object]:
    return {"arm": "languages", "relation": "parent", "group": group, "language": language,
            "direction": way} | more  # fmt: skip


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; held facts are asked in both languages."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [*_coverage(items, mixer), *_languages(items, mixer)]
    return found


def _coverage(items: pa.Table, mixer: str) -> list[Claim]:
    most, least = (_held(arm, "reverse") for arm in ("rho 7/8", "rho 0"))
    return [
        *(_control(items, mixer, arm) for arm in ("rho 7/8", "templates")),
        Claim(
            row="D1",
            claim=f"{mixer}: 7 of 8 facts show the rule, the held ones reversed are at chance "
            "(margin 0.1)",
            unit="rank above chance",
            estimate=stats.contrast(items, "rank", most, of=recall.above_chance),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=0.0,
            reference_source="Zhu et al. 2024: at chance where 70% of pairs show both directions",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: coverage does not help: held facts reversed, rho 7/8 above rho 0 "
            "(margin 0.1)",
            unit="rank",
            estimate=stats.contrast(items, "rank", least, most),  # the best rank is 0
            reproduced=within(0.1),
            opposite=above(0.1),
            reference=0.0,
            reference_source="Zhu et al. 2024; Wang & Sun 2025: hundreds of thousands of examples "
            "do not generalise",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: four wordings make facts answer a fifth, forward",
            unit="EM",
            estimate=stats.contrast(items, "exact", _held("templates", "forward")),
            reproduced=above(0.5),
            opposite=below(0.1),
            reference=0.967,
            reference_source="Berglund et al. 2023: 96.7% on held-out templates, same direction",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: four wordings do not reverse them (margin 0.1)",
            unit="rank above chance",
            estimate=stats.contrast(
                items, "rank", _held("templates", "reverse"), of=recall.above_chance
            ),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=0.0,
            reference_source="Berglund et al. 2023: not cured by paraphrase",
        ),
    ]


def _control(items: pa.Table, mixer: str, arm: str) -> Claim:
    """The reversed question itself is understood, or no failure to answer it means anything."""
    return Claim(
        row="D1",
        claim=f"{mixer}: control, facts stated both ways are answered reversed ({arm})",
        unit="EM",
        estimate=stats.contrast(items, "exact", _held(arm, "reverse") | {"group": "both0"}),
        reproduced=above(0.9),
        opposite=below(0.5),
        reference=None,
        reference_source="pilots of two mixers, one seed each, half of all pairs: 1.0",
    )


def _languages(items: pa.Table, mixer: str) -> list[Claim]:
    shared, own = dict(names="shared"), dict(names="own")
    helped = lambda names: [_told(group, "L1", "reverse", **names) for group in ("G4", "G2")]
    crossed = _told("G2", "L2", "forward", **shared), _told("G2", "L1", "reverse", **shared)
    known = lambda *cells, of=None: stats.contrast(items, "log_odds", *cells, of=of)
    reverse_only = stats.contrast(
        items, "rank", _told("G5", "L1", "forward"), of=recall.above_chance
    )
    return [
        Claim("D4", f"{mixer}: stated forward in L1 (G2), shared names: forward in L2 minus "
              "reversed in L1: language is crossed and direction is not", "nat log-odds",
              known(*crossed), above(1.0), below(1.0), None,
              "softmax pilot, all names shared, one seed: 9.4 and 0.1"),
        Claim("D4", f"{mixer}: forward in L1 and reversed in L2 (G4), shared names, asked reversed "
              "in L1, against forward in L1 alone (G2): the other language gives the direction",
              "nat log-odds", known(*helped(shared)), above(1.0), below(1.0), None,
              "new; positive if facts are unified over languages (Blum et al. 2025)"),
        Claim("D4", f"{mixer}: control, the same above what it is with own names: the name carries "
              "it", "nat log-odds", known(*helped(shared), *helped(own), of=stats.interaction),
              above(1.0), below(1.0), None,
              "new; without a shared name there is a lexicon to cross first"),
        Claim("D4", f"{mixer}: the curse is no matter of which direction: stated reversed in L1 "
              "(G5), asked forward in L1, at chance (margin 0.1)", "rank above chance",
              reverse_only, within(0.1), outside(0.1), 0.0,
              "Berglund et al. 2023: both orders fail alike"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """Coverage, then languages, a set a mixer; then what was counted."""
    found = [report.losses(results.curves, panel="arm")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_sweep(items, mixer), _two_by_two_by_two(items, mixer)]
        own = stats.where(items, arm="languages", relation="parent")
        found += recall.coverage(own, mixer)
    return [*found, recall.exposures(results, by="arm", group="held")]


def _sweep(items: pa.Table, mixer: str) -> report.Section:
    body, told = "", [arm for arm, both in EIGHTHS.items() if both]
    for value, (name, chance, limits) in recall.METRICS.items():
        dots = lambda arm, way, group, value=value: stats.means(
            items, value, _held(arm, way) | {"group": group}
        )
        panels = {
            f"held, asked {way}": {arm: (dots(arm, way, "held"), way == "forward")
                                   for arm in EIGHTHS}
            for way in WAYS if way != "both"
        }  # fmt: skip
        panels["stated both ways, asked reverse"] = {
            arm: (dots(arm, "reverse", "both0"), True) for arm in told
        }
        body += figure.dots(panels, name, chance, limits)
    note = (
        "Pairs that every arm states forward only, in both languages, asked in both; beside them "
        "pairs that the arm states both ways. Filled: as stated; hollow: never. One dot a seed."
    )
    return report.Section(f"{mixer}: coverage of directions", note, body)


def _two_by_two_by_two(items: pa.Table, mixer: str) -> report.Section:
    panels = {}
    for names in ("shared", "own"):
        for (group, stated), way in itertools.product(
            {"G2": "L1", "G6": "L2"}.items(), ("forward", "reverse")
        ):
            title = f"{names} names, asked {way}"
            for asked in standard.LANGUAGES:
                values = stats.means(items, "log_odds", _told(group, asked, way, names=names))
                told = asked == stated and way == "forward"
                panels.setdefault(title, {})[f"stated {stated}, asked {asked}"] = (values, told)
    note = (
        "Facts stated forward in one language alone (G2 in L1, G6 in L2), asked in both, in both "
        "directions. Filled: the cell that is stated."
    )
    body = figure.dots(panels, "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: languages x directions", note, body)
