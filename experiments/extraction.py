"""When can what was memorised be asked for? Templates, permutation and translation as augmentation.

Question  A model may know a biography by heart and answer no question about it, whatever it is
          tuned on, unless it was told in several ways (Allen-Zhu & Li, Physics of Language Models
          3.1, 2309.14316). Is a translation such a way? And can people be found by their birth
          dates (3.2, 2309.14402)?

Design    People with six attributes, and biographies of them (data/biography.py). People, names,
          values and the number of rows are the same in every arm:
            single      one text about everyone
            reworded    five texts about everyone, each in words of its own, in one order
            augmented   five texts about everyone, each in words and in an order of its own
            translated  one text in each language about everyone: L1 is read half as often
            mixed       one text, and three of ten documents are questions about half of the people:
                        1.9 biographies and 1.1 questions a row, where others have 2.0 biographies
          Then every arm is tuned on the same questions in L1, loss on the answer, about the even
          people; the odd ones, whom no question was ever about, tell whether facts can be
          extracted. A second tuning asks the inverse, birth date to name. Controls: the even people
          (the form of either question is known) and the loss of biographies (they are known).

Measures  extraction: exact match decoded up to the end, log-odds and rank among the answers to the
          same question about other people; by attribute, language and whether training asked about
          the person. loss: nats a token of biographies. An attribute's chance is 1 over its pool; a
          birth date is unique. No question in L2 is ever read, so what is asked there is unknown in
          form too. Toy is too small for the remedy: tuned on 50 people, every arm learns their
          answers by heart (seen after the first run), where the paper tunes on 50,000.

Run       python -m experiments.run extraction --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, one mixer, about 48 min (by FLOPs); small: one GPU; full:
          100,000 people and GPT-2 small, as in the paper

Result    2026-11-28, 5a5195b, toy, 5 seeds, gla, 1 CPU core, 5,452 s.
          D6 gla: control, single: biographies are known by heart: 0.13 [0.13, 0.13] nat a token,
            reproduced.
          D6 gla: control, augmented: the people asked about in tuning are answered: 1.00 [1.00,
            1.00] EM, reproduced.
          D6 gla: control, augmented: the people asked about in tuning are named by their birth
            dates: 1.00 [1.00, 1.00] EM, reproduced.
          D6 gla: single: memorised and not extractable: 0.04 [0.03, 0.06] EM, reproduced.
          D6 gla: five texts in other words and orders: augmented minus single: 0.02 [-0.01, 0.04]
            EM, inconclusive.
          D6 gla: of that the orders alone: augmented minus reworded: 0.00 [-0.03, 0.02] EM,
            inconclusive.
          D6 gla: a translation is an augmentation: translated minus single: 0.44 [0.23, 0.76] nat
            log-odds, inconclusive.
          D6 gla: questions about half of the people, read beside the texts: mixed minus single:
            0.02 [-0.01, 0.04] EM, inconclusive.
          D6 gla: augmented: whose birth date it is cannot be asked (margin 0.05): 0.00 [0.00, 0.00]
            EM, reproduced.
          D6 gla: nor is the name likelier than others: 0.5 minus its rank (margin 0.1): 0.02
            [-0.02, 0.06] rank, reproduced.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.biography import Biography
from data.pool import ATTRIBUTES, Pools
from experiments import figure, report, stats
from experiments.claim import Claim, above, below, within
from experiments.measure.extraction import Extraction
from experiments.measure.loss import Loss
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Settings, mixers, pretrained, tuned
from train.recipe import AdamW, Constant, Recipe

ROWS = ("D6",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 48 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "100,000 people, GPT-2 small (Physics of Language Models 3.1)",
}
ARMS = {
    "single": {},
    "reworded": {"versions": 5},
    "augmented": {"versions": 5, "permuted": True},
    "translated": {"translated": 1.0},
    "mixed": {"asked": 0.3},
}
TOLD = Biography(versions=1, permuted=False)
PEOPLE = {
    "smoke": dict(people=8, pools=Pools(4, 4, 4, 8, 4, 4, 4, 4), templates=6, T=64),
    "toy": dict(people=100, pools=Pools(20, 20, 20, 20, 20, 20, 20, 20), templates=20, T=84),
    "small": dict(people=20_000),
}
READ = {
    "smoke": SIZES["smoke"],
    "toy": dataclasses.replace(
        SIZES["toy"], pretrain=dataclasses.replace(SIZES["toy"].pretrain, steps=600)
    ),
    "small": SIZES["small"],
}
QUESTIONS = {
    "smoke": Recipe(steps=4, batch=2, schedule=Constant()),
    "toy": Recipe(steps=120, batch=16, optimizer=AdamW(lr=5e-4), schedule=Constant()),
    "small": Recipe(steps=2_000, batch=32, optimizer=AdamW(lr=1e-4), schedule=Constant()),
}


def corpus(size: str, seed: int, arm: str) -> Biography:
    """What an arm reads of the people of a seed."""
    return dataclasses.replace(TOLD, **PEOPLE[size], **ARMS[arm], seed=seed)


def tuning(text: Biography, inverse: bool) -> Biography:
    """Questions in L1 about half of the same people, and nothing else."""
    return dataclasses.replace(text, asked=1.0, ratio=0.0, inverse=inverse, loss="response")


def stages(settings: Settings) -> list[Stage]:
    """Of every seed and mixer, each arm, tuned on questions and on their inverse."""
    size, recipe, found = READ[settings.size], QUESTIONS[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for arm in ARMS:
            text = corpus(settings.size, seed, arm)
            labels = {"arm": arm, "asks": "nothing"}
            base = pretrained(size, mixer, seed, text, (Loss(text),), **labels)
            found.append(base)
            for asks, inverse in (("attributes", False), ("names", True)):
                own = tuning(text, inverse)
                found.append(tuned(base, own, recipe, (Extraction(own),), asks=asks))
    return found


def preview() -> Biography:
    """What `python -m data.preview extraction` shows: every life told in many ways."""
    return corpus("toy", 0, "augmented")


def _asked(arm: str, asked: str = "no", language: str = "L1", **more: str) -> dict[str, str]:
    return {"measure": "extraction", "arm": arm, "asked": asked, "language": language,
            "inverse": "no", "told": "yes"} | more  # fmt: skip


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. People whom no question in training was about, in L1, if not said;
    exact match over all attributes."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [*_controls(items, mixer), *_extracted(items, mixer)]
    return found


def _controls(items: pa.Table, mixer: str) -> list[Claim]:
    known = {"measure": "loss", "arm": "single", "register": "biography"}
    return [
        Claim(
            row="D6",
            claim=f"{mixer}: control, single: biographies are known by heart",
            unit="nat a token",
            estimate=stats.contrast(items, "loss", known),
            reproduced=below(0.3),
            opposite=above(1.0),
            reference=0.13,
            reference_source="entropy of who it is about, over the tokens",
        ),
        *(
            Claim(
                row="D6",
                claim=f"{mixer}: control, augmented: the people asked about in tuning are {done}",
                unit="EM",
                estimate=stats.contrast(
                    items, "exact", _asked("augmented", "yes", inverse=inverse)
                ),
                reproduced=above(0.9),
                opposite=below(0.5),
                reference=reference,
                reference_source=source,
            )
            for done, inverse, reference, source in (
                ("answered", "no", 1.0, "Physics of Language Models 3.1"),
                ("named by their birth dates", "yes", None, "what was trained was learned"),
            )
        ),
    ]


def _extracted(items: pa.Table, mixer: str) -> list[Claim]:
    more = lambda value, arm, other: stats.contrast(items, value, _asked(arm), _asked(other))
    inverse = _asked("augmented", inverse="yes")
    return [
        Claim("D6", f"{mixer}: single: memorised and not extractable", "EM",
              stats.contrast(items, "exact", _asked("single")), below(0.2), above(0.5), 0.097,
              "Physics 3.1, single, from memory: 9.7%"),
        Claim("D6", f"{mixer}: five texts in other words and orders: augmented minus single", "EM",
              more("exact", "augmented", "single"), above(0.3), below(0.05), 0.869,
              "Physics 3.1, from memory: 96.6% against 9.7%"),
        Claim("D6", f"{mixer}: of that the orders alone: augmented minus reworded", "EM",
              more("exact", "augmented", "reworded"), above(0.1), below(0.0), None,
              "Physics 3.1: permuted sentences add to more texts"),
        Claim("D6", f"{mixer}: a translation is an augmentation: translated minus single",
              "nat log-odds", more("log_odds", "translated", "single"), above(0.5), below(0.0),
              None, "Physics 3.1: translations count as augmentation"),
        Claim("D6", f"{mixer}: questions about half of the people, read beside the texts: mixed "
              "minus single", "EM", more("exact", "mixed", "single"), above(0.3), below(0.05), 0.77,
              "Physics 3.1, mixed training, from memory: 86.6% against 9.7%"),
        Claim("D6", f"{mixer}: augmented: whose birth date it is cannot be asked (margin 0.05)",
              "EM", stats.contrast(items, "exact", inverse), within(0.05), above(0.05), 0.0,
              "Physics 3.2: inverse search virtually 0%"),
        Claim("D6", f"{mixer}: nor is the name likelier than others: 0.5 minus its rank (margin "
              "0.1)", "rank", stats.contrast(items, "rank", inverse, of=ahead), within(0.1),
              above(0.1), None, "Physics 3.2: nothing is found by what came after its name"),
    ]  # fmt: skip


def ahead(means: np.ndarray) -> np.ndarray:
    """How far a mean rank, (draws, 1), is better than chance.

    >>> ahead(np.array([[0.5], [0.2]])).tolist()
    [0.0, 0.3]
    """
    return 0.5 - means[:, 0]


def sections(results: report.Results) -> list[report.Section]:
    """Training, who can be asked about what, and answers."""
    found = [report.losses(results.curves, line=("mixer", "arm"), panel="asks")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_people(items, mixer), _attributes(items, mixer), _said(items, mixer)]
    return found


def _people(items: pa.Table, mixer: str) -> report.Section:
    kinds = {"attribute of a name": "no", "name of a birth date": "yes"}
    body = ""
    for values, limits in ((("exact", "rank"), (-0.05, 1.05)), (("log_odds",), None)):
        panels = {}
        for (kind, inverse), value in itertools.product(kinds.items(), values):
            rows = panels.setdefault(f"{kind}: {value}", {})
            for arm, asked in itertools.product(ARMS, ("yes", "no")):
                who = "asked in training" if asked == "yes" else "never asked"
                cell = _asked(arm, asked, inverse=inverse)
                rows[f"{arm}, {who}"] = (stats.means(items, value, cell), asked == "yes")
        body += figure.dots(panels, " | ".join(values), None, limits)
    note = (
        "Questions in L1 after tuning on the even people; one dot a seed. Filled: tuning asked "
        "about them. Rank is 0 if the right answer is the most probable, .5 by chance; log-odds "
        "are nats against the others' answers, 0 by chance."
    )
    return report.Section(f"{mixer}: who can be asked about", note, body)


def _attributes(items: pa.Table, mixer: str) -> report.Section:
    rows = []
    for arm, language in itertools.product(ARMS, ("L1", "L2")):
        told = "yes" if language == "L1" or arm == "translated" else "no"
        row = {"arm": arm, "asked in": language, "told in it": told}
        for attribute in ATTRIBUTES:
            cell = _asked(arm, language=language, attribute=attribute, told=told)
            row[attribute] = float(np.mean(stats.means(items, "exact", cell)))
        rows.append(row)
    note = (
        "Exact match of people never asked about, by attribute. Chance is 1 over the pool. No "
        "question in L2 was ever read."
    )
    return report.Section(f"{mixer}: attributes", note, report.table(rows))


def _said(items: pa.Table, mixer: str) -> report.Section:
    cells = [
        ({"arm": arm}, _asked(arm, inverse=inverse))
        for arm, inverse in itertools.product(ARMS, ("no", "yes"))
    ]
    note = "The first question about someone never asked about, first seed."
    return report.examples(items, cells, "exact", f"{mixer}: what was said", note)
