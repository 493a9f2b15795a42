"""Intervals over paired seeds: a two-level bootstrap, and what arms are compared by.

A measurement is kept as one number per item. Items are drawn within a seed (a world, a corpus, an
initialisation) and seeds are drawn from all seeds there could be, so an interval resamples both:
first the seeds, then the items within each, with replacement both times (strategy 1 of Davison &
Hinkley 1997, section 3.8). Arms are compared on the same seeds, which the resampling keeps
together.

The mean of a seed varies with its items already, so where items are all the noise there is, the
intervals are too wide, and where seeds are, they are too narrow, as any bootstrap over few is: 95%
intervals of a mean cover the truth in .98 and .84 of simulations of five seeds, .99 and .89 of
eight. Where five seeds agree in sign, as under the null one set in 16 does, no draw has the other.
What is decided (`Estimate.tail`) must therefore hold by Student's t over the seeds, too, whose
errors keep to 5%; intervals are the bootstrap's.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm, rankdata
from scipy.stats import t as student

DRAWS = 10_000
# Cells: the per-item values of one arm within one seed. A seed is a tuple of cells, one an arm.
Cells = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A statistic with its 95% interval over `seeds` seeds.

    `tail(t)` is the p-value of "the truth is at most t", and 1 minus it that of "at least t": by
    the bootstrap, whose interval ends where it is .025 and .975, or by Student's t over the seeds,
    whichever is nearer to 1/2 and says less.
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


def matrix(items: pa.Table, value: str, *arms: dict[str, object]) -> np.ndarray:
    """(seeds, arms) means of column `value`."""
    return np.array([[cell.mean() for cell in cells] for cells in by_seed(items, value, *arms)])


def means(items: pa.Table, value: str, arm: dict[str, object]) -> list[float]:
    """By seed, the mean of column `value` in an arm: the dots of a figure."""
    return matrix(items, value, arm)[:, 0].tolist()


def curves(items: pa.Table, value: str, arm: dict[str, object]) -> list[tuple[list, list]]:
    """By seed, the steps at which an arm was measured and its means there: lines of a figure."""
    steps = sorted(pc.unique(where(items, **arm)["step"]).to_pylist())
    lines = matrix(items, value, *(arm | {"step": step} for step in steps))
    return [(steps, line) for line in lines.tolist()]


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


def difference_of_ratios(means: np.ndarray) -> np.ndarray:
    """First transfer ratio minus second: arms (reached, base, ceiling) twice, (draws, 6) ->
    (draws,). Two models compared by it may differ in how well they can be tuned at all."""
    return ratio_of_gains(means[:, :3]) - ratio_of_gains(means[:, 3:])


def lead(rates: int) -> Callable[[np.ndarray], np.ndarray]:
    """The statistic of arms at `rates` learning rates each, in order: the least of what the best
    rate within a sweep scores above the better of its ends, (draws, arms x rates) -> (draws,).

    >>> lead(3)(np.array([[0.2, 0.9, 0.5, 0.2, 0.9, 0.5], [0.2, 0.9, 0.5, 0.2, 0.5, 0.9]])).round(2)
    array([ 0.4, -0.4])
    """

    def statistic(means: np.ndarray) -> np.ndarray:
        arms = means.reshape(len(means), -1, rates)
        return (arms[..., 1:-1].max(2) - np.maximum(arms[..., 0], arms[..., -1])).min(1)

    return statistic


def peak_transfer(means: np.ndarray) -> np.ndarray:
    """The highest transfer ratio along a tuning: arms (reached at each of N steps, ceiling at each,
    base), (draws, 2N + 1) -> (draws,). Steps count where the ceiling gains 0.3 or more: of several
    shares of little the highest is noise."""
    reached, ceiling = np.split(means[:, :-1], 2, axis=1)
    ratios = _share(reached, means[:, -1:], ceiling, least=0.3)
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


def _share(
    reached: np.ndarray, base: np.ndarray, ceiling: np.ndarray | float, least: float = 0.1
) -> np.ndarray:
    gain = ceiling - base
    return np.where(gain >= least, (reached - base) / np.where(gain >= least, gain, 1.0), np.nan)


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
    alike: Sequence[int] = (),
) -> Estimate:
    """Two-level BCa bootstrap of `statistic` of the arms' means (Efron 1987).

    `seeds[s][a]` holds the items of arm a under seed s. `statistic` maps (draws, arms) means to
    (draws,) values. The acceleration comes from leaving out one seed at a time; one seed alone
    gives an interval over its items only. `alike` numbers the arms by what they are asked (absent:
    each something else): of those with one number, which answer the same items in the same order,
    every draw takes the same items, and what an item adds to all of them cancels.
    """
    empty = [(s, a) for s, cells in enumerate(seeds) for a, c in enumerate(cells) if not len(c)]
    if not seeds or empty:
        raise ValueError(
            f"no items in (seed, arm) cells {empty or 'all'}; every arm needs items in every seed"
        )
    for cells, number in itertools.product(seeds, set(alike)):
        counts = [len(cell) for cell, own in zip(cells, alike, strict=True) if own == number]
        if len({*counts}) > 1:
            raise ValueError(f"arms asked alike have {counts} items in a seed: these are no pairs")
    count, arms = len(seeds), len(seeds[0])
    rng = np.random.Generator(np.random.Philox(key))
    picked = rng.integers(count, size=(draws, count))
    sums = np.zeros((draws, arms))
    for s, cells in enumerate(seeds):
        times = (picked == s).sum(1)
        for a, cell in enumerate(cells):
            items = np.random.Generator(np.random.Philox([key, 1 + s, alike[a]])) if alike else rng
            # Every appearance of a seed in a draw resamples its items anew.
            for repeat in range(times.max()):
                chosen = times > repeat
                index = items.integers(len(cell), size=(chosen.sum(), len(cell)))
                sums[chosen, a] += cell[index].mean(1)
    boot = statistic(sums / count)
    table = np.array([[cell.mean() for cell in cells] for cells in seeds])
    value = float(statistic(table.mean(0, keepdims=True))[0])
    leave_one = np.array(
        [np.delete(table, s, 0).mean(0) for s in range(count)] if count > 1 else []
    )
    leave_one = statistic(leave_one) if count > 1 else np.zeros(0)
    bca = BCa.of(boot, value, leave_one)
    tails = bca.tail, jackknife(value, leave_one)
    tail = lambda t: min((tail(t) for tail in tails), key=lambda p: abs(p - 0.5))
    return Estimate(value, *bca.interval(), count, tail)


def jackknife(value: float, leave_one: np.ndarray) -> Callable[[float], float]:
    """`Estimate.tail` by Student's t over n seeds, from the statistic without one of each (Tukey
    1958); 1/2, which decides nothing, of one seed, and where a seed less leaves it undefined.

    >>> round(jackknife(2.0, np.array([1.5, 2.5, 2.0]))(0.0), 4)  # of seeds 3, 1 and 2: t = 3.46
    0.0371
    """
    n = len(leave_one)
    error = math.sqrt((n - 1) * np.var(leave_one)) if n > 1 else math.nan

    def tail(t: float) -> float:
        if math.isnan(error) or math.isclose(value, t, abs_tol=1e-12):  # .3 - .25 is not .05
            return 0.5
        return float(student.sf((value - t) / error, n - 1)) if error else float(value < t)

    return tail


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one number a seed, of the seeds in which it is defined."""
    held = [(np.array([value]),) for value in values if math.isfinite(value)]
    return bootstrap(held or [(np.array([math.nan]),)])


def contrast(
    items: pa.Table,
    value: str,
    *arms: dict[str, object],
    of: Callable[[np.ndarray], np.ndarray] | None = None,
    paired: bool = False,
) -> Estimate:
    """`bootstrap` of column `value` over arms of `items`: of one its mean, of several the first
    minus the second, or what `of` makes of them.

    Arms with the same prompts are asked alike; `paired` says so of all, where items have no prompt.
    """
    of = of or (difference if len(arms) > 1 else mean)
    alike = (0,) * len(arms) if paired else asked(items, value, *arms)
    return bootstrap(by_seed(items, value, *arms), of, alike=alike)


def asked(items: pa.Table, value: str, *arms: dict[str, object]) -> tuple[int, ...]:
    """Arms numbered by their prompts, in their order and in all seeds; () if all differ."""
    if "prompt" not in items.column_names:
        return ()
    items = items.filter(pc.is_valid(items[value]))
    texts = [where(items, **arm).sort_by("seed").select(["seed", "prompt"]) for arm in arms]
    same = lambda a, b: not texts[a]["prompt"].null_count and texts[a].equals(texts[b])
    numbers = [next(b for b in range(a + 1) if a == b or same(a, b)) for a in range(len(arms))]
    return tuple(numbers) if len(set(numbers)) < len(arms) else ()


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
        share = np.mean(self.boot < t) + 0.5 * np.mean(self.boot == t)
        if share in (0, 1):  # no draw reached it, and no correction can tell by how much
            return least if share == 0 else 1 - least
        w = norm.ppf(share) - self.bias
        return float(np.clip(norm.cdf(w / (1 + self.skew * w) - self.bias), least, 1 - least))
