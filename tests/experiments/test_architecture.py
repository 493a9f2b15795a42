"""Architecture: as many parameters in every mixer, one corpus, every rate for each."""

import jax
import numpy as np
import pyarrow as pa
import pytest

from experiments import run
from experiments.architecture import RATES, WIDTHS, Settings, best, halves, stages
from experiments.standard import MIXERS, SIZES
from model.lm import shapes

FOUND = stages(Settings(seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def test_every_seed_has_every_mixer_at_every_rate_on_one_corpus():
    for seed in (0, 1):
        own = [(s, l) for s, l in zip(FOUND, LABELS, strict=True) if l["seed"] == seed]
        assert len(own) == len(MIXERS) * len(RATES["toy"])
        assert len({(l["mixer"], l["rate"]) for _, l in own}) == len(own)
        assert len({s.corpus for s, _ in own}) == 1
        for stage, labels in own:
            assert stage.recipe.optimizer.lr == float(labels["rate"])
            assert stage.recipe.seed == seed and WIDTHS["toy"] == stage.model.D
            assert stage.recipe.steps == SIZES["toy"].pretrain.steps


@pytest.mark.parametrize("size", WIDTHS)
def test_mixers_have_as_many_parameters(size):
    models = {dict(s.labels)["mixer"]: s.model for s in stages(Settings(size=size, seeds=1))}
    count = lambda cfg: sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes(cfg)))
    counts = {mixer: count(cfg) for mixer, cfg in models.items()}
    assert set(counts) == set(MIXERS)
    assert max(counts.values()) < 1.02 * min(counts.values()), counts


def test_the_best_rate_of_a_mixer_has_its_lowest_loss():
    row = lambda mixer, rate, loss: dict(mixer=mixer, rate=rate, loss=loss, seed=0)
    items = [row("gla", "0.001", 2.0), row("gla", "0.003", 1.5), row("gla", "0.01", 1.8),
             row("mamba", "0.001", 1.6), row("mamba", "0.003", 1.7)]  # fmt: skip
    assert best(pa.Table.from_pylist(items)) == {"gla": "0.003", "mamba": "0.001"}


def test_a_rate_is_chosen_by_other_documents_than_are_reported():
    items = [dict(measure="loss", item=i) for i in range(4)] + [dict(measure="recall", item=None)]
    choose, reported = halves(pa.Table.from_pylist(items))
    assert choose["item"].to_pylist() == [0, 2] and set(choose["measure"].to_pylist()) == {"loss"}
    assert reported["item"].to_pylist() == [1, 3, None]


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    out = ["--out", str(tmp_path)]
    assert run.main(["architecture", "--size", "smoke", "--seeds", "1", *out]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
