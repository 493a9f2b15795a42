"""The fit of losses to tokens, on points whose curve is known."""

import doctest

import numpy as np
import pytest

from experiments import scaling
from experiments.scaling import REACH, SHARES, Curve, efficiency, fit, shorter, thinner
from experiments.standard import SIZES


def test_points_on_a_curve_give_the_curve():
    assert doctest.testmod(scaling).failed == 0
    for truth in (Curve(0.5, 2.0, 0.3), Curve(3.0, 0.1, 1.5), Curve(2.0, 1.0, 0.9)):
        np.testing.assert_allclose(fit(SHARES, truth.loss(SHARES)), truth, rtol=1e-4)


def test_four_points_are_refused_as_noise():
    with pytest.raises(ValueError, match="five points or more"):
        fit(SHARES[:4], [4.0, 3.0, 2.5, 2.2])


def test_tokens_and_loss_are_each_others_inverse_and_the_floor_is_never_reached():
    curve = Curve(2.0, 1.0, 0.9)
    assert curve.tokens(curve.loss(0.37)) == pytest.approx(0.37)
    assert curve.tokens(2.0) == curve.tokens(1.9) == np.inf
    assert np.isnan(Curve(np.nan, np.nan, np.nan).tokens(1.9)), "where there is no fit"


def test_an_arm_that_is_as_good_as_twice_its_text_alone_has_an_efficiency_of_two():
    curve = Curve(2.0, 1.0, 0.9)
    losses = [*curve.loss(SHARES), curve.loss(0.2), curve.loss(0.9)]
    found = efficiency(SHARES, (0.1, 0.9))(np.array([losses, losses]))
    np.testing.assert_allclose(found, [[2, 1], [2, 1]], rtol=1e-3)


def test_a_shorter_recipe_still_warms_up_and_comes_down():
    recipe = SIZES["toy"].pretrain
    short = shorter(recipe, 0.05)
    assert short.steps == 40 and short.schedule.warmup == 10
    assert short.rates()[-1] < 0.1 * short.rates().max()
    assert shorter(recipe, 1.0) == recipe


def test_what_is_better_than_the_fit_reaches_is_counted_and_not_lost():
    """A bootstrap leaves out what is undefined: so would it the best of its draws."""
    curve = Curve(2.0, 1.0, 0.9)
    losses = np.array([*curve.loss(SHARES), 1.9, curve.loss(100.0)])
    np.testing.assert_allclose(efficiency(SHARES, (0.5, 0.25))(losses[None]), [[4, 8]])
    assert REACH == 2


def test_a_thinner_recipe_takes_as_many_steps_at_the_same_rates():
    recipe = SIZES["toy"].pretrain
    thin = thinner(recipe, 1 / 16)
    assert (thin.steps, thin.batch) == (recipe.steps, 2)
    np.testing.assert_array_equal(thin.rates(), recipe.rates())
    assert [thinner(recipe, share).batch / recipe.batch for share in SHARES] == [*SHARES]
    assert thinner(recipe, 0.001).batch == 1 and thinner(recipe, 1.0) == recipe
