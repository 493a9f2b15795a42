"""Remedies differ in what they say they do, read what they are matched by, and are counted."""

import dataclasses
import json

import numpy as np
import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from data.reorder import ReverseTokens
from data.transform import Transformed
from experiments import mitigation, run, stats
from experiments.stage import _count
from experiments.standard import SIZES

TEXT = mitigation.corpus(SIZES["smoke"], seed=0)
STAGES = mitigation.stages(mitigation.Settings(size="smoke", seeds=2))


def told(arm, stated):
    """Exposures of parents in G1 under an arm, in the cells that are stated or in the others."""
    table = ledger(mitigation.healing(TEXT, arm), 0, 400)
    own = stats.where(table, relation="parent", group="G1", stated=stated)
    return pc.sum(own["exposures"]).as_py() or 0


def test_every_arm_starts_from_the_base_of_its_seed_in_the_same_vocabulary():
    bases = {dict(s.labels)["seed"]: s for s in STAGES if s.base is None}
    assert sorted(bases) == [0, 1]
    for stage in STAGES:
        seed, words = dict(stage.labels)["seed"], stage.corpus.tokenizer.size
        assert stage.base in (None, bases[seed]) and stage.recipe.seed == seed
        assert words <= stage.model.W == TEXT.tokenizer.size + mitigation.MORE
    arms = {(dict(s.labels)["arm"], dict(s.labels)["match"]) for s in STAGES}
    assert len(arms) == 1 + 2 * len(mitigation.ARMS) and len(STAGES) == 2 * len(arms)


def test_arms_read_the_same_documents_and_differ_in_the_transform_alone():
    plain = mitigation.healing(TEXT, "none")
    for arm, transform in mitigation.DATA.items():
        changed = mitigation.healing(TEXT, arm)
        assert changed == Transformed(plain, transform, share=1.0, doubled=True, kinds=("fact",))
        rows, own = plain.rows(0, 3), changed.rows(0, 6)
        np.testing.assert_array_equal(rows["tokens"], own["tokens"][::2])
        assert (own["tokens"][1::2] != rows["tokens"]).any()


def test_what_is_matched_is_what_is_read():
    recipe, tokens = mitigation.HEAL["smoke"], {}
    for arm in mitigation.ARMS:
        for match in mitigation.MATCHES:
            own = mitigation.matched(recipe, arm, match, mask=7)
            twice = 2 if arm in mitigation.OBJECTIVES else 1
            tokens[arm, match] = own.steps * own.batch * twice
    once = recipe.steps * recipe.batch
    assert {tokens[arm, "compute"] for arm in mitigation.ARMS} == {once}
    assert {tokens[arm, "data"] for arm in mitigation.ARMS} == {2 * once}


def test_words_and_entities_are_two_orders_and_tokens_are_words():
    said = lambda arm: mitigation.healing(TEXT, arm).rows(0, 20)["tokens"]
    tokens = dataclasses.replace(mitigation.healing(TEXT, "words"), transform=ReverseTokens())
    assert (tokens.rows(0, 20)["tokens"] == said("words")).all()
    assert (said("words") != said("entities")).any()


def test_reversed_documents_state_what_is_held_out_and_the_bridge_does_not():
    """LOG: the ledger shows them, and so does the page."""
    assert told("none", stated=False) == told("bridge", stated=False) == 0
    for arm in ("words", "entities", "swap"):
        assert told(arm, stated=False) > 0.3 * told(arm, stated=True) > 0, arm


@pytest.mark.slow
def test_the_ledger_of_an_arm_is_kept(finished):
    """stage._count: every corpus that speaks of a world is counted, transformed or not."""
    table = run.report.load(finished).ledger
    arms = set(pc.unique(table["arm"]).to_pylist())
    assert arms == {"base", *mitigation.ARMS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("mitigation") / "out"
    words = ["mitigation", "--size", "smoke", "--seeds", "1", "--out", str(out)]
    assert run.main(words) == 0
    return out


@pytest.mark.slow
def test_it_runs_from_command_to_page(finished):
    claims = json.loads((finished / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(mitigation.ROWS) and 3 <= len(claims) <= 12
    assert all(c["estimate"] is not None for c in claims)
    assert "held-out exposures" in (finished / "report.html").read_text()


def test_a_tuning_without_facts_has_nothing_to_count(tmp_path):
    mute = dataclasses.replace(
        TEXT, mixture=dataclasses.replace(TEXT.mixture, facts=0.0, stories=0.75)
    )
    _count(dataclasses.replace(STAGES[0], corpus=mute), tmp_path / "ledger.parquet")
    assert not any(tmp_path.iterdir())
