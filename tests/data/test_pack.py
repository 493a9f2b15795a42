"""Three ways to share a row, each a function of (spec, i) like the other."""

import dataclasses

import numpy as np
import pytest

from data.corpus import Corpus
from data.feature import Lexicon, Names, PossessorFirst
from data.language import Pair
from data.ledger import ledger
from data.mixture import Mixture
from data.pack import PACKINGS, mates
from data.tokenizer import Character
from data.world import World

PACKED = Corpus(World(pairs=16, cities=4, nouns=8),
                Pair((Lexicon(0.3), Names(0.5), PossessorFirst())), T=128)  # fmt: skip
ALL = {name: dataclasses.replace(PACKED, packing=name) for name in PACKINGS}
LETTERS = Character.of(" ".join(PACKED.tables.words))


def test_mates_are_the_second_and_later_statements_of_a_row():
    rng = np.random.default_rng(0)
    fact = rng.integers(-1, 5, (40, 12))
    expected = [[f >= 0 and f in row[:m] for m, f in enumerate(row)] for row in fact.tolist()]
    np.testing.assert_array_equal(mates(fact), expected)


@pytest.mark.parametrize("packing", PACKINGS)
def test_any_range_of_rows_is_its_rows_one_by_one(packing):
    rows = ALL[packing].rows(5, 25)
    for i in (19, 0, 7):
        row = ALL[packing].row(5 + i)
        for name in rows:
            np.testing.assert_array_equal(rows[name][i], row[name], err_msg=name)


@pytest.mark.parametrize("subword", [None, LETTERS])
def test_apart_rows_state_no_fact_twice_and_leave_nothing_else_out(subword):
    packed, apart = (dataclasses.replace(ALL[name], subword=subword, T=128 if not subword else 512)
                     for name in ("packed", "apart"))  # fmt: skip
    one, two = packed.rows(0, 200), apart.rows(0, 200)
    assert mates(one["fact"]).any() and not mates(two["fact"]).any()
    assert (np.diff(two["segments"], axis=1) <= 1).all()
    assert ((two["kind"] >= 0).sum(1) == two["segments"].max(1)).all()
    for i in range(200):
        spared = mates(one["fact"][i : i + 1])[0]
        left = one["template"][i][(one["kind"][i] >= 0) & ~spared]
        assert two["template"][i][: len(left)].tolist() == left.tolist()
    filled = lambda rows: (rows["segments"] > 0).mean()
    assert filled(two) > 0.9 * filled(one)


def test_a_single_document_a_row():
    rows = ALL["single"].rows(0, 300)
    assert rows["kind"].shape == (300, 1) and (rows["kind"] >= 0).all()
    assert set(rows["segments"].ravel()) == {0, 1}
    # The draw is that of the mixture: no document is rarer for being long.
    long = dataclasses.replace(ALL["single"], mixture=Mixture(0, 0, 1, dictionary=0))
    kind = long.provenance(0, 4000)["template"]
    names = np.array(long.tables.names)[kind[:, 0]]
    assert abs(np.mean([name.count("?") == 1 for name in names]) - 0.2) < 0.02


def test_the_ledger_reports_the_mates_of_a_window():
    count = {name: sum(ledger(corpus, 0, 300)["mates"].to_pylist()) for name, corpus in ALL.items()}
    assert count["packed"] > 100 and count["single"] == count["apart"] == 0


def test_an_unknown_packing_is_refused():
    with pytest.raises(ValueError, match="choose among"):
        dataclasses.replace(PACKED, packing="dense")
