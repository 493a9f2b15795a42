"""Instructions tuned in one language, asked in another: three tiers, and what carries them over.

Question  After tuning on instructions in L1 alone, are instructions in L2 followed? Is it a mode of
          answering that the base has in both languages (H1), does it run over aligned words (H3) or
          over shared tokens (H4), and does an answer come out in the wrong language (H5)? Does less
          of L2 in pretraining raise it (H2)?

Design    One base per seed and arm. An arm edits the standard corpus in what is named:
            standard          half the text in L2; a dictionary; 30% of nouns, half of names shared
            tenth             a tenth of the text in L2 (H2)
            unaligned         no dictionary and no shared word: marks and chat markers alone (H3)
            tenth, unaligned  both: ratio and alignment are crossed
            cloned            not even those: no token but <doc> is shared (H4)
            new task          one task, swap, is never asked; dictionaries translate its word
          Tiers are tuned in L1 and in L2 (the ceiling), those of `standard` also in L1 on the
          answers to other instructions (shuffled):
            T1 mode     the quiz register, which pretraining leaves open four times in five
            T2 wrapper  between chat markers, which pretraining never shows
            T3 skill    the quiz register of the arm `new task`, asked for the task it lacked
          Controls: shuffled answers (the format alone); tuning in L2 for as many steps; the untuned
          base, also decoded without the words that begin a question (examples in the prompt would
          tell nothing: in pretraining no question follows an answer); the new task asked in L1, and
          asked in L2 after tuning in L2, or its null would say nothing; and that nouns are
          unaligned where they should be. Arms differ in their base's text and share seed and
          recipe.

Measures  following: decoded answers in three bins (right, right in the other language, wrong) along
          the tuning, and `mode`, the probability that an answer begins. Transfer ratio TR: the gain
          in L2 over that of tuning in L2 for as many steps; its peak, among steps at which tuning
          in L2 gains at least .3; and TR where L1 first has .5 right, over the gain of an L2 that
          also has .5. Fidelity: right over right in either language. Items whose answers coincide
          in both languages are left out. alignment: translations of nouns, retrieved.

Run       python -m experiments.run transfer --size toy --seeds 8

Cost      toy: one CPU core beside another run, 30 pretrainings and 100 tunings, 110 min a mixer;
          small: one GPU, under 2 h a seed (estimated); full: as small, with 8 seeds and all mixers

Result    2026-11-28, 1fbb990, toy, 8 seeds, gla, 1 CPU core, 2,593 s.
          C1 gla: T1, tuned in L1, asked in L2: peak along the tuning: 0.78 [0.63, 0.87] transfer
            ratio, reproduced.
          C1 gla: T2, the same: 0.07 [0.02, 0.25] transfer ratio, inconclusive.
          C1 gla: T1, the same where L1 comes to .5 right: 0.64 [0.47, 0.87] transfer ratio,
            reproduced.
          C1 gla: control: L2 after 30 steps in L1, right minus shuffled answers: 0.43 [0.27, 0.53]
            EM, reproduced.
          C1 gla: H1: 10 steps in L1 make an answer begin in L2 as tuning in L2 does at last: 0.56
            [0.44, 0.68] share of the gain in p(answer begins), inconclusive.
          C1 gla: H5: T2, L2 answered right in L1 after 30 steps in L1: 0.10 [0.07, 0.16] share of
            answers, inconclusive.
          C1 gla: control of T3: the new task after 200 steps in L1, asked in L1: gain: 0.48 [0.35,
            0.62] EM, inconclusive.
          C1 gla: control of T3: the new task after 200 steps in L2, asked in L2: gain: 0.50 [0.38,
            0.62] EM, reproduced.
          C1 gla: T3, the new task in L2 after tuning in L1: highest gain along the tuning (none
            expected): 0.06 [0.02, 0.14] EM, inconclusive.
          C1 gla: H2: T1 in L2 after 30 steps in L1: a tenth of the text in L2 minus half: -0.46
            [-0.63, -0.24] transfer ratio, opposite.
          C1 gla: control of H3: nouns without dictionary and shared words are not aligned:
            translations retrieved: 0.03 [0.01, 0.05] share of nouns, reproduced.
          C1 gla: H3: T1 in L2 after 30 steps in L1 without dictionary and shared words (above 0 is
            against H3): 0.28 [0.09, 0.59] transfer ratio, inconclusive.
          C1 gla: H2 x H3: T1 in L2 after 30 steps in L1: what a tenth of the text loses against
            half, less what it loses without dictionary and shared words: 0.38 [-0.00, 0.69]
            transfer ratio, inconclusive.
          C1 gla: H4: the same where no token but <doc> is shared (above 0 is against H4): 0.00
            [0.00, 0.02] transfer ratio, reproduced.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Clone, Lexicon, Names, PossessorFirst
from data.shuffled import Shuffled
from data.speaker import speaker
from data.split import HeldOut
from data.task import Swap
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.alignment import Alignment
from experiments.measure.following import Following
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, MIXTURE, SIZES, mixers, pretrained, tuned, tuning
from train.rule import Rules

ROWS = ("C1",)
COST = {
    "toy": "one CPU core, 5 seeds, one mixer: 110 min",
    "small": "one GPU, not yet measured",
}
Settings = standard.Settings


def _twin(text: Corpus, *features, dictionary: float = 0.0) -> Corpus:
    pair = dataclasses.replace(text.pair, features=features)
    mixture = dataclasses.replace(MIXTURE, dictionary=dictionary)
    return dataclasses.replace(text, pair=pair, mixture=mixture)


def _without(text: Corpus, task) -> Corpus:
    mixture = dataclasses.replace(MIXTURE, held_out=(HeldOut(task),), glossed=(task.name,))
    return dataclasses.replace(text, mixture=mixture)


ARMS: dict[str, Callable[[Corpus], Corpus]] = {
    "standard": lambda text: text,
    "tenth": lambda text: dataclasses.replace(text, ratio=0.1),
    "unaligned": lambda text: _twin(text, Lexicon(0.0), Names(0.0), PossessorFirst()),
    "tenth, unaligned": lambda text: ARMS["unaligned"](ARMS["tenth"](text)),
    "cloned": lambda text: _twin(text, Clone(), PossessorFirst()),
    "new task": lambda text: _without(text, Swap()),
}
TIERS = standard.TIERS | {"T3": "quiz"}
TUNED = {"standard": ("T1", "T2"), "tenth": ("T1", "T2"), "unaligned": ("T1", "T2"),
         "tenth, unaligned": ("T1",), "cloned": ("T1",), "new task": ("T3",)}  # fmt: skip


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed, mixer and arm, and its tunings by tier and language."""
    size, found = SIZES[settings.size], []
    for seed, mixer, (arm, edit) in itertools.product(
        seeds(settings.seeds), mixers(settings.mixers), ARMS.items()
    ):
        text = edit(standard.corpus(size, seed))
        own = _unasking(text)
        shown = [Following(text, register, rules=own) for register in standard.TIERS.values()]
        shown.append(Alignment(text))
        base = pretrained(size, mixer, seed, text, shown, arm=arm, tier="base", tuned="none")
        found.append(base)
        for tier in TUNED[arm]:
            texts = {language: tuning(text, TIERS[tier], language) for language in LANGUAGES}
            if arm == "standard":
                texts["shuffled"] = Shuffled(texts["L1"])
            asked = (Following(text, TIERS[tier]),)
            found += [
                tuned(base, each, size.tune, asked, size.at, tier=tier, tuned=name)
                for name, each in texts.items()
            ]
    return found


def _unasking(text: Corpus) -> Rules:
    """Decoding in which no question begins, in either language; all else as the model has it."""
    forms = speaker(text.pair, text.world).form
    words = [text.tokenizer.encode(f" {form['question']}")[0] for form in forms]
    never = tuple((word, -1e9) for word in dict.fromkeys(words))
    return Rules(rise=0.0, repetition=0.0, offsets=never)


def preview() -> Corpus:
    """What `python -m data.preview transfer` shows: the arm in which one task is never asked."""
    return ARMS["new task"](standard.corpus(SIZES["toy"], seed=0))


def answers(items: pa.Table) -> pa.Table:
    """Answers that tell the languages apart; of T3 those to the new task."""
    told = following.told(items)
    return told.filter(pc.or_(pc.not_equal(told["tier"], "T3"), pc.equal(told["task"], "swap")))


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        own = stats.where(results.items, mixer=mixer)
        found += [*_known(answers(own), mixer), *_new(answers(own), mixer), *_arms(own, mixer)]
    return found


def _cell(tier, tuned, step, language="L2", arm="standard") -> dict[str, object]:
    return dict(arm=arm, tier=tier, tuned=tuned, step=step, language=language)


def _known(items: pa.Table, mixer: str) -> list[Claim]:
    """Claims on tasks that pretraining told or asked, from the standard base."""
    steps = _steps(items)
    first, early, last = steps[1], steps[2], steps[-1]
    estimate = lambda of, *cells, value="right": stats.contrast(items, value, *cells, of=of)
    along = lambda tier, tuned, language="L2": [_cell(tier, tuned, s, language) for s in steps]
    peak = lambda tier: estimate(
        stats.peak_transfer, *along(tier, "L1")[1:], *along(tier, "L2")[1:], _cell(tier, "L1", 0)
    )
    pilot = "softmax pilot, two seeds, teacher-forced: "
    return [
        Claim("C1", f"{mixer}: T1, tuned in L1, asked in L2: peak along the tuning",
              "transfer ratio", peak("T1"), above(0.1), below(0.1), None,
              f"{pilot}.22 and .39 right at the peak; ceilings .64 to .97"),
        Claim("C1", f"{mixer}: T2, the same", "transfer ratio", peak("T2"), above(0.1), below(0.1),
              None, f"{pilot}.12 and .32 right at the peak; ceilings .64 to .97"),
        Claim("C1", f"{mixer}: T1, the same where L1 comes to .5 right", "transfer ratio",
              estimate(stats.transfer_at(0.5), *along("T1", "L1", "L1"), *along("T1", "L1")),
              above(0.1), below(0.1), None, "not reported elsewhere"),
        Claim("C1", f"{mixer}: control: L2 after {early} steps in L1, right minus shuffled answers",
              "EM", estimate(stats.difference, _cell("T1", "L1", early),
                             _cell("T1", "shuffled", early)),
              above(0.1), below(0.1), None, "format alone gives no right answers"),
        Claim("C1", f"{mixer}: H1: {first} steps in L1 make an answer begin in L2 as tuning in L2 "
              "does at last", "share of the gain in p(answer begins)",
              estimate(stats.ratio_of_gains, _cell("T1", "L1", first), _cell("T1", "L1", 0),
                       _cell("T1", "L2", last), value="mode"),
              above(0.5), below(0.5), None, "H1: most of the gain within the first 10 steps"),
        Claim("C1", f"{mixer}: H5: T2, L2 answered right in L1 after {early} steps in L1",
              "share of answers", estimate(stats.mean, _cell("T2", "L1", early), value="other"),
              above(0.1), below(0.1), None,
              "softmax pilot, 30% of nouns shared, by the first token alone: .46 to .57"),
    ]  # fmt: skip


def _new(items: pa.Table, mixer: str) -> list[Claim]:
    """Claims on the task never asked in pretraining: is it learned, does it cross at any step?"""
    steps = _steps(items)
    cell = lambda tuned, language, step: _cell("T3", tuned, step, language, "new task")
    gain = lambda tuned, language, at, of: stats.contrast(
        items, "right", *(cell(tuned, language, step) for step in at), cell(tuned, language, 0),
        of=of)  # fmt: skip
    highest = lambda means: means[:, :-1].max(1) - means[:, -1]
    controls = [
        Claim("C1", f"{mixer}: control of T3: the new task after {steps[-1]} steps in {own}, asked "
              f"in {own}: gain", "EM", gain(own, own, steps[-1:], stats.difference), above(0.3),
              below(0.1), None, "what is not learned where it is tuned cannot cross")
        for own in LANGUAGES
    ]  # fmt: skip
    return [
        *controls,
        Claim("C1", f"{mixer}: T3, the new task in L2 after tuning in L1: highest gain along the "
              "tuning (none expected)", "EM", gain("L1", "L2", steps[1:], highest), within(0.05),
              outside(0.05), 0.0, "expected about 0 at this size"),
    ]  # fmt: skip


def _arms(items: pa.Table, mixer: str) -> list[Claim]:
    """Claims on what the base read. Ratios are over tuning in L2 for as many steps."""
    lost = stats.difference_of_ratios
    crossed = lambda means: lost(means[:, :6]) - lost(means[:, 6:])
    told, words = answers(items), _own_words(items)
    early = _steps(told)[2]
    cells = lambda arm: following.gains(early, arm=arm, tier="T1")
    ratio = lambda arm: stats.contrast(told, "right", *cells(arm), of=stats.ratio_of_gains)
    t1, pilot = f"T1 in L2 after {early} steps in L1", "softmax pilot, teacher-forced: "
    return [
        Claim("C1", f"{mixer}: H2: {t1}: a tenth of the text in L2 minus half", "transfer ratio",
              stats.contrast(told, "right", *cells("tenth"), *cells("standard"),
                             of=stats.difference_of_ratios),
              above(0.0), below(0.0), None, f"H2: imbalance raises transfer; {pilot}.59 right (one "
              "seed), and .16 and .39"),
        Claim("C1", f"{mixer}: control of H3: nouns without dictionary and shared words are not "
              "aligned: translations retrieved", "share of nouns",
              stats.contrast(words, "retrieved", dict(arm="unaligned")), below(0.1), above(0.1),
              words["chance"][0].as_py(), "chance: 1 over the nouns; softmax pilot: .03"),
        Claim("C1", f"{mixer}: H3: {t1} without dictionary and shared words (above 0 is against "
              "H3)", "transfer ratio", ratio("unaligned"), within(0.1), above(0.1), 0.0,
              f"H3: none without aligned words; against it, {pilot}.47 and .20 right, two seeds"),
        Claim("C1", f"{mixer}: H2 x H3: {t1}: what a tenth of the text loses against half, less "
              "what it loses without dictionary and shared words", "transfer ratio",
              stats.contrast(told, "right", *cells("standard"), *cells("tenth"),
                             *cells("unaligned"), *cells("tenth, unaligned"), of=crossed),
              above(0.0), below(0.0), None,
              "new; above 0 where less text in L2 means words less well aligned"),
        Claim("C1", f"{mixer}: H4: the same where no token but <doc> is shared (above 0 is against "
              "H4)", "transfer ratio", ratio("cloned"), within(0.1), above(0.1), 0.0,
              "H4: none without a shared token"),
    ]  # fmt: skip


def _tunings(items: pa.Table) -> pa.Table:
    return items.filter(pc.not_equal(items["tuned"], "none"))


def _own_words(items: pa.Table) -> pa.Table:
    """Nouns that differ between the languages, looked up by their input embeddings."""
    return stats.where(items, measure="alignment", shared="no", space="input")


def _steps(items: pa.Table) -> list[int]:
    return sorted(pc.unique(_tunings(items)["step"]).to_pylist())


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        own = stats.where(results.items, mixer=mixer)
        items = answers(own)
        asked = _tunings(items)
        known = stats.where(asked, arm="standard")
        new = stats.where(asked, arm="new task")
        found += [
            following.transfer(pa.concat_tables([known, new]), mixer, tuned="L1"),
            _curves(asked, mixer),
            _matrix(items, mixer),
            _numbers(asked, mixer),
            _aligned(_own_words(own), mixer),
            following.said(stats.where(known, tuned="L1", language="L2"), mixer),
            _losses(results.curves, mixer),
        ]
    return found


def _losses(curves: pa.Table, mixer: str) -> report.Section:
    """Training losses of the bases and of the tunings in L1."""
    shown = pc.is_in(curves["tuned"], value_set=pa.array(["none", "L1"]))
    curves = stats.where(curves.filter(shown), mixer=mixer)
    return report.losses(curves, line=("tier", "tuned"), panel="arm")


def _curves(items: pa.Table, mixer: str) -> report.Section:
    steps, panels = _steps(items), {}
    for arm, tiers in TUNED.items():
        for tier in tiers:
            cells = [dict(arm=arm, tier=tier, tuned="L1", language="L2", step=s) for s in steps]
            lines = [(steps, line) for line in stats.matrix(items, "right", *cells).tolist()]
            panels.setdefault(f"{tier}: tuned L1, asked L2", {})[arm] = lines
    body = figure.curves(panels, "share right")
    note = "Decoded answers that are right, in L2, along the tuning in L1. A line is a seed."
    return report.Section(f"{mixer}: transfer by arm", note, body)


def _matrix(items: pa.Table, mixer: str) -> report.Section:
    """M[tuned, asked] of the standard arm, after the steps that the claims name `early`."""
    items = stats.where(items, arm="standard")
    early = _steps(items)[2]
    rows = {
        "untuned": dict(tuned="L1", step=0),
        "untuned, no question begun": dict(tuned="none"),
        "shuffled answers": dict(tuned="shuffled", step=early),
        "tuned in L1": dict(tuned="L1", step=early),
        "tuned in L2": dict(tuned="L2", step=early),
    }
    columns = list(itertools.product(standard.TIERS.values(), LANGUAGES))
    share = lambda row, register, language: following.share(
        items, "right", **row, register=register, language=language
    )
    values = [[100 * share(row, *column) for column in columns] for row in rows.values()]
    body = figure.heat(np.array(values), list(rows), [f"{r}, {lang}" for r, lang in columns], "")
    note = f"Per cent of answers right, {early} steps; columns: register and language asked."
    return report.Section(f"{mixer}: transfer matrix", note, body)


def _numbers(items: pa.Table, mixer: str) -> report.Section:
    rows = []
    for arm, tiers in TUNED.items():
        for tier, step in itertools.product(tiers, _steps(items)):
            share = lambda value, tuned, language, at=step, own=dict(arm=arm, tier=tier): (
                following.share(items, value, tuned=tuned, language=language, step=at, **own)
            )
            right, other = share("right", "L1", "L2"), share("other", "L1", "L2")
            reached = (right, share("right", "L1", "L2", 0), share("right", "L2", "L2"))
            ratio = stats.ratio_of_gains(np.array([reached]))[0]
            rows.append({
                "arm": arm, "tier": tier, "steps": step, "L1 right": share("right", "L1", "L1"),
                "L2 right": right, "ceiling": reached[2],
                "TR": None if np.isnan(ratio) else float(ratio), "L2 right in L1": other,
                "fidelity": right / (right + other) if right + other else None,
                "an answer begins": share("mode", "L1", "L2"),
            })  # fmt: skip
    note = "Tuned in L1; means over seeds. TR is undefined (–) where tuning in L2 gains below .1."
    return report.Section(f"{mixer}: the same in numbers", note, report.table(rows))


def _aligned(words: pa.Table, mixer: str) -> report.Section:
    arms = {arm: stats.means(words, "retrieved", dict(arm=arm)) for arm in ARMS}
    rows = {
        arm: (means, arm not in ("unaligned", "tenth, unaligned", "cloned"))
        for arm, means in arms.items()
    }
    note = (
        "Nouns of the base whose translation is the nearest word, of nouns with a form in each "
        "language; dotted: chance. Filled: pretraining has a dictionary. A dot is a seed."
    )
    chance = words["chance"][0].as_py()
    body = figure.dots({"retrieved": rows}, "share of nouns", chance, (-0.05, 1.05))
    return report.Section(f"{mixer}: alignment by arm", note, body)
