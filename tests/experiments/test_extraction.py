"""Arms tell the same people's same facts; the odd ones are asked about in no training."""

import json

import jax
import numpy as np
import pytest

from experiments import extraction, run
from experiments.measure.extraction import Extraction
from experiments.standard import SIZES, pretrained
from model.lm import init

TEXTS = {arm: extraction.corpus("smoke", 0, arm) for arm in extraction.ARMS}


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
    assert len(texts("augmented")) == 5 * people


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
    assert {c["row"] for c in claims} == set(extraction.ROWS) and 3 <= len(claims) <= 8
    assert all(c["estimate"] is not None for c in claims)
