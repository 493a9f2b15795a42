"""Structural priming: one grammar for two languages, or two grammars?

Question  "a gives b c" and "a gives c to b" are a free choice, made half and half. After a sentence
          with one of them, is the same construction more probable in the next sentence, in the
          other language and in other words? In both directions, and compared with priming within
          one language?

Design    The standard corpus with verbs; 30% of its documents are plain sentences, one a document.
          Arms:
            independent  as it is: nothing shows that a choice persists
            parallel     5% of the documents (of those that state no fact) are said again in the
                         other language, in the same construction: about 1,000 with a recipient in a
                         training. Persistence across languages is therefore trained; within a
                         language it is not, since no document has two sentences of one language
            distant      as parallel, but L2 has the verb last and postpositions
          Prime and target share no word, in either language. The floor is the untrained model;
          priming within a language is what priming across is compared with. Not done: parallel
          documents that draw the construction anew, without which it stays open whether what
          carries over is a rule about such documents.

Measures  priming: effect = p(double object | double-object prime) - p(double object | other prime),
          where p is over the two ways to say the target; the same in nats; along the training.

Run       python -m experiments.run priming --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 15 trainings, about 23 min. small: one GPU, not
          yet measured. full: 124.77M parameters, 12B tokens of text (Arnett et al. 2025).

Result    2026-11-27, b121dad, toy, 5 seeds, gla, 1 CPU core, 1,368 s.
          B4 gla: H2: a choice persists within L1, where no document has two sentences of L1: 0.27
            [0.20, 0.33] difference in probability, reproduced.
          B4 gla: the same, parallel documents - none (declared after the run): 0.17 [0.12, 0.26]
            difference in probability, reproduced.
          B4 gla: a choice made in L1 persists in L2, as parallel documents train it: 0.41 [0.19,
            0.53] difference in probability, reproduced.
          B4 gla: a choice made in L2 persists in L1, as parallel documents train it: 0.26 [0.14,
            0.37] difference in probability, inconclusive.
          B4 gla: floor, the untrained model does not prefer one (0.01): -0.00 [-0.01, 0.00]
            difference in probability, reproduced.
          B4 gla: L1 to L2, where no document has two sentences: -0.06 [-0.22, 0.08] difference in
            probability, inconclusive.
          B4 gla: L1 to L2, the near language - the distant one: -0.03 [-0.12, 0.09] difference in
            probability, inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.contact import Contact
from data.corpus import Corpus
from data.feature import Order
from data.head import Postpositions
from data.world import Vocabulary
from experiments import figure, report, stats
from experiments.claim import Claim, above, below, within
from experiments.measure.priming import Priming
from experiments.stage import Stage, seeds
from experiments.standard import (
    FEATURES,
    MIXTURE,
    SIZES,
    Settings,
    Size,
    corpus,
    mixers,
    pretrained,
)

ROWS = ("B4",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 23 min",
    "small": "one GPU, not yet measured",
}

VOCABULARY = Vocabulary(verbs=8)
SENTENCES = dataclasses.replace(MIXTURE, plain=0.3)
TWICE = dataclasses.replace(SENTENCES, contact=Contact(parallel=0.05))
ARMS = {
    "independent": (FEATURES, SENTENCES),
    "parallel": (FEATURES, TWICE),
    "distant": ((*FEATURES, Order("SOV"), Postpositions()), TWICE),
}
PAIRS = {"L1 to L2": ("L1", "L2"), "L2 to L1": ("L2", "L1"),
         "within L1": ("L1", "L1"), "within L2": ("L2", "L2")}  # fmt: skip


def arm(size: Size, seed: int, name: str) -> Corpus:
    """The corpus of an arm."""
    world = dataclasses.replace(size.world, vocabulary=VOCABULARY)
    return corpus(dataclasses.replace(size, world=world), seed, *ARMS[name])


def stages(settings: Settings) -> list[Stage]:
    """One pretraining an arm, measured before it and at eighths of it."""
    size, found = SIZES[settings.size], []
    eighths = tuple(sorted({size.pretrain.steps * i // 8 for i in (0, 1, 2, 4, 8)}))
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for name in ARMS:
            text = arm(size, seed, name)
            found.append(pretrained(size, mixer, seed, text, (Priming(text),), eighths, arm=name))
    return found


def preview() -> Corpus:
    """What `python -m data.preview priming` shows: the arm of parallel documents."""
    return arm(SIZES["toy"], 0, "parallel")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run, but for the one that says it was not."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def cell(arm: str, pair: str, step: int) -> dict[str, object]:
    """The items of an arm, of a pair of languages, at a step."""
    prime, target = PAIRS[pair]
    return {"arm": arm, "prime": prime, "target": target, "step": step}


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    last = pc.max(items["step"]).as_py()
    estimate = lambda *cells, of=stats.mean: stats.contrast(items, "effect", *cells, of=of)
    primed = {pair: estimate(cell("parallel", pair, last)) for pair in PAIRS}
    michaelov = "Michaelov et al. 2023: eight experiments with people replicated; here it is taught"
    unit = "difference in probability"
    return [
        Claim("B4", f"{mixer}: H2: a choice persists within L1, where no document has two "
              "sentences of L1", unit, primed["within L1"], above(0.0), below(0.0),
              None, "new; expected positive if the construction is represented for both at once"),
        Claim("B4", f"{mixer}: the same, parallel documents - none (declared after the run)",
              unit, estimate(*(cell(arm, "within L1", last) for arm in ("parallel", "independent")),
                             of=stats.difference),
              above(0.0), below(0.0), None, "new; what such documents teach and do not show"),
        Claim("B4", f"{mixer}: a choice made in L1 persists in L2, as parallel documents train it",
              unit, primed["L1 to L2"], above(0.0), below(0.0), None, michaelov),
        Claim("B4", f"{mixer}: a choice made in L2 persists in L1, as parallel documents train it",
              unit, primed["L2 to L1"], above(0.0), below(0.0), None, michaelov),
        Claim("B4", f"{mixer}: floor, the untrained model does not prefer one (0.01)",
              unit, estimate(cell("parallel", "L1 to L2", 0)),
              within(0.01), above(0.01), 0.0, "by construction"),
        Claim("B4", f"{mixer}: L1 to L2, where no document has two sentences",
              unit, estimate(cell("independent", "L1 to L2", last)),
              above(0.0), below(0.0), None, "Arnett et al. 2025: priming from text alone; here the "
              "text shows no persistence"),
        Claim("B4", f"{mixer}: L1 to L2, the near language - the distant one",
              unit,
              estimate(*(cell(arm, "L1 to L2", last) for arm in ("parallel", "distant")),
                       of=stats.difference),
              above(0.0), below(0.0), None, "Arnett et al. 2025: weaker for distant pairs"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("arm",), panel="mixer")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_effects(items, mixer), _along(items, mixer), _examples(items, mixer)]
    return found


def _effects(items: pa.Table, mixer: str) -> report.Section:
    steps = sorted(set(items["step"].to_pylist()))
    rows = {f"{name}: {pair}": (name, pair, steps[-1]) for name in ARMS for pair in PAIRS}
    rows |= {f"untrained: {pair}": ("parallel", pair, 0) for pair in PAIRS}
    panels = {
        title: {
            row: (stats.means(items, metric, cell(*at)), at[-1] > 0) for row, at in rows.items()
        }
        for title, metric in (("probability", "effect"), ("log-odds, nats", "shift"))
    }
    note = (
        "How much more probable a double object is after a double object than after a preposition. "
        "Prime and target share no word. One dot a seed, bar their mean; hollow: untrained."
    )
    shown = (
        figure.dots({title: rows}, "effect", 0.0, meaning="none") for title, rows in panels.items()
    )
    return report.Section(f"{mixer}: priming effect by languages", note, "".join(shown))


def _along(items: pa.Table, mixer: str) -> report.Section:
    panels = {
        name: {
            pair: stats.curves(items, "effect", {"arm": name, "prime": prime, "target": target})
            for pair, (prime, target) in PAIRS.items()
        }
        for name in ARMS
    }
    note = "Priming effect along the training, one line a seed."
    return report.Section(
        f"{mixer}: when priming appears", note, figure.curves(panels, "effect (probability)")
    )


def _examples(items: pa.Table, mixer: str) -> report.Section:
    last, rows = pc.max(items["step"]).as_py(), []
    for name, pair in itertools.product(ARMS, PAIRS):
        row = stats.where(items, **cell(name, pair, last)).slice(0, 1).to_pylist()[0]
        rows.append({"arm": name, "languages": pair, "prime, double": row["prompt"],
                     "target, double": row["gold"], "p(double)": row["double"],
                     "effect": row["effect"]})  # fmt: skip
    note = "The first pair of sentences, first seed."
    return report.Section(f"{mixer}: primes and targets", note, report.table(rows))
