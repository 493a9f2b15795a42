"""The impossible languages of Kallini et al. do what their names say, and can be undone."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from data import probe
from data.bench import DEFAULT
from data.contamination import contamination
from data.corpus import Corpus
from data.distance import distances
from data.feature import Agreement, Articles, Case, Lexicon, Names, Order, PossessorFirst
from data.impossible import (
    DeterministicShuffle,
    EvenOddShuffle,
    FullReverse,
    LocalShuffle,
    NoHop,
    NoReverse,
    NoShuffle,
    PartialReverse,
    TokenHop,
    WordHop,
)
from data.language import Leaf, Pair
from data.ledger import ledger
from data.meaning import Fact
from data.mixture import Mixture
from data.speaker import speaker
from data.task import LISTS
from data.task.context import InContext
from data.template import compile
from data.world import World

EVERY = (
    NoShuffle(),
    *(DeterministicShuffle(seed) for seed in (21, 57, 84)),
    *(LocalShuffle(window) for window in (3, 5, 10)),
    *(EvenOddShuffle(), NoReverse(), PartialReverse(), FullReverse()),
    *(NoHop(), TokenHop(), WordHop()),
)

WORLD = World(pairs=16, cities=4, nouns=10)
CORPUS = dataclasses.replace(DEFAULT, world=WORLD, ratio=0.8)
OTHERS = (
    Lexicon(0.3),
    Names(0.5),
    Order("OVS"),
    Order("SOV"),
    PossessorFirst(),
    Articles(),
    Case(4),
)


@st.composite
def pairs(draw):
    some = [feature for feature in OTHERS if draw(st.booleans())]
    if Order("OVS") in some and Order("SOV") in some:
        some.remove(Order("OVS"))
    return Pair((draw(st.sampled_from(EVERY)), *some))


def said(feature, words: str) -> str:
    """The perturbation of words, of which "is" is the verb and "are" the verb of several."""
    role = {"is": "verb", "are": "verb"}
    leaf = lambda w: Leaf("is" if w == "are" else w, 1, role=role.get(w, ""), plural=w == "are")
    leaves = feature.perturb([leaf(w) for w in words.split()], Leaf("", 1))
    return " ".join("are" if x.concept == "is" and x.plural else x.concept for x in leaves)


@hypothesis.settings(max_examples=30)
@hypothesis.given(pairs(), st.integers(0, 10**6))
def test_every_perturbation_can_be_undone_and_compiles(pair, i):
    corpus = dataclasses.replace(CORPUS, pair=pair)
    both, row = speaker(pair, WORLD), corpus.row(i)
    for m, (language, meaning) in enumerate(corpus.documents(i)):
        words = both.render(meaning, language)
        assert both.parse(words, language) == meaning
        tokens = row["tokens"][row["segments"] == m + 1][1:]
        assert corpus.tokenizer.decode(tokens).split() == list(words)


@hypothesis.given(pairs(), st.integers(0, 15), st.booleans())
def test_the_focus_is_mentioned_first_in_impossible_languages_too(pair, i, forward):
    both = speaker(pair, WORLD)
    relation, subject, object, _ = WORLD.fact(i)
    focus, other = (subject, object) if forward else (object, subject)
    order = [leaf.concept for leaf in both.leaves(Fact(relation, subject, object, focus), 1)]
    assert order.index(focus) < order.index(other)


def test_shuffles_and_reversals_are_those_of_the_paper():
    words = "a b c d e f g"
    assert said(NoShuffle(), words) == words
    assert said(EvenOddShuffle(), words) == "a c e g b d f"
    shuffled = said(DeterministicShuffle(), words).split()
    assert sorted(shuffled) == words.split() != shuffled
    other = said(DeterministicShuffle(), words.upper()).split()
    assert other == [w.upper() for w in shuffled], "one permutation for one length"
    assert said(DeterministicShuffle(57), words).split() != shuffled
    local = said(LocalShuffle(3), words).split()
    assert [sorted(local[i : i + 3]) for i in (0, 3, 6)] == [[*"abc"], [*"def"], ["g"]]
    first, second = local[:3], local[3:6]
    assert [ord(b) - ord(a) for a, b in zip(first, second, strict=True)] == [3, 3, 3]
    marked = said(NoReverse(), words).split()
    at = marked.index("<r>")
    assert [*marked[:at], *marked[at + 1 :]] == words.split()
    assert said(PartialReverse(), words).split() == marked[: at + 1] + marked[at + 1 :][::-1]
    assert said(FullReverse(), words).split() == marked[::-1]
    places = {said(NoReverse(), " ".join("abcdefghij"[:n])).index("<r>") for n in range(3, 11)}
    assert len(places) > 2


def test_hops_count_words_from_the_verb():
    assert said(NoHop(), "a is b c d e f") == "a is <sg> b c d e f"
    assert said(NoHop(), "a are b c d e f") == "a are <pl> b c d e f"
    assert said(TokenHop(), "a is b , c d e f") == "a is b , c d <sg> e f"
    assert said(WordHop(), "a is b , c d e f") == "a is b , c d e <sg> f"
    assert said(WordHop(), "a is b c") == said(TokenHop(), "a is b c") == "a is b c <sg>"
    assert said(TokenHop(), "a b ?") == "a b ?"


def test_token_and_word_hops_differ_only_where_a_mark_follows_the_verb():
    """What the module says of them: a reader of a null result between the two has to know it."""
    told = (*LISTS, InContext("child"))
    asked = lambda hop, tasks, *f: compile(Pair((hop(), *f)), World(16, 4, 6, tasks=tasks)).names
    assert asked(TokenHop, LISTS) == asked(WordHop, LISTS)
    assert asked(TokenHop, LISTS, Order("VSO")) != asked(WordHop, LISTS, Order("VSO"))
    assert asked(TokenHop, told) != asked(WordHop, told)
    assert "parent of x is y <sg>" in asked(TokenHop, LISTS), "an incomplete hop ends the document"


@pytest.mark.parametrize("feature", [DeterministicShuffle(), FullReverse(), WordHop()], ids=str)
def test_what_is_held_out_is_absent_and_what_is_counted_is_there(feature):
    corpus = dataclasses.replace(CORPUS, pair=Pair((Lexicon(0), Names(0), feature)))
    assert contamination(corpus, 0, 300).num_rows == 0
    found = contamination(corpus, 0, 100, cells=corpus.world.stated).num_rows
    assert found == sum(ledger(corpus, 0, 100)["exposures"].to_pylist())


def test_the_order_of_words_is_as_far_as_the_perturbation_moves_them():
    tau = {
        type(f).__name__: distances(dataclasses.replace(CORPUS, pair=Pair((f,))), rows=30)[
            "order (Kendall tau)"
        ]
        for f in (FullReverse(), EvenOddShuffle(), LocalShuffle(3), WordHop())
    }
    assert tau["FullReverse"] < tau["EvenOddShuffle"] < tau["WordHop"] == 1
    assert tau["FullReverse"] < tau["LocalShuffle"] < 1


def test_an_answer_before_its_question_is_refused_where_it_would_be_asked():
    reversed_ = Corpus(WORLD, Pair((FullReverse(),)))
    with pytest.raises(ValueError, match="says its answer before all that is given"):
        probe.tasks(reversed_, "chat")
    chat = Mixture(0, 0, 0, chat=1, dictionary=0)
    with pytest.raises(ValueError, match=r"loss='response', but .* choose loss='all'"):
        dataclasses.replace(reversed_, mixture=chat, loss="response")
    dataclasses.replace(reversed_, mixture=chat, loss="response", ratio=0).rows(0, 2)


def test_contradictions_and_empty_windows_are_refused():
    with pytest.raises(ValueError, match="keep one of the two"):
        Pair((EvenOddShuffle(), FullReverse()))
    with pytest.raises(ValueError, match="EvenOddShuffle contradicts Agreement"):
        Pair((EvenOddShuffle(), Agreement()))
    with pytest.raises(ValueError, match="nothing to shuffle"):
        LocalShuffle(1)
