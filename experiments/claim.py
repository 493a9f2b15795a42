"""Claims: contrasts declared before a run, each decided by a written rule.

An experiment declares several, so its verdicts hold at 5% for all of them together (Holm 1979), by
the bootstrap and by Student's t over the seeds; the intervals shown are the bootstrap's, of one
claim each.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from experiments.stats import Estimate

LEVEL = 0.05  # of all claims of an experiment together


@dataclasses.dataclass(frozen=True)
class Rule:
    """That the truth lies in one of `regions`, each from its first number to its second."""

    regions: tuple[tuple[float, float], ...]

    def __call__(self, estimate: Estimate) -> float:
        """The p-value of "it does not": alone at 5% where the whole 95% interval lies in one."""
        return min(2 * max(_outside(estimate, *region)) for region in self.regions)


def _outside(estimate: Estimate, low: float, high: float) -> list[float]:
    """The p-values of lying beyond either end that there is."""
    below = [estimate.tail(low)] if math.isfinite(low) else []
    return [*below, 1 - estimate.tail(high)] if math.isfinite(high) else below


def above(threshold: float) -> Rule:
    """The truth lies above `threshold`."""
    return Rule(((threshold, math.inf),))


def below(threshold: float) -> Rule:
    """The truth lies below `threshold`."""
    return Rule(((-math.inf, threshold),))


def within(margin: float) -> Rule:
    """Equivalence with zero, +-`margin`: both one-sided tests (Schuirmann 1987), but at 2.5% each,
    so that an equivalence asks as much as a difference."""
    return Rule(((-margin, margin),))


def outside(margin: float) -> Rule:
    """A definite effect: beyond `margin` on one side."""
    return Rule(((-math.inf, -margin), (margin, math.inf)))


@dataclasses.dataclass(frozen=True)
class Claim:
    """One declared contrast and the rules that decide it, written before the run."""

    row: str
    claim: str
    unit: str
    estimate: Estimate
    reproduced: Rule
    opposite: Rule
    reference: float | None
    reference_source: str

    @property
    def p(self) -> float:
        """The smaller p-value of the two rules; 1 where the estimate does not exist."""
        found = [rule(self.estimate) for rule in (self.reproduced, self.opposite)]
        return min(1.0 if math.isnan(p) else min(p, 1.0) for p in found)

    def record(self, p_holm: float) -> dict[str, object]:
        """The claim as a row of claims.json; a number that is undefined or infinite is null."""
        finite = lambda x: x if math.isfinite(x) else None
        ends = lambda rule: [[finite(low), finite(high)] for low, high in rule.regions]
        held = "reproduced" if self.reproduced(self.estimate) <= self.p else "opposite"
        return {
            "row": self.row,
            "claim": self.claim,
            "estimate": finite(self.estimate.value),
            "ci_low": finite(self.estimate.low),
            "ci_high": finite(self.estimate.high),
            "unit": self.unit,
            "seeds": self.estimate.seeds,
            "reproduced_if": ends(self.reproduced),
            "opposite_if": ends(self.opposite),
            "reference": self.reference,
            "reference_source": self.reference_source,
            "p_holm": p_holm,
            "verdict": held if p_holm <= LEVEL else "inconclusive",
        }


def interval(claim: dict) -> str:
    """`0.97 [0.95, 0.99] EM`; an estimate that does not exist says so."""
    if claim["estimate"] is None:
        return "undefined"
    numbers = [claim[key] for key in ("estimate", "ci_low", "ci_high")]
    value, low, high = ("–" if x is None else f"{x:.2f}" for x in numbers)
    return f"{value} [{low}, {high}] {claim['unit']}"


def where(regions: Sequence[Sequence[float | None]]) -> str:
    """The regions of a rule in a claim's record, in words.

    >>> where([[0.3, None]]), where([[-0.1, 0.1]]), where([[None, -0.1], [0.1, None]])
    ('> 0.3', '-0.1 to 0.1', '< -0.1 or > 0.1')
    """
    found = []
    for low, high in regions:
        one_sided = f"> {low:g}" if high is None else f"< {high:g}"
        found.append(one_sided if None in (low, high) else f"{low:g} to {high:g}")
    return " or ".join(found)


def decide(claims: Sequence[Claim]) -> list[dict[str, object]]:
    """The claims as records, each with its verdict after Holm's correction over all of them."""
    return [c.record(p) for c, p in zip(claims, holm([c.p for c in claims]), strict=True)]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): what is at most a level holds at that level for all together.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, adjusted, least = np.argsort(p), [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted
