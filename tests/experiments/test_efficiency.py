"""A bilingual model and its twin read the same L1."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from data.ledger import ledger
from data.silence import Silenced
from experiments import efficiency, run
from experiments.efficiency import ALONE, WAYS, YARDSTICK, Settings, curse, stages, worth
from experiments.scaling import Curve
from experiments.stage import home

STAGES = stages(Settings(size="smoke", seeds=2))
LABELS = {(d["way"], d["arm"], d["seed"]): s for s in STAGES for d in [dict(s.labels)]}


def test_every_way_has_a_model_and_its_twin_and_the_yardstick_five_points():
    expected = {(way, arm) for way in WAYS for arm in ("both", "twin")}
    expected |= {("words", arm) for arm in ALONE}
    assert {key[:2] for key in LABELS} == expected and len(YARDSTICK) == 5


@pytest.mark.parametrize("way", WAYS)
def test_the_twin_differs_in_the_silence_of_l2_alone(way):
    both, twin = LABELS[way, "both", 1], LABELS[way, "twin", 1]
    assert twin.corpus == Silenced(both.corpus, "L2")
    assert (both.model, both.recipe, both.measures) == (twin.model, twin.recipe, twin.measures)
    assert both.recipe.seed == 1


def test_ways_are_words_half_the_width_and_few_pieces():
    words, narrow, cut = (LABELS[way, "both", 0] for way in WAYS)
    assert narrow.model.D == words.model.D // 2 and narrow.corpus == words.corpus
    assert cut.model.W == efficiency.PIECES < words.model.W + 257
    assert cut.model.D == words.model.D and cut.corpus.T == 2 * words.corpus.T


def test_the_yardstick_takes_as_many_steps_as_the_twin_on_its_share_of_the_rows():
    toy = stages(Settings(size="toy", seeds=1))
    toy = {d["arm"]: s for s in toy for d in [dict(s.labels)] if d["way"] == "words"}
    for arm, share in ALONE.items():
        assert toy[arm].recipe.batch == share * toy["twin"].recipe.batch
        assert (toy[arm].recipe.rates() == toy["twin"].recipe.rates()).all()
        assert toy[arm].corpus.ratio == 0


def test_the_twin_is_worth_itself_and_a_bilingual_model_is_compared_with_it():
    """A twin beside the curve of the others moves the fit, and so not what it is compared by."""
    curve = Curve(1.5, 0.3, 0.7)
    losses = np.array([*map(curve.loss, YARDSTICK.values()), curve.loss(0.4)])
    np.testing.assert_allclose(worth(losses[None]), [[0.8, 1]], rtol=1e-3)
    moved = losses + 0.02 * (np.array([*YARDSTICK, "both"]) == "twin")
    assert abs(worth(moved[None])[0, 1] - 1) < 0.1


def test_the_languages_share_no_token_but_the_beginning_of_a_document():
    text = LABELS["words", "both", 0].corpus
    heard = [{*dataclasses.replace(text, ratio=r).rows(0, 200)["tokens"].ravel()} for r in (0, 1)]
    assert heard[0] & heard[1] == {0}


def test_half_of_what_the_bilingual_model_reads_is_l1():
    """Token efficiency divides by it: facts too are told as often in either language."""
    text = LABELS["words", "both", 0].corpus
    whole, left = (c.rows(0, 2000)["weights"].sum() for c in (text, Silenced(text, "L2")))
    assert abs(left / whole - 0.5) < 0.02


def test_the_twin_is_told_every_fact_of_l1_as_often_and_none_in_l2():
    text = LABELS["words", "both", 0].corpus
    told = {}
    for arm, read in {"both": text, "twin": Silenced(text, "L2")}.items():
        for row in ledger(read, 0, 300).to_pylist():
            cell = arm, row["language"]
            told.setdefault(cell, collections.Counter())[row["fact"]] += row["exposures"]
    assert told["both", "L1"] == told["twin", "L1"] and told["both", "L1"].total() > 100
    assert told["both", "L2"].total() > 100 and told["twin", "L2"].total() == 0


def test_the_curse_is_the_share_by_which_a_loss_is_above_the_twins():
    np.testing.assert_allclose(curse(np.array([[2.2, 2.0], [1.9, 2.0]])), [0.1, -0.05])


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["efficiency", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B6"] * 4
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == 4
    assert all(home(tmp_path, s).is_dir() for s in stages(Settings(size="smoke", seeds=1)))
