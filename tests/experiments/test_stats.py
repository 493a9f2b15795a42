"""Intervals that cover, pairs that stay together, verdicts that follow their rules."""

import dataclasses
import doctest
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm, ttest_1samp

from experiments import claim, stats
from experiments.claim import Claim, above, below, decide, holm, outside, within
from experiments.stats import Estimate


def draw(rng, seeds, items, mean, between, within_seed):
    """One arm: seeds differ by `between`, items within a seed by `within_seed`."""
    centres = rng.normal(mean, between, seeds)
    return [(rng.normal(c, within_seed, items),) for c in centres]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        e = stats.bootstrap(draw(rng, 12, 20, 0.3, 0.2, 1.0), draws=400, key=trial)
        hits += e.low <= 0.3 <= e.high
    # A bootstrap over 12 seeds is known to be a little narrow; far from 95% is a bug.
    assert 0.87 <= hits / 200 <= 0.99


def test_resampling_items_alone_would_be_too_sure():
    """Guards against treating the items of two seeds as if they were many independent ones."""
    rng = np.random.default_rng(1)
    few = stats.bootstrap(draw(rng, 4, 1000, 0.0, 1.0, 0.01))
    assert few.high - few.low > 0.5


def test_a_common_shift_of_a_seed_cancels_in_a_paired_difference():
    rng = np.random.default_rng(2)
    shift = rng.normal(0, 10, 6)
    seeds = [(rng.normal(s + 0.5, 0.1, 50), rng.normal(s, 0.1, 50)) for s in shift]
    e = stats.bootstrap(seeds, stats.difference)
    assert abs(e.value - 0.5) < 0.05 and e.high - e.low < 0.15


def test_what_an_item_adds_to_paired_arms_cancels_and_identical_arms_differ_by_exactly_nothing():
    rng = np.random.default_rng(6)
    hard = rng.normal(0, 5, (5, 96))
    same = [(items, items.copy()) for items in hard]
    e = stats.bootstrap(same, stats.difference, alike=(0, 0))
    assert (e.value, e.low, e.high) == (0, 0, 0) and within(0.05)(e) < 1e-3
    assert within(0.05)(stats.bootstrap(same, stats.difference)) > 0.05
    seeds = [(items + 0.5 + rng.normal(0, 0.1, 96), items) for items in hard]
    one, two = (stats.bootstrap(seeds, stats.difference, alike=a) for a in ((0, 0), (0, 1)))
    assert one.value == two.value and one.high - one.low < 0.1 < two.high - two.low
    with pytest.raises(ValueError, match=r"\[3, 2\] items"):
        stats.bootstrap([(np.ones(3), np.ones(2))], stats.difference, alike=(0, 0))


def test_arms_with_the_same_prompts_are_asked_alike_and_others_are_not():
    rows = [
        {"seed": s, "arm": a, "prompt": None if a in "cd" else f"{i}?" * (1 + (a == "z")), "x": 1.0}
        for a in "abzcd" for s in (0, 1) for i in range(3)
    ]  # fmt: skip
    items = pa.Table.from_pylist([*rows, rows[0] | {"x": None, "arm": "b"}])
    numbers = lambda *arms: stats.asked(items, "x", *({"arm": arm} for arm in arms))
    assert numbers("a", "z", "b") == (0, 1, 0) and numbers("a", "z") == numbers("c", "d") == ()
    assert stats.asked(items.drop(["prompt"]), "x", {"arm": "a"}, {"arm": "b"}) == ()
    changed = pa.Table.from_pylist([row | {"x": row["seed"] + i} for i, row in enumerate(rows)])
    one, two = ({"arm": arm} for arm in "ab")
    assert (
        stats.contrast(changed, "x", one, two).high - stats.contrast(changed, "x", one, two).low
        < 1e-9
    )


def test_pairs_are_asked_for_and_change_no_number_of_who_does_not():
    e = stats.bootstrap([(np.arange(8.0), np.ones(5)), (np.arange(6.0), np.arange(3.0))],
                        stats.difference, draws=500)  # fmt: skip
    assert (round(e.low, 9), round(e.high, 9)) == (0.597632094, 3.1875)


def test_the_same_numbers_give_the_same_interval():
    seeds = draw(np.random.default_rng(3), 3, 10, 0, 1, 1)
    assert stats.bootstrap(seeds) == stats.bootstrap(seeds)


def test_constant_values_give_an_interval_of_no_width():
    e = stats.bootstrap([(np.ones(5),), (np.ones(7),)])
    assert (e.value, e.low, e.high, e.seeds) == (1.0, 1.0, 1.0, 2)
    assert above(0.9)(e) < 1e-3 < above(1.1)(e) and within(0.5)(e) > 0.5


def test_one_seed_still_has_an_interval_over_its_items_and_decides_nothing():
    e = stats.bootstrap([(np.arange(20.0),)])
    assert e.low < 9.5 < e.high and e.seeds == 1
    assert above(-100.0)(e) == below(100.0)(e) == 1


def test_of_few_seeds_that_agree_in_sign_alone_nothing_is_decided():
    e = stats.bootstrap([(np.full(9, value),) for value in (0.05, 0.1, 0.2, 0.3, 0.9)])
    assert e.low > 0  # no draw is below zero
    assert above(0.0)(e) == pytest.approx(ttest_1samp([0.05, 0.1, 0.2, 0.3, 0.9], 0).pvalue)
    far = stats.bootstrap([(np.full(9, value),) for value in (0.5, 0.6, 0.5, 0.6, 0.55)])
    assert above(0.0)(far) < 1e-3 and below(0.0)(far) > 1


def test_verdicts_on_nothing_are_wrong_no_more_often_than_they_say():
    rng, wrong = np.random.default_rng(7), 0
    for trial in range(300):
        e = stats.bootstrap(draw(rng, 5, 20, 0.0, 0.2, 0.3), draws=300, key=trial)
        wrong += min(above(0.0)(e), below(0.0)(e)) <= 0.05
    assert wrong / 300 < 0.08  # the bootstrap alone: .16


def test_what_is_exactly_at_a_threshold_is_on_neither_side_of_it():
    e = stats.bootstrap([(np.zeros(9), np.zeros(9))] * 5, stats.difference)
    assert (e.value, above(0.0)(e), below(0.0)(e)) == (0, 1, 1) and within(0.05)(e) < 1e-3
    e = stats.bootstrap([(np.full(9, 0.3), np.full(9, 0.25))] * 5, stats.difference)
    assert e.value < 0.05 and above(0.05)(e) == below(0.05)(e) == 1  # less by rounding alone


def test_the_peak_of_transfer_is_that_of_the_step_where_most_of_the_ceiling_is_reached():
    reached, ceiling, base = [0.1, 0.4, 0.3], [0.15, 0.9, 1.0], [0.1]
    row = np.array([reached + ceiling + base])
    np.testing.assert_allclose(stats.peak_transfer(row), [0.3 / 0.8])
    assert np.isnan(stats.peak_transfer(np.array([[0.1, 0.1, 0.15, 0.15, 0.1]]))).all()
    # 0.1 of a ceiling of 0.2 is no peak: noise would find it.
    np.testing.assert_allclose(stats.peak_transfer(np.array([[0.02, 0.03, 0.2, 0.6, 0.0]])), [0.05])


def test_transfer_at_a_matched_score_is_read_between_the_steps():
    at = stats.transfer_at(0.5)
    curves = lambda own, other: np.array([[*own, *other]])
    np.testing.assert_allclose(at(curves((0.1, 0.3, 0.7), (0.1, 0.2, 0.4))), [0.2 / 0.4])
    np.testing.assert_allclose(at(curves((0.6, 0.7, 0.8), (0.1, 0.2, 0.4))), [0.0])
    assert np.isnan(at(curves((0.0, 0.1, 0.2), (0.0, 0.1, 0.2)))).all()
    assert np.isnan(at(curves((0.0, 0.6, 0.7), (0.45, 0.5, 0.6)))).all()  # nothing left to gain


def test_a_transfer_ratio_without_a_ceiling_is_undefined_and_not_zero():
    flat = [(np.full(9, 0.02), np.zeros(9), np.full(9, 0.05))]
    e = stats.bootstrap(flat, stats.ratio_of_gains)
    assert math.isnan(e.value) and math.isnan(e.low)
    half = [(np.full(9, 0.4), np.zeros(9), np.full(9, 0.8))]
    assert stats.bootstrap(half, stats.ratio_of_gains).value == pytest.approx(0.5)


def test_of_two_transfer_ratios_each_is_over_its_own_ceiling():
    means = np.array([[0.2, 0.0, 0.4, 0.3, 0.0, 1.0], [0.5, 0.1, 0.9, 0.3, 0.0, 0.05]])
    np.testing.assert_allclose(stats.difference_of_ratios(means), [0.2, np.nan])


def test_an_arm_without_items_is_refused_by_name():
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        stats.bootstrap([(np.ones(3), np.ones(0))], stats.difference)


def test_arms_are_selected_by_the_values_of_columns():
    items = pa.table({"seed": [0, 0, 1, 1], "arm": ["a", "b"] * 2, "x": [1.0, 2.0, 3.0, 4.0]})
    cells = stats.by_seed(items, "x", {"arm": "b"}, {"arm": "a"})
    assert [[c.tolist() for c in seed] for seed in cells] == [[[2.0], [1.0]], [[4.0], [3.0]]]


@pytest.mark.parametrize(
    ("low", "high", "rules", "verdict"),
    [
        (0.6, 0.9, (above(0.5), below(0.1)), "reproduced"),
        (0.4, 0.9, (above(0.5), below(0.1)), "inconclusive"),
        (-0.2, 0.05, (above(0.5), below(0.1)), "opposite"),
        (-0.2, 0.3, (within(0.5), outside(0.5)), "reproduced"),
        (-0.2, 0.6, (within(0.5), outside(0.5)), "inconclusive"),
        (0.6, 0.9, (within(0.5), outside(0.5)), "opposite"),
        (-0.9, -0.6, (within(0.5), outside(0.5)), "opposite"),
        (math.nan, math.nan, (above(0.5), below(0.1)), "inconclusive"),
    ],
)
def test_a_verdict_follows_from_the_interval_and_the_rule(low, high, rules, verdict):
    claim = Claim("D1", "text", "EM", normal(low, high), *rules, None, "none")
    (record,) = decide([claim])
    assert record["verdict"] == verdict
    assert record["ci_low"] == (None if math.isnan(low) else low)


def normal(low, high):
    """An estimate whose error is normal, from its 95% interval."""
    middle, error = (low + high) / 2, (high - low) / 2 / norm.ppf(0.975)
    return Estimate(middle, low, high, 3, lambda t: norm.cdf((t - middle) / error))


def test_a_bootstraps_tail_is_2_5_percent_at_either_end_of_its_interval():
    rng = np.random.default_rng(4)
    bca = stats.BCa.of(rng.gamma(9, size=20_000) / 9, 0.97, rng.gamma(9, size=9) / 9)
    low, high = bca.interval()
    assert bca.skew and bca.bias
    assert bca.tail(low) == pytest.approx(0.025, abs=2e-3)
    assert bca.tail(high) == pytest.approx(0.975, abs=2e-3)
    assert bca.tail(-9) < 2e-4 < bca.tail(1) < 1 - 2e-4 < bca.tail(99)


def test_a_verdict_asks_more_than_that_a_bootstraps_interval_ends():
    rng = np.random.default_rng(4)
    e = stats.bootstrap([(rng.exponential(1 + s / 9, 15),) for s in range(9)])
    assert 0.025 < e.tail(e.low) < 0.1 and 0.9 < e.tail(e.high) < 0.975 + 1e-3
    assert e.tail(-9) < 1e-3 < e.tail(e.value) < 1 - 1e-3 < e.tail(99)


def test_what_one_claim_decides_many_may_not():
    """Holm: with p = .03 alone it is reproduced, as the least of four it is not."""
    weak = Claim("D1", "text", "EM", normal(0.0203, 0.4), above(0.0), below(0.0), None, "none")
    assert decide([weak])[0]["verdict"] == "reproduced"
    assert {r["verdict"] for r in decide([weak] * 4)} == {"inconclusive"}
    strong = dataclasses.replace(weak, estimate=normal(0.3, 0.4))
    found = decide([weak, strong, strong, strong])
    assert [r["verdict"] for r in found] == ["reproduced"] * 4


def test_holm_s_adjusted_p_values_keep_their_order_and_never_fall_below_their_own():
    rng = np.random.default_rng(5)
    p = rng.uniform(size=20) ** 3
    adjusted = np.array(holm(p))
    assert (adjusted >= p).all() and (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert adjusted[np.argmin(p)] == min(1, 20 * p.min())


def test_a_partial_rank_correlation_is_what_the_third_leaves_of_it():
    rng = np.random.default_rng(4)
    common = rng.normal(size=400)
    x, y = common + 0.5 * rng.normal(size=400), common + 0.5 * rng.normal(size=400)
    assert stats.rank_correlation(x, y) > 0.6
    assert abs(stats.rank_correlation(x, y, given=common)) < 0.15
    # The textbook's formula from the three plain correlations.
    xy, xz, yz = (stats.rank_correlation(*p) for p in ((x, y), (x, common), (y, common)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert abs(stats.rank_correlation(x, y, given=common) - expected) < 1e-9


def test_examples_of_docstrings_hold():
    for module in (stats, claim):
        assert doctest.testmod(module).failed == 0


def test_a_rank_correlation_does_not_ask_how_far_and_of_a_constant_there_is_none():
    assert stats.rank_correlation(np.arange(5), np.exp(np.arange(5))) == pytest.approx(1)
    assert math.isnan(stats.rank_correlation(np.arange(5), np.ones(5)))


def test_seeds_in_which_a_number_is_undefined_are_left_out_and_none_is_undefined():
    e = stats.over_seeds([0.2, math.nan, 0.4])
    assert e.value == pytest.approx(0.3) and e.seeds == 2
    assert math.isnan(stats.over_seeds([math.nan]).value)


def test_means_and_curves_of_an_arm_are_those_of_its_items_by_seed_and_step():
    rows = [
        {"seed": seed, "arm": arm, "step": step, "exact": float(seed * 10 + step + item)}
        for seed in (0, 1) for arm in ("a", "b") for step in (0, 4) for item in (0, 1)
    ]  # fmt: skip
    items = pa.Table.from_pylist([*rows, rows[0] | {"arm": "b", "step": 9, "exact": 99.0}])
    assert stats.means(items, "exact", {"arm": "a", "step": 4}) == [4.5, 14.5]
    assert stats.curves(items, "exact", {"arm": "a"}) == [
        ([0, 4], [0.5, 4.5]),
        ([0, 4], [10.5, 14.5]),
    ]


def test_a_contrast_is_the_bootstrap_of_its_arms_and_of_one_arm_its_mean():
    items = pa.table({"seed": [0, 0, 1, 1], "arm": ["a", "b"] * 2, "x": [1.0, 3.0, 2.0, 2.0]})
    a, b = {"arm": "a"}, {"arm": "b"}
    assert stats.contrast(items, "x", a).value == 1.5
    assert stats.contrast(items, "x", a, b).value == -1.0
    assert stats.contrast(items, "x", a, b, b, a, of=stats.interaction).value == -2.0
