"""Unification: does a fact stated in one language become one that the other language knows?

Question  A fact is stated in L1 alone. Is it answered in L2, and does that depend on whether its
          entities have one name in both languages, on whether anything says that two names are one,
          on how plainly a document shows its language, and on how many other facts are stated in
          one language only?

Design    The standard corpus with three times the dictionary documents; half of the pairs have one
          name in both languages, half have one in each. G2 is stated in L1 alone, G6 in L2 alone,
          G7 never. In the control, `nouns`, the dictionary explains nouns only; in `dictionary` it
          explains names too, which aligns own names and states no fact. The others edit
          `dictionary`:
            tagged    every document begins with the name of its language (Blum et al. 2025,
                      2508.11017: what shows the language hinders unification); in all other arms
                      with one and the same word, so that a row holds the same facts
            parallel  one document in ten is said again in the other language, statements too where
                      both languages state the fact: so never G2
            apart     one group of facts in eight is stated in both languages, not three: more
                      mutual information of fact and language. There are fewer cells to state (for
                      homes 8, not 10), so fewer documents state facts
          A cell has the same expected exposures in all arms, within 3%; the ledger counts them, and
          shows 0 in the cells asked across. The languages share no function word and no word for a
          relation or a task, so every prompt shows its language already, and a tag may add little.
          Softmax by default: in GLA facts hardly cross (0.29 nats in the flagship).

Measures  recall (log-odds, exact match), and X: how far the log-odds of facts stated in L1 alone
          and asked in L2 are above G7, as a share of how far those stated in L2 are (G6).
          unification: cosine of the states at a fact's answer in both languages, minus that of
          other facts, over all layers. What names alone give it is read off G4, stated as often in
          L2, but in reverse (own names of G7 occur in glosses alone). consistency: RankC, how alike
          both languages rank the candidates (Qi et al. 2023, 2310.10378), against its chance.

Run       python -m experiments.run unification --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 25 trainings, about 38 min (by FLOPs). small:
          one GPU, not yet measured. full: the sizes of Blum et al. are not at hand.

Result    2026-11-27, 5449f04, toy, 5 seeds, softmax, 1 CPU core, 4,648 s.
          B13 softmax: X, shared names: log-odds in L2 of what L1 alone states, as a share of what
            L2 states (floor: never stated): 0.41 [0.35, 0.47] share of log-odds, inconclusive.
          B13 softmax: control, own names that nothing aligns are at chance in L2 (0.5 nat): 0.02
            [-0.27, 0.26] nat log-odds, reproduced.
          B13 softmax: H3, precondition: own names, a dictionary of names - of nouns alone, more
            than 0.5 nat: 0.97 [0.44, 1.41] nat log-odds, inconclusive.
          B13 softmax: own names, documents tagged with their language - with one word for both
            (undefined without H3): undefined, inconclusive.
          B13 softmax: own names, fewer facts stated in both languages - the standard groups
            (undefined without H3): undefined, inconclusive.
          B13 softmax: own names, with parallel documents of other facts - without (undefined
            without H3): undefined, inconclusive.
          B13 softmax: own names and their dictionary, unification of facts stated in both languages
            (G0) - in L1, and in L2 in reverse (G4): -0.00 [-0.06, 0.07] cosine, inconclusive.
          B13 softmax: RankC of facts stated in both languages (G1): shared - own names: 0.05 [0.00,
            0.08] RankC, inconclusive.
"""

import dataclasses
import functools
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.contact import Contact
from data.corpus import Corpus
from data.world import FORWARD, GROUPS, REVERSE, Group
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, within
from experiments.measure.consistency import Consistency
from experiments.measure.recall import Recall
from experiments.measure.unification import Unification
from experiments.stage import Stage, seeds
from experiments.standard import MIXTURE, SIZES, Size, corpus, mixers, pretrained

ROWS = ("B13",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 38 min (by FLOPs)",
    "small": "one GPU, not yet measured",
}

WORDS = dataclasses.replace(MIXTURE, dictionary=0.12)
NAMED = dataclasses.replace(WORDS, contact=Contact(scope=("nouns", "names")))
AGAIN = Contact(parallel=0.1, scope=("nouns", "names", "facts"))
PARALLEL = dataclasses.replace(NAMED, contact=AGAIN)
# As many cells of pairs as in GROUPS, 13; only G0 is stated in both languages.
APART = tuple(
    {
        "G1": Group("G1", ((0, FORWARD), (0, REVERSE))),
        "G4": Group("G4", ((1, FORWARD), (1, REVERSE))),
    }.get(group.name, group)
    for group in GROUPS
)
# Homes are stated forward in every language of a group, so in 8 cells and not in 10.
FEWER = NAMED.facts * (13 + 8) / (13 + 10)
MATCHED = dataclasses.replace(NAMED, facts=FEWER, stories=NAMED.stories + NAMED.facts - FEWER)
SAME = "<L1>"  # opens all documents, where that is not to tell the language
ARMS = {  # whether documents are tagged, what is said, and where facts are stated
    "nouns": (SAME, WORDS, GROUPS),
    "dictionary": (SAME, NAMED, GROUPS),
    "tagged": (True, NAMED, GROUPS),
    "parallel": (SAME, PARALLEL, GROUPS),
    "apart": (SAME, MATCHED, APART),
}
WATCHED = "dictionary"  # the arm that is measured on the way too
ACROSS = {"group": "G2", "language": "L2"}  # stated in L1 alone
WITHIN = {"group": "G6", "language": "L2"}
NEVER = {"group": "G7", "language": "L2"}
LEAST = 0.5  # nats that a dictionary of names must add for arms that edit it to show anything

Settings = standard.Crossing


def arm(size: Size, seed: int, name: str) -> Corpus:
    """The corpus of an arm."""
    tagged, mixture, groups = ARMS[name]
    text = corpus(size, seed, mixture=mixture)
    pair = dataclasses.replace(text.pair, tagged=tagged)
    return dataclasses.replace(
        text, pair=pair, world=dataclasses.replace(text.world, groups=groups)
    )


def stages(settings: Settings) -> list[Stage]:
    """One pretraining an arm; the watched one is measured at eighths of it."""
    size, found = SIZES[settings.size], []
    last = size.pretrain.steps
    eighths = tuple(sorted({last * i // 8 for i in (1, 2, 4, 8)}))
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for name in ARMS:
            text, at = arm(size, seed, name), eighths if name == WATCHED else (last,)
            asked = (Recall(text), Unification(text), Consistency(text))
            found.append(pretrained(size, mixer, seed, text, asked, at, arm=name))
    return found


def preview() -> Corpus:
    """What `python -m data.preview unification` shows: the arm of parallel documents."""
    return arm(SIZES["toy"], 0, "parallel")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [claim for m in mixers for claim in _claims(_last(results.items, mixer=m), m)]


def _last(items: pa.Table, **equal: object) -> pa.Table:
    """Forward questions about pairs, at the end of training."""
    items = stats.where(items, relation="parent", direction="forward", **equal)
    return stats.where(items, step=pc.max(items["step"]).as_py())


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    estimate = functools.partial(stats.contrast, items)

    def asked(arm: str, names: str, cell: dict = ACROSS) -> dict:
        return {"measure": "recall", "arm": arm, "names": names} | cell

    own = lambda one, two: estimate("log_odds", asked(one, "own"), asked(two, "own"))
    share = [asked("nouns", "shared", cell) for cell in (ACROSS, NEVER, WITHIN)]
    ranked = [
        {"measure": "consistency", "arm": "nouns", "group": "G1", "names": names}
        for names in ("shared", "own")
    ]
    states = [
        {"measure": "unification", "arm": WATCHED, "names": "own", "group": group}
        for group in ("G0", "G4")
    ]
    aligned = own("dictionary", "nouns")
    # Undefined where a dictionary takes nothing across: there is nothing to hinder or to help.
    changed = lambda arm: own(arm, "dictionary") if aligned.low > LEAST else stats.over_seeds(())
    blum, nat = "Blum et al. 2025: unification", "nat log-odds"
    given = "(undefined without H3)"
    return [
        Claim("B13", f"{mixer}: X, shared names: log-odds in L2 of what L1 alone states, as a "
              "share of what L2 states (floor: never stated)", "share of log-odds",
              estimate("log_odds", *share, of=stats.ratio_of_gains), above(0.5), below(0.1), None,
              "softmax pilot, one seed: 9.4 nats, of 12.2 asked in L1"),
        Claim("B13", f"{mixer}: control, own names that nothing aligns are at chance in L2 "
              "(0.5 nat)", nat, estimate("log_odds", asked("nouns", "own"), of=stats.mean),
              within(0.5), above(0.5), 0.0, "softmax pilot with own names, one seed"),
        Claim("B13", f"{mixer}: H3, precondition: own names, a dictionary of names - of nouns "
              f"alone, more than {LEAST:g} nat", nat, aligned, above(LEAST), below(LEAST), None,
              "new; expected positive if facts are unified over aligned words"),
        Claim("B13", f"{mixer}: own names, documents tagged with their language - with one word "
              f"for both {given}", nat, changed("tagged"), below(0), above(0), None,
              f"{blum} falls with how easily language is read off"),
        Claim("B13", f"{mixer}: own names, fewer facts stated in both languages - the standard "
              f"groups {given}", nat, changed("apart"), below(0), above(0), None,
              f"{blum} falls with the mutual information of fact and language"),
        Claim("B13", f"{mixer}: own names, with parallel documents of other facts - without "
              f"{given}", nat, changed("parallel"), above(0), below(0), None,
              f"{blum} is controlled by the data"),
        Claim("B13", f"{mixer}: own names and their dictionary, unification of facts stated in "
              "both languages (G0) - in L1, and in L2 in reverse (G4)", "cosine",
              estimate("unified", *states),
              above(0.05), below(0.05), None, f"{blum}, or one copy a language"),
        Claim("B13", f"{mixer}: RankC of facts stated in both languages (G1): shared - own names",
              "RankC", estimate("rankc", *ranked), above(0.05), below(0.05), None,
              "Qi et al. 2023: vocabulary overlap predicts consistency"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "arm"), panel="mixer")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = _last(results.items, mixer=mixer)
        found += [_transfer(items, mixer), *_both(items, mixer), _said(items, mixer)]
        found.append(_on_the_way(stats.where(results.items, mixer=mixer, arm=WATCHED), mixer))
    return found


ASKED = {"stated in L1 alone": ACROSS, "stated in L2": WITHIN, "never stated": NEVER}


def _transfer(items: pa.Table, mixer: str) -> report.Section:
    items = stats.where(items, measure="recall")
    panels = {
        f"{names} names": {
            f"{name}: {group}": (
                stats.means(items, "log_odds", cell | {"arm": name, "names": names}),
                group == "stated in L2",
            )
            for name in ARMS
            for group, cell in ASKED.items()
        }
        for names in ("shared", "own")
    }
    note = (
        "All are asked in L2, forward. Hollow: L2 never stated it. Log-odds against the answers "
        "that training said as often. One dot a seed, bar their mean."
    )
    return report.Section(
        f"{mixer}: facts asked in L2, by arm", note, figure.dots(panels, "log-odds, nats", 0.0)
    )


def _both(items: pa.Table, mixer: str) -> list[report.Section]:
    groups = {"in both": "G0", "in L2 in reverse": "G4", "L1 alone": "G2", "never": "G7"}
    rows = [*itertools.product(ARMS, groups)]
    rows.remove(("apart", "in L2 in reverse"))  # there L2 alone states G4, in both directions
    own = {name: stats.where(items, measure=name) for name in ("unification", "consistency")}

    def dots(measure: str, metric: str, label: str, chance: float) -> str:
        mean = lambda **cell: stats.means(own[measure], metric, cell)
        panels = {
            f"{names} names": {
                f"{arm}: {what}": (mean(arm=arm, names=names, group=groups[what]), True)
                for arm, what in rows
            }
            for names in ("shared", "own")
        }
        return figure.dots(panels, label, chance)

    unified = (
        "Cosine of the states at the answer in both languages, minus that of other facts, by where "
        "training stated the fact. Stated in L2 in reverse alone, a fact scores what its names do."
    )
    ranked = (
        "Rank-weighted overlap of the candidates' orders in both languages (Qi et al. 2023), by "
        "where training stated the fact. It does not ask which candidate is right."
    )
    level = pc.mean(own["consistency"]["chance"]).as_py()
    return [
        report.Section(f"{mixer}: unification of the two languages", unified,
                       dots("unification", "unified", "cosine", 0.0)),
        report.Section(f"{mixer}: consistency of the two languages", ranked,
                       dots("consistency", "rankc", "RankC", level)),
    ]  # fmt: skip


def _on_the_way(items: pa.Table, mixer: str) -> report.Section:
    items = stats.where(items, measure="recall", relation="parent", direction="forward")
    panels = {
        f"{names} names": {
            label: stats.curves(items, "log_odds", cell | {"names": names})
            for label, cell in ASKED.items()
        }
        for names in ("shared", "own")
    }
    note = "Asked in L2, log-odds along the training of the arm with a dictionary of names."
    return report.Section(
        f"{mixer}: when facts cross", note, figure.curves(panels, "log-odds (nats)")
    )


def _said(items: pa.Table, mixer: str) -> report.Section:
    labels = [{"arm": a, "names": n} for a, n in itertools.product(ARMS, ("shared", "own"))]
    cells = [(label, {"measure": "recall"} | label | ACROSS) for label in labels]
    note = "The first fact that L1 alone states, asked in L2, first seed. Decoded greedily."
    title = f"{mixer}: facts asked, and what was said"
    return report.examples(items, cells, "exact", title, note)
