"""Every knob turns what it names and nothing else; their order says nothing."""

import dataclasses
import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from data.bench import DEFAULT
from data.contamination import contamination
from data.corpus import Corpus
from data.distance import distances
from data.feature import (
    _CYRILLIC,
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
from data.language import Pair
from data.lexicon import MARKS, Phonology, inventory
from data.speaker import speaker
from data.task.form import Bracketed
from data.world import Vocabulary, World

WORLD = World(pairs=16, cities=4, nouns=10)
LEXICAL = (Lexicon(0.3), Names(0.5), Cognates(0.5), FalseFriends(0.3), Script("disjoint"))
SMALL = dataclasses.replace(DEFAULT, world=WORLD)


def forms(*features) -> tuple[dict[str, str], dict[str, str]]:
    return tuple(speaker(Pair(features), WORLD).form)


def distance(*features) -> dict[str, float]:
    return distances(dataclasses.replace(SMALL, pair=Pair(features)), rows=40)


ZERO = (Cognates(0), FalseFriends(0), Script("same"), Names(1), Case(0), Agreement("none"))


@pytest.mark.parametrize("zero", [*ZERO, Lexicon(1)], ids=str)
def test_a_knob_at_zero_changes_no_word_of_its_kind(zero):
    one, two = forms(zero)
    kinds = inventory(WORLD)
    spared = {*kinds["noun"], *kinds["x"], *kinds["y"], *kinds["city"]}
    assert all(one[c] == two[c] for c in (spared if zero == Lexicon(1) else one))
    if zero == Lexicon(1):
        words = [c for kind in ("relation", "task", "function") for c in kinds[kind]]
        assert all(one[c] != two[c] for c in words), "anchors are nouns alone"


@pytest.mark.parametrize("zero", ZERO, ids=str)
def test_a_twin_of_knobs_at_zero_is_a_clone(zero):
    base, twin = Pair((zero,)).languages(WORLD)
    assert base == twin
    assert Pair((zero, Articles())).languages(WORLD) == Pair((Articles(),)).languages(WORLD)


@hypothesis.given(st.permutations([*LEXICAL, Order("SOV"), PossessorFirst(), Punctuation()]))
def test_the_order_of_features_says_nothing(features):
    same = (*LEXICAL, Order("SOV"), PossessorFirst(), Punctuation())
    assert Pair(tuple(features)).languages(WORLD) == Pair(same).languages(WORLD)


def test_cognates_are_the_base_words_under_one_change_of_letters():
    one, two = forms(Lexicon(0.3), Cognates(0.5, consonants=1))
    kinds = inventory(WORLD)
    words = [*kinds["noun"], *kinds["relation"], *kinds["task"], *kinds["function"]]
    back = {new: old for old, new in Cognates(0.5, 1).change.items()}
    shared = [c for c in words if one[c] == two[c]]
    cognate = [c for c in words if c not in shared and two[c].translate(back) == one[c]]
    assert len(shared) == 3, "the anchors of Lexicon"
    assert len(cognate) == (len(words) - 3) // 2
    assert not {two[c] for c in cognate} & set(one.values())
    assert Cognates(1, 0).change.keys() == set(map(ord, "aeiouAEIOU"))


def test_false_friends_have_the_form_of_another_noun_and_no_name_has_one():
    one, two = forms(Lexicon(0.5), FalseFriends(0.4))
    meaning = {form: concept for concept, form in one.items()}
    false = {c: meaning[f] for c, f in two.items() if meaning.get(f, c) != c}
    assert len(false) == 4 and set(false) == set(false.values())
    assert all(concept.startswith("noun") for concept in false)


def test_a_disjoint_script_shares_letters_with_no_word_that_is_not_shared():
    one, two = forms(Lexicon(0.3), Names(0.5), Script("disjoint"))
    latin = set("".join(one.values()).lower())
    for concept in one:
        other = set(two[concept].lower())
        assert two[concept] == one[concept] or not other & latin, concept
    assert sum(one[c] == two[c] for c in one) > 10


def test_a_mapped_script_is_the_same_language_letter_for_letter():
    assert len(set(_CYRILLIC)) == len(_CYRILLIC)
    one, two = forms(Script("mapped"))
    same = {c for c in one if one[c] == two[c]}
    letters = {pair for c in {*one} - same for pair in zip(one[c], two[c], strict=True)}
    assert len({a for a, _ in letters}) == len({b for _, b in letters}) == len(letters)
    assert same == {*MARKS, "user", "assistant"}
    written = World(pairs=16, vocabulary=Vocabulary(numerals=True), tasks=(Bracketed(),))
    one, two = speaker(Pair((Script("mapped"),)), written).form
    assert {one[c] for c in one if one[c] == two[c]} == {*"?,()0123456789", "<u>", "<a>"}


def test_a_clone_has_every_form_of_its_own_and_the_same_grammar():
    one, two = Pair((Clone(),)).languages(WORLD)
    assert not set(one.forms) & set(two.forms)
    assert dataclasses.replace(two, forms=one.forms) == one
    parts = (Lexicon(0), Names(0), Punctuation(), ChatMarkers())
    assert Pair(parts).languages(WORLD) == (one, two)


def test_distances_react_to_each_knob_as_it_is_named():
    none, own = distance(), distance(Lexicon(0))
    cognates, friends = distance(Lexicon(0), Cognates(1)), distance(FalseFriends(1))
    tokens, types, edits = "overlap of tokens", "overlap of types", "edit distance"
    assert none[edits] < cognates[edits] < own[edits]
    assert cognates[tokens] == pytest.approx(own[tokens], abs=1e-9), "a cognate is no shared token"
    assert friends[types] > 0.9 and friends[edits] > 0
    assert distance(Clone())[types] == 0 < distance(Lexicon(0), Names(0))[types]
    assert distance(Script("mapped"))[tokens] < 0.2
    disjoint = (Lexicon(0.3), Names(0.5), Script("disjoint"))
    assert distance(*disjoint)[tokens] == pytest.approx(distance(*disjoint[:2])[tokens])
    assert distance(*disjoint)[edits] > distance(*disjoint[:2])[edits]
    bits = "inflection (bits)"
    assert distance(Case(4))[bits] > distance(Case(2))[bits] > own[bits] == 0
    assert distance(Agreement("gender x number"))[bits] > distance(Agreement())[bits] > 0
    assert distance(Articles())[tokens] < 1 and distance(Articles())[bits] == 0
    assert {d["order (Kendall tau)"] for d in (none, own, cognates, friends)} == {1}


@pytest.mark.parametrize("features", [LEXICAL, (Clone(), Cognates(0.5)), (Script("mapped"),)])
def test_held_out_statements_stay_absent_under_every_lexicon(features):
    features = (*features, PossessorFirst())
    assert contamination(dataclasses.replace(SMALL, pair=Pair(features)), 0, 500).num_rows == 0


def test_compiled_documents_are_what_is_rendered_under_every_lexicon():
    for corpus in (Corpus(WORLD, Pair(LEXICAL)), Corpus(WORLD, Pair((Clone(), Script("mapped"))))):
        both = speaker(corpus.pair, WORLD)
        for i in range(20):
            said = (both.render(meaning, language) for language, meaning in corpus.documents(i))
            words = [("<doc>", *document) for document in said]
            row = corpus.row(i)
            told = corpus.tokenizer.decode(row["tokens"][row["segments"] > 0])
            assert told.split() == list(itertools.chain(*words))


def test_contradictions_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="Clone contradicts Lexicon; keep one of the two"):
        Pair((Lexicon(0.3), Clone()))
    with pytest.raises(ValueError, match="FalseFriends contradicts Clone"):
        Pair((Clone(), FalseFriends()))
    with pytest.raises(ValueError, match=r"one noun, which has no other .* 0\.2 and more"):
        Pair((FalseFriends(0.1),)).languages(WORLD)
    with pytest.raises(ValueError, match="choose 'same', 'disjoint' or 'mapped'"):
        Script("latin")
    with pytest.raises(ValueError, match="cases=3: there are systems of 0, 2 and 4; choose one"):
        Case(3)
    with pytest.raises(ValueError, match=r"choose among \('none', 'number', 'gender x number'\)"):
        Agreement("gender")
    with pytest.raises(ValueError, match=r"consonants=2 is not a share"):
        Cognates(0.5, 2)


def test_letters_that_a_feature_cannot_change_are_refused_with_the_way_out():
    """They would be left as they are, and words shared that are said to differ."""
    for vowels, feature in (("y", Cognates(consonants=0)), ("é", Script("mapped"))):
        phonology = Phonology(vowels=vowels, syllables=4)
        with pytest.raises(ValueError, match="choose a Phonology"):
            Pair((Lexicon(0), feature), phonology=phonology).languages(WORLD)
