"""The standard setting that experiments are edits of: sizes, mixers, languages, corpus and tunings.

An arm that differs from another in one field of the corpus differs in nothing else: world, names,
words, the order of rows, initialisation and recipe come from the seed. Stages with equal values are
one training, so experiments that start from the standard base share it (`experiments.run all`).
"""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Literal

from data.corpus import Corpus
from data.feature import Clone, Lexicon, Names, PossessorFirst
from data.language import Feature, Pair
from data.lexicon import Phonology
from data.mixture import Mixture
from data.stream import Documented
from data.world import GROUPS, World
from experiments.stage import Measure, Stage, extent
from model.gla import GLA
from model.lm import LM
from model.mamba import Mamba
from model.retnet import RetNet
from model.softmax import Softmax
from train.recipe import AdamW, Constant, Cosine, Recipe

MIXERS = {
    "gla": GLA(heads=4),
    "softmax": Softmax(heads=4),
    "retnet": RetNet(heads=4),
    "mamba": Mamba(),
}
LANGUAGES = ("L1", "L2")
FEATURES = (Lexicon(0.3), Names(0.5), PossessorFirst())
MIXTURE = Mixture(facts=0.3, stories=0.45, quiz=0.25)
SEPARATE = dataclasses.replace(MIXTURE, dictionary=0.0)  # no document is in two languages
TIERS = {"T1": "quiz", "T2": "chat"}  # tier -> the register it tunes


@dataclasses.dataclass(frozen=True)
class Size:
    """What grows with the machine: the world, the model, and how long it trains."""

    world: World
    D: int
    layers: int
    T: int
    pretrain: Recipe
    tune: Recipe
    at: tuple[int, ...]  # tuning steps at which instruction following is measured
    syllables: int = 2  # of a word: a large world needs longer ones


SIZES = {
    "smoke": Size(
        world=World(pairs=32, cities=4, nouns=8),
        D=32,
        layers=1,
        T=64,
        pretrain=Recipe(steps=12, batch=8, schedule=Cosine(warmup=2)),
        tune=Recipe(steps=4, batch=2, schedule=Constant()),
        at=(0, 2, 4),
    ),
    "toy": Size(
        world=World(),
        D=128,
        layers=2,
        T=64,
        pretrain=Recipe(steps=800, batch=32, optimizer=AdamW(lr=3e-3)),
        tune=Recipe(steps=200, batch=4, optimizer=AdamW(lr=5e-4), schedule=Constant()),
        at=(0, 10, 30, 100, 200),
    ),
    "small": Size(
        world=World(pairs=20_000, cities=200, nouns=300),
        D=512,
        layers=12,
        T=512,
        pretrain=Recipe(steps=18_000, batch=128, optimizer=AdamW(lr=1e-3)),
        tune=Recipe(steps=1_000, batch=16, optimizer=AdamW(lr=5e-5), schedule=Constant()),
        at=(0, 10, 30, 100, 300, 1_000),
        syllables=3,
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of an experiment. Seeds and mixers add runs to a folder and change none in it."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)
    mixers: str = extent("gla")  # names with a comma between: gla, softmax, retnet, mamba


@dataclasses.dataclass(frozen=True)
class Crossing(Settings):
    """Those of an experiment on facts that cross languages, which in GLA they hardly do."""

    mixers: str = extent("softmax")  # names with a comma between: gla, softmax, retnet, mamba


def mixers(names: str) -> tuple[str, ...]:
    """`gla,softmax` as names of MIXERS; an unknown one gets the nearest and the list."""
    found = tuple(names.split(","))
    for name in found:
        if name not in MIXERS:
            near = difflib.get_close_matches(name, MIXERS, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ValueError(f"no mixer {name!r}{hint} There are: {', '.join(MIXERS)}")
    if len({*found}) < len(found):
        raise ValueError(f"mixers={names} names one twice, whose items would count twice; drop it")
    return found


def corpus(
    size: Size, seed: int, features: Sequence[Feature] = FEATURES, mixture: Mixture = MIXTURE
) -> Corpus:
    """The pretraining corpus of a seed: its world, its languages and its documents."""
    twin = Pair(tuple(features), seed, Phonology(syllables=size.syllables))
    world = dataclasses.replace(size.world, seed=seed)
    return Corpus(world, twin, T=size.T, mixture=mixture, seed=seed)


def cloned(size: Size, seed: int) -> Corpus:
    """A language and its clone know every fact, and no document is in both."""
    world = dataclasses.replace(size.world, groups=GROUPS[:1])
    return corpus(dataclasses.replace(size, world=world), seed, (Clone(),), SEPARATE)


def tuning(base: Corpus, register: str, language: str) -> Corpus:
    """Instructions in one register and one language, always answered, loss on the response.

    It has the base's seed, so its rows draw on the random numbers of the base's: two thirds of the
    questions of row i have the task and the arguments of a document in row i of pretraining (65% of
    4,882 in the flagship). What is asked in a test is held out of both, and with a seed of its own
    the flagship finds the same (LOG.md, 28 November).
    """
    only = Mixture(**{"facts": 0, "stories": 0, "quiz": 0, "chat": 0} | {register: 1.0},
                   answered=1.0, dictionary=0.0)  # fmt: skip
    alone = tuple(float(name == language) for name in base.pair.names)
    ratio = alone[1] if len(alone) == 2 else alone
    return dataclasses.replace(base, mixture=only, ratio=ratio, loss="response")


def single(text: Corpus, recipe: Recipe) -> tuple[Corpus, Recipe]:
    """Rows of one tuning example, of 11 tokens on average and 15 at most, and a recipe that reads
    as many examples a step as it would of packed rows."""
    each = dataclasses.replace(text, T=16, packing="single")
    return each, dataclasses.replace(recipe, batch=recipe.batch * (text.T // 11))


def pretrained(
    size: Size,
    mixer: str,
    seed: int,
    text: Documented,
    measures: Sequence[Measure] = (),
    at: Sequence[int] = (),
    **labels: str | int,
) -> Stage:
    """A model from scratch, measured at the steps `at`, by default at the last."""
    return Stage(
        model=LM(W=text.tokenizer.size, D=size.D, layers=size.layers, mixer=MIXERS[mixer]),
        corpus=text,
        recipe=dataclasses.replace(size.pretrain, seed=seed),
        measures=tuple(measures),
        at=tuple(at) or (size.pretrain.steps,),
        labels=(("mixer", mixer), ("seed", seed), *labels.items()),
    )


def tuned(
    base: Stage,
    text: Documented,
    recipe: Recipe,
    measures: Sequence[Measure] = (),
    at: Sequence[int] = (),
    **labels: str | int,
) -> Stage:
    """`base` trained further by a recipe with the base's seed; its labels, changed by `labels`."""
    known = dict(base.labels)
    return Stage(
        model=base.model,
        corpus=text,
        recipe=dataclasses.replace(recipe, seed=base.recipe.seed),
        base=base,
        measures=tuple(measures),
        at=tuple(at) or (recipe.steps,),
        labels=tuple((known | labels).items()),
    )
