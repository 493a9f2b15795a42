"""What is measured is what is said to be."""

import itertools

import numpy as np
import pytest

from data import bench
from data.contamination import proof
from data.template import REGISTERS


def test_every_line_of_the_table_runs_and_handles_the_rows_it_says(tmp_path):
    lines = itertools.chain(bench.lines(), bench.stored(str(tmp_path), 3))
    quick = (line for line in lines if "everything" not in line.what)  # written before it is read
    seen = [(line.what, line.T, line.rows) for line in quick if line.step(0) is not None]
    assert len(seen) == len(set(seen)) >= 20
    rows = next(line for line in bench.lines() if line.T == 512)
    assert rows.step(3)["tokens"].shape == (rows.rows, 512)


@pytest.mark.slow
def test_a_corpus_with_everything_on_holds_nothing_that_is_held_out():
    corpus = bench.everything()
    said = corpus.provenance(0, 100)
    assert {*np.unique(said["register"])} == {*range(-1, len(REGISTERS))}
    assert (said["switched"] > 0).any() and (said["also"] >= -1).all()
    found = proof(corpus, 100)
    assert found.questions > 1000 and not len(found.kept) and not len(found.asked)


def test_a_rate_is_tokens_over_seconds(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    assert bench.rate(bench.Line("", 8, 2, lambda i: None), seconds=5) == 16 / 2
    assert bench.peak(lambda: bytearray(2**20)) >= 2**20
