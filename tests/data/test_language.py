"""Meanings survive being said, in every language the features can make."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Clone,
    Cognates,
    FalseFriends,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
    Script,
)
from data.language import Pair, Phonology, gender, inventory
from data.meaning import Chat, Dictionary, Fact, Question, Quiz, Story
from data.speaker import speaker
from data.task import TASKS
from data.world import RELATIONS, World

WORLD = World(pairs=16, cities=4, nouns=10)
ORDERS = ("SVO", "SOV", "VSO", "VOS", "OVS", "OSV")
SHARES = st.sampled_from([0.0, 0.3, 0.5, 1.0])

NOT_WITH_CLONE = {*Clone.excludes, "FalseFriends"}


@st.composite
def pairs(draw):
    some = [
        Lexicon(draw(SHARES)),
        Names(draw(SHARES)),
        Order(draw(st.sampled_from(ORDERS))),
        PossessorFirst(),
        Punctuation(),
        ChatMarkers(),
        Cognates(draw(SHARES), draw(SHARES)),
        FalseFriends(draw(SHARES)),
        Script(draw(st.sampled_from(["same", "disjoint", "mapped"]))),
        Clone(),
        Case(draw(st.sampled_from([2, 4]))),
        Agreement(draw(st.sampled_from(["number", "gender x number"]))),
        Articles(),
    ]
    chosen = [feature for feature in some if draw(st.booleans())]
    if Clone() in chosen:
        chosen = [feature for feature in chosen if type(feature).__name__ not in NOT_WITH_CLONE]
    return Pair(tuple(draw(st.permutations(chosen))), seed=draw(st.integers(0, 3)))


nouns = st.sampled_from(WORLD.entities("noun"))
questions = st.builds(
    Question, st.sampled_from(TASKS), st.lists(nouns, min_size=1, max_size=5).map(tuple)
)


@st.composite
def facts(draw):
    relation = draw(st.sampled_from(RELATIONS))
    subject = draw(st.sampled_from(WORLD.entities(relation.subject)))
    object = draw(st.sampled_from(WORLD.entities(relation.object)))
    return Fact(relation.name, subject, object, draw(st.sampled_from([subject, object])))


def meanings(language):
    concepts = st.lists(nouns, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        facts(),
        st.builds(Story, questions),
        st.builds(Chat, questions),
        st.builds(Quiz, questions, st.none() | questions),
        st.builds(Dictionary, concepts, st.just(1 - language)),
    )


@hypothesis.settings(max_examples=200)
@hypothesis.given(pairs(), st.data(), st.sampled_from([0, 1]))
def test_parse_returns_the_meaning_that_was_rendered(pair, data, language):
    both = speaker(pair, WORLD)
    meaning = data.draw(meanings(language))
    assert both.parse(both.render(meaning, language), language) == meaning


@hypothesis.given(pairs(), facts())
def test_the_focus_is_mentioned_first_in_every_word_order(pair, fact):
    both = speaker(pair, WORLD)
    other = fact.object if fact.focus == fact.subject else fact.subject
    for language in (0, 1):
        said = [leaf.concept for leaf in both.leaves(fact, language)]
        assert said.index(fact.focus) < said.index(other)


SAID = {
    "SVO": ("parent of x0 is y0", "copy of noun0 noun1 is noun0 noun1", "x0 of parent is y0"),
    "SOV": ("parent of x0 y0 is", "copy of noun0 noun1 , noun0 noun1 is", "x0 of parent y0 is"),
    "VSO": ("is parent of x0 y0", "is copy of noun0 noun1 , noun0 noun1", "is x0 of parent y0"),
    "VOS": ("is x0 child of y0", "is copy of noun0 noun1 , noun0 noun1", "is x0 y0 of child"),
    "OVS": ("x0 is child of y0", "copy of noun0 noun1 is noun0 noun1", "x0 is y0 of child"),
    "OSV": ("x0 child of y0 is", "copy of noun0 noun1 , noun0 noun1 is", "x0 y0 of child is"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_says_a_fact_and_a_story_as_its_grammar_does(order):
    """Object-first orders turn to the converse relation, so that the focus stays first."""
    fact = Fact("parent", "x0", "y0", focus="x0")
    story = Story(Question("copy", ("noun0", "noun1")))
    said = []
    for meaning, features in ((fact, ()), (story, ()), (fact, (PossessorFirst(),))):
        both = speaker(Pair((Order(order), *features)), WORLD)
        said.append(" ".join(leaf.concept for leaf in both.leaves(meaning, 1)))
    assert tuple(said) == SAID[order]


@hypothesis.given(pairs(), st.data(), st.sampled_from([0, 1]))
def test_parse_rejects_what_the_grammar_cannot_say(pair, data, language):
    """A word lost at either end leaves no document, and a wrong answer is no story."""
    both = speaker(pair, WORLD)
    words = both.render(data.draw(facts()), language)
    for wrong in (words[1:], words[:-1], (), ("nonsense", *words[1:])):
        with pytest.raises(ValueError, match="is no document in language"):
            both.parse(wrong, language)


RICH = (Case(4), Agreement("gender x number"), Articles())
GLOSSED = {
    "SVO": "the parent of x0-s is-G y0-n",
    "VOS": "is-G x0-n the child of y0-s",
    "SOV": "the parent of x0-s y0-n is-G",
}


@pytest.mark.parametrize("order", GLOSSED)
def test_case_agreement_and_articles_are_where_the_grammar_has_them(order):
    both = speaker(Pair((Order(order), *RICH)), WORLD)
    fact = Fact("parent", "x0", "y0", focus="x0")
    form, shown = both.form[1], {0: "", 1: "l"}[gender("x0")]
    said = []
    for word in GLOSSED[order].split():
        stem, _, suffix = word.partition("-")
        article = ("lo", "la")[gender(said_of(GLOSSED[order]))]
        said.append(article if stem == "the" else form[stem] + suffix.replace("G", shown))
    assert both.render(fact, 1) == tuple(said)


def said_of(gloss: str) -> str:
    words = gloss.split()
    return words[words.index("the") + 1]


def test_a_verb_is_plural_when_its_clause_is_about_several():
    both = speaker(Pair((Agreement("number"), Articles())), WORLD)
    form = both.form[1]
    told = lambda *args: " ".join(both.render(Story(Question("first", args)), 1))
    verb, noun = form["is"], form["noun1"]
    assert told("noun1") == f"{form['first']} {form['of']} lo {noun} {verb} lo {noun}"
    assert f" {verb}m lo {noun}" in told("noun1", "noun2")


def test_a_verb_shows_the_gender_of_the_first_of_several_and_never_the_answers():
    both = speaker(Pair((Agreement("gender x number"),)), WORLD)
    one, two = (next(n for n in WORLD.entities("noun") if gender(n) == g) for g in (0, 1))
    verb = both.form[1]["is"]
    assert f"{verb}m" in both.render(Story(Question("last", (one, two))), 1)
    assert f"{verb}r" in both.render(Story(Question("last", (two, one))), 1)
    for order in ORDERS:
        leaves = speaker(Pair((Order(order), *RICH)), WORLD).leaves
        for focus in ("x0", "y0"):
            said = leaves(Fact("parent", "x0", "y0", focus), 1)
            assert [x.controller for x in said if x.concept == "is"] == [focus]


def test_parse_rejects_a_wrong_case_a_wrong_agreement_and_a_missing_article():
    both = speaker(Pair(RICH), WORLD)
    words = both.render(Fact("parent", "x0", "y0", focus="x0"), 1)
    bare = both.form[1]
    for place, wrong in ((3, bare["x0"]), (5, bare["y0"] + "k"), (4, bare["is"] + "m"), (0, "?")):
        spoiled = (*words[:place], wrong, *words[place + 1 :])
        with pytest.raises(ValueError, match="is no document"):
            both.parse(spoiled, 1)
    with pytest.raises(ValueError, match="is no document"):
        both.parse(words[1:], 1)


def test_genders_are_about_equal_and_of_no_group():
    world = World()
    groups = [[gender(f"x{i}") for i in range(g, world.pairs, 8)] for g in range(8)]
    assert all(2 <= sum(group) <= len(group) - 2 for group in groups)


def test_parse_rejects_a_wrong_answer_and_an_argument_of_the_wrong_kind():
    both = speaker(Pair(), WORLD)
    told = list(both.render(Story(Question("swap", ("noun1", "noun2", "noun3"))), 0))
    told[-1], told[-2] = told[-2], told[-1]
    with pytest.raises(ValueError, match="is no document"):
        both.parse(tuple(told), 0)
    with pytest.raises(ValueError, match="is no document"):
        both.parse(both.render(Chat(Question("first", ("city1", "city2"))), 0), 0)


def test_without_features_the_twin_is_an_exact_clone():
    one, two = Pair(seed=3).languages(WORLD)
    assert one == two


@hypothesis.given(SHARES, SHARES, st.integers(0, 5))
def test_counts_of_shared_words_are_exact_and_no_seed_changes_the_vocabulary(o, s, seed):
    world = World(pairs=80, cities=10, nouns=10, seed=seed)
    both = speaker(Pair((Lexicon(o), Names(s)), seed=seed), world)
    same = {c for c in both.kind if both.form[0][c] == both.form[1][c]}
    kinds = inventory(world)
    assert len(same & set(kinds["noun"])) == round(o * 10)
    assert len(same & set(kinds["city"])) == int(s * 10)
    for group in range(8):
        facts = [i for i in range(80) if world.facts.group[i] == group]
        pairs = [world.fact(i)[1:3] for i in facts]
        assert sum(x in same for x, _ in pairs) == int(s * 10)
        assert all((x in same) == (y in same) for x, y in pairs)
    assert not same & {*kinds["relation"], *kinds["task"], *kinds["function"]}
    assert {*kinds["mark"], *kinds["chat"]} <= same


@pytest.mark.parametrize("features", [(), (Lexicon(0.0), Names(0.0), Punctuation(), ChatMarkers())])
def test_a_form_means_one_thing_over_both_languages(features):
    """Two concepts never share a form, within a language or across, so a token has one reading."""
    both = speaker(Pair(features), World())
    concepts = {}
    for forms in both.form:
        for concept, form in forms.items():
            assert concepts.setdefault(form, concept) == concept
    assert len(concepts) == len(both.kind) * (2 if features else 1)


def test_impossible_pairs_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="syllables=3"):
        Pair(phonology=Phonology(syllables=2)).languages(World(pairs=4000))
    with pytest.raises(ValueError, match=r"overlap=1\.5 is not a share"):
        Lexicon(1.5)
    with pytest.raises(ValueError, match="choose one of SVO, SOV"):
        Order("SVX")
    with pytest.raises(ValueError, match="name one kind twice"):
        Pair((Order("SVO"), Order("SOV")))
    with pytest.raises(ValueError, match="systems of 0, 2 and 4; choose one"):
        Case(3)
    with pytest.raises(ValueError, match=r"choose among \('none', 'number', 'gender x number'\)"):
        Agreement("gender")
    world, short = World(pairs=8, cities=2, nouns=6), Phonology(syllables=1)
    pairs = (Pair((Articles(),), seed, short) for seed in itertools.count())
    clash = next(pair for pair in pairs if "lo" in pair.languages(world)[0].forms)
    with pytest.raises(ValueError, match=r"'lo' would mean .* choose another phonology"):
        speaker(clash, world)
    for tag in ("two words", "", "<doc>"):
        with pytest.raises(ValueError, match="choose a word without spaces"):
            Pair(tagged=tag)
    for letters in ("", "bb", "b d", "bB", "b<"):
        with pytest.raises(ValueError, match="choose small letters, each once"):
            Phonology(consonants=letters)
    with pytest.raises(ValueError, match="neither the subject"):
        Fact("parent", "x0", "y0", focus="x1")
