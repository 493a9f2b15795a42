"""Exams: rows of answered questions of one language, among the rows of a corpus."""

import dataclasses

import numpy as np
import pytest

from data.contact import Contact
from data.corpus import Corpus
from data.exam import Exams
from data.feature import Lexicon
from data.language import Family, Pair
from data.ledger import ledger
from data.mixture import Mixture
from data.split import HeldOut
from data.template import REGISTERS
from data.world import World

BASE = Corpus(World(pairs=16, cities=4, nouns=8), Pair((Lexicon(0.3),)), ratio=0.2)
TOLD = Exams(BASE, share=0.25)


def test_rows_are_those_of_the_base_but_for_a_share_of_exams():
    found, base = TOLD.rows(0, 800), BASE.rows(0, 800)
    exam = found["exam"][:, 0] == 1
    assert exam.mean() == pytest.approx(0.25, abs=0.05)
    for name, column in base.items():
        width = column.shape[1]
        np.testing.assert_array_equal(found[name][~exam, :width], column[~exam])
    assert (found["exam"][~exam] <= 0).all()


def test_an_exam_is_of_one_language_and_all_its_questions_are_answered_and_seen():
    found = TOLD.rows(0, 800)
    (mark,) = BASE.tokenizer.encode(" ?")
    exams = np.flatnonzero(found["exam"][:, 0] == 1)
    spoken = found["language"][exams]
    assert (np.where(spoken >= 0, spoken, spoken[:, :1]) == spoken[:, :1]).all()
    assert (spoken[:, 0] == 1).mean() == pytest.approx(0.2, abs=0.08)
    for i in exams[:20]:
        tokens, segments = found["tokens"][i], found["segments"][i]
        said = tokens[segments > 0]
        assert {*segments.tolist()} <= {0, 1}
        begins = np.flatnonzero(said == 0)
        assert len(begins) == (found["register"][i] >= 0).sum() > 1
        assert {*found["register"][i].tolist()} <= {REGISTERS.index("quiz"), -1}
        for document in np.split(said, begins[1:]):
            (at,) = np.flatnonzero(document == mark)
            assert at < len(document) - 1, "an answer stands after the question mark"


def test_shares_of_exams_and_languages_may_be_none_and_all():
    assert (Exams(BASE, 0.0).rows(0, 50)["exam"] < 1).all()
    family = Family(((Lexicon(0.3),), (Lexicon(0.5),)))
    three = dataclasses.replace(BASE, pair=family, ratio=(0.0, 0.5, 0.5))
    found = Exams(three, 1.0).rows(0, 50)
    assert (found["exam"][:, 0] == 1).all() and {*found["language"][:, 0].tolist()} == {1, 2}


def test_the_ledger_counts_the_rows_that_are_no_exams():
    count = lambda corpus: sum(ledger(corpus, 0, 400)["exposures"].to_pylist())
    found, base = TOLD.rows(0, 400), BASE.rows(0, 400)
    kept = found["exam"][:, 0] != 1
    assert count(TOLD) == (base["fact"][kept] >= 0).sum() < count(BASE)


@pytest.mark.parametrize(
    "base, share, message",
    [
        (BASE, 1.5, "share=1.5 is not a share"),
        (
            dataclasses.replace(BASE, mixture=Mixture(contact=Contact(parallel=0.5))), 0.1,
            "parallel=0.5: documents in two languages are in no exam of one; choose 0",
        ),
        (
            dataclasses.replace(
                BASE, mixture=Mixture(0.4, 0.6, 0, held_out=(HeldOut(register="quiz"),))
            ), 0.1,
            "quiz=1.0, but every task is held out",
        ),
    ],
)  # fmt: skip
def test_what_is_no_exam_is_refused(base, share, message):
    with pytest.raises(ValueError, match=message):
        Exams(base, share)


def test_a_language_without_a_share_needs_no_exam():
    silent = Mixture(held_out=(HeldOut(register="quiz", language=1),))
    found = Exams(dataclasses.replace(BASE, mixture=silent, ratio=0.0), 0.5).rows(0, 20)
    assert (found["exam"] == 1).any()
