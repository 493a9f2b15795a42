"""A pinch of L2: how many L2 examples does a tuning set in L1 need before L2 is answered in L2?

Question  Shaham et al. (2024, 2401.01854) find that some 40 multilingual examples in an English
          tuning set suffice; Kew et al. (2023, 2312.12683) that two to three languages do. Does a
          set in L1 with 1, 3, 10, 40 or 160 examples in L2 do what a set half in L2 does, and what
          does it cost L1?

Design    The standard base is tuned for four epochs on a finite set of examples, some of which are
          in L2 and the rest in L1. A larger pinch contains a smaller one, all other examples are
          the same, and so are their total, the steps and the recipe. Both tiers: the quiz register
          (T1) and the chat wrapper (T2). Controls: no example in L2, half of them, all of them (the
          ceiling), and the untuned base (step 0).

Measures  following: decoded answers in three bins, by language, along the tuning; fidelity is right
          over right in either language. Items whose answers coincide in both are left out.

Run       python -m experiments.run pinch --size toy --seeds 5

Cost      toy: 2 CPU cores, the standard base and 16 tunings a seed, about 12 min a mixer; small:
          one GPU, under an hour a seed

Result    2026-11-28, 5a5195b, toy, 5 seeds, gla, 1 CPU core, 550 s.
          C2 gla: T1 (quiz): L2 right with 40 examples in L2, minus with none: 0.29 [0.10, 0.39] EM,
            inconclusive.
          C2 gla: T1 (quiz): what 40 examples gain of what half of the set gains: 0.69 [0.30, 0.91]
            share of the gain, inconclusive.
          C2 gla: T1 (quiz): L1 right with 40 examples in L2, minus with none (equal within .05):
            0.03 [-0.03, 0.09] EM, inconclusive.
          C2 gla: T2 (chat): L2 right with 40 examples in L2, minus with none: 0.38 [0.26, 0.46] EM,
            reproduced.
          C2 gla: T2 (chat): what 40 examples gain of what half of the set gains: 0.69 [0.54, 0.81]
            share of the gain, inconclusive.
          C2 gla: T2 (chat): L1 right with 40 examples in L2, minus with none (equal within .05):
            0.02 [-0.03, 0.07] EM, inconclusive.
"""

import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.pinch import Pinch
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.following import Following
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, TIERS, corpus, mixers, pretrained, single, tuned, tuning
from train.recipe import Recipe

ROWS = ("C2",)
COST = {"toy": "2 CPU cores, 5 seeds, one mixer: 12 min", "small": "one GPU, not yet measured"}
Settings = standard.Settings
EPOCHS = 4  # of the finite set


def total(recipe: Recipe) -> int:
    """Examples in the set; a row is one example."""
    return recipe.steps * recipe.batch // EPOCHS


def pinches(total: int) -> dict[str, int]:
    """Arm -> examples in L2."""
    few = [n for n in (0, 1, 3, 10, 40, 160) if n < total / 2]
    return {str(n): n for n in few} | {"half": total // 2, "all": total}


def stages(settings: Settings) -> list[Stage]:
    """The standard base of every seed and mixer, tuned in two tiers with every pinch."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        base = pretrained(size, mixer, seed, text, tier="base", pinch="none")
        found.append(base)
        each, recipe = single(text, size.tune)
        examples = total(recipe)
        for (tier, register), (arm, n) in itertools.product(
            TIERS.items(), pinches(examples).items()
        ):
            one, two = (tuning(each, register, language) for language in ("L1", "L2"))
            mixed, asked = Pinch(one, two, n, examples), (Following(text, register),)
            found.append(tuned(base, mixed, recipe, asked, size.at, tier=tier, pinch=arm))
    return found


def preview() -> Corpus:
    """What `python -m data.preview pinch` shows."""
    return corpus(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. `enough` is 40 examples, at a smaller size the largest pinch."""
    found, items = [], following.told(results.items)
    arms = [arm for arm in pc.unique(items["pinch"]).to_pylist() if arm.isdigit()]
    enough = "40" if "40" in arms else max(arms, key=int)
    last = max(items["step"].to_pylist())

    def arm(tier: str, examples: str, language: str = "L2", step: int = last) -> dict[str, object]:
        return dict(tier=tier, pinch=examples, language=language, step=step)

    for mixer, (tier, register) in itertools.product(
        pc.unique(items["mixer"]).to_pylist(), TIERS.items()
    ):
        own = stats.where(items, mixer=mixer)
        estimate = lambda value, of, *cells, own=own: stats.contrast(own, value, *cells, of=of)
        what = f"{mixer}: {tier} ({register})"
        found += [
            Claim("C2", f"{what}: L2 right with {enough} examples in L2, minus with none", "EM",
                  estimate("right", stats.difference, arm(tier, enough), arm(tier, "0")),
                  above(0.1), below(0.1), None, "Shaham et al. 2024: 40 examples raise all"),
            Claim("C2", f"{what}: what {enough} examples gain of what half of the set gains",
                  "share of the gain", estimate("right", stats.ratio_of_gains, arm(tier, enough),
                                                arm(tier, "0"), arm(tier, "half")),
                  above(0.5), below(0.5), None, "Shaham et al. 2024: 40 suffice"),
            Claim("C2", f"{what}: L1 right with {enough} examples in L2, minus with none (equal "
                  "within .05)", "EM", estimate("right", stats.difference, arm(tier, enough, "L1"),
                                                arm(tier, "0", "L1")),
                  within(0.05), outside(0.05), 0.0, "Shaham et al. 2024: English as before"),
        ]  # fmt: skip
    return found


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found, items = [], following.told(results.items)
    for mixer in pc.unique(items["mixer"]).to_pylist():
        own = stats.where(items, mixer=mixer)
        found += [_bins(own, mixer), _numbers(own, mixer)]
        shown = stats.where(own, language="L2", tier="T2")
        found.append(following.said(shown, f"{mixer}: chat in L2", by="pinch"))
    return [*found, report.losses(results.curves, line=("mixer", "tier"), panel="pinch")]


def _bins(items: pa.Table, mixer: str) -> report.Section:
    """The three bins over the number of examples, at the last step."""
    panels, ceilings = {}, {}
    end = stats.where(items, step=max(items["step"].to_pylist()))
    arms = [a for a in pc.unique(end["pinch"]).to_pylist() if a != "all"]
    for tier, language in itertools.product(TIERS, ("L1", "L2")):
        own = stats.where(end, tier=tier, language=language)
        name = f"{tier}: asked {language}"
        right, other = (following.by_arm(own, value, "pinch", arms) for value in _BINS)
        panels[name] = (arms, right, other)
        best = following.by_arm(own, "right", "pinch", ["all" if language == "L2" else "0"])
        ceilings[name] = best.mean(0).repeat(len(arms))
    note = (
        "Decoded answers at the end of tuning by the number of examples in L2, of a constant "
        "total. Dots are seeds."
    )
    body = figure.three_bins(panels, ceilings, "examples in L2")
    return report.Section(f"{mixer}: a pinch of L2", note, body)


_BINS = ("right", "other")


def _numbers(items: pa.Table, mixer: str) -> report.Section:
    rows, last = [], max(items["step"].to_pylist())
    for tier, arm in itertools.product(TIERS, pc.unique(items["pinch"]).to_pylist()):
        share = lambda value, language, own=dict(tier=tier, pinch=arm, step=last): following.share(
            items, value, language=language, **own
        )
        right, other = (share(value, "L2") for value in _BINS)
        rows.append({
            "tier": tier, "examples in L2": arm, "L1 right": share("right", "L1"),
            "L2 right": right, "L2 right in L1": other,
            "fidelity": right / (right + other) if right + other else None,
        })  # fmt: skip
    note = "At the end of tuning, means over seeds."
    return report.Section(f"{mixer}: the same in numbers", note, report.table(rows))
