"""Exposure: languages heard together, one after the other, or in turns, at equal numbers of tokens.

Question  What does a second language do to the first when it comes later, and what does it gain
          from the first having come before? Is what is forgotten gone, or just out of reach?

Design    Four curricula of as many steps, rows and tokens, that differ in the ratio of the
          languages in a row and in nothing else (data/curriculum.py):
            together      half and half throughout
            one by one    L1 alone, then, from the middle on, L2 alone
            then mixed    L1 alone, then half and half: what B-GPT calls simultaneous (Arnett et al.
                          2025, 2503.03962), three quarters of L1 in all
            in turns      a batch of L1, a batch of L2, and so on
          and L2 alone for half of the steps, its learning rate brought down at their end: what L2
          would be without L1 before it. Checkpoints are dense after the switch. Then the model of
          `one by one` reads some batches of L1 again, beside that of L2 alone, which reads the same
          L1 at the same rate for the first time: what comes back sooner was not gone. Every fact is
          told in both languages, so that what is read in a language is its share of the tokens.

Measures  loss: nats a token of unseen documents of either language. Forgetting is the loss after
          less that at the switch; total where it is more than the log of the vocabulary, that of a
          model which has never read a word.

Run       python -m experiments.run exposure --size toy --seeds 5

Result    not yet run
"""

import dataclasses
import itertools
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.curriculum import Alternating, Curriculum, Order, Sequential
from data.mixture import Mixture
from data.world import GROUPS
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure.loss import Loss
from experiments.scaling import shorter
from experiments.stage import Stage, seeds
from experiments.standard import LANGUAGES, SIZES, Size, mixers, pretrained, tuned
from train.recipe import Constant, Recipe

ROWS = ("B5",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 25 min (estimated)",
    "small": "one GPU, not yet measured",
    "full": "B-GPT: 125M parameters, 12B tokens a pair, switch at 64k of 128k steps",
}
Settings = standard.Settings

AFTER = (1, 2, 5, 10, 20, 50, 100, 200)  # steps after the switch at which loss is measured
AGAIN = (0, 1, 2, 5, 10, 20)  # steps of L1 again


def orders(recipe: Recipe) -> dict[str, Order]:
    """The curricula, in rows of a recipe."""
    half = recipe.steps // 2 * recipe.batch
    return {
        "together": Sequential(switch=0, then=0.5),
        "one by one": Sequential(half),
        "then mixed": Sequential(half, then=0.5),
        "in turns": Alternating(recipe.batch),
    }


def checkpoints(steps: int) -> tuple[int, ...]:
    """The switch, what comes after it, and the end."""
    half = steps // 2
    return (half // 2, half, *(half + n for n in AFTER if half + n < steps), steps)


def corpus(size: Size, seed: int) -> Corpus:
    """Both languages know every fact."""
    world = dataclasses.replace(size.world, groups=GROUPS[:1])
    mixture = Mixture(facts=0.3, stories=0.45, quiz=0.25, dictionary=0.0)
    return standard.corpus(dataclasses.replace(size, world=world), seed, mixture=mixture)


def stages(settings: Settings) -> list[Stage]:
    """The curricula, L2 alone, and after it and after `one by one` some L1."""
    size, found = SIZES[settings.size], []
    again = dataclasses.replace(
        size.pretrain, steps=min(max(AGAIN), size.pretrain.steps), schedule=Constant(),
        optimizer=size.tune.optimizer,
    )  # fmt: skip
    at = tuple(n for n in AGAIN if n <= again.steps)
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        asked = (Loss(text, rows=64),)
        train = lambda size, read, asked=asked, mixer=mixer, seed=seed, **more: pretrained(
            size, mixer, seed, read, asked, **more
        )
        bases = {
            arm: train(size, Curriculum(text, order), at=checkpoints(size.pretrain.steps), arm=arm)
            for arm, order in orders(size.pretrain).items()
        }
        half = dataclasses.replace(size, pretrain=shorter(size.pretrain, 0.5))
        alone = train(half, dataclasses.replace(text, ratio=1.0), arm="L2 alone")
        found += [*bases.values(), alone]
        first = dataclasses.replace(text, ratio=0.0)
        for arm, base in {"L1 again": bases["one by one"], "L1 at last": alone}.items():
            found.append(tuned(base, first, again, asked, at, arm=arm))
    return found


def preview() -> Corpus:
    """What `python -m data.preview exposure` shows."""
    return corpus(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    size = SIZES[results.spec["settings"]["size"]]
    words = corpus(size, seed=0).tokenizer.size
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [
        c for m in mixers
        for c in _claims(stats.where(results.items, mixer=m), m, size.pretrain.steps, words)
    ]  # fmt: skip


def _at(arm: str, language: str, step: int) -> dict[str, object]:
    return {"arm": arm, "language": language, "step": step}


def _claims(items: pa.Table, mixer: str, steps: int, words: int) -> list[Claim]:
    half, last = steps // 2, max(n for n in AGAIN if n <= steps)
    loss = lambda of, *arms: stats.contrast(items, "loss", *arms, of=of)
    forgotten = lambda arm: loss(stats.difference, _at(arm, "L1", steps), _at(arm, "L1", half))
    schaefer = "Schäfer et al. 2024, schedule 0 to 1"
    return [
        Claim(
            row="B5",
            claim=f"{mixer}: one by one, L1 is forgotten: loss at the end less that at the switch",
            unit="nat",
            estimate=forgotten("one by one"),
            reproduced=above(1.0),
            opposite=below(0.1),
            reference=math.log(9e10 / 25.31),
            reference_source=f"{schaefer}: perplexity 9e10; 25.31 with half of the text",
        ),
        Claim(
            row="B5",
            claim=f"{mixer}: and totally: loss at the end less the log of {words} words",
            unit="nat",
            estimate=loss(
                lambda means: means[:, 0] - math.log(words), _at("one by one", "L1", steps)
            ),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=math.log(9e10) - math.log(2 * 16_384),
            reference_source=f"{schaefer}: perplexity 9e10, 2 x 16384 tokens",
        ),
        Claim(
            row="B5",
            claim=f"{mixer}: then mixed, L1 is not forgotten: loss at the end less that at the "
            "switch",
            unit="nat",
            estimate=forgotten("then mixed"),
            reproduced=below(0.1),
            opposite=above(0.1),
            reference=None,
            reference_source="Arnett et al. 2025: simultaneous after the switch; direction alone",
        ),
        Claim(
            row="B5",
            claim=f"{mixer}: L2 after L1 is worse than L2 alone for as many steps",
            unit="nat",
            estimate=loss(
                stats.difference, _at("one by one", "L2", steps), _at("L2 alone", "L2", half)
            ),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=math.log(31.39 / 25.31),
            reference_source=f"{schaefer}: perplexity 31.39 (TE .470); 25.31 with half of the text",
        ),
        Claim(
            row="B5",
            claim=f"{mixer}: in turns of one batch is together (equal within .1): L1",
            unit="nat",
            estimate=loss(
                stats.difference, _at("in turns", "L1", steps), _at("together", "L1", steps)
            ),
            reproduced=stats.within(0.1),
            opposite=stats.outside(0.1),
            reference=0.0,
            reference_source="none: a control",
        ),
        Claim(
            row="B5",
            claim=f"{mixer}: after {last} batches of L1 again, how much lower its loss is than "
            "if it had never been read",
            unit="nat",
            estimate=loss(
                stats.difference,
                _at("L1 at last", "L1", last),
                _at("L1 again", "L1", last),
            ),
            reproduced=above(0.1),
            opposite=below(0.1),
            reference=None,
            reference_source="new; expected positive if what is forgotten is not gone",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """Losses of both languages through the switch, and L1 coming back."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        arms = [*orders(SIZES["toy"].pretrain)]
        note = (
            "Loss on unseen documents of each language, one line a seed. The switch is in the "
            "middle; `L2 alone` has read as much L2 as `one by one`, in half of the steps."
        )
        panels = {language: _lines(items, (*arms, "L2 alone"), language) for language in LANGUAGES}
        body = figure.curves(panels)
        found.append(report.Section(f"{mixer}: losses through the switch", note, body))
        note = (
            "Loss in L1 while L1 is read at a tuning's learning rate, again after it was "
            "forgotten, and for the first time by a model of L2 alone."
        )
        body = figure.curves({"L1": _lines(items, ("L1 again", "L1 at last"), "L1")})
        found.append(report.Section(f"{mixer}: what comes back", note, body))
    return [*found, report.losses(results.curves, line=("mixer",), panel="arm")]


def _lines(items: pa.Table, arms: tuple[str, ...], language: str) -> dict[str, list[tuple]]:
    lines = {}
    for arm in arms:
        own = stats.where(items, arm=arm, language=language)
        steps = sorted(pc.unique(own["step"]).to_pylist())
        cells = stats.by_seed(own, "loss", *({"step": step} for step in steps))
        lines[arm] = [(steps, [np.mean(cell) for cell in seed]) for seed in cells]
    return lines
