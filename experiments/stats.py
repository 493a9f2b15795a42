"""Intervals over paired seeds: two-level bootstrap, equivalence, claims decided by a written rule.

A measurement is kept as one number an item. Items are drawn within a seed (a world, a corpus, an
initialisation) and seeds are drawn from all seeds there could be, so an interval resamples both:
first the seeds, then the items within each (Davison & Hinkley 1997, section 3.8). Arms
are compared on the same seeds, which the resampling keeps together.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

DRAWS = 10_000
# Cells: the per-item values of one arm within one seed. A seed is a tuple of cells, one an arm.
Cells = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A statistic with its 95% interval over `seeds` seeds."""

    value: float
    low: float
    high: float
    seeds: int


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


def mean(means: np.ndarray) -> np.ndarray:
    """The statistic of a single arm: (draws, 1) arm means -> (draws,)."""
    return means[:, 0]


def difference(means: np.ndarray) -> np.ndarray:
    """First arm minus second: (draws, 2) -> (draws,)."""
    return means[:, 0] - means[:, 1]


def ratio_of_gains(means: np.ndarray) -> np.ndarray:
    """Transfer ratio (reached - base) / (ceiling - base) of arms (reached, base, ceiling).

    Undefined (nan) where the ceiling gains less than 0.1: nothing was there to be transferred.
    """
    reached, base, ceiling = means.T
    gain = ceiling - base
    return np.where(gain >= 0.1, (reached - base) / np.where(gain >= 0.1, gain, 1.0), np.nan)


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
    low, high = _bca(boot, value, statistic(leave_one) if count > 1 else np.zeros(0))
    return Estimate(value, low, high, count)


def _bca(boot: np.ndarray, value: float, leave_one: np.ndarray) -> tuple[float, float]:
    """95% bias-corrected, accelerated percentile interval of bootstrap values (draws,)."""
    boot = boot[np.isfinite(boot)]
    if not math.isfinite(value) or len(boot) == 0:
        return math.nan, math.nan
    if np.ptp(boot) == 0:
        return float(boot[0]), float(boot[0])
    # Ties count half, so that a discrete statistic is not taken for a biased one.
    below = np.mean(boot < value) + 0.5 * np.mean(boot == value)
    bias = norm.ppf(np.clip(below, 1 / len(boot), 1 - 1 / len(boot)))
    centred = leave_one.mean() - leave_one if len(leave_one) else np.zeros(1)
    spread = np.sum(centred**2) ** 1.5
    skew = np.sum(centred**3) / (6 * spread) if spread > 0 else 0.0
    z = bias + norm.ppf([0.025, 0.975])
    low, high = np.quantile(boot, norm.cdf(bias + z / (1 - skew * z)))
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One declared contrast and the rule that decides it, both written before the run.

    `reproduced` and `opposite` are judged on the interval; neither holding is `inconclusive`.
    """

    row: str
    claim: str
    unit: str
    estimate: Estimate
    reproduced: Callable[[Estimate], bool]
    opposite: Callable[[Estimate], bool]
    reference: float | None
    reference_source: str

    @property
    def verdict(self) -> str:
        if self.reproduced(self.estimate):
            return "reproduced"
        return "opposite" if self.opposite(self.estimate) else "inconclusive"

    def record(self) -> dict[str, object]:
        """The claim as a row of claims.json; an undefined number is null."""
        finite = lambda x: x if math.isfinite(x) else None
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
            "verdict": self.verdict,
        }


def above(threshold: float) -> Callable[[Estimate], bool]:
    """The whole interval lies above `threshold`."""
    return lambda e: e.low > threshold


def below(threshold: float) -> Callable[[Estimate], bool]:
    """The whole interval lies below `threshold`."""
    return lambda e: e.high < threshold


def within(margin: float) -> Callable[[Estimate], bool]:
    """Equivalence with zero: the whole interval lies within +-`margin`."""
    return lambda e: -margin < e.low and e.high < margin


def outside(margin: float) -> Callable[[Estimate], bool]:
    """A definite effect: the whole interval lies on one side, beyond `margin`."""
    return lambda e: e.low > margin or e.high < -margin
