"""RankC against numbers taken by hand, and its cells."""

import dataclasses

import jax
import numpy as np
import pytest

from data.fact import facts
from experiments.measure.consistency import Consistency, cells, chance, rankc, ranks
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init


def test_rankc_of_hand_ranked_lists():
    weights = np.exp(-np.arange(3)) / np.exp(-np.arange(3)).sum()
    one, two = ranks(np.array([[9.0, 5, 1]])), ranks(np.array([[5.0, 9, 1]]))
    # The first one differ, the first two and three are the same.
    assert rankc(one, two)[0] == pytest.approx(weights[1] + weights[2])


def test_random_orders_have_the_rankc_that_is_called_chance():
    draws = np.random.default_rng(0).normal(size=(2, 4000, 10))
    assert rankc(*map(ranks, draws)).mean() == pytest.approx(chance(10), abs=0.01)


def test_every_fact_of_a_bijection_is_compared_once_a_direction():
    text = corpus(SIZES["smoke"], seed=0)
    cfg = pretrained(SIZES["smoke"], "softmax", 0, text).model
    items = Consistency(text)(cfg, init(cfg, jax.random.key(0))).to_pylist()
    assert len(items) == 2 * text.world.pairs and {i["relation"] for i in items} == {"parent"}
    assert len({(i["fact"], i["direction"]) for i in items}) == len(items)
    # Two candidates a cell at this size: the right one is first in both languages, or not.
    possible = (1.0, np.exp(-1) / (1 + np.exp(-1)))
    assert all(np.isclose(item["rankc"], possible).any() for item in items)
    assert all(item["same"] >= item["right"] for item in items)


def test_a_fact_alone_in_its_cell_is_refused():
    text = corpus(SIZES["smoke"], seed=0)
    text = dataclasses.replace(text, world=dataclasses.replace(text.world, pairs=16))
    with pytest.raises(ValueError, match=r"'parent', 'G0', .* has one fact only"):
        list(cells(text, facts(text)))
