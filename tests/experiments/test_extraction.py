"""Arms tell the same people's same facts; the odd ones are asked about in no training."""

import doctest
import itertools
import json

import jax
import numpy as np
import pyarrow as pa
import pytest

from experiments import extraction, report, run
from experiments.claim import decide
from experiments.measure.extraction import Extraction
from experiments.standard import SIZES, pretrained
from model.lm import init

TEXTS = {arm: extraction.corpus("smoke", 0, arm) for arm in extraction.ARMS}


def test_the_examples_are_what_the_docstrings_say():
    assert doctest.testmod(extraction).failed == 0


def test_people_names_and_values_are_the_same_in_every_arm():
    person = np.arange(TEXTS["single"].people)
    for text in TEXTS.values():
        np.testing.assert_array_equal(text.attributes(person), TEXTS["single"].attributes(person))
        assert text.questions(False)[0][:6] == TEXTS["single"].questions(False)[0][:6]
        assert text.tokenizer.words == TEXTS["single"].tokenizer.words


def test_no_question_of_training_is_about_an_odd_person():
    for text in (TEXTS["mixed"], *(extraction.tuning(TEXTS["single"], i) for i in (False, True))):
        rows = text.rows(0, 200)
        asked = rows["person"][rows["attribute"] >= 0]
        assert len(asked) and not (asked % 2).any()


def test_arms_have_as_many_texts_as_they_say():
    texts = lambda arm: {
        (d["person"][b, m], tuple(d["tokens"][b][d["segments"][b] == m + 1]))
        for d in [TEXTS[arm].rows(0, 300)]
        for b, m in np.argwhere(d["version"] >= 0)
    }
    people = TEXTS["single"].people
    assert len(texts("single")) == people and len(texts("translated")) == 2 * people
    assert len(texts("augmented")) == len(texts("reworded")) == 5 * people


def test_reworded_texts_keep_the_order_that_augmented_ones_change():
    """The months of birth dates come first of all values in every text of one, not of the other."""
    first = {}
    for arm in ("reworded", "augmented"):
        text = TEXTS[arm]
        dates = {record[1].split()[0] for record in text.questions(True)[0][::6]}
        dates |= {record[1].split()[0] for record in text.questions(False)[0][::6]}
        rows = text.rows(0, 50)
        said = [
            text.tokenizer.decode(rows["tokens"][b][rows["segments"][b] == m + 1]).split(" . ")[0]
            for b, m in np.argwhere(rows["version"] >= 0)
        ]
        first[arm] = [bool(dates & set(sentence.split())) for sentence in said]
    assert all(first["reworded"]) and not all(first["augmented"])


@pytest.mark.parametrize("inverse", [False, True])
def test_every_arm_is_tuned_on_the_same_questions_in_l1(inverse):
    asked = [extraction.tuning(text, inverse).rows(0, 20) for text in TEXTS.values()]
    for rows in asked:
        assert set(np.unique(rows["language"])) <= {-1, 0}
        np.testing.assert_array_equal(rows["tokens"], asked[0]["tokens"])


def test_the_ledger_of_documents_is_what_the_docstring_says():
    rows = {arm: extraction.corpus("toy", 0, arm).rows(0, 1000) for arm in extraction.ARMS}
    documents = {arm: (r["person"] >= 0).sum() / 1000 for arm, r in rows.items()}
    biographies = {arm: (r["version"] >= 0).sum() / 1000 for arm, r in rows.items()}
    assert round(documents.pop("mixed"), 1) == 3.0 and round(biographies.pop("mixed"), 1) == 1.9
    assert {round(n, 1) for n in (*documents.values(), *biographies.values())} == {2.0}


def test_a_name_that_is_found_by_its_date_is_no_null():
    """Exact match alone would call a name that is ranked first among the others unknown."""
    items = _inverse(rank=0.1)
    (found,) = (c for c in decide(extraction.claims(items)) if "likelier" in c["claim"])
    assert found["verdict"] == "opposite" and round(found["estimate"], 2) == 0.4
    (known,) = (c for c in decide(extraction.claims(items)) if "named by their" in c["claim"])
    assert known["verdict"] == "reproduced" and known["estimate"] == 1


def _inverse(rank: float) -> report.Results:
    rows = [
        dict(measure="extraction", arm=arm, asked=asked, inverse=inverse, language="L1", told="yes",
             register=None, loss=None, exact=float(asked == "yes"), rank=rank, log_odds=0.0,
             mixer="gla", seed=seed)
        for arm, asked, inverse, seed, _ in itertools.product(
            extraction.ARMS, ("yes", "no"), ("yes", "no"), range(5), range(3))
    ]  # fmt: skip
    rows += [dict(rows[0], measure="loss", arm="single", register="biography", loss=0.1, seed=seed)
             for seed in range(5)]  # fmt: skip
    none = pa.table({})
    return report.Results({}, pa.Table.from_pylist(rows), none, none, none)


def test_every_arm_is_tuned_on_questions_and_on_their_inverse():
    stages = extraction.stages(extraction.Settings(size="smoke", seeds=1))
    asks = [(dict(s.labels)["arm"], dict(s.labels)["asks"]) for s in stages]
    assert len(set(asks)) == len(asks) == 3 * len(extraction.ARMS)
    assert all(s.corpus.loss == "response" for s in stages if s.base)


@pytest.mark.parametrize("inverse", [False, True])
def test_questions_are_scored_against_the_others_asked_alike(inverse):
    asked = extraction.tuning(TEXTS["single"], inverse)
    model = pretrained(SIZES["smoke"], "softmax", 0, asked).model
    items = Extraction(asked)(model, init(model, jax.random.key(0))).to_pylist()
    assert len(items) == asked.people * 2 * (1 if inverse else 6)
    for name in ("asked", "inverse", "told"):
        assert {item[name] for item in items} <= {"yes", "no"}
    assert abs(np.mean([item["log_odds"] for item in items])) < 0.5
    assert 0.35 < np.mean([item["rank"] for item in items]) < 0.65
    assert {len(item["gold"].split()) for item in items} == ({3} if inverse else {1, 3})


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["extraction", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(extraction.ROWS) and len(claims) == 10
    assert all(c["estimate"] is not None for c in claims)
