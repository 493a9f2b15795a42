"""The fit of losses to tokens, on points whose curve is known."""

import doctest

import numpy as np
import pytest

from experiments import scaling
from experiments.scaling import SHARES, Curve, efficiency, fit, shorter
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
    assert np.isnan(curve.tokens(2.0)) and np.isnan(curve.tokens(1.9))


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
