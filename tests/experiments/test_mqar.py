"""Recall by mixer: every arm has the same sweep, and what is chosen is not what is reported."""

import doctest
import itertools

import pyarrow as pa
import pytest

from experiments import mqar, report, run
from experiments.claim import decide
from experiments.mqar import ARMS, SIZES, Settings, best, stages

SIZE = SIZES["toy"]


def test_the_window_is_what_the_docstring_says():
    assert doctest.testmod(mqar).failed == 0


def test_every_arm_has_every_number_of_pairs_at_every_rate_with_every_seed():
    found = stages(Settings(seeds=2))
    key = lambda s: tuple(dict(s.labels)[k] for k in ("arm", "pairs", "rate", "seed"))
    assert len({key(stage) for stage in found}) == len(found)
    assert len(found) == len(ARMS) * len(SIZE.pairs) * len(SIZE.rates) * 2
    for stage in found:
        labels = dict(stage.labels)
        assert stage.recipe.seed == stage.corpus.seed == labels["seed"]
        assert stage.recipe.optimizer.lr == float(labels["rate"])
        assert stage.corpus.pairs == labels["pairs"]
        assert stage.model.mixer == ARMS[labels["arm"]]


def test_a_small_state_is_smaller_and_the_parameters_are_nearly_the_same():
    carried = {dict(s.labels)["arm"]: dict(s.labels)["state"] for s in stages(Settings(seeds=1))}
    assert carried["gla, small state"] < carried["gla"] / 1.5
    few, many = (ARMS[name].parameters(SIZE.D) for name in ("gla, small state", "gla"))
    assert abs(few - many) < 0.01 * many
    assert carried["softmax"] == 2 * SIZE.text.T * SIZE.D


def test_the_rate_is_chosen_on_other_rows_than_those_reported():
    row = lambda rate, split, exact: dict(
        arm="gla", pairs=2, rate=rate, split=split, exact=exact, seed=0
    )
    items = pa.Table.from_pylist([
        row("0.001", "choose", 0.9), row("0.001", "report", 0.2),
        row("0.01", "choose", 0.5), row("0.01", "report", 1.0),
    ])  # fmt: skip
    assert best(items).to_pylist() == [row("0.001", "report", 0.2)]


def test_of_rates_that_do_equally_well_the_highest_is_reported_in_any_order_of_rows():
    row = lambda rate, split: dict(arm="gla", pairs=4, rate=rate, split=split, exact=1.0, seed=0)
    rows = [row(rate, split) for rate in ("0.03", "0.003") for split in ("choose", "report")]
    for order in (rows, rows[::-1]):
        assert best(pa.Table.from_pylist(order)).to_pylist() == [row("0.03", "report")]


# Accuracy within the sweep and at its ends: all as claimed, or the opposite.
AS_CLAIMED = {
    "softmax": (0.95, 0.94), "gla": (0.9, 0.6), "gla, small state": (0.6, 0.3),
    "gla, no convolution": (0.4, 0.1), "retnet": (0.5, 0.2), "mamba": (0.5, 0.2),
}  # fmt: skip
OPPOSITE = {
    "softmax": (0.4, 0.1), "gla": (0.5, 0.5), "gla, small state": (0.9, 0.6),
    "gla, no convolution": (0.9, 0.6), "retnet": (0.9, 0.6), "mamba": (0.5, 0.9),
}  # fmt: skip


@pytest.mark.parametrize(("exact", "said"), [(AS_CLAIMED, "reproduced"), (OPPOSITE, "opposite")])
def test_every_claim_says_which_way_it_went(exact, said):
    rows = [
        dict(arm=arm, pairs=4, rate=f"{lr:g}", seed=seed, split=split,
             exact=exact[arm][i in (0, len(SIZE.rates) - 1)])
        for arm, (i, lr), seed, split in itertools.product(
            ARMS, enumerate(SIZE.rates), range(5), ("choose", "report"))
    ]  # fmt: skip
    none = pa.table({})
    results = report.Results({}, pa.Table.from_pylist(rows), none, none, none)
    assert {c["claim"]: c["verdict"] for c in decide(mqar.claims(results))} == dict.fromkeys(
        (claim.claim for claim in mqar.claims(results)), said
    )


def test_the_sweep_reaches_the_highest_rate_of_zoology():
    assert max(SIZE.rates) == max(SIZES["small"].rates) == 3e-2 and len(SIZE.rates) >= 3


@pytest.mark.parametrize(("at", "said"), [(1, "reproduced"), (0, "opposite"), (-1, "opposite")])
def test_a_best_rate_at_an_end_of_the_sweep_is_said(at, said):
    """Of one arm; the others are best within."""
    rows = [
        dict(arm=arm, pairs=4, rate=f"{lr:g}", seed=seed, split=split, exact=0.9, state=1,
             log_odds=1.0 if i == (at % len(SIZE.rates) if arm == "mamba" else 1) else 0.0)
        for arm, (i, lr), seed, split in itertools.product(
            ARMS, enumerate(SIZE.rates), range(5), ("choose", "report"))
    ]  # fmt: skip
    rows = [row | {"exact": 0.5 + 0.4 * row["log_odds"]} for row in rows]
    curves = pa.table(dict(arm=["gla"], seed=[0], step=[1], loss=[1.0]))
    none = pa.table({})
    results = report.Results({}, pa.Table.from_pylist(rows), none, curves, none)
    (claim,) = (c for c in decide(mqar.claims(results)) if "end of the sweep" in c["claim"])
    assert claim["verdict"] == said
    numbers = mqar.sections(results)[-1].body
    assert ("<td>yes</td>" in numbers) == (said == "opposite")


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["mqar", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
