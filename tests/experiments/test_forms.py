"""Forms of an untrained GLA are one function, and the measure sees a wrong gate; its claims."""

import dataclasses
import itertools

import jax
import numpy as np
import pyarrow as pa
import pytest

from experiments import forms, report, stats
from experiments.claim import decide
from experiments.measure.forms import Forms
from experiments.standard import SIZES, corpus
from model.gla import GLA
from model.lm import LM, init


@pytest.fixture(scope="module")
def items() -> pa.Table:
    text = dataclasses.replace(corpus(SIZES["smoke"], 0), T=80)  # two chunks
    cfg = LM(W=text.tokenizer.size, D=16, layers=1, mixer=GLA(heads=2))
    return Forms(text, rows=2, normalisers=(16.0, 0.1))(cfg, init(cfg, jax.random.key(0)))


@pytest.mark.parametrize("normaliser", [16.0, 0.1])
@pytest.mark.parametrize("form", ["recurrence", "steps", "gradient"])
def test_the_forms_are_one_function(items, form, normaliser):
    apart = stats.where(items, form=form, normaliser=normaliser)["apart"].to_numpy()
    assert 0 < apart.max() < 1e-4


def test_a_gate_that_is_a_hundredth_off_is_seen(items):
    apart = stats.where(items, form="gates 1% wrong", normaliser=16.0)["apart"].to_numpy()
    assert (
        apart.min()
        > 10 * stats.where(items, form="steps", normaliser=16.0)["apart"].to_numpy().max()
    )


@pytest.mark.parametrize(("apart", "verdict"), [(1e-6, "reproduced"), (0.1, "opposite")])
def test_verdicts_follow_what_is_apart(apart, verdict):
    rng, rows = np.random.default_rng(0), []
    names = ("recurrence", "steps", "gradient", "gates 1% wrong")
    for seed, name, normaliser in itertools.product(range(5), names, forms.GATES):
        own = 1e-6 * 0.1 / apart if name == names[-1] else apart
        rows += [dict(measure="forms", seed=seed, form=name, normaliser=normaliser, loss=1.0,
                      apart=own * rng.uniform(0.5, 1.5)) for _ in range(8)]  # fmt: skip
    results = report.Results({}, pa.Table.from_pylist(rows), None, None, None, [])
    assert {claim["verdict"] for claim in decide(forms.claims(results))} == {verdict}
