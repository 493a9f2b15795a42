"""Exposure: two languages heard together, in sequence or in turns, in equal numbers of tokens.

Question  What does a second language do to the first when it comes later, and what does it gain
          from the first having come before? Is what is forgotten gone, or only out of reach?

Design    L2 is a clone: L1's grammar, with a form of its own for every word, mark and name, so that
          text in L2 rehearses no token of L1. A training has two halves. Each is warmed up and
          decayed by the same recipe, and reads as many rows of documents of its own. Curricula
          differ only in which language is heard when (data/curriculum.py):
            together    half and half throughout
            one by one  L1 alone, then L2 alone
            then mixed  L1 alone, then half and half: what B-GPT calls simultaneous (Arnett et al.
                        2025, 2503.03962), three quarters of L1 in all
            10% to 90%  the share of L2 rises from a tenth to nine tenths; as much of both in all
            L2 alone    L2, then L2. After its first half it has read as much L2, at the same
                        learning rates, as `one by one` has at the end: what L2 is without L1
            in turns    a batch of L1, a batch of L2, and so on, for one half: a control
          Checkpoints are dense after the switch. The last model of `one by one` then reads a few
          batches of L1 again, beside that of `L2 alone`, which is as old and reads the same L1 at
          the same rate for the first time: what comes back sooner was not gone. Every fact is
          stated in both languages, so that what is read in a language is its share of the tokens.
          Not done: priming after the switch, which row B5 asks for too. Without documents in two
          languages there is none across languages at this size (experiments/priming.py), and here
          there are none.

Measures  loss: nats a token of unseen documents of either language. Forgetting is the loss later
          minus that at the switch; it is total where the loss exceeds the log of the vocabulary
          size, that of a model which has never read a word.

Run       python -m experiments.run exposure --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 50 halves and 10 readings of L1, about 31 min
          (by FLOPs). small: one GPU, not yet measured. full: B-GPT: 125M parameters, 12B tokens a
          pair, switch at 64k of 128k steps.

Result    2026-11-27, fb96367, toy, 5 seeds, gla, 1 CPU core, 762 s.
          B5 gla: one by one, L1 is forgotten: loss at the end less that at the switch: 8.93 [7.94,
            9.68] nat, reproduced.
          B5 gla: and totally: loss at the end less the log of 797 words: 3.90 [2.92, 4.66] nat,
            reproduced.
          B5 gla: then mixed, L1 is not forgotten: loss at the end less that at the switch: 0.03
            [0.01, 0.05] nat, reproduced.
          B5 gla: L2 after L1 is worse than L2 alone, for as many steps by one recipe: -0.05 [-0.07,
            -0.01] nat, inconclusive.
          B5 gla: from 10% to 90% of L2, against half and half: L1 (equal within .1): 0.20 [0.13,
            0.24] nat, inconclusive.
          B5 gla: from 10% to 90% of L2, against half and half: L2: -0.11 [-0.16, -0.05] nat,
            inconclusive.
          B5 gla: in turns of one batch is together (equal within .1): L1: 0.05 [0.03, 0.07] nat,
            reproduced.
          B5 gla: after 20 batches of L1 again, how much lower its loss is than in a model of L2 as
            old, which had never read it: 1.81 [1.67, 1.95] nat, reproduced.
"""

import dataclasses
import itertools
import math

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.curriculum import Alternating, Curriculum, Order, Ramp, Sequential
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.loss import Loss
from experiments.scaling import shorter
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, SIZES, Size, mixers, pretrained, tuned
from train.recipe import Constant, Recipe

ROWS = ("B5",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 31 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "B-GPT: 125M parameters, 12B tokens a pair, switch at 64k of 128k steps",
}
Settings = standard.Settings

AFTER = (0, 1, 2, 5, 10, 20, 50, 100, 200)  # steps after the switch at which loss is measured
AGAIN = (0, 1, 2, 5, 10, 20)  # steps of L1 again
ARMS = {  # the language of the first half, and of the second
    "together": ("half and half", "half and half"),
    "one by one": ("L1", "L2"),
    "then mixed": ("L1", "half and half"),
    "10% to 90%": ("10% to 50%", "50% to 90%"),
    "L2 alone": ("L2", "L2"),
}
FIRST = (*dict.fromkeys(first for first, _ in ARMS.values()), "in turns")
LATER = 1_000  # added to a seed: the documents of a second half


def sized(name: str) -> Size:
    """A half of a training has three eighths of the standard steps, to afford ten halves."""
    size = SIZES[name]
    return dataclasses.replace(size, pretrain=shorter(size.pretrain, 0.375))


def orders(recipe: Recipe) -> dict[str, Order]:
    """Which language is heard when, in a half of a training by this recipe."""
    rows = recipe.steps * recipe.batch
    return {
        "L1": Sequential(switch=0, then=0.0),
        "L2": Sequential(switch=0, then=1.0),
        "half and half": Sequential(switch=0, then=0.5),
        "in turns": Alternating(recipe.batch),
        "10% to 50%": Ramp(rows, start=0.1, stop=0.5, steps=5),
        "50% to 90%": Ramp(rows, start=0.5, stop=0.9, steps=5),
    }


def stages(settings: Settings) -> list[Stage]:
    """First halves, second halves, and two readings of L1 after these."""
    size, found = sized(settings.size), []
    steps, who = size.pretrain.steps, orders(size.pretrain)
    at = (*(n for n in AFTER if n < steps), steps)
    again = dataclasses.replace(
        size.pretrain, steps=min(max(AGAIN), steps), schedule=Constant(),
        optimizer=size.tune.optimizer,
    )  # fmt: skip
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = standard.cloned(size, seed)
        later = dataclasses.replace(text, seed=seed + LATER)
        asked = (Loss(text, rows=64),)
        first = {
            half: pretrained(size, mixer, seed, Curriculum(text, who[half]), asked, arm=half)
            for half in FIRST
        }
        second = {
            arm: tuned(first[one], Curriculum(later, who[two]), size.pretrain, asked, at, arm=arm)
            for arm, (one, two) in ARMS.items()
        }
        found += [*first.values(), *second.values()]
        unread = dataclasses.replace(later, ratio=0.0)
        for arm, base in {"L1 again": "one by one", "L1 at last": "L2 alone"}.items():
            steps_at = tuple(n for n in AGAIN if n <= again.steps)
            found.append(tuned(second[base], unread, again, asked, steps_at, arm=arm))
    return found


def preview() -> Corpus:
    """What `python -m data.preview exposure` shows."""
    return standard.cloned(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    size = sized(results.spec["settings"]["size"])
    words = standard.cloned(size, seed=0).tokenizer.size
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [
        c for m in mixers
        for c in _claims(stats.where(results.items, mixer=m), m, size.pretrain.steps, words)
    ]  # fmt: skip


def _at(arm: str, language: str, step: int) -> dict[str, object]:
    """Of a second half, which is an arm of ARMS, step 0 is the switch."""
    return {"arm": arm, "language": language, "step": step}


def _claims(items: pa.Table, mixer: str, end: int, words: int) -> list[Claim]:
    last = max(n for n in AGAIN if n <= end)
    loss = lambda *cells, of=stats.difference: stats.contrast(
        items,
        "loss",
        *cells,
        of=of,
        paired=True,  # of the same unseen documents
    )
    forgotten = lambda arm: loss(_at(arm, "L1", end), _at(arm, "L1", 0))
    ramp = lambda language: loss(*(_at(arm, language, end) for arm in ("10% to 90%", "together")))
    total = lambda means: means[:, 0] - math.log(words)
    one_by_one = "Schäfer et al. 2024, schedule 0 to 1"
    gradual = "Schäfer et al. 2024, schedule 10% to 90%"
    return [
        Claim("B5", f"{mixer}: one by one, L1 is forgotten: loss at the end less that at the "
              "switch", "nat", forgotten("one by one"), above(1.0), below(0.1),
              math.log(9e10 / 25.31),
              f"{one_by_one}: perplexity 9e10; 25.31 with half of the text"),
        Claim("B5", f"{mixer}: and totally: loss at the end less the log of {words} words", "nat",
              loss(_at("one by one", "L1", end), of=total), above(0.0), below(0.0),
              math.log(9e10) - math.log(2 * 16_384),
              f"{one_by_one}: perplexity 9e10, 2 x 16384 tokens"),
        Claim("B5", f"{mixer}: then mixed, L1 is not forgotten: loss at the end less that at the "
              "switch", "nat", forgotten("then mixed"), below(0.1), above(0.1), None,
              "Arnett et al. 2025: simultaneous after the switch; direction alone"),
        Claim("B5", f"{mixer}: L2 after L1 is worse than L2 alone, for as many steps by one recipe",
              "nat", loss(_at("one by one", "L2", end), _at("L2", "L2", end)),
              above(0.0), below(0.0), None,
              f"{one_by_one}: perplexity 31.39 in the second half of one schedule, 25.31 alone; "
              "direction alone"),
        Claim("B5", f"{mixer}: from 10% to 90% of L2, against half and half: L1 (equal within .1)",
              "nat", ramp("L1"), within(0.1), outside(0.1), math.log(26.53 / 26.13),
              f"{gradual}: perplexity 26.53, and 26.13 at 50/50"),
        Claim("B5", f"{mixer}: from 10% to 90% of L2, against half and half: L2", "nat",
              ramp("L2"), below(0.0), above(0.0), math.log(24.44 / 26.14),
              f"{gradual}: perplexity 24.44, and 26.14 at 50/50"),
        Claim("B5", f"{mixer}: in turns of one batch is together (equal within .1): L1", "nat",
              loss(_at("in turns", "L1", end), _at("half and half", "L1", end)),
              within(0.1), outside(0.1), None, "none: a control"),
        Claim("B5", f"{mixer}: after {last} batches of L1 again, how much lower its loss is than "
              "in a model of L2 as old, which had never read it", "nat",
              loss(_at("L1 at last", "L1", last), _at("L1 again", "L1", last)),
              above(0.1), below(0.1), None,
              "new; expected positive if what is forgotten is not gone"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """Losses of both languages after the switch, and L1 coming back."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        lines = lambda arms, language, items=items: {
            arm: stats.curves(items, "loss", {"arm": arm, "language": language}) for arm in arms
        }
        note = (
            "Loss on unseen documents of each language, one line a seed, from the switch to the "
            "end. Where `L2 alone` begins, it has read as much L2 as `one by one` has at the end. "
            "Every half is warmed up anew."
        )
        body = figure.curves(
            {own: lines(ARMS, own) for own in LANGUAGES}, xlabel="steps after the switch"
        )
        found.append(report.Section(f"{mixer}: losses after the switch", note, body))
        note = (
            "Loss in L1 while L1 is read at a tuning's learning rate, again after it was "
            "forgotten, and for the first time by a model of L2 alone. Both were trained for as "
            "many steps."
        )
        body = figure.curves({"L1": lines(("L1 again", "L1 at last"), "L1")})
        found.append(report.Section(f"{mixer}: what comes back", note, body))
    return [*found, report.losses(results.curves, line=("mixer",), panel="arm")]
