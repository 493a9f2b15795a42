"""The flagship: the reversal curse, and instructions tuned in one language and asked in another.

Question  After pretraining on "the R of x is y", does a model answer "the R' of y is x" (R' the
          inverse of R), in the same or in the other language? And after instruction tuning in L1
          alone, does it follow instructions in L2?

Design    Every seed draws a world (pairs x, y of a bijective relation with an inverse, and homes),
          two languages (L2 is L1 edited: other words, the possessor first, own or shared names)
          and a corpus in which every fact's exposures are known. Coverage groups state each fact in
          some cells of (language x direction) and are asked in all of them:
            G0 both directions, both languages     G4 forward in L1 and reverse in L2
            G1 forward only, both languages        G5 reverse only, L1 only
            G2 forward only, L1 only               G6 forward only, L2 only
            G3 both directions, L1 only            G7 never stated
          Half of the pairs of a group carry one name in both languages, half a name in each.
          The corpus also tells list tasks as stories, and asks them in a quiz register that is
          answered one time in five (else another question follows). Tuning, on L1 only, loss on the
          response: T1 the quiz register, always answered; T2 a chat wrapper never seen before.
          Controls: the same tuning on L2 (the ceiling), the untuned base, matched exposures.

Measures  recall: greedy decoding of the completion (exact match up to the full stop), log-odds
          log p(gold) - mean log p(other entities of the type), and rank percentile (0 best, chance
          .5). following: decoded answers in three bins, right in the prompt's language, right in
          the other language, wrong, along the tuning; items whose two answers coincide are left
          out. Everything is decoded, nothing teacher-forced; one prompt a window.

Run       python -m experiments.run flagship --size toy --mixers gla,softmax --seeds 5
"""

import dataclasses
import difflib
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Lexicon, Names, PossessorFirst
from data.language import Pair
from data.mixture import Mixture
from data.world import GROUPS, World
from experiments import figure, report, stats
from experiments.measure.following import Following
from experiments.measure.recall import Recall
from experiments.stage import Stage, extent
from experiments.stats import Claim, above, below, outside, within
from model.gla import GLA
from model.lm import LM
from model.softmax import Softmax
from train.recipe import AdamW, Constant, Recipe

ROWS = ("D1", "B13", "D4", "C1", "A2")
COST = {"toy": "2 CPU cores, 3 seeds, one mixer: under 5 min", "small": "one GPU, not yet measured"}

MIXERS = {"gla": GLA(heads=4), "softmax": Softmax(heads=4)}
LANGUAGES = ("L1", "L2")
CELLS = tuple((language, way) for language in LANGUAGES for way in ("forward", "reverse"))
MIXTURE = Mixture(facts=0.3, stories=0.45, quiz=0.25)
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


SIZES = {
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
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the flagship. Seeds and mixers add runs to a folder and change none in it."""

    size: Literal["toy", "small"] = "toy"
    seeds: int = extent(3)
    mixers: str = extent("gla")  # names from MIXERS, with commas between

    def __post_init__(self):
        if self.seeds < 1:
            raise ValueError(f"seeds={self.seeds} trains nothing; choose 1 or more, 5 to screen")
        for name in self.mixers.split(","):
            if name not in MIXERS:
                near = difflib.get_close_matches(name, MIXERS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"no mixer {name!r}{hint} There are: {', '.join(MIXERS)}")


def corpus(size: Size, seed: int) -> Corpus:
    """The pretraining corpus of a seed: its world, its languages and its documents."""
    twin = Pair(seed=seed, features=(Lexicon(0.3), Names(0.5), PossessorFirst()))
    world = dataclasses.replace(size.world, seed=seed)
    return Corpus(world, twin, T=size.T, mixture=MIXTURE, seed=seed)


def tuning(base: Corpus, register: str, language: str) -> Corpus:
    """Instructions in one register and one language, always answered, loss on the response."""
    only = Mixture(**{"facts": 0, "stories": 0, "quiz": 0, "chat": 0} | {register: 1.0},
                   answered=1.0, dictionary=0.0)  # fmt: skip
    ratio = float(LANGUAGES.index(language))
    return dataclasses.replace(base, mixture=only, ratio=ratio, loss="response")


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, and its tunings: two tiers x (L1, and L2 as the ceiling)."""
    size, found = SIZES[settings.size], []
    for seed in range(settings.seeds):
        text = corpus(size, seed)
        for mixer in settings.mixers.split(","):
            model = LM(W=text.tokenizer.size, D=size.D, layers=size.layers, mixer=MIXERS[mixer])
            labels = (("mixer", mixer), ("seed", seed))
            base = Stage(
                model=model,
                corpus=text,
                recipe=dataclasses.replace(size.pretrain, seed=seed),
                measures=(Recall(text),),
                at=(size.pretrain.steps,),
                labels=(*labels, ("tier", "base"), ("tuned", "none")),
            )
            found.append(base)
            for tier, register in TIERS.items():
                for language in LANGUAGES:
                    found.append(Stage(
                        model=model,
                        corpus=tuning(text, register, language),
                        recipe=dataclasses.replace(size.tune, seed=seed),
                        base=base,
                        measures=(Following(text, register),),
                        at=size.at,
                        labels=(*labels, ("tier", tier), ("tuned", language)),
                    ))  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview flagship` shows."""
    return corpus(SIZES["toy"], seed=0)


def pretrain_spec() -> Stage:
    """What `python -m train.pretrain flagship` trains."""
    return stages(Settings(seeds=1))[0]


def tune_spec() -> Stage:
    """What `python -m train.tune flagship` trains: tier T1 in L1."""
    return stages(Settings(seeds=1))[1]


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. EM is the share of exact matches, decoded."""
    found = []
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    for mixer in mixers:
        items = stats.where(results.items, mixer=mixer)
        found += [*_recall_claims(items, mixer), *_following_claims(items, mixer, results)]
    if set(mixers) >= {"gla", "softmax"}:
        found += _mixer_claims(results.items)
    return found


def _asked(group: str, language: str, way: str, **more: str) -> dict[str, str]:
    return {"measure": "recall", "relation": "parent", "group": group, "language": language,
            "direction": way} | more  # fmt: skip


def _recall_claims(items: pa.Table, mixer: str) -> list[Claim]:
    estimate = lambda value, *arms, of=stats.difference: stats.bootstrap(
        stats.by_seed(items, value, *arms), of
    )
    forward, reverse = (_asked("G1", "L1", way) for way in ("forward", "reverse"))
    return [
        Claim(
            row="D1",
            claim=f"{mixer}: stated forward only (G1), asked in L1: forward minus reverse",
            unit="EM",
            estimate=estimate("exact", forward, reverse),
            reproduced=above(0.5),
            opposite=below(0.1),
            reference=0.966,
            reference_source="Berglund et al. 2023, descriptions to names: 96.7% and 0.1%",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: the same facts reversed are at chance (margin 0.5 nat)",
            unit="nat log-odds",
            estimate=estimate("log_odds", reverse, of=stats.mean),
            reproduced=within(0.5),
            opposite=outside(0.5),
            reference=0.07,
            reference_source="softmax pilot, one seed",
        ),
        Claim(
            row="D1",
            claim=f"{mixer}: control, facts stated both ways (G0) are answered reversed in L1",
            unit="EM",
            estimate=estimate("exact", _asked("G0", "L1", "reverse"), of=stats.mean),
            reproduced=above(0.9),
            opposite=below(0.5),
            reference=1.0,
            reference_source="pilots of both mixers, one seed each",
        ),
        Claim(
            row="B13",
            claim=f"{mixer}: stated forward in L1 (G2), asked forward in L2: shared - own names",
            unit="EM",
            estimate=estimate(
                "exact",
                _asked("G2", "L2", "forward", names="shared"),
                _asked("G2", "L2", "forward", names="own"),
            ),
            reproduced=above(0.5),
            opposite=below(0.1),
            reference=1.0,
            reference_source="softmax pilots with shared and with own names, one seed each",
        ),
        Claim(
            row="D4",
            claim=f"{mixer}: forward in L1 and reverse in L2 (G4), asked reverse in L1, against "
            "forward in L1 alone (G2); shared names",
            unit="EM",
            estimate=estimate(
                "exact",
                _asked("G4", "L1", "reverse", names="shared"),
                _asked("G2", "L1", "reverse", names="shared"),
            ),
            reproduced=above(0.1),
            opposite=below(0.1),
            reference=None,
            reference_source="new; expected positive if facts are unified over languages",
        ),
    ]


def _following_claims(items: pa.Table, mixer: str, results: report.Results) -> list[Claim]:
    steps = sorted(set(stats.where(items, measure="following")["step"].to_pylist()))
    early, last = (30 if 30 in steps else steps[-1]), steps[-1]

    def answers(tier: str, tuned: str, step: int, language: str = "L2") -> dict[str, object]:
        return {"measure": "following", "tier": tier, "tuned": tuned, "step": step,
                "language": language, "ambiguous": "no"}  # fmt: skip

    arms = lambda *which: stats.by_seed(items, "right", *which)
    found = []
    for tier in TIERS:
        reached, base = answers(tier, "L1", early), answers(tier, "L1", 0)
        ceiling = answers(tier, "L2", last)
        found.append(
            Claim(
                row="C1",
                claim=f"{mixer}: {tier} tuned in L1 only, L2 answered right after {early} steps: "
                "gain as a share of tuning in L2",
                unit="transfer ratio",
                estimate=stats.bootstrap(arms(reached, base, ceiling), stats.ratio_of_gains),
                reproduced=above(0.1),
                opposite=below(0.1),
                reference={"T1": 0.4, "T2": 0.2}[tier],
                reference_source="softmax pilot, two seeds: EM .16-.39 (T1), .12-.31 (T2) at 30 "
                "steps; ceilings .64-.97",
            )
        )
    found.append(
        Claim(
            row="C1",
            claim=f"{mixer}: T1 transfer peaks early: L2 right after {early} minus {last} steps",
            unit="EM",
            estimate=stats.bootstrap(
                arms(answers("T1", "L1", early), answers("T1", "L1", last)), stats.difference
            ),
            reproduced=above(0.0),
            opposite=below(0.0),
            reference=0.15,
            reference_source="softmax pilot, two seeds: .16 and .14",
        )
    )
    return found


def _mixer_claims(items: pa.Table) -> list[Claim]:
    contrasts = {
        "facts stated both ways, all cells": ("exact", {"measure": "recall", "group": "G0"}),
        "reverse of facts stated forward only, log-odds": (
            "log_odds",
            _asked("G1", "L1", "reverse"),
        ),
    }
    found = []
    for what, (value, cell) in contrasts.items():
        margin = 0.05 if value == "exact" else 0.5
        arms = [cell | {"mixer": mixer} for mixer in ("gla", "softmax")]
        found.append(
            Claim(
                row="A2",
                claim=f"GLA minus softmax, {what} (equal within {margin})",
                unit="EM" if value == "exact" else "nat log-odds",
                estimate=stats.bootstrap(stats.by_seed(items, value, *arms), stats.difference),
                reproduced=within(margin),
                opposite=outside(margin),
                reference=0.0,
                reference_source="Yang et al. 2024: competitive at equal size",
            )
        )
    return found


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [_losses(results.curves)]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [*_coverage(items, mixer), _transfer(items, mixer), *_samples(items, mixer)]
    return [*found, _exposures(results.ledger)]


def _losses(curves: pa.Table) -> report.Section:
    panels = {}
    for tier in ("base", *TIERS):
        panel = panels.setdefault("pretraining" if tier == "base" else f"tuning {tier}", {})
        part = stats.where(curves, tier=tier)
        for mixer in pc.unique(part["mixer"]).to_pylist():
            for tuned in pc.unique(part["tuned"]).to_pylist():
                rows = stats.where(part, mixer=mixer, tuned=tuned)
                label = mixer if tuned == "none" else f"{mixer}, {tuned}"
                panel[label] = [
                    (own["step"].to_numpy(), own["loss"].to_numpy())
                    for seed in pc.unique(rows["seed"]).to_pylist()
                    for own in [stats.where(rows, seed=seed)]
                ]
    note = "Mean loss of each call's steps, one line a seed. Tuning counts response tokens only."
    return report.Section("Loss", note, figure.curves(panels))


def _coverage(items: pa.Table, mixer: str) -> list[report.Section]:
    """Exact match, log-odds and rank of every group in every cell: seeds as dots, then numbers."""
    recall = stats.where(items, measure="recall", relation="parent")
    found, rows = [], []
    for value, name, chance, limits in (
        ("exact", "exact match", None, (-0.05, 1.05)),
        ("log_odds", "log-odds, nats", 0.0, None),
        ("rank", "rank (0 best)", 0.5, (-0.05, 1.05)),
    ):
        panels = {}
        for language, way in CELLS:
            panel = panels.setdefault(f"{language} {way}", {})
            for group in (g.name for g in GROUPS):
                for names in ("shared", "own"):
                    cell = stats.where(
                        recall, group=group, language=language, direction=way, names=names
                    )
                    seeds = [cells[0].mean() for cells in stats.by_seed(cell, value, {})]
                    stated = cell["stated"][0].as_py() == "yes"
                    panel[f"{group} {names}"] = (seeds, stated)
        note = (
            "Rows are coverage groups, by whether the pair's names are shared between languages. "
            "Filled: the cell was stated in pretraining; hollow: it never was. One dot a seed."
        )
        body = figure.dots(panels, name, chance, limits)
        found.append(report.Section(f"{mixer}: recall by coverage group, {name}", note, body))
        for panel, conditions in panels.items():
            for condition, (seeds, stated) in conditions.items():
                rows.append((condition, panel, stated, value, float(np.mean(seeds))))
    return [*found, _coverage_table(rows, mixer)]


def _coverage_table(rows: list[tuple], mixer: str) -> report.Section:
    cells = {}
    for condition, panel, stated, value, number in rows:
        mark = "●" if stated else "○"
        cells.setdefault(condition, {}).setdefault(panel, [mark]).append(
            f"{number:.2f}" if value != "log_odds" else f"{number:+.1f}"
        )
    table = [
        {"group, names": condition} | {panel: " ".join(cell) for panel, cell in panels.items()}
        for condition, panels in cells.items()
    ]
    note = (
        "Exact match, log-odds against the other entities of the type (nats), rank percentile; "
        "means over seeds. ● stated, ○ never stated. Chance: EM 1/160, log-odds 0, rank .5."
    )
    return report.Section(f"{mixer}: the same in numbers", note, report.table(table))


def _transfer(items: pa.Table, mixer: str) -> report.Section:
    follow = stats.where(items, measure="following", ambiguous="no")
    panels, ceilings = {}, {}

    def shares(value: str, **cell: str) -> np.ndarray:  # (seeds, steps)
        part = stats.where(follow, **cell)
        arms = [{"step": step} for step in sorted(set(part["step"].to_pylist()))]
        return np.array([[c.mean() for c in cells] for cells in stats.by_seed(part, value, *arms)])

    for tier in TIERS:
        for language in LANGUAGES:
            cell = {"tier": tier, "tuned": "L1", "language": language}
            steps = sorted(set(stats.where(follow, **cell)["step"].to_pylist()))
            title = f"{tier}: tuned L1, asked {language}"
            panels[title] = (steps, shares("right", **cell), shares("other", **cell))
            own = cell | {"tuned": language}
            ceilings[title] = shares("right", **own).mean(0)
    note = (
        "T1 tunes the quiz register that pretraining left mostly unanswered; T2 a chat wrapper it "
        "never saw. Answers are decoded greedily and must end. Dots are seeds; items whose answers "
        "coincide in both languages are left out."
    )
    title = f"{mixer}: instruction following along the tuning"
    return report.Section(title, note, figure.three_bins(panels, ceilings))


def _samples(items: pa.Table, mixer: str) -> list[report.Section]:
    """A few prompts with what the first seed's model said."""
    first = stats.where(items, seed=0)
    asked = []
    for group, language, way in (
        ("G0", "L1", "reverse"),
        ("G1", "L1", "forward"),
        ("G1", "L1", "reverse"),
        ("G2", "L2", "forward"),
        ("G4", "L1", "reverse"),
    ):
        rows = stats.where(first, **_asked(group, language, way)).slice(0, 4).to_pylist()
        asked += [{"group": group, "names": r["names"], "asked": f"{language} {way}"} | _said(r)
                  for r in rows[::3]]  # fmt: skip
    followed = []
    for tier, step in (("T1", 0), ("T1", 30), ("T1", 200), ("T2", 30), ("T2", 200)):
        part = stats.where(first, measure="following", tier=tier, tuned="L1", step=step)
        part = stats.where(part, language="L2", ambiguous="no").slice(0, 24).to_pylist()
        followed += [{"tier": tier, "steps in L1": step, "task": r["task"]} | _said(r)
                     for r in part[::8]]  # fmt: skip
    note = "Decoded greedily until the end of the document; ∅ is an empty answer."
    return [
        report.Section(f"{mixer}: facts asked, and what was said", note, report.table(asked)),
        report.Section(
            f"{mixer}: instructions in L2 after tuning in L1", note, report.table(followed)
        ),
    ]


def _said(row: dict) -> dict[str, str]:
    right = "✓" if row.get("exact", row.get("right")) else ""
    return {"prompt": row["prompt"], "answer": f"{row['answer'] or '∅'} {right}",
            "right would be": row["gold"]}  # fmt: skip


def _exposures(ledger: pa.Table) -> report.Section:
    """Exposures of a fact in pretraining, by group and cell: means over facts and seeds."""
    ledger = stats.where(ledger, relation="parent", mixer=ledger["mixer"][0].as_py())
    groups = [group.name for group in GROUPS]
    counts = np.zeros((len(groups), len(CELLS)))
    each = len(pc.unique(ledger["fact"])) // len(groups)
    seeds = len(pc.unique(ledger["seed"]))
    cells = ledger.group_by(["group", "language", "direction"]).aggregate([("exposures", "sum")])
    for row in cells.to_pylist():
        cell = CELLS.index((row["language"], row["direction"]))
        counts[groups.index(row["group"]), cell] = row["exposures_sum"] / each / seeds
    note = (
        f"How often pretraining states one fact, by group and cell: means over {each} facts and "
        f"{seeds} seeds. A 0 is a held-out cell; `python -m data.preview flagship` proves it by a "
        "search of the rendered tokens."
    )
    body = figure.heat(counts, groups, [" ".join(cell) for cell in CELLS], "")
    return report.Section("Ledger of exposures", note, body)
