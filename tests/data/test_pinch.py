"""A pinch: so many rows of the other corpus, the same ones in every epoch, and no others."""

import dataclasses

import numpy as np
import pytest

from data.pinch import Pinch
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
