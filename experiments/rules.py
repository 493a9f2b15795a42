"""Three rules instead of tuning: fitted in L1, do they make a base follow instructions in L2?

Question  Hewitt et al. (2024, 2409.14254, section 5) multiply a base model by three hand-written
          rules (end sooner, do not repeat, move some words) and get instruction following without a
          gradient. If tuning selects a mode that the base has (H1), such rules should reach nearly
          as far, and rules fitted in L1 should serve L2.

Design    The standard base with its parameters as they are. Only decoding changes: a bonus on the
          end that grows with every token, a penalty on what was said, and one on the word that
          begins another question (in either language, by one number). These three numbers are
          chosen from a grid of 18 by right answers to other questions, in L1, or in L2 (the
          ceiling). The words are given and not fitted, so rules that are given L1's alone tell how
          much of the gain in L2 is owed to L2's word. Both tiers: the quiz register, which
          pretraining leaves open four times in five (T1), and a chat wrapper that it never shows
          (T2), where rules have nothing to select. Controls: the base without rules, and tuned in
          L1 and in L2. The base after three answered examples is shown, but is no control: in
          pretraining no document asks again after an answer.
          Claims revised 2026-11-27 after a second reading: L1's word alone is a claim of its own.

Measures  following: decoded answers in three bins, by language. Items whose answers coincide in
          both languages are left out. Rules are fitted on questions of another seed than those
          asked.

Run       python -m experiments.run rules --size toy --seeds 5

Cost      toy: 2 CPU cores, the standard base and 4 tunings a seed, about 8 min a mixer; small: one
          GPU, under an hour a seed

Result    2026-11-27, 0bfcbfa, toy, 5 seeds, gla, 1 CPU core, 779 s.
          C5 gla: T1: rules fitted in L1, asked in L1: gain over that of tuning: 0.92 [0.76, 1.00]
            share of the EM gain, reproduced.
          C5 gla: T1: rules fitted in L1, given the question words of both languages, asked in L2:
            gain over that of tuning in L2: 0.79 [0.48, 0.93] share of the EM gain, inconclusive.
          C5 gla: T1: rules fitted in L1, given that of L1 alone, asked in L2: gain over that of
            tuning in L2: 0.00 [0.00, 0.00] share of the EM gain, opposite.
          C5 gla: T1: rules asked in L2, fitted in L1 minus in L2 (equal within .05): -0.00 [-0.03,
            0.00] EM, reproduced.
          C5 gla: H1: T1, asked in L2: rules of L1, both words given, minus 30 steps in L1: 0.17
            [0.11, 0.25] EM, reproduced.
"""

import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.following import Following
from experiments.measure.ruled import Ruled
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, SIZES, TIERS, corpus, mixers, pretrained, tuned, tuning

ROWS = ("C5",)
COST = {"toy": "2 CPU cores, 5 seeds, one mixer: 8 min", "small": "one GPU, not yet measured"}
Settings = standard.Settings


def stages(settings: Settings) -> list[Stage]:
    """The standard base of every seed and mixer, asked by rules; and its tunings, asked without."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        by_rules = [
            Ruled(text, register, fitted, moved)
            for register in TIERS.values()
            for fitted, moved in (*((l, LANGUAGES) for l in LANGUAGES), ("L1", ("L1",)))
        ]
        shown = [Following(text, register, shots=n) for register in TIERS.values() for n in (0, 3)]
        measures = (*by_rules, *shown)
        base = pretrained(size, mixer, seed, text, measures, tier="base", tuned="none")
        found.append(base)
        for (tier, register), language in itertools.product(TIERS.items(), LANGUAGES):
            asked, said = (Following(text, register),), tuning(text, register, language)
            found.append(tuned(base, said, size.tune, asked, size.at[1:], tier=tier,
                               tuned=language))  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview rules` shows."""
    return corpus(SIZES["toy"], seed=0)


WAY = ["measure", "fitted", "moved", "tuned", "shots"]  # columns that say how a model was changed


def answers(items: pa.Table) -> pa.Table:
    """Answers that tell the languages apart, with the column `way`: how the model was changed."""
    told = items.filter(pc.equal(items["ambiguous"], "no"))
    way = [_way(row) for row in told.select(WAY).to_pylist()]
    return told.append_column("way", pa.array(way))


def _way(row: dict) -> str:
    if row["measure"] == "ruled":
        alone = row["moved"] == row["fitted"]
        return f"rules of {row['fitted']}" + (", its word alone" if alone else "")
    if row["tuned"] != "none":
        return f"tuned in {row['tuned']}"
    return f"{row['shots']} examples" if row["shots"] else "the base"


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one. `early` in a tuning,
    L1 is known and L2 not yet lost."""
    found, items = [], answers(results.items)
    early = _steps(items)[1]
    register = TIERS["T1"]

    def cell(way: str, language: str, at: int | None = None) -> dict[str, object]:
        return dict(way=way, language=language, register=register) | ({"step": at} if at else {})

    last = _steps(items)[-1]
    for mixer in pc.unique(items["mixer"]).to_pylist():
        own = stats.where(items, mixer=mixer)
        estimate = lambda of, *cells, own=own: stats.contrast(own, "right", *cells, of=of)
        paper = "Hewitt et al. 2024, section 5: rules suffice"
        found += [
            Claim("C5", f"{mixer}: T1: rules fitted in L1, asked in L1: gain over that of tuning",
                  "share of the EM gain", estimate(
                      stats.ratio_of_gains, cell("rules of L1", "L1"), cell("the base", "L1"),
                      cell("tuned in L1", "L1", last)), above(0.5), below(0.5), None, paper),
            *(Claim("C5", f"{mixer}: T1: rules fitted in L1, given {words}, asked in L2: gain over "
                    "that of tuning in L2", "share of the EM gain", estimate(
                        stats.ratio_of_gains, cell(way, "L2"), cell("the base", "L2"),
                        cell("tuned in L2", "L2", last)), above(0.5), below(0.5), None, source)
              for way, words, source in (
                  ("rules of L1", "the question words of both languages", "new"),
                  ("rules of L1, its word alone", "that of L1 alone",
                   "new; below .5 where the gain in L2 is owed to its own word"))),
            Claim("C5", f"{mixer}: T1: rules asked in L2, fitted in L1 minus in L2 (equal within "
                  ".05)", "EM", estimate(
                      stats.difference, cell("rules of L1", "L2"), cell("rules of L2", "L2")),
                  within(0.05), outside(0.05), 0.0, "H1: the mode is of no language"),
            Claim("C5", f"{mixer}: H1: T1, asked in L2: rules of L1, both words given, minus "
                  f"{early} steps in L1", "EM",
                  estimate(stats.difference, cell("rules of L1", "L2"),
                           cell("tuned in L1", "L2", early)),
                  above(-0.05), below(-0.05), None, "H1: what rules reach is what tuning reaches"),
        ]  # fmt: skip
    return found


def _steps(items: pa.Table) -> list[int]:
    """The steps of the tunings at which they were asked."""
    return sorted(set(items.filter(pc.not_equal(items["tuned"], "none"))["step"].to_pylist()))


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = answers(stats.where(results.items, mixer=mixer))
        found += [_dots(items, mixer), _chosen(items, mixer), _said(items, mixer)]
    return [*found, report.losses(results.curves, line=("mixer", "tier"), panel="tuned")]


def _dots(items: pa.Table, mixer: str) -> report.Section:
    early, untuned = _steps(items)[1], pc.equal(items["tuned"], "none")
    shown = items.filter(pc.or_(untuned, pc.equal(items["step"], early)))
    first = lambda way: ("rules" in way, "tuned" in way, way)
    ways = sorted(set(shown["way"].to_pylist()), key=first)
    panels = {}
    for (tier, register), language in itertools.product(TIERS.items(), LANGUAGES):
        own = stats.where(shown, register=register, language=language)
        values = following.by_arm(own, "right", "way", ways)
        rows = {way: (values[:, i].tolist(), "rules" in way) for i, way in enumerate(ways)}
        panels[f"{tier}: asked {language}"] = rows
    body = figure.dots(panels, "share right", None, (-0.05, 1.05))
    note = f"Filled: decoded by rules, the base's parameters as they are. Tuned: {early} steps."
    return report.Section(f"{mixer}: rules against tuning", note, body)


def _chosen(items: pa.Table, mixer: str) -> report.Section:
    """The rules that were fitted, by seed."""
    by = ["register", "fitted", "moved", "seed", "rules"]
    chosen = stats.where(items, measure="ruled").group_by(by).aggregate([])
    rows = chosen.sort_by([(name, "ascending") for name in by]).to_pylist()
    note = "Nats on the end a token, on what was said, on the words `moved` that begin a question."
    return report.Section(f"{mixer}: the rules chosen", note, report.table(rows))


def _said(items: pa.Table, mixer: str) -> report.Section:
    asked = stats.where(items, language="L2", register=TIERS["T1"])
    shown = itertools.product(("the base", "rules of L1"), ("copy", "reverse", "swap"))
    cells = [({"decoded": way, "task": task}, dict(way=way, task=task)) for way, task in shown]
    note = "Quiz questions in L2, first seed. ∅ is an empty answer."
    return report.examples(asked, cells, "right", f"{mixer}: what was said", note)
