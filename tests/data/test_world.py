"""Who is told what: groups of equal size, and the cells they state."""

import numpy as np
import pytest

from data.world import FORWARD, GROUPS, REVERSE, Group, World

STATED = {
    "G0": [(0, FORWARD), (0, REVERSE), (1, FORWARD), (1, REVERSE)],
    "G1": [(0, FORWARD), (1, FORWARD)],
    "G2": [(0, FORWARD)],
    "G3": [(0, FORWARD), (0, REVERSE)],
    "G4": [(0, FORWARD), (1, REVERSE)],
    "G5": [(0, REVERSE)],
    "G6": [(1, FORWARD)],
    "G7": [],
}


def test_parents_are_stated_in_the_cells_of_their_group_and_homes_forward_in_its_languages():
    world = World()
    for fact in range(2 * world.pairs):
        relation, _, _, group = world.fact(fact)
        cells = STATED[group]
        if relation == "home":
            cells = sorted({(language, FORWARD) for language, _ in cells})
        assert (
            list(zip(*map(np.ndarray.tolist, np.nonzero(world.stated[fact])), strict=True)) == cells
        )


@pytest.mark.parametrize("seed", [0, 1])
def test_parents_are_a_bijection_and_cities_have_equally_many_residents(seed):
    world = World(seed=seed)
    facts, n = world.facts, world.pairs
    assert sorted(facts.object[:n]) == list(range(n)) == facts.subject[:n].tolist()
    residents = np.bincount(facts.object[n:], minlength=world.cities)
    assert residents.max() - residents.min() <= 1
    assert (np.bincount(facts.group) == 2 * n // len(GROUPS)).all()


def test_a_world_is_a_function_of_its_seed():
    one, two, other = World(seed=3), World(seed=3), World(seed=4)
    np.testing.assert_array_equal(one.facts.object, two.facts.object)
    assert (one.facts.object != other.facts.object).any()


def test_groups_are_values_and_may_speak_of_more_languages_than_a_pair_has():
    for language, languages in ((0, 2), (1, 2), (2, 3)):
        world = World(pairs=3, groups=(Group("all", ((language, FORWARD),)),))
        assert world.languages == world.stated.shape[1] == languages
    with pytest.raises(ValueError, match="choose more"):
        World(nouns=5)


def test_groups_that_cannot_be_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose a language from 0 and a direction"):
        Group("G", ((-1, FORWARD),))
    with pytest.raises(ValueError, match="is no cell"):
        Group("G", ((0, 2),))
    with pytest.raises(ValueError, match="one name twice"):
        World(groups=(Group("G"), Group("G")))
    with pytest.raises(ValueError, match="nothing to ask"):
        World(tasks=())
