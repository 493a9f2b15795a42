"""Batch t is a function of t, on one process or on many."""

import itertools

import grain
import numpy as np
import orbax.checkpoint as ocp
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 12])
def test_batch_t_is_a_function_of_t_for_any_number_of_shards(count):
    for t in (0, 7, 10**6):
        rows = CORPUS.rows(12 * t, 12 * t + 12)
        parts = [stream(CORPUS, batch=12, shard=(i, count))[t] for i in range(count)]
        for name in parts[0]:
            np.testing.assert_array_equal(rows[name], np.concatenate([p[name] for p in parts]))


def test_two_processes_that_resume_as_three_go_on_with_the_same_batches():
    """A resumed run knows its step; how many processes there were does not matter to it."""
    read = lambda count, steps: [
        np.concatenate([stream(CORPUS, 12, (i, count))[t]["tokens"] for i in range(count)])
        for t in steps
    ]
    halves = read(2, range(3)) + read(3, range(3, 6))
    np.testing.assert_array_equal(np.stack(halves), np.stack(read(1, range(6))))


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


def test_orbax_saves_where_an_iterator_is(tmp_path):
    iterator = iterate(CORPUS, 4, start=2)
    list(itertools.islice(iterator, 3))
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)))
    expected = next(iterator)["tokens"]
    again = iterate(CORPUS, 4, start=2)
    with ocp.CheckpointManager(tmp_path) as manager:
        restored = grain.checkpoint.CheckpointRestore(again)
        manager.restore(3, args=ocp.args.Composite(data=restored))
    np.testing.assert_array_equal(next(again)["tokens"], expected)
    np.testing.assert_array_equal(expected, CORPUS.rows(20, 24)["tokens"])


def test_a_batch_that_cannot_be_dealt_is_refused():
    with pytest.raises(ValueError, match="divisible by the number of shards"):
        stream(CORPUS, batch=10, shard=(0, 4))
    with pytest.raises(ValueError, match="an index below it"):
        stream(CORPUS, batch=8, shard=(4, 4))
