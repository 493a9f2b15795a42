"""Batch t is a function of t, on one process or on many."""

import itertools

import numpy as np
import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.stream import iterate, stream
from data.world import World

CORPUS = Corpus(World(), Pair((Lexicon(0.3),)))


def test_element_t_is_the_batch_of_step_t():
    batches = stream(CORPUS, batch=8)
    rows = CORPUS.rows(80, 88)
    assert set(batches[10]) == {"tokens", "weights", "segments"}
    for name, value in batches[10].items():
        np.testing.assert_array_equal(value, rows[name])


def test_shards_of_a_step_one_after_another_are_its_batch():
    whole = stream(CORPUS, batch=12)[7]
    parts = [stream(CORPUS, batch=12, shard=(i, 3))[7] for i in range(3)]
    for name, value in whole.items():
        np.testing.assert_array_equal(value, np.concatenate([part[name] for part in parts]))


def test_iterating_from_a_step_is_indexing_from_it():
    batches = stream(CORPUS, batch=4)
    for t, batch in zip(range(5, 9), iterate(CORPUS, 4, start=5), strict=False):
        np.testing.assert_array_equal(batch["tokens"], batches[t]["tokens"])


def test_an_iterator_resumes_from_its_saved_state():
    iterator = iterate(CORPUS, 4)
    list(itertools.islice(iterator, 3))
    state = iterator.get_state()
    expected = next(iterator)["tokens"]
    again = iterate(CORPUS, 4)
    again.set_state(state)
    np.testing.assert_array_equal(next(again)["tokens"], expected)


def test_a_batch_that_cannot_be_dealt_is_refused():
    with pytest.raises(ValueError, match="divisible by the number of shards"):
        stream(CORPUS, batch=10, shard=(0, 4))
    with pytest.raises(ValueError, match="an index below it"):
        stream(CORPUS, batch=8, shard=(4, 4))
