"""Convergence: cells join what was asked of a base with what was asked of its tuning."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest

from experiments import run
from experiments.convergence import (
    EXAMPLES,
    MIXES,
    TUNINGS,
    WIDTHS,
    Settings,
    cells,
    stages,
)
from experiments.standard import SIZES, corpus, pretrained
from train.store import identity

FOUND = stages(Settings(size="toy", seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def test_every_seed_has_every_width_and_mix_with_its_tunings():
    for seed in (0, 1):
        own = {(l["width"], l["mix"], l["tuned"]) for l in LABELS if l["seed"] == seed}
        assert own == set(itertools.product(WIDTHS["toy"], MIXES, ("none", *TUNINGS)))
    for stage, labels in zip(FOUND, LABELS, strict=True):
        assert labels["width"] == stage.model.D and stage.recipe.seed == labels["seed"]
        if labels["tuned"] != "none":
            base = dict(stage.base.labels)
            assert (base["width"], base["mix"]) == (labels["width"], labels["mix"])


def test_mixes_differ_in_the_share_of_the_second_language_alone():
    of = {l["mix"]: s.corpus for s, l in zip(FOUND, LABELS, strict=True) if l["tuned"] == "none"}
    assert dataclasses.replace(of["L2 rare"], ratio=0.5) == of["standard"]
    assert of["L2 rare"].ratio == 0.1


def test_the_widest_standard_base_is_the_base_of_all_experiments():
    size = SIZES["toy"]
    expected = identity(pretrained(size, "gla", 0, corpus(size, 0)))
    assert expected in {identity(stage) for stage in FOUND}


def test_a_cell_has_log_odds_with_examples_score_without_and_the_bases_loss():
    base = dict(seed=0, width=32, mix="standard", measure="shots", language="L1")
    shot = lambda task, tuned, shots, log_odds, exact: (
        base | dict(task=task, tuned=tuned, shots=shots, log_odds=log_odds, exact=exact, loss=None)
    )
    rows = []
    for task, seen in (("copy", 1.0), ("swap", 3.0)):
        rows += [shot(task, "none", EXAMPLES, seen, 0.0), shot(task, "none", 0, 9.0, 9.0)]
        rows += [shot(task, "both", 0, 9.0, seen / 4), shot(task, "L1", 0, 9.0, 9.0)]
    lost = dict(measure="loss", tuned="none", loss=2.5, log_odds=None, exact=None, task=None)
    rows.append(base | lost | {"shots": None})
    (found,) = cells(pa.Table.from_pylist(rows), "both")
    np.testing.assert_allclose(found, [[1.0, 0.25, 2.5], [3.0, 0.75, 2.5]])


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["convergence", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
