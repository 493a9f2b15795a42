"""A pinch: so many rows of the other corpus, the same ones in every epoch, and no others."""

import dataclasses

import numpy as np
import pytest

from data.contact import Contact
from data.contamination import trespasses
from data.ledger import speakers
from data.pinch import Pinch
from data.split import HeldOut
from experiments.standard import SIZES, corpus, tuning

BASE = dataclasses.replace(corpus(SIZES["smoke"], seed=0), T=16, packing="single")
L1, L2 = (tuning(BASE, "chat", language) for language in ("L1", "L2"))


def languages(examples, start, stop):
    return Pinch(L1, L2, examples, total=20).rows(start, stop)["language"][:, 0]


@pytest.mark.parametrize("examples", [0, 1, 3, 10, 20])
def test_there_are_as_many_examples_as_said_in_every_epoch(examples):
    counted = languages(examples, 0, 60).reshape(3, 20)
    assert counted.sum(1).tolist() == [examples] * 3


def test_a_larger_pinch_has_what_a_smaller_one_has_and_the_rest_is_unchanged():
    one, two = (Pinch(L1, L2, examples, total=20).rows(0, 20) for examples in (3, 10))
    changed = one["language"] != two["language"]
    assert (two["language"][changed] == 1).all() and changed.sum() == 7
    np.testing.assert_array_equal(one["tokens"][~changed[:, 0]], two["tokens"][~changed[:, 0]])


def test_the_set_is_finite_and_comes_again():
    pinch = Pinch(L1, L2, 3, total=20)
    for name, column in pinch.rows(0, 20).items():
        np.testing.assert_array_equal(column, pinch.rows(20, 40)[name])


def test_more_examples_than_there_are_rows_are_refused():
    with pytest.raises(ValueError, match="examples=21 of total=20"):
        Pinch(L1, L2, 21, total=20)


def test_rows_of_more_documents_are_pinched_with_rows_of_one_and_seen_by_a_search():
    packed = dataclasses.replace(L2, packing="packed", T=64)
    silent = dataclasses.replace(L1.mixture, held_out=(HeldOut(language=1),))
    one = dataclasses.replace(L1, T=64, mixture=silent)
    pinch = Pinch(one, packed, 3, total=20)
    rows, few, many = (source.rows(0, 20) for source in (pinch, one, packed))
    other = rows["language"][:, 0] == 1
    for name in rows:
        np.testing.assert_array_equal(rows[name][other], many[name][other])
        assert rows[name][~other, : few[name].shape[1]].tolist() == few[name][~other].tolist()
        assert (rows[name][~other, few[name].shape[1] :] == -1).all()
    assert [*speakers(pinch)] == [one, packed]
    assert trespasses(pinch, 0, 20).num_rows == 0, "what either may ask, the whole may"


def test_corpora_of_two_worlds_are_refused():
    far = dataclasses.replace(L2, pair=dataclasses.replace(L2.pair, seed=7))
    with pytest.raises(ValueError, match=r"tuning and other need one T and one tokenizer"):
        Pinch(L1, far, 3, total=20)
    more = dataclasses.replace(L2.mixture, contact=Contact(parallel=0.5))
    joined = dataclasses.replace(L2, loss="all", T=32, mixture=more)
    with pytest.raises(ValueError, match="template stand for different things in tuning and in ot"):
        Pinch(dataclasses.replace(L1, T=32), joined, 3, total=20)
