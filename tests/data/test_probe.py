"""Questions end where answers begin, in the words training uses, with the right slices."""

import dataclasses

import numpy as np
import pytest

from data import probe
from data.corpus import Corpus
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
)
from data.language import Pair
from data.meaning import Fact
from data.speaker import speaker
from data.tokenizer import Character
from data.world import World

TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
FAR = Pair(
    (Lexicon(0), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), ChatMarkers()), seed=2
)
SMALL = World(pairs=16, cities=4, nouns=8)
WORDS = Corpus(World(), TWIN)
LETTERS = Character.of(" ".join(Corpus(SMALL, FAR).tables.words))
CORPORA = {
    "words": WORDS,
    "far": Corpus(SMALL, FAR),
    "inflected": Corpus(SMALL, Pair((*TWIN.features, Case(4), Agreement(), Articles()))),
    "letters": Corpus(SMALL, FAR, T=192, subword=LETTERS),
}


@pytest.fixture(params=CORPORA)
def corpus(request) -> Corpus:
    return CORPORA[request.param]


def whole(questions: probe.Probe, i: int, answers: np.ndarray) -> list[int]:
    """Prompt and answer as one document's tokens."""
    prompt = questions.prompts[i, -questions.lengths[i] :].tolist()
    assert not questions.prompts[i, : -questions.lengths[i]].any()
    return prompt + [t for t in answers[i].tolist() if t]


def parsed(corpus: Corpus, tokens: list[int], language: str):
    assert tokens[0] == 0
    words = tuple(corpus.tokenizer.decode(tokens[1:]).split())
    return speaker(corpus.pair, corpus.world).parse(words, int(language == "L2"))


def test_a_fact_and_its_answer_are_the_statement_of_the_fact(corpus):
    questions = probe.facts(corpus)
    slices = questions.slices
    assert len(questions.prompts) == corpus.world.pairs * 6
    for i in range(0, len(questions.prompts), 7):
        relation, subject, object, group = corpus.world.fact(slices["fact"][i])
        focus = subject if slices["direction"][i] == "forward" else object
        said = parsed(corpus, whole(questions, i, questions.answers), slices["language"][i])
        assert said == Fact(relation, subject, object, focus)
        assert (relation, group) == (slices["relation"][i], slices["group"][i])


def test_stated_slices_are_what_the_corpus_states():
    slices = probe.facts(WORDS).slices
    said = WORDS.provenance(0, 4000)
    seen = {
        *zip(*(said[k][said["kind"] == 0] for k in ("fact", "language", "direction")), strict=True)
    }
    for fact, language, direction, stated in zip(
        *(slices[k] for k in ("fact", "language", "direction", "stated")), strict=True
    ):
        assert ((fact, int(language == "L2"), int(direction == "reverse")) in seen) == stated


def test_the_gold_candidate_begins_the_answer_and_all_of_a_type_are_candidates(corpus):
    questions = probe.facts(corpus)
    size = {"x": corpus.world.pairs, "y": corpus.world.pairs, "city": corpus.world.cities}
    for i, name in enumerate(questions.slices["candidates"]):
        candidates = questions.candidates[name]
        assert len(np.unique(candidates, axis=0)) == len(candidates) == size[name.split()[0]]
        gold = [t for t in candidates[questions.gold[i]].tolist() if t]
        assert questions.answers[i, : len(gold)].tolist() == gold


def test_names_are_shared_by_half_of_every_group_and_ambiguous_only_then():
    slices = probe.facts(WORDS).slices
    parents = slices["relation"] == "parent"
    for group in np.unique(slices["group"]):
        own = slices["names"][parents & (slices["group"] == group)]
        assert (own == "shared").mean() == (own == "own").mean() == 0.5
    np.testing.assert_array_equal(
        slices["ambiguous"][parents], (slices["names"] == "shared")[parents]
    )


@pytest.mark.parametrize("register", ["story", "quiz", "chat"])
def test_a_task_is_answered_rightly_in_both_languages(corpus, register):
    questions = probe.tasks(corpus, register, items=4)
    slices, n = questions.slices, len(questions.prompts) // 2
    for i in range(2 * n):
        said = parsed(corpus, whole(questions, i, questions.answers), slices["language"][i])
        asked = said.question
        assert asked.task == slices["task"][i] and len(asked.args) == slices["arguments"][i]
        assert slices["held_out"][i] == (slices["arguments"][i] > 2)
        # The same items in both languages, and each the other's other answer (verb-final L2 apart).
        twin = parsed(corpus, whole(questions, (i + n) % (2 * n), questions.answers),
                      slices["language"][(i + n) % (2 * n)])  # fmt: skip
        assert twin == said
        same = questions.answers[i].tolist() == questions.other[i].tolist()
        assert slices["ambiguous"][i] == same


def test_the_other_answer_is_the_answer_of_the_other_language():
    questions = probe.tasks(WORDS, "quiz", items=4)
    n = len(questions.prompts) // 2
    np.testing.assert_array_equal(questions.other[:n], questions.answers[n:])
    np.testing.assert_array_equal(questions.other[n:], questions.answers[:n])
    assert 0 < questions.slices["ambiguous"].mean() < 0.5


def test_items_of_three_and_four_arguments_are_in_no_row():
    questions = probe.tasks(WORDS, "story", items=16)
    rows, stories = WORDS.rows(0, 6000)["tokens"], set()
    for i in np.nonzero(questions.slices["held_out"])[0]:
        stories.add(tuple(whole(questions, i, questions.answers)))
    assert len(stories) > 100
    lengths = {len(story) for story in stories}
    for length in lengths:
        for windows in np.lib.stride_tricks.sliding_window_view(rows, length, axis=1):
            starts = windows[windows[:, 0] == 0]
            assert stories.isdisjoint(map(tuple, starts.tolist()))


def test_openers_tell_an_answer_from_another_question():
    openers = probe.tasks(WORDS, "quiz", items=1).openers
    forms = speaker(TWIN, WORDS.world).form
    assert WORDS.tokenizer.decode(openers["question L2"]) == forms[1]["question"]
    assert len(openers["answer L1"]) == len(openers["answer L2"]) == 30
    assert len({*openers["answer L1"]} & {*openers["answer L2"]}) == 9


def test_a_fact_told_in_context_is_asked_of_facts_never_stated():
    questions = probe.in_context(WORDS)
    assert not questions.slices["stated"].any() and set(questions.slices["group"]) == {"G7"}
    tokens = whole(questions, 1, questions.answers)
    statement, query = tokens[1:6], tokens[6:]
    told, asked = (parsed(WORDS, [0, *part], "L1") for part in (statement, query))
    assert (told.subject, told.object) == (asked.subject, asked.object)
    assert told.focus != asked.focus
    with pytest.raises(ValueError, match=r"choose among \['G0'"):
        probe.in_context(WORDS, groups=("G9",))


def test_completions_of_real_text_keep_their_slices():
    questions = probe.completion([("ab", "c"), ("a", "bca")], Character("abc"), shuffled=False)
    assert questions.prompts.tolist() == [[0, 1, 2], [0, 0, 1]]
    assert questions.lengths.tolist() == [3, 2]
    assert questions.answers.tolist() == [[3, 0, 0], [2, 3, 1]]
    assert questions.table().column_names == ["shuffled"]


@pytest.mark.parametrize("order", ["OVS", "VOS", "OSV"])
def test_an_order_that_answers_before_it_is_asked_is_refused(order):
    corpus = Corpus(SMALL, Pair((Order(order), PossessorFirst())))
    with pytest.raises(ValueError, match="cannot be asked by completion"):
        probe.facts(corpus)
    probe.facts(dataclasses.replace(corpus, pair=Pair((Order(order),))))


def test_other_seeds_ask_other_items_and_unknown_registers_are_refused():
    one, two = (probe.tasks(WORDS, "story", seed=seed) for seed in (0, 1))
    assert one.prompts.shape != two.prompts.shape or (one.prompts != two.prompts).any()
    with pytest.raises(ValueError, match="choose among"):
        probe.tasks(WORDS, "letter")
