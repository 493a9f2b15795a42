"""Dictionaries induced without translations, on spaces whose structure is known, and in an
experiment of two models."""

import doctest
import json

import jax
import numpy as np
import pytest

from data.ledger import ledger
from experiments import alignment, run
from experiments.measure import induction
from experiments.measure.alignment import nouns
from experiments.measure.induction import Induction, by_rank, frequencies, matching
from experiments.standard import SIZES, Settings, pretrained
from model.lm import init

SMOKE = SIZES["smoke"]
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_starts(monkeypatch):
    """These spaces and counts need no more, and it saves time."""
    monkeypatch.setattr(induction, "NOISY", 10)
    monkeypatch.setattr(induction, "COUNTED", 500)


def spaces(same: bool, noise: float = 0.2, words: int = 40) -> list[np.ndarray]:
    """Words as sums of vectors of their attributes' values, which differ from space to space."""
    counts = (2, 3, 5, 8)
    draw = lambda: [RNG.permutation(words) % count for count in counts]
    first, found = draw(), []
    for values in (first, first if same else draw()):
        rows = sum(RNG.normal(size=(n, 64))[v] for n, v in zip(counts, values, strict=True))
        found.append(rows + noise * RNG.normal(size=rows.shape))
    return found


def test_the_doctest_of_matching():
    assert doctest.testmod(induction).failed == 0


def test_spaces_of_the_same_attributes_are_matched_in_any_order_and_others_are_not():
    x, y = spaces(same=True)
    order = RNG.permutation(len(x))
    assert (order[matching(x, y[order])] == np.arange(len(x))).mean() > 0.8
    x, y = spaces(same=False)
    assert (order[matching(x, y[order])] == np.arange(len(x))).mean() < 0.2


def test_ranks_of_frequency_are_used_where_they_help_and_tell_nothing_where_they_are_permuted():
    x, y = spaces(same=True, noise=1.0)
    often = 1000 // np.arange(1, len(x) + 1)
    order = RNG.permutation(len(x))
    right = lambda *more: (order[matching(x, y[order], *more)] == np.arange(len(x))).mean()
    assert right(often, often[order]) > 0.8
    assert right(often, RNG.permutation(often)) <= max(right(), 0.2)


def test_identical_ranks_alone_are_found_by_frequency_and_permuted_ones_and_spaces_are_not():
    x, y = spaces(same=False)
    often, order = RNG.permutation(1000 // np.arange(1, len(x) + 1)), RNG.permutation(len(x))
    right = lambda found: (order[found] == np.arange(len(x))).mean()
    assert right(by_rank(often, often[order])) > 0.9
    assert right(by_rank(often, RNG.permutation(often))) < 0.2
    assert right(matching(x, y[order], often, often[order])) < 0.2


def test_ranks_are_the_same_in_both_and_permuted_in_facts():
    one = alignment.first(SMOKE, 0)
    forms = nouns(one)
    often = frequencies(one, forms[0])
    found = {}
    for ground in ("both", "facts"):
        also = frequencies(alignment.second(SMOKE, 0, ground), forms[1])
        found[ground] = (by_rank(often, also) == np.arange(len(often))).mean()
    assert found["both"] > 0.5 > found["facts"]


def test_untrained_models_are_matched_by_chance():
    one, two = alignment.first(SMOKE, 0), alignment.second(SMOKE, 0, "neither")
    cfg = pretrained(SMOKE, "softmax", 0, one).model
    models = [init(cfg, jax.random.key(seed)) for seed in (0, 1)]
    items = Induction(one, two)(cfg, models[1], models[0])
    assert len(items) == one.world.nouns
    assert np.mean(items["residual"].to_numpy()) == pytest.approx(1, abs=0.2)
    found = items["answer"].to_pylist()
    assert sorted(found) == sorted(items["gold"].to_pylist())  # each word once


@pytest.mark.parametrize(("ground", "same"), [("both", True), ("simple", True), ("neither", False)])
def test_languages_share_no_word_and_facts_as_far_as_they_have_common_ground(ground, same):
    one = alignment.first(SMOKE, 0, alignment.GROUND[ground][2])
    two = alignment.second(SMOKE, 0, ground)
    assert one.tokenizer == two.tokenizer
    said = [{*np.unique(text.rows(0, 300)["tokens"])} for text in (one, two)]
    marks = {0, *one.tokenizer.encode(" ? ,")}
    assert said[0] & said[1] <= marks
    assert len(one.world.relations) == len(two.world.relations) == (2 if ground == "simple" else 5)
    equal = [
        (one.world.objects(r.name) == two.world.objects(r.name)).all() for r in one.world.relations
    ]
    assert all(equal) == same
    counts = [ledger(text, 0, 300).group_by("language").aggregate([("exposures", "sum")])
              for text in (one, two)]  # fmt: skip
    told = [{row["language"]: row["exposures_sum"] for row in t.to_pylist()} for t in counts]
    assert told[0]["L2"] == told[1]["L1"] == 0 < min(told[0]["L1"], told[1]["L2"])


def test_no_model_of_l2_shares_documents_or_initial_parameters_with_the_one_beside_it():
    stages = alignment.stages(Settings("smoke", 1))
    one, simple, both, *second = stages
    assert both.corpus.ratio == 0.5
    assert [dict(s.labels)["arm"] for s in second] == [*alignment.GROUND]
    for stage in second:
        assert stage.beside == (simple if stage is second[-1] else one) and stage.base is None
        assert stage.recipe.seed != stage.beside.recipe.seed
        assert stage.corpus.seed != stage.beside.corpus.seed
        assert dict(stage.labels)["seed"] == dict(stage.beside.labels)["seed"]


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["alignment", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(alignment.ROWS)
    assert len(claims) == 9
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") >= 2
