"""Length extrapolation: the same rows for every mixer, read far beyond the length of training."""

import doctest
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import data.joined
from data.joined import Joined
from experiments import extrapolation, report, run
from experiments.claim import decide
from experiments.extrapolation import EXPECTED, TIMES, Settings, arms, stages
from experiments.measure import reach
from experiments.measure.loss import UNSEEN
from experiments.measure.reach import Reach, reaches
from experiments.standard import SIZES, corpus, pretrained
from model.lm import apply, init

TEXT = corpus(SIZES["smoke"], seed=0)


def test_every_mixer_reads_the_same_rows_and_far_ones():
    found = stages(Settings(size="smoke", seeds=2))
    labels = [dict(stage.labels) for stage in found]
    assert len(found) == 2 * len(arms(64))
    for seed in (0, 1):
        own = [s for s, l in zip(found, labels, strict=True) if l["seed"] == seed]
        assert len({s.corpus for s in own}) == 1 and len({s.recipe for s in own}) == 1
    (measure,) = found[0].measures
    assert measure.corpus.T == TIMES * found[0].corpus.T == TIMES * measure.trained
    assert reaches(measure.trained, measure.corpus.T)[-1] == TIMES


def test_documents_of_a_row_see_one_another_and_nothing_else_changes():
    for module in (data.joined, reach):
        assert doctest.testmod(module).failed == 0
    before, after = TEXT.rows(0, 4), Joined(TEXT).rows(0, 4)
    assert before["segments"].max() > 1 and after["segments"].max() == 1
    for name in before:
        if name != "segments":
            assert (before[name] == after[name]).all(), name


def test_the_loss_of_a_reach_is_the_mean_over_its_places():
    model = pretrained(SIZES["smoke"], "softmax", 0, TEXT).model
    params = init(model, jax.random.key(0))
    long = Joined(corpus(SIZES["smoke"], seed=0))
    items = Reach(long, trained=16, rows=4)(model, params).to_pylist()
    rows = long.rows(UNSEEN, UNSEEN + 4)
    given = [jnp.asarray(rows[name]) for name in ("tokens", "segments")]
    said = np.asarray(jax.nn.log_softmax(apply(model, params, *given)[0]))
    places = {1: range(1, 16), 2: range(16, 32), 4: range(32, 64)}
    assert {item["reach"] for item in items} == set(places)
    for item in items:
        b = item["item"]
        own = [-said[b, t - 1, rows["tokens"][b, t]] for t in places[item["reach"]]
               if rows["segments"][b, t]]  # fmt: skip
        np.testing.assert_allclose(item["loss"], np.mean(own), rtol=1e-5)


def test_a_length_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="rows of 96 tokens after training on 32"):
        reaches(32, 96)


@pytest.mark.parametrize("said", ["reproduced", "opposite"])
def test_every_claim_says_which_way_it_went(said):
    """The losses that should rise do, and no other, or the other way round."""
    loss = lambda name, r: 1.0 + (r == TIMES and EXPECTED[name][0] == (said == "reproduced"))
    rows = [
        dict(mixer=name, reach=r, seed=seed, item=i, loss=loss(name, r))
        for name, r, seed, i in itertools.product(EXPECTED, (1, TIMES), range(5), range(2))
    ]
    none = pa.table({})
    results = report.Results({}, pa.Table.from_pylist(rows), none, none, none)
    found = decide(extrapolation.claims(results))
    assert [claim["verdict"] for claim in found] == [said] * len(EXPECTED)


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    out = ["--out", str(tmp_path)]
    assert run.main(["extrapolation", "--size", "smoke", "--seeds", "1", *out]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
