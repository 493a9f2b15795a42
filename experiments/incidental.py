"""Incidental bilingualism: what parallel documents and code-switching in pretraining teach.

Question  A corpus in two languages holds a few documents that say the same in both, and a few words
          of one language in documents of the other. Do these teach translation? And do they help
          facts to be answered across languages?

Design    The standard corpus without its dictionary and with twice the nouns: in the control,
          `none`, no document is in two languages, while 30% of the nouns and half of the names are
          the same word in both. Arms add
            parallel  a share .001, .01 or .05 of the documents is said again in the other language;
                      of statements only those of facts that both languages state
            switched  a share .05 of the constituents is a word of the other language
          Translation is never asked for in pretraining. One tuning, the same for all arms, teaches
          the format: `translate L2 a ?` is answered, for two thirds of the nouns. The others show
          what was known before. Facts are asked of the base, with shared names only: where each
          language has a name of its own, neither `none` nor `parallel` ever says the answer that is
          asked for. Softmax by default: GLA hardly carries facts across (0.29 nats in the
          flagship), and what is at its floor cannot change.

Measures  translation: exact match and log-odds (among the nouns that tuning showed, or among those
          it did not) of words that differ between the languages, prompted in either. recall:
          log-odds, in L2, of facts stated in L1 only (G2); compared if `none` has more than 0.5
          nat, else undefined.

Run       python -m experiments.run incidental --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 25 trainings and as many tunings, about 40 min
          (by FLOPs). small: one GPU, not yet measured. full: 1.35B parameters, 4 x 60B tokens (Shao
          et al.).

Result    2026-11-27, 5449f04, toy, 5 seeds, softmax, 1 CPU core, 4,894 s.
          B8 softmax: precondition, words that tuning showed are translated without contact: 1.00
            [0.97, 1.00] EM, reproduced.
          B8 softmax: H3: words that tuning did not show, parallel .05 - no contact (undefined
            without the precondition): 0.26 [0.16, 0.39] EM, inconclusive.
          B8 softmax: parallel .01, as a share of what .05 gains: 0.00 [0.00, 0.00] share of the
            gain, opposite.
          B8 softmax: code-switching .05, as a share of what parallel .05 gains: 3.19 [2.16, 4.83]
            share of the gain, opposite.
          B8 softmax: precondition, facts stated in L1 alone are known in L2 without contact, shared
            names: more than 0.5 nat: 4.29 [3.73, 4.99] nat log-odds, reproduced.
          B8 softmax: the same facts, parallel .05 - no contact (equal within 0.5 nat; undefined
            without the precondition): -1.23 [-1.88, -0.55] nat log-odds, inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.contact import Contact
from data.corpus import Corpus
from data.split import HeldOut
from data.task import LISTS
from data.task.translate import Translate
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.recall import Recall, asked
from experiments.measure.translation import Translation
from experiments.stage import Stage, seeds
from experiments.standard import (
    MIXTURE,
    SIZES,
    Size,
    corpus,
    mixers,
    pretrained,
    tuned,
    tuning,
)

ROWS = ("B8",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 40 min (by FLOPs)",
    "small": "one GPU, not yet measured",
}

ARMS = {
    "none": Contact(scope=("facts",)),
    "parallel .001": Contact(scope=("facts",), parallel=0.001),
    "parallel .01": Contact(scope=("facts",), parallel=0.01),
    "parallel .05": Contact(scope=("facts",), parallel=0.05),
    "switched .05": Contact(scope=("facts",), switched=0.05),
}
NEVER_ASKED = dataclasses.replace(MIXTURE, dictionary=0.0, held_out=(HeldOut(Translate()),))
UNSHOWN = {"measure": "translation", "word": "own", "shown": "no"}
ACROSS = asked("G2", "L2", "forward", names="shared")
LEAST = 0.5  # EM of words shown, nats of facts: a control that is not above it is at its floor

Settings = standard.Crossing


def enlarged(size: Size) -> Size:
    """Twice the nouns: only a third are asked for, and only 70% of these have two words."""
    world = dataclasses.replace(size.world, nouns=2 * size.world.nouns, tasks=(*LISTS, Translate()))
    return dataclasses.replace(size, world=world)


def arm(size: Size, seed: int, name: str) -> Corpus:
    """The corpus of an arm."""
    mixture = dataclasses.replace(NEVER_ASKED, contact=ARMS[name])
    return corpus(enlarged(size), seed, mixture=mixture)


def shown(size: Size) -> int:
    """How many nouns the tuning translates."""
    return 2 * size.world.nouns // 3


def translating(text: Corpus, nouns: int) -> Corpus:
    """Answered questions for the other language's words for the first `nouns`."""
    world = dataclasses.replace(text.world, tasks=(Translate(nouns=nouns),))
    return dataclasses.replace(tuning(text, "quiz", "L1"), ratio=0.5, world=world)


def stages(settings: Settings) -> list[Stage]:
    """One base an arm, and its tuning to translate."""
    size, found = SIZES[settings.size], []
    count = shown(enlarged(size))
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for name in ARMS:
            text = arm(size, seed, name)
            base = pretrained(size, mixer, seed, text, (Recall(text),), arm=name, tuned="none")
            found += [base, tuned(base, translating(text, count), size.tune,
                                  (Translation(text, count),), size.at,
                                  tuned="translate")]  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview incidental` shows: the arm of most parallel documents."""
    return arm(SIZES["toy"], 0, "parallel .05")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    last = pc.max(stats.where(items, measure="translation")["step"]).as_py()

    def estimate(value: str, cell: dict, *arms: str, of=stats.difference) -> stats.Estimate:
        return stats.contrast(items, value, *(cell | {"arm": a} for a in arms), of=of)

    translated = lambda *arms, of=stats.difference, **more: estimate(
        "exact", UNSHOWN | {"step": last} | more, *arms, of=of
    )
    taught = translated("none", of=stats.mean, shown="yes")
    known = estimate("log_odds", ACROSS, "none", of=stats.mean)
    # Undefined where the control is at its floor: a difference from it would say nothing.
    learned, crossed = (
        found if control.low > LEAST else stats.over_seeds(())
        for control, found in (
            (taught, translated("parallel .05", "none")),
            (known, estimate("log_odds", ACROSS, "parallel .05", "none")),
        )
    )
    shao = "Shao et al. 2026:"
    return [
        Claim("B8", f"{mixer}: precondition, words that tuning showed are translated without "
              "contact", "EM", taught, above(LEAST), below(LEAST), None, "the format is learned"),
        Claim("B8", f"{mixer}: H3: words that tuning did not show, parallel .05 - no contact "
              "(undefined without the precondition)", "EM", learned, above(0.1), below(0.1),
              None, f"{shao} BLEU falls by 56% without bilingual documents"),
        Claim("B8", f"{mixer}: parallel .01, as a share of what .05 gains",
              "share of the gain",
              translated("parallel .01", "none", "parallel .05", of=stats.ratio_of_gains),
              above(0.5), below(0.5),
              None, f"{shao} parallel documents, 14% of the bilingual ones, restore 91% of BLEU"),
        Claim("B8", f"{mixer}: code-switching .05, as a share of what parallel .05 gains",
              "share of the gain",
              translated("switched .05", "none", "parallel .05", of=stats.ratio_of_gains),
              below(0.5), above(0.5),
              None, f"{shao} code-switching, 72% of the bilingual documents, adds little"),
        Claim("B8", f"{mixer}: precondition, facts stated in L1 alone are known in L2 without "
              f"contact, shared names: more than {LEAST:g} nat", "nat log-odds", known,
              above(LEAST), below(LEAST), None, "flagship: 3.27 nats over own names with softmax"),
        Claim("B8", f"{mixer}: the same facts, parallel .05 - no contact (equal within 0.5 nat; "
              "undefined without the precondition)", "nat log-odds", crossed,
              within(0.5), outside(0.5), None,
              f"{shao} cross-lingual question answering unchanged"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "arm"), panel="tuned")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_by_rate(items, mixer), _along(items, mixer), _said(items, mixer)]
    return found


def _by_rate(items: pa.Table, mixer: str) -> report.Section:
    last = pc.max(stats.where(items, measure="translation")["step"]).as_py()
    dots = lambda metric, cell: {
        name: (stats.means(items, metric, cell | {"arm": name}), name == "none") for name in ARMS
    }
    words = {
        f"words {said}": dots("exact", UNSHOWN | {"shown": flag, "step": last})
        for said, flag in (("shown", "yes"), ("not shown", "no"))
    }
    facts = {"facts across": dots("log_odds", ACROSS)}
    note = (
        "Rates of contact in pretraining; filled: none. Translation after the tuning, of words it "
        "showed and of others; facts of the base with shared names, stated in L1 alone and asked "
        "in L2."
    )
    body = figure.dots(words, "exact match", limits=(-0.05, 1.05))
    body += figure.dots(facts, "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: translation and facts by rate of contact", note, body)


def _along(items: pa.Table, mixer: str) -> report.Section:
    panels = {
        title: {
            name: stats.curves(items, "exact", UNSHOWN | {"shown": flag, "arm": name})
            for name in ("none", "switched .05", "parallel .01", "parallel .05")
        }
        for title, flag in (("words shown", "yes"), ("words not shown", "no"))
    }
    note = "Exact match along the tuning, one line a seed: is it knowledge, or is it learned there?"
    return report.Section(
        f"{mixer}: translation along its tuning", note, figure.curves(panels, "exact match")
    )


def _said(items: pa.Table, mixer: str) -> report.Section:
    last = pc.max(stats.where(items, measure="translation")["step"]).as_py()
    cells = [
        ({"arm": name, "from": language}, UNSHOWN | dict(arm=name, language=language, step=last))
        for name, language in itertools.product(ARMS, ("L1", "L2"))
    ]
    note = "The first word that tuning did not show, first seed. Decoded greedily."
    return report.examples(items, cells, "exact", f"{mixer}: translations", note)
