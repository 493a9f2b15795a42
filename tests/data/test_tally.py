"""The tally is what a loop over documents counts."""

import collections

import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.restate import Bridge
from data.tally import tally
from data.transform import Transformed
from data.world import World

BASE = Corpus(World(pairs=16, cities=4, nouns=8), Pair((Lexicon(0.3),)), T=32)
BRIDGED = Transformed(BASE, Bridge(), share=0.5)


def counted(by: tuple[str, ...], rows: int) -> dict:
    found: collections.Counter = collections.Counter()
    for i in range(rows):
        row = BRIDGED.row(i)
        for m in range(row["segments"].max()):
            named = lambda k, row=row, m=m: (
                None if row[k][m] < 0 else BRIDGED.legend.get(k, range(999))[row[k][m]]
            )
            found[tuple(named(k) for k in by)] += 1
    return dict(found)


def test_documents_are_counted_by_any_columns_and_across_blocks(monkeypatch):
    monkeypatch.setattr("data.tally._BLOCK", 7 * BASE.T)
    for by in (("fact", "language", "direction"), ("transform", "register"), ()):
        table = tally(BRIDGED, 0, 60, by).to_pylist()
        names = by or tuple(BRIDGED.legend)
        assert {tuple(r[k] for k in names): r["documents"] for r in table} == counted(names, 60)


def test_a_column_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"by=\('regster',\): documents are told apart by"):
        tally(BRIDGED, 0, 10, ("regster",))


def test_a_bridge_states_no_fact():
    table = tally(BRIDGED, 0, 200, ("kind", "fact", "transform")).to_pylist()
    bridged = [row for row in table if row["transform"] == "Bridge"]
    assert bridged and all(row["fact"] is None and row["kind"] == "fact" for row in bridged)
