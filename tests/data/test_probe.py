"""Questions end where answers begin, in the words training uses, with the right slices."""

import dataclasses
import itertools

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
from data.meaning import Fact, Quiz
from data.mixture import Mixture
from data.relation import CLASSES, RELATIONS
from data.sample import label
from data.speaker import speaker
from data.task import LISTS, TASKS, held_out
from data.task.every import EVERY
from data.task.retrieval import Retrieve
from data.task.translate import Translate
from data.tokenizer import Character
from data.world import Group, World

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


@pytest.mark.parametrize("register", ["story", "quiz"])
@pytest.mark.parametrize(
    "features", [(), (Articles(),), (Case(4), Agreement("gender x number"), Articles())]
)
def test_the_other_answer_has_the_articles_and_cases_of_its_language(features, register):
    corpus = dataclasses.replace(WORDS, pair=Pair((Lexicon(0.3), *features)))
    questions = probe.tasks(corpus, register, items=4)
    n = len(questions.prompts) // 2
    np.testing.assert_array_equal(questions.other[:n], questions.answers[n:])
    np.testing.assert_array_equal(questions.other[n:], questions.answers[:n])


def test_where_a_question_names_its_language_the_other_answer_is_as_if_it_named_the_other():
    world = dataclasses.replace(SMALL, tasks=(Translate(),))
    corpus = Corpus(world, Pair((Lexicon(0), Order("SOV"), Articles())))
    questions = probe.tasks(corpus, "quiz", items=40)
    both, seen = speaker(corpus.pair, world), set()
    for i, language in enumerate(questions.slices["language"]):
        asked = parsed(corpus, whole(questions, i, questions.answers), language).question
        echoed = dataclasses.replace(
            asked, args=(f"language{int(language == 'L2')}", *asked.args[1:])
        )
        said = both.leaves(Quiz(echoed), int(language == "L2"))
        words = " ".join(both.word(leaf) for leaf in said if leaf.answer)
        other = questions.other[i]
        assert corpus.tokenizer.decode(other[other > 0]) == words
        seen.add(type(asked.args[1]))
    assert seen == {str, Fact}


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


def test_a_world_without_list_tasks_has_openers_too():
    world = dataclasses.replace(SMALL, tasks=(Retrieve("parent"), Retrieve("home")))
    corpus = Corpus(world, Pair((Lexicon(0), Names(0))), mixture=Mixture(stories=0, quiz=0.6))
    openers, forms = probe.tasks(corpus, "quiz", items=1).openers, speaker(corpus.pair, world).form
    for form, name in zip(forms, ("L1", "L2"), strict=True):
        said = {form[e] for kind in ("y", "city") for e in world.entities(kind)}
        assert {*corpus.tokenizer.decode(openers[f"answer {name}"]).split()} == said


def test_completions_of_real_text_keep_their_slices():
    questions = probe.completion([("ab", "c"), ("a", "bca")], Character("abc"), shuffled=False)
    assert questions.prompts.tolist() == [[0, 1, 2], [0, 0, 1]]
    assert questions.lengths.tolist() == [3, 2]
    assert questions.answers.tolist() == [[3, 0, 0], [2, 3, 1]]
    assert questions.table().column_names == ["shuffled"]


def test_other_seeds_ask_other_items_and_unknown_registers_are_refused():
    one, two = (probe.tasks(WORDS, "story", seed=seed) for seed in (0, 1))
    assert one.prompts.shape != two.prompts.shape or (one.prompts != two.prompts).any()
    with pytest.raises(ValueError, match="choose among"):
        probe.tasks(WORDS, "letter")


@pytest.mark.parametrize("examples", [None, 0, 1])
@pytest.mark.parametrize("shots", [1, 3])
def test_examples_are_answered_documents_of_the_same_task_and_none_is_held_out(shots, examples):
    corpus = dataclasses.replace(WORDS, T=128)
    questions, plain = (
        probe.tasks(corpus, "quiz", 3, shots=k, examples=examples) for k in (shots, 0)
    )
    both = speaker(TWIN, WORDS.world)
    mark = [corpus.tokenizer.encode(f" {form['question']}")[0] for form in both.form]
    for i in range(len(questions.prompts)):
        own = int(questions.slices["language"][i] == "L2")
        shown = own if examples is None else examples
        prompt = questions.prompts[i, -questions.lengths[i] :].tolist()
        asked = plain.prompts[i, -plain.lengths[i] + 1 :].tolist()
        begin = [p for p, token in enumerate(prompt) if token == 0]
        assert begin[0] == 0 and prompt[begin[-1] + 1 :] == asked
        assert len(begin) == shots + 1 and questions.slices["shots"][i] == shots
        for a, b in itertools.pairwise(begin):
            assert prompt[a:b].count(mark[shown]) == 1
            said = parsed(corpus, prompt[a:b], ("L1", "L2")[shown])
            assert said.question.task == questions.slices["task"][i]
            args = np.array([int(noun[4:]) for noun in (*said.question.args, *["noun0"] * 3)])[:4]
            task = np.array([TASKS.index(said.question.task)])
            assert not held_out(task, np.array([len(said.question.args)]), args[:, None]).any()
    np.testing.assert_array_equal(questions.answers, plain.answers)


def test_too_many_examples_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose fewer, or a corpus of longer rows"):
        probe.tasks(WORDS, "chat", items=1, shots=30)
    with pytest.raises(ValueError, match="choose 0 or more"):
        probe.tasks(WORDS, "chat", items=1, shots=-1)
    for language in (-1, 2):
        with pytest.raises(ValueError, match=r"is none of 2 languages; choose 0 to 1"):
            probe.tasks(WORDS, "chat", items=1, shots=1, examples=language)
    first = World(pairs=16, nouns=8, groups=(Group("all", ((0, 0),)),), tasks=(*LISTS, Retrieve()))
    with pytest.raises(ValueError, match=r"may not be asked in language 1, .* choose examples in"):
        probe.tasks(Corpus(first, TWIN), "quiz", items=1, shots=1, examples=1)


def test_every_task_is_asked_wherever_it_may_be_and_held_out_items_first():
    world = World(pairs=16, cities=6, nouns=8, relations=(*RELATIONS, *CLASSES), tasks=EVERY)
    corpus = dataclasses.replace(WORDS, world=world, T=128)
    for register in ("story", "quiz"):
        questions = probe.tasks(corpus, register, items=2, shots=1)
        asked = {*questions.slices["task"].tolist()}
        assert asked == {label(task) for task in EVERY if register in task.registers}
        both = speaker(TWIN, world)
        for i in range(0, len(questions.prompts), 5):
            language = questions.slices["language"][i]
            tokens = whole(questions, i, questions.answers)
            words = corpus.tokenizer.decode(tokens[1:]).split()
            opens = [p for p, w in enumerate(words) if w == both.form[language == "L2"]["question"]]
            if register == "quiz":
                assert both.parse(tuple(words[opens[-1] :]), int(language == "L2"))
        sort = questions.slices["task"] == "Sort()"
        assert questions.slices["held_out"][sort].all()
