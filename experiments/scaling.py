"""Token efficiency: how much text of one language alone a loss is worth, over the text it took.

    L(n)  = floor + scale n^-slope     loss of a model of one language after n tokens, fitted
    TE    = L^-1(loss) / n             n: what the model read of that language (Schäfer et al. 2024,
                                       2404.07982, section 3.2)

Models of the fit take as many steps as what is measured by it, on a share of the rows of each
(`thinner`): they differ in how much they read, and not in how often they learned from it. Schäfer
et al. take fewer steps instead, so their efficiencies are another quantity.

A fit has three parameters, so of fewer than five points it is noise, and is refused.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from train.recipe import Cosine, Recipe

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the text of an experiment, for one language alone
REACH = 2  # times the most that the fit has seen: further it says nothing
DRAWS = 1_000  # of a bootstrap: every draw is a fit


class Curve(NamedTuple):
    """Loss in nats after a number of tokens, in whatever unit they were given."""

    floor: float
    scale: float
    slope: float

    def loss(self, tokens: np.ndarray) -> np.ndarray:
        return self.floor + self.scale * np.asarray(tokens) ** -self.slope

    def tokens(self, loss: float) -> float:
        """How many it takes to come to a loss: infinitely many to the floor or below."""
        above = loss - self.floor
        if above <= 0:
            return np.inf
        with np.errstate(over="ignore"):
            return float(np.exp(np.log(self.scale / above) / self.slope))


def fit(tokens: Sequence[float], losses: Sequence[float]) -> Curve:
    """The curve through five points or more, by least squares; all its parameters are positive.

    >>> tokens = [0.05, 0.1, 0.2, 0.5, 1.0]
    >>> [round(x, 6) for x in fit(tokens, Curve(1.5, 0.3, 0.7).loss(tokens))]
    [1.5, 0.3, 0.7]
    """
    if len(tokens) < 5 or len(tokens) != len(losses):
        raise ValueError(
            f"{len(tokens)} numbers of tokens and {len(losses)} losses: three parameters need five "
            "points or more of both; train on more shares of the text"
        )
    x, losses = np.log(tokens), np.asarray(losses)
    low = losses.min()
    start = np.log(low / 2), np.log(low / 2) + 0.5 * x[losses.argmin()], np.log(0.5)

    def residuals(logs):
        floor, scale, slope = logs
        return np.exp(floor) + np.exp(scale - np.exp(slope) * x) - losses

    with np.errstate(over="ignore", invalid="ignore"):  # a step too far is one that is not taken
        found = least_squares(residuals, start, method="lm", max_nfev=10_000)
        return Curve(*map(float, np.exp(found.x if found.success else np.full(3, np.nan))))


def efficiency(
    tokens: Sequence[float], seen: Sequence[float]
) -> Callable[[np.ndarray], np.ndarray]:
    """The statistic (draws, N + M) -> (draws, M) of mean losses: N of one language alone after
    `tokens`, M of arms that have read `seen` tokens of it; their token efficiencies.

    What is better than the fit reaches counts as REACH times its most tokens, so that no draw of a
    bootstrap is left out for being too good; nan where there is no fit."""
    most = REACH * max(tokens)

    def statistic(means: np.ndarray) -> np.ndarray:
        found = np.empty((len(means), len(seen)))
        for i, row in enumerate(means):
            curve = fit(tokens, row[: len(tokens)])
            found[i] = [curve.tokens(loss) for loss in row[len(tokens) :]]
        return np.minimum(found, most) / seen

    return statistic


def drawn(found: np.ndarray) -> str:
    """What a page says of efficiencies (seeds, arms) that are bounded, or not there."""
    return (
        f"A loss beyond the fit counts as {REACH} times all text; {np.isnan(found).mean():.0%} of "
        "the dots, one a seed, have no fit and are not drawn."
    )


def shorter(recipe: Recipe, share: float) -> Recipe:
    """A recipe of a share of the steps, at whose end the learning rate has come down as far."""
    steps = max(2, round(share * recipe.steps))
    warmup = min(recipe.schedule.warmup, steps // 4)
    return dataclasses.replace(recipe, steps=steps, schedule=Cosine(warmup=warmup))


def thinner(recipe: Recipe, share: float) -> Recipe:
    """A recipe of as many steps, each on a share of the rows, and on one at least."""
    return dataclasses.replace(recipe, batch=max(1, round(share * recipe.batch)))
