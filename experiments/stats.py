"""Intervals over paired seeds: two-level bootstrap, equivalence, claims decided by a written rule.

A measurement is kept as one number an item. Items are drawn within a seed (a world, a corpus, an
initialisation) and seeds are drawn from all seeds there could be, so an interval resamples both:
first the seeds, then the items within each (Davison & Hinkley 1997, section 3.8). Arms
are compared on the same seeds, which the resampling keeps together.

An experiment declares several claims, so its verdicts hold at 5% for all of them together (Holm
1979); the intervals shown are of one claim each.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm, rankdata

DRAWS = 10_000
# Cells: the per-item values of one arm within one seed. A seed is a tuple of cells, one an arm.
Cells = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A statistic with its 95% interval over `seeds` seeds.

    `tail(t)` is the p-value of "the truth is at most t": the level at which a one-sided interval
    begins to reach down to t. So `tail(low)` is .025 and `tail(high)` .975.
    """

    value: float
    low: float
    high: float
    seeds: int
    tail: Callable[[float], float] = dataclasses.field(repr=False, compare=False)


def where(items: pa.Table, **equal: object) -> pa.Table:
    """The rows of `items` whose columns equal the given values."""
    mask = None
    for column, value in equal.items():
        test = pc.equal(items[column], value)
        mask = test if mask is None else pc.and_(mask, test)
    return items if mask is None else items.filter(mask)


def by_seed(items: pa.Table, value: str, *arms: dict[str, object]) -> list[Cells]:
    """Per seed, the values of column `value` in each arm (a dict of column: value)."""
    rows = []
    for seed in sorted(pc.unique(items["seed"]).to_pylist()):
        cells = [where(items, seed=seed, **arm)[value].drop_null() for arm in arms]
        rows.append(tuple(np.asarray(cell, np.float64) for cell in cells))
    return rows


def means(items: pa.Table, value: str, arm: dict[str, object]) -> list[float]:
    """By seed, the mean of column `value` in an arm: the dots of a figure."""
    return [float(cell.mean()) for (cell,) in by_seed(items, value, arm)]


def curves(items: pa.Table, value: str, arm: dict[str, object]) -> list[tuple[list, list]]:
    """By seed, the steps at which an arm was measured and its means there: lines of a figure."""
    steps = sorted(pc.unique(where(items, **arm)["step"]).to_pylist())
    at = [means(items, value, arm | {"step": step}) for step in steps]
    return [(steps, list(line)) for line in zip(*at, strict=True)]


def mean(means: np.ndarray) -> np.ndarray:
    """The statistic of a single arm: (draws, 1) arm means -> (draws,)."""
    return means[:, 0]


def difference(means: np.ndarray) -> np.ndarray:
    """First arm minus second: (draws, 2) -> (draws,)."""
    return means[:, 0] - means[:, 1]


def interaction(means: np.ndarray) -> np.ndarray:
    """First arm minus second, minus the same of third and fourth: (draws, 4) -> (draws,)."""
    return means[:, 0] - means[:, 1] - (means[:, 2] - means[:, 3])


def ratio_of_gains(means: np.ndarray) -> np.ndarray:
    """Transfer ratio (reached - base) / (ceiling - base) of arms (reached, base, ceiling).

    Undefined (nan) where the ceiling gains less than 0.1: nothing was there to be transferred.
    """
    return _share(*means.T)


def peak_transfer(means: np.ndarray) -> np.ndarray:
    """The highest transfer ratio along a tuning: arms (reached at each of N steps, ceiling at each,
    base), (draws, 2N + 1) -> (draws,)."""
    reached, ceiling = np.split(means[:, :-1], 2, axis=1)
    ratios = _share(reached, means[:, -1:], ceiling)
    best = np.where(np.isnan(ratios), -np.inf, ratios).max(1)
    return np.where(np.isinf(best), np.nan, best)


def transfer_at(level: float) -> Callable[[np.ndarray], np.ndarray]:
    """The transfer ratio at a matched score: where the tuned language first scores `level`, linear
    between the steps, the other language's gain over its gain had it come to `level` too.

    Arms (the tuned language at each of N steps from 0, the other at each), (draws, 2N) -> (draws,);
    nan where the level is never reached.

    >>> transfer_at(0.5)(np.array([[0.0, 0.4, 0.6, 0.0, 0.1, 0.3], [0.0, 0.4, 0.4, 0.0, 0.1, 0.3]]))
    array([0.4, nan])
    """

    def statistic(means: np.ndarray) -> np.ndarray:
        own, other = np.split(means, 2, axis=1)
        passed, rows = own >= level, np.arange(len(means))
        after = passed.argmax(1)
        before = np.maximum(after - 1, 0)
        at = lambda step: (own[rows, step], other[rows, step])
        (x0, y0), (x1, y1) = at(before), at(after)
        rise = np.where(x1 > x0, x1 - x0, 1.0)
        reached = y0 + (y1 - y0) * np.where(x1 > x0, (level - x0) / rise, 0.0)
        return np.where(passed.any(1), _share(reached, other[:, 0], level), np.nan)

    return statistic


def _share(reached: np.ndarray, base: np.ndarray, ceiling: np.ndarray | float) -> np.ndarray:
    gain = ceiling - base
    return np.where(gain >= 0.1, (reached - base) / np.where(gain >= 0.1, gain, 1.0), np.nan)


def rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None) -> float:
    """Spearman's r of x and y (N); with `given` (N) the partial r, of what its ranks leave of
    theirs. Undefined (nan) where nothing varies.

    >>> x, y, z = np.array([1, 2, 3, 4]), np.array([2, 3, 4, 9]), np.array([1, 3, 2, 4])
    >>> rank_correlation(x, y), round(rank_correlation(x, z), 3)
    (1.0, 0.8)
    >>> rank_correlation(x, z, given=y)
    nan
    """
    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (x, y)]
    if given is not None:
        other = rankdata(given) - (len(given) + 1) / 2
        along = lambda r: r @ other / max(other @ other, 1e-12)
        ranks = [rank - along(rank) * other for rank in ranks]
    spread = math.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1] / spread) if spread > 1e-9 else math.nan


def bootstrap(
    seeds: Sequence[Cells],
    statistic: Callable[[np.ndarray], np.ndarray] = mean,
    draws: int = DRAWS,
    key: int = 0,
) -> Estimate:
    """Two-level BCa bootstrap of `statistic` of the arms' means (Efron 1987).

    `seeds[s][a]` holds the items of arm a under seed s. `statistic` maps (draws, arms) means to
    (draws,) values. The acceleration comes from leaving out one seed at a time; one seed alone
    gives an interval over its items only.
    """
    empty = [(s, a) for s, cells in enumerate(seeds) for a, c in enumerate(cells) if not len(c)]
    if not seeds or empty:
        raise ValueError(
            f"no items in (seed, arm) cells {empty or 'all'}; every arm needs items in every seed"
        )
    count, arms = len(seeds), len(seeds[0])
    rng = np.random.Generator(np.random.Philox(key))
    picked = rng.integers(count, size=(draws, count))
    sums = np.zeros((draws, arms))
    for s, cells in enumerate(seeds):
        times = (picked == s).sum(1)
        for a, cell in enumerate(cells):
            # Every appearance of a seed in a draw resamples its items anew.
            for repeat in range(times.max()):
                chosen = times > repeat
                index = rng.integers(len(cell), size=(chosen.sum(), len(cell)))
                sums[chosen, a] += cell[index].mean(1)
    boot = statistic(sums / count)
    table = np.array([[cell.mean() for cell in cells] for cells in seeds])
    value = float(statistic(table.mean(0, keepdims=True))[0])
    leave_one = np.array(
        [np.delete(table, s, 0).mean(0) for s in range(count)] if count > 1 else []
    )
    bca = BCa.of(boot, value, statistic(leave_one) if count > 1 else np.zeros(0))
    return Estimate(value, *bca.interval(), count, bca.tail)


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one number a seed, of the seeds in which it is defined."""
    held = [(np.array([value]),) for value in values if math.isfinite(value)]
    return bootstrap(held or [(np.array([math.nan]),)])


def contrast(
    items: pa.Table,
    value: str,
    *arms: dict[str, object],
    of: Callable[[np.ndarray], np.ndarray] = difference,
) -> Estimate:
    """`bootstrap` of column `value` over arms of `items`; of one arm, its mean."""
    return bootstrap(by_seed(items, value, *arms), of if len(arms) > 1 else mean)


@dataclasses.dataclass(frozen=True)
class BCa:
    """Bias-corrected, accelerated percentiles of bootstrap values (Efron 1987, equation 2.3)."""

    boot: np.ndarray  # (draws,) sorted, the finite ones
    bias: float
    skew: float

    @classmethod
    def of(cls, boot: np.ndarray, value: float, leave_one: np.ndarray) -> "BCa":
        """From bootstrap values (draws,), the estimate and its values without one seed each."""
        boot = np.sort(boot[np.isfinite(boot)]) if math.isfinite(value) else np.zeros(0)
        if len(boot) == 0:
            return cls(boot, math.nan, math.nan)
        # Ties count half, so that a discrete statistic is not taken for a biased one.
        below = np.mean(boot < value) + 0.5 * np.mean(boot == value)
        bias = norm.ppf(np.clip(below, 1 / len(boot), 1 - 1 / len(boot)))
        centred = leave_one.mean() - leave_one if len(leave_one) else np.zeros(1)
        spread = np.sum(centred**2) ** 1.5
        return cls(boot, bias, np.sum(centred**3) / (6 * spread) if spread > 0 else 0.0)

    def interval(self) -> tuple[float, float]:
        """95%, two-sided; nan where there is nothing."""
        if len(self.boot) == 0:
            return math.nan, math.nan
        if self.boot[0] == self.boot[-1]:
            return float(self.boot[0]), float(self.boot[0])
        z = self.bias + norm.ppf([0.025, 0.975])
        low, high = np.quantile(self.boot, norm.cdf(self.bias + z / (1 - self.skew * z)))
        return float(low), float(high)

    def tail(self, t: float) -> float:
        """p-value of "the truth is at most t", no smaller than the draws can tell."""
        if len(self.boot) == 0:
            return math.nan
        least = 1 / (len(self.boot) + 1)
        share = np.mean(self.boot <= t)
        if share in (0, 1):  # no draw reached it, and no correction can tell by how much
            return least if share == 0 else 1 - least
        w = norm.ppf(share) - self.bias
        return float(np.clip(norm.cdf(w / (1 + self.skew * w) - self.bias), least, 1 - least))


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
