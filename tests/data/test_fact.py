"""Facts are asked in the words training uses, in four formats, with the same options."""

import collections
import dataclasses
import functools

import numpy as np
import pytest

from data.corpus import Corpus
from data.fact import FORMATS, facts
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
from data.language import Pair, gender
from data.meaning import Fact, Question, Quiz, Story
from data.probe import Probe
from data.relation import CLASSES, RELATIONS, Symmetric
from data.speaker import speaker
from data.task.context import InContext
from data.task.every import EVERY
from data.task.retrieval import OPTIONS, Choose, Retrieve
from data.template import compile
from data.tokenizer import Character
from data.world import Vocabulary, World

TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
FAR = Pair(
    (Lexicon(0), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), ChatMarkers()), seed=2
)
SMALL = World(pairs=16, cities=4, nouns=8)
WORDS = Corpus(World(), TWIN)
LETTERS = Character.of(" ".join(Corpus(SMALL, FAR).tables.words))
ASKED = World(pairs=16, cities=6, nouns=8, relations=(*RELATIONS, *CLASSES), tasks=EVERY)
CORPORA = {
    "words": WORDS,
    "far": Corpus(SMALL, FAR),
    "inflected": Corpus(SMALL, Pair((*TWIN.features, Case(4), Agreement(), Articles()))),
    "letters": Corpus(SMALL, FAR, T=192, subword=LETTERS),
}


@pytest.fixture(params=CORPORA)
def corpus(request) -> Corpus:
    return CORPORA[request.param]


@functools.cache
def asked(format: str) -> Probe:
    return facts(ASKING, format)


ASKING = Corpus(ASKED, Pair((*TWIN.features, Case(4))), T=128)


def whole(questions: Probe, i: int, answers: np.ndarray) -> list[int]:
    """Prompt and answer as one document's tokens."""
    prompt = questions.prompts[i, -questions.lengths[i] :].tolist()
    return prompt + [t for t in answers[i].tolist() if t]


def parsed(corpus: Corpus, tokens: list[int], language: str):
    words = tuple(corpus.tokenizer.decode(tokens[1:]).split())
    return speaker(corpus.pair, corpus.world).parse(words, int(language == "L2"))


def test_a_fact_and_its_answer_are_the_statement_of_the_fact(corpus):
    questions = facts(corpus)
    slices = questions.slices
    assert len(questions.prompts) == corpus.world.pairs * 6
    for i in range(0, len(questions.prompts), 7):
        relation, subject, object, group = corpus.world.fact(slices["fact"][i])
        focus = subject if slices["direction"][i] == "forward" else object
        said = parsed(corpus, whole(questions, i, questions.answers), slices["language"][i])
        assert said == Fact(relation, subject, object, focus)
        assert (relation, group) == (slices["relation"][i], slices["group"][i])


def test_stated_slices_are_what_the_corpus_states():
    slices = facts(WORDS).slices
    said = WORDS.provenance(0, 4000)
    seen = {
        *zip(*(said[k][said["kind"] == 0] for k in ("fact", "language", "direction")), strict=True)
    }
    for fact, language, direction, stated in zip(
        *(slices[k] for k in ("fact", "language", "direction", "stated")), strict=True
    ):
        assert ((fact, int(language == "L2"), int(direction == "reverse")) in seen) == stated


def test_names_are_shared_by_half_of_every_group_and_ambiguous_only_then():
    slices = facts(WORDS).slices
    parents = slices["relation"] == "parent"
    for group in np.unique(slices["group"]):
        own = slices["names"][parents & (slices["group"] == group)]
        assert (own == "shared").mean() == (own == "own").mean() == 0.5
    np.testing.assert_array_equal(
        slices["ambiguous"][parents], (slices["names"] == "shared")[parents]
    )


@pytest.mark.parametrize("order", ["OVS", "VOS", "OSV"])
def test_an_order_that_answers_before_it_is_asked_is_refused(order):
    corpus = Corpus(SMALL, Pair((Order(order), PossessorFirst())))
    with pytest.raises(ValueError, match="cannot be asked by completion"):
        facts(corpus)
    facts(dataclasses.replace(corpus, pair=Pair((Order(order),))))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_asks_what_its_slices_say_and_is_rightly_answered(format):
    questions, slices = asked(format), asked(format).slices
    kinds = dict(completion=Fact, open=Quiz, choice=Quiz, context=Story)
    for i in range(0, len(questions.prompts), 11):
        said = parsed(ASKING, whole(questions, i, questions.answers), slices["language"][i])
        assert isinstance(said, kinds[format])
        relation, *ends, _ = ASKED.fact(slices["fact"][i])
        given = ends[slices["direction"][i] == "reverse"]
        if format == "completion":
            assert said == Fact(relation, *ends, given)
        elif format == "open":
            assert said.question.args == (given,)
        elif format == "choice":
            assert said.question.args[0] == Question(said.question.args[0].task, (given,))
            right = ends[slices["direction"][i] == "forward"]
            assert said.question.args[1 + slices["place"][i]] == right
        else:
            told = said.question.args[0]
            assert (told.subject, told.object) == tuple(ends) and said.question.args[1] == given
            assert told.focus == ends[slices["told"][i] == "reverse"]


def test_open_questions_choices_and_contexts_cover_every_fact_that_has_a_task():
    count = lambda format: collections.Counter(asked(format).slices["relation"].tolist())
    facts_of = collections.Counter(
        r for i in range(len(ASKED.facts.group)) for r in [ASKED.fact(i)[0]]
    )
    cells = {r.name: 2 * len(r.asked) * facts_of[r.name] for r in ASKED.relations}
    assert [*cells] == ["parent", "home", "class", "realm"]
    assert count("completion") == count("open") == cells
    less = lambda times, *names: {r: times * n for r, n in cells.items() if r not in names}
    assert count("choice") == less(OPTIONS, "realm"), "two realms are no four options"
    assert count("context") == less(2, "class", "realm"), "too few to be told what is false"


def test_tasks_without_room_for_a_relation_are_refused_with_the_way_out():
    world = lambda task: dataclasses.replace(ASKED, tasks=(task,))
    with pytest.raises(ValueError, match=r"2 realm are no 4 options; choose a relation of 4"):
        compile(TWIN, world(Choose(("realm",))))
    with pytest.raises(ValueError, match=r"4 class are too few .*; choose 6 or more"):
        compile(TWIN, world(InContext("class")))
    with pytest.raises(ValueError, match="a city has several x; ask the converse"):
        compile(TWIN, world(InContext("resident")))


@pytest.mark.parametrize("format", FORMATS)
def test_the_gold_option_is_the_answer_and_the_others_are_different_ones(format):
    questions = asked(format)
    rows = np.arange(len(questions.gold))
    gold = questions.options[rows, questions.gold]
    width = min(gold.shape[1], questions.answers.shape[1])
    np.testing.assert_array_equal(gold[:, :width], questions.answers[:, :width])
    for own in questions.options[::7]:
        there = own[own.any(1)]
        assert len(np.unique(there, axis=0)) == len(there) >= 2


@pytest.mark.parametrize("order", ["SOV", "OVS", "VOS"])
def test_options_are_worded_as_the_answer_is(order):
    world = dataclasses.replace(SMALL, vocabulary=Vocabulary(templates=3))
    corpus = Corpus(world, Pair((Lexicon(0.3), Order(order), Case(4))))
    for template in range(3):
        questions = facts(corpus, template=template)
        gold = questions.options[np.arange(len(questions.gold)), questions.gold]
        assert gold.shape == questions.answers.shape
        np.testing.assert_array_equal(gold, questions.answers)


def test_the_answer_is_in_every_place_equally_often_so_that_a_guess_is_right_once_in_four():
    gold = asked("choice").gold
    assert np.bincount(gold, minlength=OPTIONS).tolist() == [len(gold) // OPTIONS] * OPTIONS


def test_options_are_the_same_in_every_format_and_of_the_answers_length():
    def options(format: str, corpus: Corpus) -> dict:
        questions = facts(corpus, format)
        s, found = questions.slices, {}
        for i, own in enumerate(questions.options):
            cell = s["fact"][i], s["language"][i], s["direction"][i]
            text = frozenset(corpus.tokenizer.decode(o[o > 0]).split()[0] for o in own if o.any())
            found.setdefault(cell, set()).add(text)
        return found

    plain = dataclasses.replace(ASKING, pair=TWIN)
    completion = options("completion", plain)
    for format in ("open", "choice", "context"):
        for cell, own in options(format, plain).items():
            assert own == completion[cell] and len(own) == 1
    lengths = (facts(CORPORA["letters"]).options > 0).sum(2)
    assert (lengths == lengths[:, :1]).mean() > 0.95


def test_options_are_of_the_answer_s_group_and_in_as_many_languages():
    """Or a model that knows how often an entity answers, and no fact, would leave chance."""
    questions, world = facts(WORDS), WORDS.world
    said = [
        {WORDS.tokenizer.encode(f" {form[e]}")[0]: e for kind in "xy" for e in world.entities(kind)}
        for form in speaker(TWIN, world).form
    ]
    owners = {kind: world.owner(kind) % len(world.groups) for kind in "xy"}
    shared = lambda token: all(token in own for own in said)
    for i in np.flatnonzero(questions.slices["relation"] == "parent")[::7]:
        own = said[("L1", "L2").index(questions.slices["language"][i])]
        tokens = questions.options[i, :, 0].tolist()
        groups = {world.groups[owners[own[t][0]][int(own[t][1:])]].name for t in tokens}
        assert groups == {questions.slices["group"][i]}
        assert len({own[t][0] for t in tokens}) == 1 and len(set(tokens)) == OPTIONS
        assert len({shared(t) for t in tokens}) == 1


def test_a_symmetric_fact_is_asked_from_one_end_and_no_option_is_who_is_given():
    opposite = Symmetric("opposite", "opposite", "noun", "noun")
    tasks = (Retrieve("opposite"), InContext("opposite"))
    world = World(pairs=16, nouns=16, relations=(*RELATIONS, opposite), tasks=tasks)
    corpus = Corpus(world, Pair((Articles(), Agreement("gender x number"))), T=96)
    both = speaker(corpus.pair, world)
    concept = {form: concept for concept, form in both.form[1].items()}
    for format, directions in (("open", {"forward"}), ("context", {"forward"})):
        slices = facts(corpus, format).slices
        assert {*slices["direction"]} == directions and {*slices["relation"]} == {"opposite"}
    for format in ("completion", "open"):
        questions = facts(corpus, format)
        for i in np.flatnonzero(questions.slices["relation"] == "opposite"):
            given = corpus.tokenizer.decode(questions.prompts[i]).split()
            for option in questions.options[i]:
                *article, noun = corpus.tokenizer.decode(option[option > 0]).split()
                assert noun not in given
                if article:
                    assert article == [("lo", "la")[gender(concept[noun])]], "the option's gender"


def test_formats_without_a_task_or_a_name_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="no task of the world asks this"):
        facts(WORDS, "choice")
    with pytest.raises(ValueError, match="choose among completion, open, choice, context"):
        facts(WORDS, "essay")
    for groups in (("G9",), ()):
        with pytest.raises(ValueError, match=r"choose among \['G0'"):
            facts(WORDS, groups=groups)
    assert {*facts(WORDS, groups=("G7",)).slices["group"]} == {"G7"}
