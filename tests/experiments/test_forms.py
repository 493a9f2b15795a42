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


@pytest.mark.slow
@pytest.mark.parametrize("normaliser", [16.0, 0.1])
def test_the_forms_are_one_function_and_a_gate_that_is_a_hundredth_off_is_seen(normaliser):
    text = dataclasses.replace(corpus(SIZES["smoke"], 0), T=80)  # two chunks
    cfg = LM(W=text.tokenizer.size, D=16, layers=1, mixer=GLA(heads=2))
    items = Forms(text, rows=2, normalisers=(normaliser,))(cfg, init(cfg, jax.random.key(0)))
    apart = lambda form: stats.where(items, form=form)["apart"].to_numpy()
    for form in ("recurrence", "steps", "gradient"):
        assert 0 < apart(form).max() < 1e-4
    assert normaliser < 1 or apart("gates 1% wrong").min() > 10 * apart("steps").max()


@pytest.mark.parametrize(("apart", "verdict"), [(1e-6, "reproduced"), (0.1, "opposite")])
def test_verdicts_follow_what_is_apart(apart, verdict):
    rng, rows = np.random.default_rng(0), []
    names = ("recurrence", "steps", "gradient", "gates 1% wrong")
    for seed, name, normaliser in itertools.product(range(5), names, forms.GATES):
        own = 1e-6 * 0.1 / apart if name == names[-1] else apart
        rows += [dict(measure="forms", seed=seed, form=name, normaliser=normaliser, loss=1.0,
                      apart=own * rng.uniform(0.5, 1.5)) for _ in range(8)]  # fmt: skip
    results = report.Results({}, pa.Table.from_pylist(rows), None, None, None)
    assert {claim["verdict"] for claim in decide(forms.claims(results))} == {verdict}
