"""A pair says one answer twice, plainly and in marked words, and says no held-out item."""

import dataclasses

import numpy as np
import pytest

from data.corpus import Corpus
from data.feature import Articles, Case, Lexicon, Names, Order, PossessorFirst
from data.language import Pair
from data.mixture import Mixture
from data.preference import Preference
from data.speaker import speaker
from data.split import HeldOut
from data.task import LISTS, TASKS, Copy, held_out
from data.task.style import Marked
from data.tokenizer import Character
from data.world import World

WORLD = World(pairs=16, cities=4, nouns=8, tasks=(*LISTS, Marked()))
TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst(), Order("SOV"), Case(4), Articles()))
WORDS = Corpus(WORLD, TWIN)
LETTERS = dataclasses.replace(WORDS, T=192, subword=Character.of(" ".join(WORDS.tables.words)))
SPECS = [
    Preference(corpus, language, register)
    for corpus in (WORDS, LETTERS)
    for language in (0, 1)
    for register in ("chat", "story")
]


@pytest.mark.parametrize("pairs", SPECS)
def test_both_responses_answer_one_prompt_rightly_and_differ_in_their_style(pairs):
    both, tokenizer = speaker(TWIN, WORLD), pairs.corpus.tokenizer
    rows = pairs.rows(10, 40)
    for tokens, segments, prompt in zip(
        rows["tokens"], rows["segments"], rows["prompt"], strict=True
    ):
        assert (tokens[0, :prompt] == tokens[1, :prompt]).all()
        said = [
            both.parse(tuple(tokenizer.decode(side[own > 0][1:]).split()), pairs.language)
            for side, own in zip(tokens, segments, strict=True)
        ]
        assert [meaning.question.marked for meaning in said] == [False, True]
        assert dataclasses.replace(said[1].question, marked=False) == said[0].question


@pytest.mark.parametrize("pairs", SPECS)
def test_the_response_and_its_end_are_what_counts(pairs):
    rows = pairs.rows(0, 30)
    length = (rows["segments"] > 0).sum(2)
    place = np.arange(pairs.T)
    prompt = rows["prompt"][:, None, None]
    expected = (place >= prompt) & (place <= length[..., None])
    np.testing.assert_array_equal(rows["weights"], expected)
    assert rows["tokens"].dtype == np.int32 and rows["tokens"].shape == (30, 2, pairs.T)


def test_a_pair_is_a_function_of_its_number_and_the_spec():
    pairs = SPECS[0]
    rows = pairs.rows(5, 25)
    for i in (0, 19, 7):
        for name, value in pairs.row(5 + i).items():
            np.testing.assert_array_equal(rows[name][i], value)
    other = dataclasses.replace(pairs, seed=1).rows(5, 25)
    assert (rows["tokens"] != other["tokens"]).any()


def test_no_pair_and_no_marked_document_says_an_item_that_is_held_out():
    corpus = dataclasses.replace(WORDS, mixture=Mixture(0, 0.5, 0.5, answered=1, dictionary=0))
    both, pairs = speaker(TWIN, WORLD), SPECS[0]
    rows = pairs.rows(0, 400)
    questions = [
        both.parse(tuple(pairs.corpus.tokenizer.decode(t[s > 0][1:]).split()), 0).question
        for t, s in zip(rows["tokens"][:, 1], rows["segments"][:, 1], strict=True)
    ]
    drawn = (m.question for i in range(200) for _, m in corpus.documents(i))
    questions += [question for question in drawn if question.marked]
    assert len(questions) > 500
    for question in questions:
        args = np.array([int(noun[4:]) for noun in (*question.args, *["noun0"] * 3)])[:4]
        task, count = np.array([TASKS.index(question.task)]), np.array([len(question.args)])
        assert not held_out(task, count, args[:, None]).any()


def test_pairs_that_cannot_be_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"lacks Marked\(\); give it tasks="):
        Preference(Corpus(World(), Pair()))
    with pytest.raises(ValueError, match="choose among"):
        Preference(WORDS, register="statement")
    with pytest.raises(ValueError, match="language=2 is none of 2"):
        Preference(WORDS, language=2)
    silent = Mixture(held_out=(HeldOut(Copy(), register="chat", language=1),))
    apart = dataclasses.replace(WORDS, mixture=silent)
    assert Preference(apart, language=0) and Preference(apart, language=1, register="quiz")
    with pytest.raises(ValueError, match=r"Copy\(\) is held out of the chat of language 1; choose"):
        Preference(apart, language=1)
