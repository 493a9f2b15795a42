"""Every cell is stated as often as is said: matched, natural, or refused."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow.compute as pc
import pytest

from data.corpus import Corpus
from data.coverage import Statements, cells
from data.feature import Lexicon, Names
from data.language import Pair
from data.ledger import ledger
from data.mixture import Mixture
from data.task.retrieval import Retrieve
from data.world import Group, World

PAIR = Pair((Lexicon(0.3), Names(0.5)))
groups = st.lists(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 1))), min_size=1, max_size=6)


def drawn(found, stated: np.ndarray, shares) -> np.ndarray:
    """(facts, languages, directions) the probability of every cell."""
    total = found.total(len(shares)) * shares
    share = np.zeros(stated.shape)
    for first, count, weight, language in zip(
        found.first, found.count, found.weight, found.language, strict=True
    ):
        own = slice(first, first + count)
        share[found.fact[own], language, found.direction[own]] = weight * shares[language]
    return share / total.sum()


@hypothesis.given(groups, st.floats(0, 0.3))
def test_matched_cells_are_exposed_alike_however_often_they_are_said_again(chosen, again):
    world = World(
        pairs=len(chosen), groups=tuple(Group(str(i), (*g,)) for i, g in enumerate(chosen))
    )
    stated = np.pad(world.stated, ((0, 0), (0, 3 - world.languages), (0, 0)))
    hypothesis.assume(stated.any())
    shares = np.array([0.4, 0.35, 0.25])
    share = drawn(cells(stated, (*shares,), again=again), stated, shares)
    others = share.sum(1, keepdims=True) - share
    exposures = (share + again * others) / shares[:, None]
    alike = exposures[stated]
    np.testing.assert_allclose(alike, alike[0])
    assert not share[~stated].any()


@hypothesis.given(groups)
def test_natural_facts_have_equally_many_documents(chosen):
    world = World(
        pairs=len(chosen), groups=tuple(Group(str(i), (*g,)) for i, g in enumerate(chosen))
    )
    stated = np.pad(world.stated, ((0, 0), (0, 3 - world.languages), (0, 0)))
    hypothesis.assume(stated.any())
    shares = np.array([0.5, 0.3, 0.2])
    share = drawn(cells(stated, (*shares,), "natural"), stated, shares)
    told = stated.any((1, 2))
    np.testing.assert_allclose(share.sum((1, 2))[told], 1 / told.sum())


def test_what_is_said_again_more_than_a_share_allows_cannot_be_matched():
    stated = World().stated
    cells(stated, (0.9, 0.1), again=0.1)
    with pytest.raises(ValueError, match="exceeds the share of the smaller; choose") as error:
        cells(stated, (0.9, 0.1), again=0.2)
    assert "\n" not in str(error.value)
    assert cells(stated, (0.5, 0.5), again=1).weight.min() == pytest.approx(0.5)


@pytest.mark.parametrize("exposures", ["matched", "natural"])
def test_the_ledger_counts_what_coverage_says(exposures):
    corpus = Corpus(World(pairs=16, cities=4), PAIR, ratio=0.3, T=256,
                    mixture=Mixture(statements=Statements(exposures)))  # fmt: skip
    table = ledger(corpus, 0, 12_000).to_pydict()
    shares = np.array([0.7, 0.3])
    expected = drawn(corpus.sampler.cells, corpus.stated, shares)
    language = np.array(table["language"]) == "L2"
    direction = np.array(table["direction"]) == "reverse"
    cell = table["fact"], language.astype(int), direction.astype(int)
    count = np.zeros(expected.shape)
    np.add.at(count, cell, table["exposures"])
    assert not count[expected == 0].any()
    mean = expected * count.sum()
    assert mean[expected > 0].min() > 100
    assert (np.abs(count - mean) <= 5 * np.sqrt(mean)).all()


def test_unknown_exposures_are_refused():
    with pytest.raises(ValueError, match="choose among"):
        Statements("equal")
    assert Mixture().statements.exposures == "matched"


def test_answers_expose_a_fact_the_more_often_the_fewer_may_be_asked_there():
    """Statements are matched over cells, exposures in answers are not."""
    world = World(pairs=16, cities=4, tasks=(Retrieve("parent"), Retrieve("child")))
    mixture = Mixture(facts=0.5, stories=0, quiz=0.5, answered=1, dictionary=0)
    said = ledger(Corpus(world, PAIR, T=256, mixture=mixture), 0, 4000)
    said = said.filter((pc.field("relation") == "parent") & (pc.field("group") == "G0"))
    keys = ["register", "language", "direction"]
    count = said.group_by(keys).aggregate([("exposures", "sum")])
    count = count.sort_by([(name, "ascending") for name in keys])["exposures_sum"]
    _, asked, told = np.array(count).reshape(3, 4)  # chat, quiz, statement
    assert told.max() < 1.1 * told.min()
    assert asked.max() > 2 * asked.min()
    # Of the 16 facts, 10 may be asked forward in L1 and 6 in L2; in reverse some are kept.
    assert asked[2] / asked[0] == pytest.approx(10 / 6, rel=0.1)


def test_a_world_that_states_nothing_can_be_spoken_of():
    world = World(groups=(Group("G7"),))
    corpus = Corpus(world, PAIR, mixture=Mixture(facts=0, stories=0.5, quiz=0.5))
    assert (corpus.rows(0, 4)["fact"] == -1).all()
