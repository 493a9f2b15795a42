"""Every family answers rightly, draws what its reference answers, and is parsed back everywhere."""

import collections
import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from data.contamination import contamination
from data.corpus import Corpus
from data.draw import Draws
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
from data.meaning import Chat, Fact, Question, Quiz, Slot, Story, replace_slots
from data.mixture import Mixture
from data.relation import CLASSES, RELATIONS, SPOUSE, Attribute
from data.sample import drawn_questions
from data.search import statements
from data.speaker import speaker
from data.task import ARITIES, LISTS, SAID, TASKS, Copy, Positional, Task, held_out
from data.task.context import Boxes, InContext
from data.task.every import EVERY
from data.task.form import AtMost, Bracketed, Ending, Respond, Twice
from data.task.listing import Filter
from data.task.retrieval import OPTIONS, Choose, Hop, Retrieve
from data.task.style import Marked
from data.task.translate import Translate
from data.template import concept_ids
from data.world import World

WORLD = World(pairs=16, cities=6, nouns=8, relations=(*RELATIONS, *CLASSES), tasks=EVERY)
NAMES = tuple(concept_ids(WORLD))
COMPUTED = [task for task in EVERY if not isinstance(task, Positional)]
REGISTERS = {"story": Story, "quiz": Quiz, "chat": Chat}
PARENT = dict(zip(*(WORLD.facts[i][:16].tolist() for i in (1, 2)), strict=True))


def drawn(task: Task, n: int, language: int = 0, seed: int = 0):
    """n questions of a task, and what the sampler would say they are answered by."""
    draws = Draws(np.arange(n) + 1_000_003 * seed)
    items = task.draw(WORLD, concept_ids(WORLD), draws, np.full(n, language))
    shapes = [*task.shapes(WORLD, ARITIES)]
    for i in range(n):
        shape = shapes[items.shape[i]]

        def of(slot: Slot, i=i) -> str:
            row = items.args if slot.index < SAID else items.said
            return NAMES[row[slot.index % SAID, i]]

        filled = replace_slots(shape, of)
        yield Question(filled.task, filled.args, filled.marked), filled.said


def ask(task: str, *args, marked: bool = False) -> tuple:
    question = Question(task, args, marked)
    (owner,) = (one for one in EVERY if one.takes(question))
    return owner.answer(WORLD, question)


def of(text: str) -> tuple[str, ...]:
    return tuple(f"noun{i}" for i in text)


@pytest.mark.parametrize(
    ("answer", "task", "args"),
    [
        (of("6"), "kth", ("numeral2", *of("561"))),
        (of("024"), "sort", of("420")),
        (of("31"), "dedup", of("3313")),
        (("numeral2",), "count", of("3331")),
        (("even",), "parity", of("3331")),
        (("odd",), "parity", of("3331"[1:])),
        (of("212"), "rewrite", of("31232")),
        (of("1212"), "twice", (Question("copy", of("12")),)),
        (("(", *of("21"), ")"), "bracketed", (Question("reverse", of("12")),)),
        (of("217"), "ending", ("noun7", Question("swap", of("12")))),
        (of("12"), "atmost", ("numeral2", Question("dup", of("123")))),
        (of("1"), "atmost", ("numeral3", Question("first", of("123")))),
        (of("21"), "respond", ("language1", Question("reverse", of("12")))),
        (of("12"), "translate", ("language1", *of("12"))),
        (("unknown",), "parent", ("stranger3",)),
        ((f"y{PARENT[2]}",), "parent", ("x2",)),
        (("x2",), "child", (f"y{PARENT[2]}",)),
        ((f"city{WORLD.facts.object[18]}",), "home", ("x2",)),
        ((f"city{WORLD.facts.object[18]}",), "home", (Question("child", (f"y{PARENT[2]}",)),)),
        ((f"class{WORLD.objects('class')[5]}",), "class", ("noun5",)),
        (("x2",), "choose", (Question("child", (f"y{PARENT[2]}",)), "x1", "x2", "x3", "x4")),
        ((), "choose", (Question("child", (f"y{PARENT[2]}",)), "x1", "x5", "x3", "x4")),
        (("y3",), "parent", (Fact("parent", "x1", "y3", "x1"), "x1")),
        (("x1",), "child", (Fact("parent", "x1", "y3", "y3"), Fact("parent", "x2", "y4", "x2"),
                            "y3")),
        ((), "child", (Fact("parent", "x1", "y3", "y3"), "y4")),
        (("box2",), "container", (Fact("content", "box1", "noun3", "box1"),
                                  Fact("content", "box2", "noun3", "noun3"), "noun3")),
    ],
)  # fmt: skip
def test_a_family_answers_as_its_name_says(answer, task, args):
    assert ask(task, *args) == answer


def test_a_class_filters_a_list_and_marked_words_answer_a_marked_question():
    of_class = WORLD.objects("class")
    wanted = tuple(f"noun{i}" for i in range(8) if of_class[i] == of_class[0])
    assert ask("filter", f"class{of_class[0]}", *WORLD.entities("noun")) == wanted
    assert ask("swap", "noun1", "noun2", marked=True) == ("marked2", "marked1")


@pytest.mark.parametrize("task", COMPUTED, ids=repr)
@pytest.mark.parametrize("language", [0, 1])
def test_what_is_drawn_is_what_the_reference_answers(task, language):
    seen = set()
    for question, said in drawn(task, 600, language):
        assert task.takes(question)
        right = task.answer(WORLD, question)
        assert right and right == (said if said is not None else right)
        seen.add(question)
    least = 1 if task == Retrieve("realm") else 3  # L2 is told of two classes
    assert len(seen) > least, "not one and the same again and again"


@pytest.mark.parametrize("language", [0, 1])
def test_a_filter_tells_the_classes_of_nouns_that_are_stated_there_alone(language):
    """What an answer tells of a list is no statement, so no search would find it."""
    facts = np.flatnonzero(WORLD.facts.relation == WORLD.relations.index(CLASSES[0]))
    stated = {f"noun{WORLD.facts.subject[f]}" for f in facts if WORLD.stated[f, language].any()}
    asked = {noun for q, _ in drawn(Filter(), 600, language) for noun in q.args[1:]}
    assert asked == stated != {*WORLD.entities("noun")}
    few = World(nouns=6, pairs=8, relations=WORLD.relations, tasks=EVERY)
    assert [Filter().may(few, i) for i in (0, 1)] == [True, False]


def test_what_a_question_tells_of_a_symmetric_relation_is_true_of_nobody():
    world = World(pairs=16, nouns=8, relations=(*RELATIONS, SPOUSE))
    ids, spouse = concept_ids(world), world.objects("spouse") + concept_ids(world)["x0"]
    for task in (Translate(), InContext("spouse")):
        items = task.draw(world, ids, Draws(np.arange(4000)), np.zeros(4000, np.int64))
        shapes, told = [*task.shapes(world, ARITIES)], 0
        for i in range(4000):
            persons = []
            for fact in shapes[items.shape[i]].args:
                if isinstance(fact, Fact) and fact.relation == "spouse":
                    one, two = (items.args[end.index, i] for end in (fact.subject, fact.object))
                    assert spouse[one - ids["x0"]] != two
                    told += 1
                    persons += [one, two]
            if isinstance(task, InContext):
                assert len({*persons}) == len(persons), "or one question would have two answers"
        assert told > 200


def test_what_is_told_of_a_symmetric_relation_is_parsed():
    tasks = (Translate(), InContext("spouse"), Retrieve("spouse"))
    world = World(pairs=16, nouns=8, relations=(*RELATIONS, SPOUSE), tasks=tasks)
    both = speaker(Pair((Lexicon(0.3),)), world)
    told = lambda arg: isinstance(arg, Fact) and arg.relation == "spouse"
    for task in tasks[:2]:
        asked = [
            Quiz(q) for q, _ in drawn_questions(world, task, 99, 0, 0) if any(map(told, q.args))
        ]
        for meaning in asked[:3]:
            assert both.parse(both.render(meaning, 0), 0) == meaning
        assert len(asked) > 3


def test_options_are_different_ones_also_where_there_are_just_enough():
    (task,) = (task for task in EVERY if isinstance(task, Choose))
    asked = [question.args for question, _ in drawn(task, 600)]
    assert WORLD.kinds["class"] == OPTIONS, "all classes are options, in any order"
    assert all(len({*options}) == OPTIONS for _, *options in asked)
    classes = [options for fact, *options in asked if fact.task == "class"]
    assert {*map(frozenset, classes)} == {frozenset(WORLD.entities("class"))}
    assert len({*map(tuple, classes)}) == 24


def test_a_question_is_of_one_task_alone():
    for task in EVERY:
        for question in task.shapes(WORLD, ARITIES):
            assert [one for one in EVERY if one.takes(question)] == [task]


FEATURES = (
    Lexicon(0.3), Names(0.5), PossessorFirst(), Punctuation(), ChatMarkers(), Case(4), Articles(),
    Agreement("gender x number"),
)  # fmt: skip
ORDERS = st.sampled_from(("SVO", "SOV", "VSO", "VOS", "OVS", "OSV"))


@hypothesis.settings(max_examples=75)
@hypothesis.given(
    st.sets(st.sampled_from(FEATURES)), ORDERS, st.sampled_from(COMPUTED), st.integers(0, 99),
    st.sampled_from([0, 1]),
)  # fmt: skip
def test_parse_returns_every_question_in_every_register(features, order, task, seed, language):
    both = speaker(Pair((*features, Order(order))), WORLD)
    for question, _ in drawn(task, 1, language, seed):
        for register in task.registers:
            meaning = REGISTERS[register](question)
            assert both.parse(both.render(meaning, language), language) == meaning


def test_two_open_questions_are_parsed():
    both = speaker(Pair((Lexicon(0.3), Order("SOV"), Articles())), WORLD)
    chosen = [next(drawn(task, 1))[0] for task in COMPUTED if task.followed][::4]
    for first in chosen:
        for second in chosen:
            meaning = Quiz(Question(first.task, first.args), Question(second.task, second.args))
            assert both.parse(both.render(meaning, 1), 1) == meaning


def test_a_wrong_answer_is_no_document():
    both = speaker(Pair(), WORLD)
    words = both.render(Quiz(Question("sort", ("noun4", "noun2", "noun0"))), 0)
    assert both.parse(words, 0)
    with pytest.raises(ValueError, match="is no document"):
        both.parse((*words[:-2], words[-1], words[-2]), 0)


def test_what_is_no_noun_and_no_name_has_no_case():
    """Digits and brackets had one where they were a clause's object: "1n", "(n ... )n"."""
    both = speaker(Pair((Case(4), Order("SOV"))), WORLD)
    copied = Question("bracketed", (Question("copy", of("12")),))
    for question in (Question("count", of("3331")), Question("parity", of("3331")), copied):
        for register in (Story, Quiz):
            leaves = both.leaves(register(question), 1)
            said = {x.concept: both.word(x) for x in leaves if both.kind[x.concept] in _CITED}
            assert said and said == {concept: both.form[1][concept] for concept in said}


_CITED = ("numeral", "bracket", "parity")


def test_no_item_that_is_kept_of_a_list_task_is_answered_within_another_question():
    """Guards against `respond L1 copy a b c` telling what `copy a b c` is asked for."""
    forms = (Twice(), Bracketed(), Ending(), AtMost(), Respond(), Marked())
    world, mixture = dataclasses.replace(WORLD, tasks=(*LISTS, *forms)), Mixture(0, 0.5, 0.5)
    corpus, asked = Corpus(world, Pair(), T=512, mixture=mixture), collections.Counter()
    for i in range(20):
        for _, meaning in corpus.documents(i):
            if question := getattr(meaning, "question", None):
                whole = question
                if isinstance(question.args[-1], Question):
                    (*_, question) = question.args
                args = np.array([int(noun[4:]) for noun in (*question.args, *["noun0"] * 4)])[:4]
                task, n = np.array([TASKS.index(question.task)]), np.array([len(question.args)])
                assert not held_out(task, n, args[:, None]).any(), whole
                asked[whole.task] += 1
    assert min(asked[form.name] for form in forms[:5]) > 10


TOLD = (Attribute("class", "member", "noun", "class", values=2),
        Attribute("realm", "part", "class", "realm", values=6))  # fmt: skip
BAD = {
    "a path that does not meet": (Hop("home", "parent"), {}, "leads to a y, .* choose two that"),
    "a filter of persons": (Filter("home", "city"), {}, "choose a relation of nouns"),
    "options of one's own": (Choose(("spouse",)), {"relations": (*RELATIONS, SPOUSE)}, "symmetric"),
    "nouns that are none": (Translate(nouns=9), {}, "the world has 8 nouns and not 9"),
    "two who are told of": (InContext("realm"), {"relations": TOLD}, "2 class are too few"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_task_that_does_not_fit_the_world_is_refused_with_the_way_out(case):
    task, fields, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Corpus(World(pairs=16, cities=6, nouns=8, tasks=(task,), **fields), Pair())


def test_a_task_that_cannot_be_is_refused_with_the_way_out():
    for make, message in (
        (lambda: Boxes(boxes=1), "boxes=1 .* choose 2 or more"),
        (lambda: Retrieve(strangers=-1), "strangers=-1"),
        (lambda: Respond(languages=0), "languages=0"),
        (lambda: Translate(languages=1), "languages=1 .* choose 2 or more"),
        (lambda: Choose(()), "one relation or more"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_third_language_translates_into_each_of_the_two_that_are_named():
    targets = lambda language: {
        question.args[0] for question, _ in drawn(Translate(), 50, language=language)
    }
    assert [targets(i) for i in range(3)] == [
        {"language1"}, {"language0"}, {"language0", "language1"}]  # fmt: skip


@pytest.mark.parametrize("tasks", [(Copy(), Copy()), (Retrieve(), Retrieve(strangers=4))])
def test_two_tasks_that_ask_the_same_are_refused(tasks):
    """What one of them holds out, the other would ask."""
    with pytest.raises(ValueError, match=r"both ask .*; choose one of the two"):
        Corpus(World(tasks=tasks), Pair())


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    pair = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
    return Corpus(WORLD, pair, T=128, mixture=Mixture(0.1, 0.3, 0.4, 0.2, answered=0.5))


def test_compiled_documents_are_the_rendering_of_their_meaning(corpus):
    both, said = speaker(corpus.pair, WORLD), set()
    for i in range(70):
        row = corpus.row(i)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            words = " ".join(both.render(meaning, language))
            tokens = row["tokens"][row["segments"] == m + 1]
            assert corpus.tokenizer.decode(tokens[1:]) == words
            if question := getattr(meaning, "question", None):
                said |= {task for task in EVERY if task.takes(question)}
    assert said == {*EVERY}


def test_any_range_of_rows_is_its_rows_one_by_one(corpus):
    rows = corpus.rows(5, 15)
    for i in (9, 0, 4):
        for name, value in corpus.row(5 + i).items():
            np.testing.assert_array_equal(rows[name][i], value, err_msg=name)


def test_answers_state_no_fact_that_is_held_out(corpus):
    said = corpus.provenance(0, 300)
    asked = (said["fact"] >= 0) & (said["kind"] == 1)
    cell = tuple(said[name][asked] for name in ("fact", "language", "direction"))
    assert asked.sum() > 100 and WORLD.stated[cell].all()


def test_the_search_in_the_tokens_finds_every_answer_that_states_a_fact(
    corpus,
):
    said = corpus.provenance(0, 200)
    found = statements(corpus, corpus.rows(0, 200)["tokens"])
    asked = (said["fact"] >= 0) & (said["kind"] == 1)
    names = ("fact", "direction", "template")
    drawn = collections.Counter(zip(*(said[n][asked].tolist() for n in names), strict=True))
    questions = np.isin(found.template, np.flatnonzero(corpus.tables.kind == 1))
    read = zip(*(getattr(found, n)[questions].tolist() for n in names), strict=True)
    assert collections.Counter(read) == drawn and len(drawn) > 50
    assert contamination(corpus, 0, 200).num_rows == 0
