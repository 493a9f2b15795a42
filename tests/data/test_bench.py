"""What is measured is what is said to be."""

import itertools

from data import bench


def test_every_line_of_the_table_runs_and_handles_the_rows_it_says(tmp_path):
    everything = itertools.chain(bench.lines(), bench.stored(str(tmp_path), 3))
    seen = [(line.what, line.T, line.rows) for line in everything if line.step(0) is not None]
    assert len(seen) == len(set(seen)) >= 20
    rows = next(line for line in bench.lines() if line.T == 512)
    assert rows.step(3)["tokens"].shape == (rows.rows, 512)


def test_a_rate_is_tokens_over_seconds(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    assert bench.rate(bench.Line("", 8, 2, lambda i: None), seconds=5) == 16 / 2
    assert bench.peak(lambda: bytearray(2**20)) >= 2**20
