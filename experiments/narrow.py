"""One task tuned, all asked: does narrow tuning make a model follow instructions broadly?

Question  Hewitt et al. (2024, 2409.14254) tune on one task (poetry, recipes, ...) and get a model
          that follows other instructions too. After tuning on one task, is another one answered, in
          the language of the tuning and in the other?

Design    The standard base, tuned in L1 on questions of one of its six list tasks (an arm each) or
          of all six, in both tiers (the quiz register, a new chat wrapper). Steps, recipe and the
          number of rows are the same. It is asked the tasks that were not tuned. Controls: all
          tasks tuned, in L1 and in L2 (ceilings); all tasks with the answers to other instructions
          (the format alone); the untuned base (step 0).

Measures  following: decoded answers in three bins, by language and task, and `mode`, the
          probability that an answer begins. Items whose answers coincide in both languages are left
          out. An item of a task that was not tuned is `held`.

Run       python -m experiments.run narrow --size toy --seeds 5

Cost      toy: 2 CPU cores, the standard base and 18 tunings a seed, about 12 min a mixer; small:
          one GPU, under an hour a seed

Result    2026-11-28, 5a5195b, toy, 5 seeds, gla, 1 CPU core, 309 s.
          C4 gla: T1: tuned on one task in L1, another asked in L1: gain over that of tuning on all:
            0.11 [0.07, 0.14] share of the EM gain, inconclusive.
          C4 gla: T1: tuned on one task in L1, another asked in L2: gain over that of tuning on all
            in L2: 0.08 [0.05, 0.11] share of the EM gain, inconclusive.
          C4 gla: H1: T1: tuned on one task in L1, another asked in L2: an answer begins: 0.78
            [0.72, 0.83] share of the gain in p(answer begins), reproduced.
          C4 gla: T2: tuned on one task in L1, another asked in L1: gain over that of tuning on all:
            0.07 [0.05, 0.10] share of the EM gain, inconclusive.
          C4 gla: T2: tuned on one task in L1, another asked in L2: gain over that of tuning on all
            in L2: 0.01 [0.00, 0.02] share of the EM gain, opposite.
          C4 gla: H1: T2: tuned on one task in L1, another asked in L2: an answer begins: 0.92
            [0.90, 0.95] share of the gain in p(answer begins), reproduced.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.shuffled import Shuffled
from data.split import HeldOut
from data.task import LISTS
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure import following
from experiments.measure.following import Following
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, TIERS, corpus, mixers, pretrained, tuned, tuning

ROWS = ("C4",)
COST = {"toy": "2 CPU cores, 5 seeds, one mixer: 12 min", "small": "one GPU, not yet measured"}
Settings = standard.Settings


def only(text: Corpus, name: str) -> Corpus:
    """A tuning corpus that asks one task."""
    others = tuple(HeldOut(task) for task in LISTS if task.name != name)
    return dataclasses.replace(text, mixture=dataclasses.replace(text.mixture, held_out=others))


def stages(settings: Settings) -> list[Stage]:
    """The standard base of every seed and mixer, and its tunings by tier and task."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        base = pretrained(size, mixer, seed, text, tier="base", tuned="none")
        found.append(base)
        for tier, register in TIERS.items():
            one, two = (tuning(text, register, language) for language in ("L1", "L2"))
            arms = {task.name: only(one, task.name) for task in LISTS}
            arms |= {"all": one, "all, L2": two, "all, shuffled": Shuffled(one)}
            asked = (Following(text, register),)
            found += [
                tuned(base, each, size.tune, asked, size.at, tier=tier, tuned=arm)
                for arm, each in arms.items()
            ]
    return found


def preview() -> Corpus:
    """What `python -m data.preview narrow` shows: the tuning on one task."""
    return only(tuning(corpus(SIZES["toy"], seed=0), "chat", "L1"), "reverse")


def answers(items: pa.Table) -> pa.Table:
    """Answers that tell the languages apart, with columns `width` (one task tuned, or all) and
    `held` (whether the task asked was not tuned)."""
    told = following.told(items)
    names = pa.array([task.name for task in LISTS])
    one = pc.is_in(told["tuned"], value_set=names)
    width = pc.if_else(one, "one", told["tuned"])
    held = pc.if_else(pc.and_(one, pc.not_equal(told["tuned"], told["task"])), "yes", "no")
    return told.append_column("width", width).append_column("held", held)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. Arms of one task are taken together."""
    found, items = [], answers(results.items)
    last = max(items["step"].to_pylist())
    cell = lambda tier, language, step=last, **own: dict(
        tier=tier, language=language, step=step, **own
    )
    for mixer, tier in itertools.product(pc.unique(items["mixer"]).to_pylist(), TIERS):
        own = stats.where(items, mixer=mixer)
        held = dict(width="one", held="yes")
        ceiling = {"L1": dict(width="all"), "L2": dict(width="all, L2")}
        gain = lambda value, language, own=own, tier=tier, held=held, ceiling=ceiling: (
            stats.contrast(
                own, value, cell(tier, language, **held), cell(tier, language, 0, **held),
                cell(tier, language, **ceiling[language]), of=stats.ratio_of_gains,
            )
        )  # fmt: skip
        paper = "Hewitt et al. 2024: tuning on one task makes other instructions followed"
        narrow = f"{tier}: tuned on one task in L1, another asked in"
        found += [
            Claim("C4", f"{mixer}: {narrow} L1: gain over that of tuning on all",
                  "share of the EM gain", gain("right", "L1"), above(0.1), below(0.1), None, paper),
            Claim("C4", f"{mixer}: {narrow} L2: gain over that of tuning on all in L2",
                  "share of the EM gain", gain("right", "L2"), above(0.1), below(0.1), None, "new"),
            Claim("C4", f"{mixer}: H1: {narrow} L2: an answer begins",
                  "share of the gain in p(answer begins)", gain("mode", "L2"), above(0.5),
                  below(0.5), None, "H1: a mode is of no task and no language"),
        ]  # fmt: skip
    return found


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "tier"), panel="tuned")]
    told = answers(results.items)
    for mixer in pc.unique(told["mixer"]).to_pylist():
        items = stats.where(told, mixer=mixer)
        found += [_bins(items, mixer), *_matrices(items, mixer)]
        shown = stats.where(items, tuned="reverse", language="L1")
        found.append(following.said(shown, f"{mixer}: tuned on reversing in L1, asked in L1"))
    return found


def _bins(items: pa.Table, mixer: str) -> report.Section:
    panels, ceilings = {}, {}
    for tier, language in itertools.product(TIERS, ("L1", "L2")):
        own = stats.where(items, tier=tier, language=language)
        name = f"{tier}: another task, {language}"
        panels[name] = following.shares(stats.where(own, width="one", held="yes"))
        best = "all" if language == "L1" else "all, L2"
        ceilings[name] = following.shares(stats.where(own, width=best))[1].mean(0)
    note = (
        "Answers to tasks that were not tuned, after tuning on one other task in L1. Dashed: all "
        "tasks tuned, in the language asked. Dots are seeds."
    )
    body = figure.three_bins(panels, ceilings)
    return report.Section(f"{mixer}: narrow tuning", note, body)


def _matrices(items: pa.Table, mixer: str) -> list[report.Section]:
    """Per cent right by task tuned and task asked, at the end of tuning."""
    end = stats.where(items, step=max(items["step"].to_pylist()))
    names, found = [task.name for task in LISTS], []
    arms = [*names, "all", "all, L2", "all, shuffled"]
    note = "Per cent of answers right at the end of tuning. Rows: tuned in L1; columns: task asked."
    for tier, language in itertools.product(TIERS, ("L1", "L2")):
        own = stats.where(end, tier=tier, language=language)
        share = lambda arm, task, own=own: following.share(own, "right", tuned=arm, task=task)
        values = np.array([[100 * share(arm, task) for task in names] for arm in arms])
        body = figure.heat(values, arms, names, f"task asked in {language}")
        found.append(report.Section(f"{mixer}: {tier}, asked in {language}", note, body))
    return found
