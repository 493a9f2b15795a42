"""Every row has the ratio of its phase, whatever rows are asked for together."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from data.contact import Contact
from data.corpus import Corpus
from data.curriculum import Alternating, Curriculum, Ramp, Sequential
from data.feature import Lexicon
from data.language import Family, Pair
from data.mixture import Mixture
from data.reorder import ReverseEntities
from data.tally import tally
from data.transform import Transformed
from data.world import World

BASE = Corpus(
    World(pairs=16, cities=4, nouns=8),
    Pair((Lexicon(0.3),)),
    T=32,
    mixture=Mixture(dictionary=0),
)
ORDERS = (Sequential(40), Sequential(40, then=0.5), Alternating(7), Ramp(90, 0.1, 0.9, steps=5))


@pytest.fixture(params=ORDERS, ids=repr)
def course(request) -> Curriculum:
    return Curriculum(BASE, request.param)


def test_any_range_of_rows_is_its_rows_one_by_one(course):
    rows = course.rows(30, 60)
    for i in (29, 0, 10, 11):
        row = course.row(30 + i)
        for name in rows:
            np.testing.assert_array_equal(rows[name][i], row[name], err_msg=name)
    said = course.provenance(30, 60)
    assert all((said[name] == rows[name]).all() for name in said) and "phase" in said
    assert course.rows(5, 5)["tokens"].shape == (0, 32)


def test_a_row_is_that_of_the_corpus_with_its_ratio(course):
    rows = course.rows(0, 100)
    for i in (0, 6, 7, 39, 40, 41, 89, 99):
        (phase,) = set(rows["phase"][i]) - {-1}
        other = replace(BASE, ratio=course.order.ratios[phase]).row(i)
        for name in other:
            np.testing.assert_array_equal(rows[name][i], other[name], err_msg=name)


def test_a_curriculum_can_be_transformed(course):
    made, plain = Transformed(course, ReverseEntities(), share=1).rows(30, 50), course.rows(30, 50)
    np.testing.assert_array_equal(made["phase"], plain["phase"])
    stated = plain["fact"] >= 0
    assert (made["direction"][stated] != plain["direction"][stated]).all()


def test_phases_are_the_stretches_of_equal_ratio(course):
    phases, rows = course.phases(3, 95), course.rows(3, 95)
    assert phases[0][1] == 3 and phases[-1][2] == 95
    assert all(a[2] == b[1] and a[0] != b[0] for a, b in itertools.pairwise(phases))
    for phase, first, end in phases:
        assert set(np.unique(rows["phase"][first - 3 : end - 3])) <= {-1, phase}


def test_orders_do_what_they_are_called():
    ratio = lambda order, i: order.ratios[order.phase(np.array([i]))[0]]
    assert [ratio(Sequential(3), i) for i in (0, 2, 3, 9)] == [0, 0, 1, 1]
    assert [ratio(Sequential(3, then=0.5), i) for i in (2, 3)] == [0, 0.5]
    assert [ratio(Alternating(2), i) for i in range(6)] == [0, 0, 1, 1, 0, 0]
    ramp = Ramp(90, 0.1, 0.9, steps=9)
    assert [ratio(ramp, i) for i in (0, 9, 10, 45, 89, 90)] == [0.1, 0.1, 0.2, 0.5, 0.9, 0.9]


def test_the_tally_of_a_phase_has_its_ratio():
    course = Curriculum(BASE, Ramp(3000, 0.1, 0.9, steps=3))
    counts = tally(course, 0, 3000, ("phase", "kind", "language")).to_pylist()
    for k, ratio in enumerate((0.1, 0.5, 0.9)):
        said = {row["language"]: row["documents"] for row in counts
                if row["phase"] == f"ratio {ratio:g}" and row["kind"] == "task"}  # fmt: skip
        assert abs(said["L2"] / sum(said.values()) - ratio) < 0.03, k


def test_impossible_orders_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose 0 or more"):
        Sequential(-1)
    with pytest.raises(ValueError, match="choose 1 or more"):
        Alternating(0)
    with pytest.raises(ValueError, match="a row for each"):
        Ramp(rows=3)
    with pytest.raises(ValueError, match=r"ratio=1\.5"):
        Curriculum(BASE, Sequential(3, then=1.5))
    three = replace(BASE, pair=Family(((), ())), ratio=(0.5, 0.3, 0.2))
    with pytest.raises(ValueError, match=r"of two languages, and there are 3; choose a Pair, or"):
        Curriculum(three, Sequential(3))
    with pytest.raises(ValueError, match="has no ratio"):
        Curriculum(Curriculum(BASE, Sequential(3)), Sequential(3))


def test_an_order_has_the_same_phases_on_every_machine_and_release():
    digest = hashlib.sha256()
    for order in ORDERS:
        digest.update(order.phase(np.arange(1000)).astype("<i4").tobytes())
        digest.update(repr(order.ratios).encode())
    assert digest.hexdigest()[:16] == "4c127aa1aa48ec11"


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture(),
        *(Mixture(dictionary=0, contact=Contact(**{k: 0.1})) for k in ("parallel", "switched")),
    ],
    ids=["dictionary", "parallel", "switched"],
)
def test_a_phase_of_one_language_has_no_documents_in_two(mixture):
    bilingual = replace(BASE, T=64, mixture=mixture)
    for order in (Sequential(3), Sequential(3, then=0.5), Alternating(2), Ramp(9, 0.5, 1, steps=2)):
        with pytest.raises(ValueError, match="in two languages are in no phase of one"):
            Curriculum(bilingual, order)
    Curriculum(bilingual, Ramp(9, steps=3))
