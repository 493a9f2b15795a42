"""Plain sentences, head switches, free order and templates: what is said can be understood."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from data.feature import (
    Agreement,
    Articles,
    Case,
    Clone,
    Cognates,
    FalseFriends,
    FreeOrder,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Script,
)
from data.head import (
    AdjectiveLast,
    ComplementizerLast,
    ObjectsTurned,
    PlaceFirst,
    Postpositions,
    RelativeFirst,
    SubjectLast,
    VerbLast,
)
from data.impossible import DeterministicShuffle, FullReverse, LocalShuffle, TokenHop, WordHop
from data.language import Family, Pair
from data.meaning import Chat, Dictionary, Fact, Nominal, Parallel, Question, Quiz, Say, Story
from data.speaker import speaker
from data.syntax import Wording
from data.task import TASKS
from data.world import RELATIONS, Vocabulary, World

WORLD = World(pairs=16, cities=4, nouns=8,
              vocabulary=Vocabulary(numerals=True, verbs=2, templates=8, held_out=2))  # fmt: skip
ORDERS = ("SVO", "SOV", "VSO", "VOS", "OVS", "OSV")
HEADS = (SubjectLast(), VerbLast(), ComplementizerLast(), Postpositions(), AdjectiveLast(),
         RelativeFirst())  # fmt: skip
OURS = (PlaceFirst(), ObjectsTurned())
IMPOSSIBLE = (DeterministicShuffle(), LocalShuffle(3), FullReverse(), TokenHop(), WordHop())


@st.composite
def features(draw):
    """Any features that go together; every one of them claims to be invertible."""
    some = [*HEADS, *OURS, PossessorFirst(), Articles(), Case(draw(st.sampled_from([2, 4]))),
            Agreement(draw(st.sampled_from(["number", "gender x number"]))), FreeOrder(),
            Order(draw(st.sampled_from(ORDERS))), Lexicon(0.5), Names(0.5), Script("mapped"),
            draw(st.sampled_from(IMPOSSIBLE))]  # fmt: skip
    chosen = [feature for feature in some if draw(st.booleans())]
    kinds = lambda: [type(feature).__name__ for feature in chosen]
    return tuple(f for f in chosen if not set(f.excludes) & {*kinds()} - {type(f).__name__})


@st.composite
def families(draw):
    clone = draw(st.sampled_from([(Clone(),), ()]))
    return Family((draw(features()), clone, draw(features()))[: draw(st.integers(1, 3))])


def some(kind: str):
    return st.sampled_from([f"{kind}{i}" for i in range(2)])


noun = st.sampled_from(WORLD.entities("noun"))
nominal = st.builds(
    Nominal,
    noun,
    st.none() | some("adjective"),
    st.none() | st.tuples(some("adposition"), noun),
    st.none() | st.tuples(some("transitive"), noun),
)
clause = st.one_of(
    st.builds(Say, some("intransitive"), nominal),
    st.builds(Say, some("transitive"), nominal, nominal),
    st.builds(Say, some("ditransitive"), nominal, nominal, nominal, st.booleans()),
)
sentence = clause | st.builds(
    lambda verb, agent, content: Say(verb, agent, content=content), some("saying"), nominal, clause
)
question = st.builds(
    Question, st.sampled_from(TASKS), st.lists(noun, min_size=1, max_size=4).map(tuple)
)


@st.composite
def facts(draw):
    relation = draw(st.sampled_from(RELATIONS))
    pair = [draw(st.sampled_from(WORLD.entities(k))) for k in (relation.subject, relation.object)]
    return Fact(relation.name, *pair, draw(st.sampled_from(pair)))


told = facts() | st.builds(Story, question)
asked = st.builds(Chat, question) | st.builds(Quiz, question, st.none() | question)


def meanings(language: int, languages: int):
    others = st.sampled_from([i for i in range(languages) if i != language])
    entries = st.lists(noun, min_size=1, max_size=3).map(tuple)
    return told | asked | sentence | st.builds(Dictionary, entries, others)


@hypothesis.settings(max_examples=100)
@hypothesis.given(families(), st.data())
def test_parse_returns_the_meaning_in_every_wording_of_every_language(family, data):
    everyone = speaker(family, WORLD)
    language = data.draw(st.integers(0, len(family.twins)))
    meaning = data.draw(meanings(language, len(everyone.languages)))
    template = data.draw(st.integers(0, WORLD.vocabulary.templates - 1))
    order = data.draw(st.sampled_from(everyone.languages[language].orders))
    words = everyone.render(meaning, language, Wording(template, order))
    assert everyone.parse(words, language) == meaning


def gloss(meaning, *features, **wording) -> str:
    both = speaker(Pair(features), WORLD)
    return " ".join(x.concept for x in both.leaves(meaning, 1, Wording(**wording)))


a, b, c = (Nominal(f"noun{i}") for i in range(3))
ANY = {
    "transitive": Say("transitive0", a, b),
    "adjective": Say("transitive0", Nominal("noun0", "adjective0"), b),
    "place": Say("intransitive0", Nominal("noun0", place=("adposition0", "noun1"))),
    "relative": Say("intransitive0", Nominal("noun0", relative=("transitive0", "noun1"))),
    "content": Say("saying0", a, content=Say("transitive0", b, c)),
    "double object": Say("ditransitive0", a, b, c, double=True),
    "prepositional": Say("ditransitive0", a, b, c),
}
SAID = {
    "transitive": "noun0 transitive0 noun1",
    "adjective": "adjective0 noun0 transitive0 noun1",
    "place": "noun0 adposition0 noun1 intransitive0",
    "relative": "noun0 which transitive0 noun1 intransitive0",
    "content": "noun0 saying0 that noun1 transitive0 noun2",
    "double object": "noun0 ditransitive0 noun2 noun1",
    "prepositional": "noun0 ditransitive0 noun1 to noun2",
}
TURNED = {
    SubjectLast(): ("transitive", "transitive0 noun1 noun0"),
    VerbLast(): ("content", "noun0 that noun1 noun2 transitive0 saying0"),
    ComplementizerLast(): ("content", "noun0 saying0 noun1 transitive0 noun2 that"),
    Postpositions(): ("place", "noun0 noun1 adposition0 intransitive0"),
    AdjectiveLast(): ("adjective", "noun0 adjective0 transitive0 noun1"),
    RelativeFirst(): ("relative", "transitive0 noun1 which noun0 intransitive0"),
    PlaceFirst(): ("place", "adposition0 noun1 noun0 intransitive0"),
    ObjectsTurned(): ("double object", "noun0 ditransitive0 noun1 noun2"),
}


def test_the_base_says_sentences_as_english_does():
    assert {name: gloss(say) for name, say in ANY.items()} == SAID


@pytest.mark.parametrize("switch", TURNED, ids=str)
def test_every_head_switch_turns_its_phrase_and_no_other(switch):
    name, said = TURNED[switch]
    assert gloss(ANY[name], switch) == said
    others = {AdjectiveLast(): "adjective", RelativeFirst(): "relative"}
    if switch in others or isinstance(switch, ComplementizerLast):
        assert {n for n in ANY if gloss(ANY[n], switch) != SAID[n]} == {name}
    if isinstance(switch, PlaceFirst):
        assert {n for n in ANY if gloss(ANY[n], switch) != SAID[n]} == {name}
    if isinstance(switch, ObjectsTurned):
        assert gloss(ANY["prepositional"], switch) == "noun0 ditransitive0 to noun2 noun1"
    if isinstance(switch, Postpositions):
        assert gloss(ANY["prepositional"], switch) == "noun0 ditransitive0 noun1 noun2 to"


def test_the_two_switches_of_the_clause_give_four_orders_and_all_six_are_independent():
    orders = {(): "SVO", (SubjectLast(),): "VOS", (VerbLast(),): "SOV",
              (SubjectLast(), VerbLast()): "OVS"}  # fmt: skip
    for switches, order in orders.items():
        for some in (switches, switches[::-1]):
            assert Pair(some).languages(WORLD)[1] == Pair((Order(order),)).languages(WORLD)[1]
    subsets = itertools.chain.from_iterable(itertools.combinations(HEADS, n) for n in range(7))
    full = Say("saying0", Nominal("noun0", "adjective0", ("adposition0", "noun1"),
               ("transitive0", "noun2")), content=ANY["transitive"])  # fmt: skip
    assert len({gloss(full, *switches) for switches in subsets}) == 64


def test_with_every_knob_at_zero_the_twin_is_an_exact_clone():
    zero = (Names(1), Cognates(0), FalseFriends(0), Script("same"), Order("SVO"), FreeOrder(0))
    base, one, two = Family((zero, ())).languages(WORLD)
    assert base == one == two
    others = [*HEADS, *OURS, FreeOrder(0.1), PossessorFirst(), Case(2), Agreement(), Articles()]
    assert all(Pair((feature,)).languages(WORLD)[1] != base for feature in others)


def test_templates_are_frames_and_openers():
    fact, story = Fact("parent", "x0", "y0", "x0"), Story(Question("copy", ("noun0", "noun1")))
    chat, frames = Chat(Question("copy", ("noun0", "noun1"))), range(3)
    assert [gloss(fact, template=t) for t in frames] == [
        "parent of x0 is y0", "x0 , parent of it is y0", "x0 has parent y0"]  # fmt: skip
    assert [gloss(story, template=t) for t in frames] == [
        "copy of noun0 noun1 is noun0 noun1", "noun0 noun1 , copy of it is noun0 noun1",
        "noun0 noun1 has copy noun0 noun1"]  # fmt: skip
    assert [gloss(chat, template=t) for t in frames] == [
        "user copy noun0 noun1 assistant noun0 noun1",
        "user noun0 noun1 , copy it assistant noun0 noun1",
        "user copy of noun0 noun1 assistant noun0 noun1"]  # fmt: skip
    for meaning in (fact, story):
        assert gloss(meaning, template=7) == f"opener1 {gloss(meaning, template=1)}"
    assert gloss(chat, template=3) == "user opener0 copy noun0 noun1 assistant noun0 noun1"
    reverse = Fact("parent", "x0", "y0", "y0")
    assert gloss(reverse, Order("OVS"), template=2) == "parent y0 has x0"


@hypothesis.given(features(), facts(), st.data())
def test_the_focus_is_mentioned_first_in_every_wording(features, fact, data):
    both = speaker(Pair(features), WORLD)
    order = data.draw(st.sampled_from(both.languages[1].orders))
    leaves = both.leaves(fact, 1, Wording(data.draw(st.integers(0, 7)), order))
    entities = [x.concept for x in leaves if x.concept in (fact.subject, fact.object)]
    assert entities[0] == fact.focus and set(entities) == {fact.subject, fact.object}


def test_without_case_a_free_clause_keeps_its_subject_before_its_object():
    says = lambda *features: {
        gloss(ANY["transitive"], FreeOrder(), *features, order=order) for order in ORDERS
    }
    verb, pair = "transitive0", ("noun0", "noun1")
    assert says() == {
        " ".join(words) for words in ((verb, *pair), (pair[0], verb, pair[1]), (*pair, verb))
    }
    assert len(says(Case(2))) == 6
    assert Pair((FreeOrder(0.0),)).languages(WORLD)[1] == Pair().languages(WORLD)[1]


def test_the_other_half_of_a_parallel_document_is_in_its_own_order():
    both = speaker(Pair((FreeOrder(),)), WORLD)
    fact = Fact("parent", "x0", "y0", "x0")
    free = both.render(Parallel(fact, 0), 1, Wording(0, "VSO"))
    assert free == (*both.render(fact, 1, Wording(0, "VSO")), *both.render(fact, 0))


def test_verbs_agree_with_their_own_subjects_and_hops_mark_every_verb():
    both = speaker(Pair((Agreement("gender x number"), Case(4))), WORLD)
    say = Say("ditransitive0", Nominal("noun0", relative=("transitive0", "noun1")), b, c, True)
    said = [(x.concept, x.controller, x.role) for x in both.leaves(say, 1)]
    verb, relative = ("ditransitive0", "noun0", "verb"), ("transitive0", "noun0", "verb")
    assert [x for x in said if x[2] == "verb"] == [relative, verb]
    assert said[-2:] == [("noun2", None, "argument"), ("noun1", None, "object")]
    assert (
        gloss(ANY["content"], WordHop()) == "noun0 saying0 that noun1 transitive0 noun2 <sg> <sg>"
    )
    assert gloss(ANY["transitive"], TokenHop()) == "noun0 transitive0 noun1 <sg>"


def test_parse_rejects_sentences_of_another_grammar():
    both = speaker(Pair((VerbLast(), Postpositions(), AdjectiveLast())), WORLD)
    for name in ("transitive", "adjective", "place"):
        words = both.render(ANY[name], 0)
        with pytest.raises(ValueError, match="is no document in language 1"):
            both.parse(words, 1)
        assert both.parse(words, 0) == ANY[name]


def test_contradictions_are_refused_with_the_way_out():
    for switch in (SubjectLast(), VerbLast()):
        with pytest.raises(
            ValueError, match=f"{type(switch).__name__} contradicts Order; keep one"
        ):
            Pair((Order("VSO"), switch))
    with pytest.raises(ValueError, match="choose a verb of valency intransitive"):
        Say("transitive0", a)
    with pytest.raises(ValueError, match="has no recipient"):
        Say("transitive0", a, b, double=True)
    with pytest.raises(ValueError, match="choose one clause within another"):
        Say("saying0", a, content=Say("saying0", b, content=ANY["transitive"]))
    with pytest.raises(ValueError, match=r"probability=2 is not a share"):
        FreeOrder(2)
    with pytest.raises(ValueError, match="choose templates of 1 or more and held_out below it"):
        Vocabulary(templates=2, held_out=2)
    with pytest.raises(ValueError, match="verbs=-1"):
        Vocabulary(verbs=-1)
