"""The arms of the experiment on unification, what its corpora state, its measure, and a run."""

import dataclasses
import functools
import itertools
import json

import jax
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.fact import facts
from data.feature import Lexicon
from data.language import Pair
from data.ledger import ledger
from data.world import FORWARD, REVERSE
from experiments import run, stats, unification
from experiments.measure import unification as measure
from experiments.standard import SIZES, Settings, corpus, pretrained
from model.lm import init
from tests.experiments.pretended import differing

SMOKE = SIZES["smoke"]


def test_seeds_and_mixers_pair_the_arms():
    stages = unification.stages(Settings("smoke", 2, "gla,softmax"))
    labels = [dict(stage.labels) for stage in stages]
    for seed in (0, 1):
        for mixer in ("gla", "softmax"):
            arms = [x["arm"] for x in labels if (x["seed"], x["mixer"]) == (seed, mixer)]
            assert arms == [*unification.ARMS]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("nouns", {"mixture.contact"}),
        ("tagged", {"pair.tagged"}),
        ("parallel", {"mixture.contact"}),
        ("apart", {"world.groups", "mixture.facts", "mixture.stories"}),
    ],
)
def test_an_arm_edits_the_one_with_a_dictionary_of_names(name, fields):
    one, two = (unification.arm(SMOKE, 0, arm) for arm in (name, "dictionary"))
    assert differing(one, two) == fields


def test_tagged_and_untagged_documents_say_the_same_but_for_the_tag():
    """A word more a document leaves room for fewer of them: all have one, and it tells in `tagged`
    alone."""
    one, two = (unification.arm(SMOKE, 0, name) for name in ("tagged", "dictionary"))
    said = [text.rows(0, 300) for text in (one, two)]
    for column in ("fact", "direction", "language", "kind", "segments"):
        np.testing.assert_array_equal(*(rows[column] for rows in said))
    opening = np.diff(said[0]["segments"], axis=1, prepend=0) > 0
    tag = np.roll(opening, 1, axis=1)
    differ = said[0]["tokens"] != said[1]["tokens"]
    assert differ.any() and not (differ & ~tag).any()
    assert len({*said[0]["tokens"][tag].tolist()}) == 2
    assert len({*said[1]["tokens"][tag].tolist()}) == 1
    # Words have their numbers in both, so equal seeds begin from equal parameters.
    assert one.tokenizer.words[:-1] == two.tokenizer.words


def _exposures(name: str, group: str, language: str) -> int:
    table = stats.where(_ledger(name), relation="parent", direction="forward")
    return pc.sum(stats.where(table, group=group, language=language)["exposures"]).as_py()


@functools.cache
def _ledger(name: str):
    return ledger(unification.arm(SMOKE, 0, name), 0, 40_000)


@pytest.mark.parametrize("name", unification.ARMS)
def test_exposures_are_matched_and_none_is_in_the_cell_asked_across(name):
    """Pitfalls 7 and 9 of measurement: frequency, and pairs that leak the fact."""
    count = functools.partial(_exposures, name)
    assert count("G2", "L2") == count("G7", "L2") == count("G7", "L1") == count("G6", "L1") == 0
    assert count("G2", "L1") == pytest.approx(count("G6", "L2"), rel=0.05)
    assert count("G0", "L1") == pytest.approx(count("G2", "L1"), rel=0.05)
    total = count("G2", "L1") + count("G6", "L2")
    assert total == pytest.approx(
        _exposures("dictionary", "G2", "L1") + _exposures("dictionary", "G6", "L2"), rel=0.03
    )


def test_the_both_languages_of_a_figure_are_both_in_every_arm():
    for name in unification.ARMS:
        groups = {g.name: g for g in unification.arm(SMOKE, 0, name).world.groups}
        assert {language for language, _ in groups["G0"].cells} == {0, 1}
    apart = {g.name: g for g in unification.arm(SMOKE, 0, "apart").world.groups}
    assert {language for language, _ in apart["G1"].cells} == {0}


def test_where_l2_does_not_state_g4_in_reverse_alone_no_row_of_a_figure_says_so(monkeypatch):
    drawn, items = [], _items(1.0)
    monkeypatch.setattr(unification.figure, "dots", lambda panels, *_: drawn.append(panels) or "")
    unification._both(items.append_column("chance", items["rankc"]), "softmax")
    rows = {row for panels in drawn for panel in panels.values() for row in panel}
    for name in unification.ARMS:
        cells = {g.name: g.cells for g in unification.arm(SMOKE, 0, name).world.groups}["G4"]
        stated = {*cells} == {(0, FORWARD), (1, REVERSE)}
        assert stated == (name != "apart") == (f"{name}: in L2 in reverse" in rows)


def _items(gain: float) -> pa.Table:
    """As if a dictionary of names had taken facts across by `gain` nats."""
    rows, dice = [], np.random.default_rng(0)
    for seed, arm, _ in np.ndindex(3, len(unification.ARMS), 10):
        name = [*unification.ARMS][arm]
        groups = "G0", "G1", "G2", "G4", "G6", "G7"
        for names, group in itertools.product(("own", "shared"), groups):
            label = {"seed": seed, "arm": name, "names": names, "group": group, "language": "L2"}
            level = gain if name != "nouns" and group != "G7" else 0.0
            noise = 0.01 * dice.normal()
            rows.append(label | {"measure": "recall", "log_odds": level + noise})
            rows.append(label | {"measure": "consistency", "rankc": 0.5 + noise})
            rows.append(
                label | {"measure": "unification", "unified": noise + 0.3 * (group == "G0")}
            )
    return pa.Table.from_pylist([{k: r.get(k) for k in KEYS} for r in rows])


KEYS = ("seed", "arm", "names", "group", "language", "measure", "log_odds", "rankc", "unified")


def test_what_hinders_and_helps_is_defined_where_a_dictionary_takes_facts_across():
    for gain in (2.0, 0.1):
        found = unification._claims(_items(gain), "softmax")
        gated = [c.estimate.value for c in found if "undefined without H3" in c.claim]
        assert len(gated) == 3 and (np.isfinite(gated) == (gain == 2.0)).all()
        (score,) = (c.estimate.value for c in found if "unification of facts" in c.claim)
        assert score == pytest.approx(0.3, abs=0.02)


def test_the_score_of_unification_is_that_of_the_same_fact_less_other_facts(monkeypatch):
    """States by hand: those of a fact are one in both languages, or as far as of other facts."""
    text = dataclasses.replace(corpus(SMOKE, 0), pair=Pair((Lexicon(0.0),)))
    asked = facts(text)

    def states(cfg, params, prompts, lengths):
        alike = np.eye(512)[asked.slices["fact"]]
        return np.stack([alike, np.random.default_rng(0).normal(size=alike.shape)])

    monkeypatch.setattr(measure, "residuals", states)
    items = measure.Unification(text)(None, None)
    assert len(items) == 2 * 2 * text.world.pairs  # layers, directions
    for layer, retrieved, unified in ((1, 1, 4 / 3), (2, 0.25, 0)):
        found = stats.where(items, layer=layer)
        assert np.mean(found["retrieved"].to_numpy()) == pytest.approx(retrieved, abs=0.2)
        assert np.mean(found["unified"].to_numpy()) == pytest.approx(unified, abs=0.05)


def test_a_language_and_its_exact_copy_are_unified():
    text = dataclasses.replace(corpus(SMOKE, 0), pair=Pair())
    cfg = pretrained(SMOKE, "softmax", 0, text).model
    items = measure.Unification(text)(cfg, init(cfg, jax.random.key(0)))
    assert np.mean(items["unified"].to_numpy()) > 1 and min(items["retrieved"].to_pylist()) == 1


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["unification", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(unification.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") >= 4
