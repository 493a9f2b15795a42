"""Unsupervised alignment: are two languages that never met nearly the same space?

Question  One model reads only L1, another only L2, which shares no word with it. Can the words of
          one be matched with those of the other by nothing but how words lie relative to each
          other? How does that depend on what the two speakers have in common, and what does reading
          both languages add?

Design    Nouns have five attributes, of 2 to 13 values, told in half of the documents; the rest are
          list tasks, in which nouns follow Zipf's law (exponent 1). The two corpora are drawn
          independently, and so are the initial parameters of the two models. What L2 has in common
          with L1:
            both     the same facts, and the same nouns are frequent
            facts    the same facts, permuted ranks of frequency
            neither  other facts, permuted ranks
            simple   as `both`, of a world in which nouns have two attributes (8 and 13 values)
          and `bilingual`: one model that reads half of both, with no document in two languages. No
          arm has the same ranks and other facts: nothing in the two spaces could tell a matching to
          trust the ranks, and what ranks tell by themselves is in the counts of words.

Measures  induction: a noun's vector is the model's state when it is asked for the noun's
          attributes. Nouns of both languages are matched by their cosines among themselves; by
          their ranks of frequency alone; by a rotation fitted on the other words so matched; and,
          as its ceiling, by one fitted on other true translations, with the residual of that over a
          random rotation's. For the bilingual model, CSLS retrieval@1 without any map. Arms are
          asked for the same nouns, so intervals are of pairs.

Run       python -m experiments.run alignment --size toy --seeds 8

Cost      toy: one CPU core beside other work, 8 seeds, 56 trainings and 40 matchings, 103 min;
          small: one GPU, not yet measured; full: as small, with all mixers

Result    2026-11-28, fbbb694, toy, 8 seeds, gla, 1 CPU core, 6,196 s.
          B12 gla: H3: translations matched without supervision, all common ground - chance: 0.76
            [0.40, 0.89] share of nouns, reproduced.
          B12 gla: the same facts - other facts, ranks permuted: 0.65 [0.43, 0.81] share of nouns,
            reproduced.
          B12 gla: control, ranks of frequency alone, no model asked: the same ranks - permuted
            ranks: 0.29 [0.24, 0.34] share of nouns, reproduced.
          B12 gla: what models tell beyond ranks, all common ground: matched - by ranks alone: 0.47
            [0.11, 0.60] share of nouns, inconclusive.
          B12 gla: what ranks help models, the same facts: the same ranks - permuted ranks: 0.12
            [0.02, 0.28] share of nouns, inconclusive.
          B12 gla: control, no common ground - chance (equal within 0.05): -0.00 [-0.01, 0.01] share
            of nouns, reproduced.
          B12 gla: five attributes of a noun - two, all common ground: 0.75 [0.39, 0.88] share of
            nouns, reproduced.
          B12 gla: residual of a rotation fitted on other translations, all common ground - none:
            -0.51 [-0.55, -0.48] share of a random one's, reproduced.
          B12 gla: what reading both adds: matched, one model of half of each text - two models, all
            common ground: -0.64 [-0.85, -0.35] share of nouns, opposite.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Lexicon, Names, PossessorFirst
from data.mixture import Mixture
from data.relation import FORWARD, Attribute
from data.world import Group
from data.zipf import Zipf
from experiments import figure, report, stats
from experiments.claim import Claim, above, below, within
from experiments.measure.induction import Induction
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Settings, Size, corpus, mixers, pretrained

ROWS = ("B12",)
COST = {
    "toy": "one CPU core, 8 seeds, one mixer: 103 min",
    "small": "one GPU, not yet measured",
}

APART = (Lexicon(0.0), Names(0.0), PossessorFirst())  # the languages share no word
ATTRIBUTES = tuple(
    Attribute(name, f"{name}d", "noun", f"{name}value", values=values)
    for name, values in (("sex", 2), ("size", 3), ("taste", 5), ("shape", 8), ("colour", 13))
)
FEW = ATTRIBUTES[-2:]
EVERYONE = (Group("all", ((0, FORWARD), (1, FORWARD))),)
TOLD = Mixture(facts=0.5, stories=0.35, quiz=0.15, dictionary=0.0, zipf=Zipf(nouns=1.0))
PERMUTED = dataclasses.replace(TOLD, zipf=Zipf(nouns=1.0, permuted=True))
OTHER = 1000  # added to a seed: other facts, other documents, other initial parameters
GROUND = {  # whether L2 has L1's facts, whether its ranks of frequency; and nouns' attributes
    "both": (True, True, ATTRIBUTES),
    "facts": (True, False, ATTRIBUTES),
    "neither": (False, False, ATTRIBUTES),
    "simple": (True, True, FEW),
}


def spoken(size: Size, seed: int, relations: tuple[Attribute, ...] = ATTRIBUTES) -> Corpus:
    """Both languages, half and half, of a world in which nouns have these attributes."""
    world = dataclasses.replace(
        size.world,
        pairs=1,
        nouns=2 * size.world.nouns,
        relations=relations,
        groups=EVERYONE,
    )
    return corpus(dataclasses.replace(size, world=world), seed, APART, TOLD)


def first(size: Size, seed: int, relations: tuple[Attribute, ...] = ATTRIBUTES) -> Corpus:
    """L1 alone."""
    return dataclasses.replace(spoken(size, seed, relations), ratio=0.0)


def second(size: Size, seed: int, ground: str) -> Corpus:
    """L2 alone, with this much in common with L1."""
    facts, ranks, relations = GROUND[ground]
    text = dataclasses.replace(spoken(size, seed, relations), ratio=1.0, seed=seed + OTHER)
    world = text.world if facts else dataclasses.replace(text.world, seed=seed + OTHER)
    return dataclasses.replace(text, world=world, mixture=TOLD if ranks else PERMUTED)


def stages(settings: Settings) -> list[Stage]:
    """A model of L1 for each world, those of L2 beside them, and one of both languages."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        both = spoken(size, seed)
        alone = {
            relations: pretrained(size, mixer, seed, first(size, seed, relations), arm=arm)
            for arm, relations in (("L1", ATTRIBUTES), ("L1, simple", FEW))
        }
        found += [
            *alone.values(),
            pretrained(size, mixer, seed, both, (Induction(both, both),), arm="bilingual"),
        ]
        for ground, (_, _, relations) in GROUND.items():
            beside, text = alone[relations], second(size, seed, ground)
            asked = (Induction(beside.corpus, text),)
            stage = pretrained(size, mixer, seed, text, asked, arm=ground)
            recipe = dataclasses.replace(stage.recipe, seed=seed + OTHER)
            found.append(dataclasses.replace(stage, recipe=recipe, beside=beside))
    return found


def preview() -> Corpus:
    """What `python -m data.preview alignment` shows."""
    return spoken(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; that of two attributes after a run of the others, before its own."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    def estimate(value: str, *arms: str) -> stats.Estimate:
        cells = [{"arm": arm} for arm in arms]
        return stats.contrast(items, value, *cells, paired=True)

    def over(arm: str, value: str, other: str, other_arm: str | None = None) -> stats.Estimate:
        pairs = zip(
            stats.by_seed(items, value, {"arm": arm}),
            stats.by_seed(items, other, {"arm": other_arm or arm}),
            strict=True,
        )
        return stats.bootstrap([(*one, *two) for one, two in pairs], stats.difference, alike=(0, 0))

    goldwasser = "Goldwasser et al. 2023 (2211.11081): unsupervised translation"
    ground = f"{goldwasser} needs common ground"
    return [
        Claim("B12", f"{mixer}: H3: translations matched without supervision, all common ground - "
              "chance", "share of nouns", over("both", "induced", "chance"),
              above(0.1), below(0.1), None, "Søgaard 2023: nearly isomorphic spaces"),
        Claim("B12", f"{mixer}: the same facts - other facts, ranks permuted",
              "share of nouns", estimate("induced", "facts", "neither"), above(0.05), below(0.05),
              None, ground),
        Claim("B12", f"{mixer}: control, ranks of frequency alone, no model asked: the same ranks "
              "- permuted ranks", "share of nouns", estimate("ranked", "both", "facts"),
              above(0.05), below(0.05), None, ground),
        Claim("B12", f"{mixer}: what models tell beyond ranks, all common ground: matched - "
              "by ranks alone", "share of nouns", over("both", "induced", "ranked"),
              above(0.05), below(0.05), None, ground),
        Claim("B12", f"{mixer}: what ranks help models, the same facts: the same ranks - permuted "
              "ranks", "share of nouns", estimate("induced", "both", "facts"),
              above(0.05), below(0.05), None, ground),
        Claim("B12", f"{mixer}: control, no common ground - chance (equal within 0.05)",
              "share of nouns", over("neither", "induced", "chance"), within(0.05), above(0.05),
              0.0, "by construction: nothing tells which word is which"),
        Claim("B12", f"{mixer}: five attributes of a noun - two, all common ground",
              "share of nouns", estimate("induced", "both", "simple"), above(0.05), below(-0.05),
              None, f"{goldwasser} errs less where there is more complexity"),
        Claim("B12", f"{mixer}: residual of a rotation fitted on other translations, all common "
              "ground - none", "share of a random one's", estimate("residual", "both", "neither"),
              below(-0.05), above(-0.05), None,
              "Søgaard 2023: isomorphism, and where it comes from"),
        Claim("B12", f"{mixer}: what reading both adds: matched, one model of half of each text - "
              "two models, all common ground", "share of nouns",
              estimate("induced", "bilingual", "both"), above(0.05), below(-0.05), None,
              "Conneau et al. 2020 (1911.01464): models trained apart align after the fact"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "arm"), panel="mixer")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_by_ground(items, mixer), _found(items, mixer)]
    return found


METRICS = {"ranked": "by frequency alone", "induced": "matched", "retrieved": "rotated by it",
           "known": "rotated by the truth", "raw": "not rotated"}  # fmt: skip


def _by_ground(items: pa.Table, mixer: str) -> report.Section:
    found = lambda metric, arm: stats.means(items, metric, {"arm": arm})
    panels = {
        title: {ground: (found(metric, ground), True) for ground in GROUND}
        for metric, title in METRICS.items()
    }
    for metric in ("induced", "raw"):
        panels[METRICS[metric]]["bilingual"] = (found(metric, "bilingual"), False)
    residual = {ground: (found("residual", ground), True) for ground in GROUND}
    residual["bilingual"] = (found("residual", "bilingual"), False)
    chance = pc.mean(items["chance"]).as_py()
    note = (
        "Share of nouns whose translation is found, by what the speakers have in common; hollow: "
        "one model of both languages. Matched: by how words lie among themselves, no translation "
        "known; rotated: by a map fitted on that matching of other words, or on their true "
        "translations. Then the residual of a rotation fitted on translations of others, over that "
        "of a random one."
    )
    body = figure.dots(panels, "share found", chance)
    return report.Section(
        f"{mixer}: words found by common ground", note,
        body + figure.dots({"residual": residual}, "residual", 1.0, meaning="at random"),
    )  # fmt: skip


def _found(items: pa.Table, mixer: str) -> report.Section:
    rows = []
    for ground in GROUND:
        for row in stats.where(items, arm=ground).slice(0, 4).to_pylist():
            rows.append({"common ground": ground} | report.said(row, "induced"))
    note = "The most frequent nouns of L1 and what they were matched with, first seed."
    return report.Section(f"{mixer}: words matched", note, report.table(rows))
