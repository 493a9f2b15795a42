"""Architecture: as many parameters in every mixer, one corpus, every rate for each."""

import dataclasses
import itertools

import jax
import numpy as np
import pyarrow as pa
import pytest

from experiments import architecture, report, run, stats
from experiments.architecture import ARMS, LEFT_OUT, RATES, WIDTHS, Settings, best, halves, stages
from experiments.claim import decide
from model.lm import shapes

FOUND = stages(Settings(seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def test_the_least_lead_is_what_the_docstring_says():
    """Of losses, which are better where they are lower."""
    losses = np.array([[1.5, 1.0, 1.2, 1.5, 1.4, 1.1]])
    assert stats.lead(3)(-losses).round(2).tolist() == [-0.3]


def test_a_convolution_is_told_from_the_mixer():
    """The arm that Mamba is compared with has a convolution as wide, and differs in no more."""
    assert dataclasses.replace(ARMS["gla, convolution 4"], convolution=0) == ARMS["gla"]
    assert ARMS["gla, convolution 4"].convolution == ARMS["mamba"].convolution
    claims = {c["claim"] for c in decide(architecture.claims(pretended()))}
    (mamba,) = (claim for claim in claims if "mamba" in claim)
    assert "gla, convolution 4 minus mamba" in mamba
    left = decide(architecture.claims(pretended(without="mamba")))
    assert not any("mamba" in c["claim"] for c in left) and len(left) == len(claims) - 1


def test_every_seed_has_every_mixer_at_every_rate_on_one_corpus():
    for seed in (0, 1):
        own = [(s, l) for s, l in zip(FOUND, LABELS, strict=True) if l["seed"] == seed]
        assert {l["mixer"] for l in LABELS} == {*ARMS} - {*LEFT_OUT["toy"]}
        assert len(own) == (len(ARMS) - len(LEFT_OUT["toy"])) * len(RATES["toy"])
        assert len({(l["mixer"], l["rate"]) for _, l in own}) == len(own)
        assert len({s.corpus for s, _ in own}) == 1
        for stage, labels in own:
            assert stage.recipe.optimizer.lr == float(labels["rate"])
            assert stage.recipe.seed == seed and WIDTHS["toy"] == stage.model.D
            assert stage.recipe.steps == architecture.STEPS["toy"]


@pytest.mark.parametrize("size", WIDTHS)
def test_mixers_have_as_many_parameters(size):
    models = {dict(s.labels)["mixer"]: s.model for s in stages(Settings(size=size, seeds=1))}
    count = lambda cfg: sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes(cfg)))
    counts = {mixer: count(cfg) for mixer, cfg in models.items()}
    assert set(counts) == {*ARMS} - {*LEFT_OUT.get(size, ())}
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


def pretended(without: str = "", best_at: int = 1, grammar: float = -1.0) -> report.Results:
    """Items of models that lose 1 nat at the rate number `best_at` and 0.1 more a rate from it, and
    say the more that is grammatical the less they lose, if `grammar` is -1."""
    rows = []
    arms = [arm for arm in ARMS if arm != without]
    for (m, mixer), (i, lr), seed, n in itertools.product(
        enumerate(arms), enumerate(RATES["toy"]), range(5), range(4)
    ):
        nats = 1 + 0.1 * abs(i - best_at) + 0.01 * m
        key = dict(mixer=mixer, rate=f"{lr:g}", seed=seed, language=("L1", "L2")[n // 2])
        rows += [
            dict(key, measure="loss", item=n, loss=nats),
            dict(key, measure="recall", relation="parent", group="G0", exact=1.0),
            dict(key, measure="spoken", spoken=grammar * nats + 2, true=(1.0, 0.0, None)[n % 3]),
        ]
    columns = dict.fromkeys(key for row in rows for key in row)
    items = pa.Table.from_pylist([{c: row.get(c) for c in columns} for row in rows])
    curves = pa.table(dict(mixer=["gla"], rate=["0.004"], seed=[0], step=[1], loss=[2.0]))
    return report.Results({}, items, pa.table({}), curves, pa.table({}))


def verdict(results, words: str) -> str:
    (found,) = (c for c in decide(architecture.claims(results)) if words in c["claim"])
    return found["verdict"]


@pytest.mark.parametrize(("at", "said"), [(1, "reproduced"), (0, "opposite"), (3, "opposite")])
def test_a_best_rate_at_an_end_of_the_sweep_is_said(at, said):
    assert verdict(pretended(best_at=at), "at an end of its sweep") == said


@pytest.mark.parametrize(("sign", "said"), [(-1.0, "reproduced"), (1.0, "opposite")])
def test_who_loses_less_says_more_that_is_grammatical_or_does_not(sign, said):
    assert verdict(pretended(grammar=sign), "says more that is grammatical") == said


def test_what_is_read_and_states_no_falsehood_is_sound():
    items = pa.table({"spoken": [1.0, 1.0, 1.0, 0.0, None], "true": [1.0, 0.0, None, None, None]})
    assert architecture._sound(items).to_pylist() == [1.0, 0.0, 1.0, 0.0, None]
    drawn = {section.title for section in architecture.sections(pretended()) if section.body}
    assert "What is said unasked" in drawn


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    out = ["--out", str(tmp_path)]
    assert run.main(["architecture", "--size", "smoke", "--seeds", "1", *out]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
