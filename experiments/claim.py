"""Claims: contrasts declared before a run, each decided by a written rule.

An experiment declares several, so its verdicts hold at 5% for all of them together (Holm 1979), by
the bootstrap and by Student's t over the seeds; the intervals shown are the bootstrap's, of one
claim each.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from experiments.stats import Estimate


@dataclasses.dataclass(frozen=True)
class Claim:
    """One declared contrast and the rules that decide it, written before the run.

    A rule is the p-value of "it does not hold"; `decide` takes those of all claims together.
    """

    row: str
    claim: str
    unit: str
    estimate: Estimate
    reproduced: "Rule"
    opposite: "Rule"
    reference: float | None
    reference_source: str

    @property
    def p(self) -> float:
        """The smaller p-value of the two rules; 1 where the estimate does not exist."""
        found = [rule(self.estimate) for rule in (self.reproduced, self.opposite)]
        return min(1.0 if math.isnan(p) else min(p, 1.0) for p in found)

    def record(self, p_holm: float) -> dict[str, object]:
        """The claim as a row of claims.json; an undefined number is null."""
        finite = lambda x: x if math.isfinite(x) else None
        held = "reproduced" if self.reproduced(self.estimate) <= self.p else "opposite"
        return {
            "row": self.row,
            "claim": self.claim,
            "estimate": finite(self.estimate.value),
            "ci_low": finite(self.estimate.low),
            "ci_high": finite(self.estimate.high),
            "unit": self.unit,
            "seeds": self.estimate.seeds,
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


LEVEL = 0.05  # of all claims of an experiment together
Rule = Callable[[Estimate], float]


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


def above(threshold: float) -> Rule:
    """The truth lies above `threshold`: alone at 5% where the whole 95% interval does."""
    return lambda e: 2 * e.tail(threshold)


def below(threshold: float) -> Rule:
    """The truth lies below `threshold`."""
    return lambda e: 2 * (1 - e.tail(threshold))


def within(margin: float) -> Rule:
    """Equivalence with zero, +-`margin`: both one-sided tests (Schuirmann 1987)."""
    return lambda e: 2 * max(e.tail(-margin), 1 - e.tail(margin))


def outside(margin: float) -> Rule:
    """A definite effect: beyond `margin` on one side."""
    return lambda e: 2 * min(e.tail(margin), 1 - e.tail(-margin))
