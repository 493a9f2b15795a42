"""Every kind of relation holds as it says, is told within its groups, and is asked only where there
is one answer."""

import itertools

import numpy as np
import pytest

from data.contamination import contamination
from data.corpus import Corpus
from data.fact import facts
from data.feature import Agreement, Articles, Case, Lexicon, Names, Order, PossessorFirst
from data.language import Pair
from data.meaning import Fact
from data.relation import (
    CLASSES,
    FORWARD,
    RELATIONS,
    REVERSE,
    SPOUSE,
    Attribute,
    Bijection,
    Composition,
    Symmetric,
)
from data.speaker import speaker
from data.world import World

FULL = (
    *RELATIONS,
    SPOUSE,
    Attribute("birthplace", "native", "y", "city"),
    Attribute("firm", "worker", "x", "company", values=5),
    Attribute("seat", "host", "company", "city"),
    Composition("workplace", "guest", "x", "city", stated=(FORWARD,), path=("firm", "seat")),
    Composition("origin", "scion", "x", "city", path=("parent", "birthplace")),
    *CLASSES,
)
WORLD = World(pairs=32, cities=6, nouns=8, relations=FULL)
PAIRS = [
    Pair((Lexicon(0.3), Names(0.5), PossessorFirst())),
    Pair((Lexicon(0), Names(0), Order("SOV"), Case(4), Agreement("gender x number"), Articles())),
    Pair((Order("OVS"), PossessorFirst(), Case(2))),
]


def test_a_map_is_what_its_kind_says():
    of = WORLD.objects
    assert sorted(of("parent")) == list(range(32))
    for name, values in (("home", 6), ("birthplace", 6), ("firm", 5), ("class", 4), ("realm", 2)):
        uses = np.bincount(of(name), minlength=values)
        assert len(uses) == values and uses.max() - uses.min() <= 1, name
    spouse = of("spouse")
    np.testing.assert_array_equal(spouse[spouse], np.arange(32))
    assert (spouse != np.arange(32)).all()
    np.testing.assert_array_equal(of("workplace"), of("seat")[of("firm")])
    np.testing.assert_array_equal(of("origin"), of("birthplace")[of("parent")])


def test_facts_are_the_maps_and_a_symmetric_pair_is_one_fact():
    facts = WORLD.facts
    count = np.bincount(facts.relation)
    assert count.tolist() == [32, 32, 16, 32, 32, 5, 32, 32, 8, 4]
    for i, relation in enumerate(FULL):
        mine = facts.relation == i
        np.testing.assert_array_equal(
            facts.object[mine], WORLD.objects(relation.name)[facts.subject[mine]]
        )
    spouse = facts.relation == 2
    assert (facts.subject[spouse] < facts.object[spouse]).all()


def test_both_persons_of_a_pair_and_all_their_facts_are_of_one_group():
    facts, groups = WORLD.facts, len(WORLD.groups)
    parents, spouses = (facts.relation == i for i in (0, 2))
    np.testing.assert_array_equal(facts.object[spouses] % groups, facts.subject[spouses] % groups)
    owner = WORLD.owner("y")
    np.testing.assert_array_equal(owner[facts.object[parents]], facts.subject[parents])
    birth = facts.relation == 3
    np.testing.assert_array_equal(facts.group[birth], owner[facts.subject[birth]] % groups)


def test_a_relation_is_stated_in_its_directions_alone_and_only_where_its_group_is():
    facts, stated = WORLD.facts, WORLD.stated
    cells = np.zeros((len(WORLD.groups), 2, 2), bool)
    for g, group in enumerate(WORLD.groups):
        for cell in group.cells:
            cells[g][cell] = True
    for i, relation in enumerate(FULL):
        mine = stated[facts.relation == i]
        group = cells[facts.group[facts.relation == i]]
        if relation.stated == (FORWARD, REVERSE):
            np.testing.assert_array_equal(mine, group)
        else:
            assert not mine[..., REVERSE].any()
            expected = group.any(2) if relation.stated else np.zeros_like(group.any(2))
            np.testing.assert_array_equal(mine[..., FORWARD], expected, relation.name)


@pytest.mark.parametrize("pair", PAIRS, ids=["twin", "inflected", "object first"])
def test_every_fact_is_said_and_understood_in_both_directions(pair):
    both = speaker(pair, WORLD)
    for fact, language in itertools.product(range(len(WORLD.facts.group)), (0, 1)):
        relation, *entities, _ = WORLD.fact(fact)
        for focus in entities:
            meaning = Fact(relation, *entities, focus)
            assert both.parse(both.render(meaning, language), language) == meaning


def test_a_symmetric_fact_told_the_wrong_way_round_is_the_same_fact():
    both = speaker(PAIRS[0], WORLD)
    one, two = sorted((3, int(WORLD.objects("spouse")[3])))
    wrong = Fact("spouse", f"x{two}", f"x{one}", f"x{two}")
    assert both.parse(both.render(wrong, 0), 0) == Fact("spouse", f"x{one}", f"x{two}", f"x{two}")


def test_two_hops_are_asked_and_nowhere_told():
    corpus = Corpus(WORLD, PAIRS[0])
    slices = facts(corpus).slices
    origin = slices["relation"] == "origin"
    assert set(slices["direction"][origin]) == {"forward"} and origin.sum() == 2 * 32
    assert not slices["stated"][origin].any()
    assert contamination(corpus, 0, 1000).num_rows == 0
    said = corpus.provenance(0, 1000)["fact"]
    told = {FULL[r].name for r in WORLD.facts.relation[said[said >= 0]]}
    assert told == {r.name for r in FULL} - {"origin"}


def test_chance_is_one_in_the_answers_there_are():
    assert WORLD.chance("parent") == WORLD.chance("parent", REVERSE) == 1 / 32
    assert WORLD.chance("firm") == 1 / 5
    with pytest.raises(ValueError, match="home is not asked reverse"):
        WORLD.chance("home", REVERSE)


BAD = {
    "what no one answers": (
        (Attribute("home", "resident", "x", "city", asked=(REVERSE,)),), "no one answer"),
    "a composition of the same": (
        (*RELATIONS, Composition("a", "b", "x", "city", path=("home", "parent"))), "does not lead"),
    "a path to what is later": (
        (Composition("a", "b", "x", "city", path=("parent", "home")), *RELATIONS), "does not lead"),
    "a subject from nowhere": (
        (Attribute("seat", "host", "company", "city"),), "declare one, or choose"),
    "two sizes": (
        (Attribute("a", "b", "x", "job", values=3), Attribute("c", "d", "x", "job", values=4)),
        "another relation 3"),
    "one name twice": ((*RELATIONS, Bijection("child", "heir", "x", "y")), "one name twice"),
    "composed in reverse": (
        (*RELATIONS, Attribute("place", "native", "y", "city"), Composition(
            "a", "b", "x", "city", path=("parent", "place"), asked=(FORWARD, REVERSE))),
        "no one answer"),
    "no relation": ((), "no relation"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_relations_that_cannot_be_are_refused_in_one_line(case):
    relations, message = BAD[case]
    with pytest.raises(ValueError, match=message) as error:
        World(pairs=32, relations=relations)
    assert "\n" not in str(error.value)


def test_a_relation_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="is not symmetric"):
        Symmetric("spouse", "husband", "x", "x")
    with pytest.raises(ValueError, match="choose 2 or more"):
        Attribute("home", "resident", "x", "town", values=1)
    with pytest.raises(ValueError, match="values=None are cities"):
        Attribute("job", "worker", "x", "job")
    with pytest.raises(ValueError, match="no directions"):
        Bijection("parent", "child", "x", "y", stated=(2,))
    with pytest.raises(ValueError, match="lower-case"):
        Bijection("parent", "child", "x", "y1")
    for one in (("parent", "parent", "x", "y"), ("idol", "fan", "x", "x")):
        with pytest.raises(ValueError, match="choose two names and two types, or Symmetric"):
            Bijection(*one)
    with pytest.raises(ValueError, match="'idol' is no relation; choose among parent, home"):
        World().chance("idol")
    with pytest.raises(ValueError, match="one without a partner; choose a multiple of 16"):
        World(pairs=24, relations=(SPOUSE,))
    with pytest.raises(ValueError, match="which means something else"):
        Pair().languages(World(relations=(Bijection("copy", "child", "x", "y"),)))
