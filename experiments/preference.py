"""Preference tuning across languages: marked words are disliked in L1; are they still said in L2?

Question  A model answers list tasks in plain words, and sometimes in marked ones, in both
          languages. Direct preference optimisation (DPO) on pairs of L1 makes it stop there. Does
          it stop in L2, where no pair was shown, and does alignment of the languages predict by how
          much (Li et al. 2024, 2406.16235)?

Design    The standard corpus with `Marked` among its tasks: one answer in seven is in marked words,
          synonyms of the nouns. No noun, plain or marked, is shared by the languages: a shared one
          would be tuned for both. Pairs (data/preference.py) are quiz questions of L1 with the
          plain answer, chosen, and the same answer in marked words, rejected. Bases differ in
          alignment alone:
            apart       no document is in two languages
            dictionary  nouns of both languages side by side
            parallel    the dictionary, and 5% of the documents that state no fact said again in the
                        other language
            mirrored    the dictionary, and 20% of them
          Each is tuned by DPO in L1, at a fifth of the standard rate. The base with a dictionary is
          also tuned by DPO in L2, the ceiling, and at the standard rate on `instructions`, the
          control: answers to the quiz in L1 as the base read them, marked ones among them. What DPO
          does is what it does beyond that.

Measures  preferred: where an answer begins, the share of marked words among the nouns of the
          question's language, which is how often a sampled answer is marked; log-odds of plain
          against marked; the decoded answer. loss: nats a token of statements of facts in L2, where
          no word is marked, before and after: the fluency control. alignment: retrieval of
          translations, by CSLS. The divergence from the base is not measured.

Run       python -m experiments.run preference --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, one mixer, about 33 min (by FLOPs); small: one GPU, 3 h a seed,
          not yet measured; full: mGPT 1.3B and others, 17 languages (Li et al. 2024)

Result    2026-11-27, fb96367, toy, 5 seeds, gla, 1 CPU core, 3,706 s.
          C7 gla: DPO in L1 lowers the rate of marked answers in L2, as a share of it: 0.40 [0.16,
            0.67] reduction, inconclusive.
          C7 gla: of what DPO in L2 lowers there, DPO in L1 lowers more than half: 0.40 [0.16, 0.67]
            share of the ceiling, inconclusive.
          C7 gla: control, instructions in L1 without preference lower it in L2 by as good as
            nothing (within 0.1): -0.76 [-1.18, -0.28] reduction, inconclusive.
          C7 gla: and DPO in L1 lowers it in L2 by more than they do: 1.16 [0.55, 1.87] reduction,
            inconclusive.
          C7 gla: control, fluency: loss on statements of L2 after DPO in L1 minus before (equal
            within 0.1): 0.09 [0.03, 0.16] nats a token, inconclusive.
          C7 gla: H3: retrieval of translations in the base predicts the reduction in L2, Spearman's
            r over alignments, mean over seeds: -0.16 [-0.72, 0.56] r, inconclusive.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.feature import Lexicon, Names, PossessorFirst
from data.mixture import Contact
from data.preference import Preference
from data.task import LISTS
from data.task.style import Marked
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.alignment import Alignment
from experiments.measure.loss import Loss
from experiments.measure.preferred import Preferred
from experiments.stage import Stage, seeds
from experiments.standard import (
    LANGUAGES,
    MIXTURE,
    SIZES,
    mixers,
    pretrained,
    tuned,
    tuning,
)
from train.preference import DPO
from train.recipe import AdamW

ROWS = ("C7",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 33 min (by FLOPs)",
    "small": "one GPU: about 3 h a mixer and seed, not yet measured",
}
Settings = standard.Settings

OWN = (Lexicon(0.0), Names(0.5), PossessorFirst())
ALIGNMENTS = {
    "apart": dataclasses.replace(MIXTURE, dictionary=0.0),
    "dictionary": MIXTURE,
    "parallel": dataclasses.replace(MIXTURE, contact=Contact(parallel=0.05)),
    "mirrored": dataclasses.replace(MIXTURE, contact=Contact(parallel=0.2)),
}
REGISTER = "quiz"
TUNINGS = ("DPO L1", "DPO L2", "instructions")
CONTROLLED = "dictionary"  # the base that gets all tunings; the others get the first


def text(size: standard.Size, seed: int, alignment: str) -> Corpus:
    """The standard corpus in whose world some answers are in marked words."""
    world = dataclasses.replace(size.world, tasks=(*LISTS, Marked()))
    size = dataclasses.replace(size, world=world)
    return standard.corpus(size, seed, OWN, ALIGNMENTS[alignment])


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed, mixer and alignment, and its tunings."""
    size, found = SIZES[settings.size], []
    rate = AdamW(lr=size.tune.optimizer.lr / 5)
    dpo = dataclasses.replace(size.tune, objective=DPO(beta=0.1), optimizer=rate)
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for alignment in ALIGNMENTS:
            corpus = text(size, seed, alignment)
            asked = (Preferred(corpus, REGISTER), Loss(corpus))
            base = pretrained(size, mixer, seed, corpus, (*asked, Alignment(corpus)),
                              alignment=alignment, tuned="none")  # fmt: skip
            found.append(base)
            for name in TUNINGS if alignment == CONTROLLED else TUNINGS[:1]:
                if name == "instructions":
                    read, recipe = tuning(corpus, REGISTER, "L1"), size.tune
                else:
                    language = LANGUAGES.index(name.removeprefix("DPO "))
                    read, recipe = Preference(corpus, language, REGISTER, seed), dpo
                found.append(tuned(base, read, recipe, asked, size.at, tuned=name))
    return found


def preview() -> Corpus:
    """What `python -m data.preview preference` shows: what a base reads."""
    return text(SIZES["toy"], 0, "parallel")


def reduction(means: np.ndarray) -> np.ndarray:
    """1 - after / before of arms (before, after)."""
    return 1 - means[:, 1] / np.maximum(means[:, 0], 1e-9)


def beyond(means: np.ndarray) -> np.ndarray:
    """The reduction to `after` less that to `control`, of arms (before, after, control)."""
    return reduction(means[:, :2]) - reduction(means[:, ::2])


def share(means: np.ndarray) -> np.ndarray:
    """Of the reduction from `before` to `ceiling`, the part that is reached; undefined (nan) where
    the ceiling reduces by less than 0.02. Arms (before, reached, ceiling)."""
    whole = means[:, 0] - means[:, 2]
    gained = means[:, 0] - means[:, 1]
    return np.where(whole >= 0.02, gained / np.where(whole >= 0.02, whole, 1.0), np.nan)


def _rate(alignment: str, tuned: str, step: int, language: str = "L2") -> dict[str, object]:
    return dict(measure="preferred", alignment=alignment, tuned=tuned, step=step, language=language)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. The rate is the share of marked words where an answer begins."""
    found = []
    for mixer in sorted(set(results.items["mixer"].to_pylist())):
        items = stats.where(results.items, mixer=mixer)
        last = max(stats.where(items, tuned="DPO L1")["step"].to_pylist())
        found += [*_transfer_claims(items, mixer, last), _predictor(items, mixer, last)]
    return found


def _transfer_claims(items: pa.Table, mixer: str, last: int) -> list[Claim]:
    rate = lambda of, *arms: stats.contrast(items, "marked", *arms, of=of)
    before = _rate(CONTROLLED, "DPO L1", 0)
    after = lambda tuned, language="L2": _rate(CONTROLLED, tuned, last, language)
    loss = lambda step: dict(measure="loss", alignment=CONTROLLED, tuned="DPO L1", step=step,
                             language="L2", register="statement")  # fmt: skip
    return [
        Claim(
            row="C7",
            claim=f"{mixer}: DPO in L1 lowers the rate of marked answers in L2, as a share of it",
            unit="reduction",
            estimate=rate(reduction, before, after("DPO L1")),
            reproduced=above(0.25),
            opposite=below(0.1),
            reference=0.917,
            reference_source="Li et al. 2024: 46.8% to 3.9% over 17 languages, mGPT-1.3B",
        ),
        Claim(
            row="C7",
            claim=f"{mixer}: of what DPO in L2 lowers there, DPO in L1 lowers more than half",
            unit="share of the ceiling",
            estimate=rate(share, before, after("DPO L1"), after("DPO L2")),
            reproduced=above(0.5),
            opposite=below(0.5),
            reference=None,
            reference_source="Li et al. 2024: languages that were not tuned fall as far",
        ),
        Claim(
            row="C7",
            claim=f"{mixer}: control, instructions in L1 without preference lower it in L2 by as "
            "good as nothing (within 0.1)",
            unit="reduction",
            estimate=rate(reduction, before, after("instructions")),
            reproduced=within(0.1),
            opposite=outside(0.1),
            reference=None,
            reference_source="new; expected of a tuning that prefers nothing",
        ),
        Claim(
            row="C7",
            claim=f"{mixer}: and DPO in L1 lowers it in L2 by more than they do",
            unit="reduction",
            estimate=rate(beyond, before, after("DPO L1"), after("instructions")),
            reproduced=above(0.25),
            opposite=below(0.1),
            reference=None,
            reference_source="new; what is left if any tuning would do",
        ),
        Claim(
            row="C7",
            claim=f"{mixer}: control, fluency: loss on statements of L2 after DPO in L1 minus "
            "before (equal within 0.1)",
            unit="nats a token",
            estimate=stats.contrast(items, "loss", loss(last), loss(0), paired=True),
            reproduced=within(0.1),
            opposite=above(0.1),
            reference=None,
            reference_source="Li et al. 2024: perplexity rises little",
        ),
    ]


def predicted(items: pa.Table, last: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By alignment (seeds,): the retrieval@1 of the base's nouns, and the reduction in L2."""
    found = {}
    for alignment in ALIGNMENTS:
        nouns = dict(measure="alignment", alignment=alignment, space="input")
        steps = [_rate(alignment, "DPO L1", step) for step in (0, last)]
        retrieved = stats.matrix(items, "retrieved", nouns)[:, 0]
        found[alignment] = retrieved, reduction(stats.matrix(items, "marked", *steps))
    return found


def _predictor(items: pa.Table, mixer: str, last: int) -> Claim:
    retrieved, reduced = np.stack(list(predicted(items, last).values()), axis=2)
    return Claim(
        row="C7",
        claim=f"{mixer}: H3: retrieval of translations in the base predicts the reduction in L2, "
        "Spearman's r over alignments, mean over seeds",
        unit="r",
        estimate=stats.over_seeds(
            [stats.rank_correlation(x, y) for x, y in zip(retrieved, reduced, strict=True)]
        ),
        reproduced=above(0.3),
        opposite=below(0.0),
        reference=None,
        reference_source="Li et al. 2024: bilingual retrieval predicts it over 17 languages",
    )


def sections(results: report.Results) -> list[report.Section]:
    """The rate along the tuning, its predictor, then a few answers."""
    found = [report.losses(results.curves, line=("alignment",), panel="tuned")]
    for mixer in sorted(set(results.items["mixer"].to_pylist())):
        items = stats.where(results.items, mixer=mixer)
        last = max(stats.where(items, tuned="DPO L1")["step"].to_pylist())
        note = "One dot a seed. Retrieval is of all nouns, none of which is shared."
        body = figure.scatter({mixer: predicted(items, last)}, "retrieval@1, base",
                              "reduction of marked answers in L2")  # fmt: skip
        found += [
            _along(items, mixer),
            report.Section(f"{mixer}: what alignment predicts", note, body),
            _answers(items, mixer, last),
        ]
    return found


def _along(items: pa.Table, mixer: str) -> report.Section:
    steps = sorted(set(stats.where(items, tuned="DPO L1")["step"].to_pylist()))
    panels: dict[str, dict[str, list[tuple]]] = {}
    for how, language in itertools.product(TUNINGS, LANGUAGES):
        for alignment in ALIGNMENTS if how == TUNINGS[0] else (CONTROLLED,):
            cells = [_rate(alignment, how, step, language) for step in steps]
            panels.setdefault(f"{how}: asked in {language}", {})[alignment] = [
                (steps, rates) for rates in stats.matrix(items, "marked", *cells).tolist()
            ]
    note = "How often a sampled answer would be marked, along the tuning; one line a seed."
    body = figure.curves(panels, "rate of marked answers")
    return report.Section(f"{mixer}: marked answers along the tuning", note, body)


def _answers(items: pa.Table, mixer: str, last: int) -> report.Section:
    rows = []
    for language, step in itertools.product(LANGUAGES, (0, last)):
        cell = _rate(CONTROLLED, "DPO L1", step, language)
        for row in stats.where(items, task="swap", **cell).slice(0, 2).to_pylist():
            label = {"asked in": language, "steps of DPO in L1": step}
            rows.append(label | report.said(row, "right") | {"marked": row["marked"]})
    note = "First seed, base with a dictionary. `marked`: the rate at which a sample would be."
    return report.Section(f"{mixer}: what was asked and said", note, report.table(rows))
