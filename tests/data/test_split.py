"""What a mixture holds out is in no token, everything else is said, and tiers can be built."""

import dataclasses

import numpy as np
import pytest

from data.contamination import trespasses
from data.corpus import Corpus
from data.feature import Lexicon, Names, PossessorFirst
from data.language import Pair
from data.meaning import Dictionary
from data.mixture import Mixture, shares
from data.reader import read
from data.relation import CLASSES, RELATIONS
from data.speaker import speaker
from data.split import HeldOut, allowed
from data.task import LISTS, Copy, First, Reverse
from data.task.context import Boxes
from data.task.every import EVERY
from data.task.listing import Sort
from data.task.retrieval import Retrieve
from data.task.style import Marked
from data.tokenizer import Character
from data.world import World

TWIN = Pair((Lexicon(0.0), Names(0.5), PossessorFirst()))
SMALL = World(pairs=16, cities=6, nouns=8, tasks=(*LISTS, Sort(), Marked()))
PLAIN = Corpus(SMALL, TWIN, mixture=Mixture(0.1, 0.3, 0.3, 0.3))

SPLITS = {
    "task": (HeldOut(Copy()),),
    "computed task": (HeldOut(Sort()),),
    "style": (HeldOut(Marked()),),
    "register": (HeldOut(register="chat", language=1),),
    "language": (HeldOut(language=1),),
    "task in a language": (HeldOut(Sort(), language=1), HeldOut(Reverse(), language=0)),
    "task in a register": (HeldOut(First(), register="quiz"),),
}


@pytest.mark.parametrize("held_out", SPLITS.values(), ids=SPLITS)
def test_what_is_held_out_is_in_no_token_and_would_be_found(held_out):
    corpus = dataclasses.replace(
        PLAIN, mixture=dataclasses.replace(PLAIN.mixture, held_out=held_out)
    )
    assert trespasses(corpus, 0, 400).num_rows == 0
    # The same search in a corpus that holds nothing out.
    blind = _Pretending(PLAIN, corpus)
    found = trespasses(blind, 0, 100).to_pylist()
    assert found
    for row in found[:20]:
        said = PLAIN.documents(row["row"])
        assert any(row["language"] == f"L{language + 1}" for language, _ in said)


class _Pretending:
    """The rows of one corpus under the mixture of another."""

    def __init__(self, rows: Corpus, claims: Corpus) -> None:
        self.rows, self._claims = rows.rows, claims

    def __getattr__(self, name: str):
        return getattr(self._claims, name)


def test_the_search_reads_letters_too():
    letters = Character.of(" ".join(PLAIN.tables.words))
    spoken = dataclasses.replace(PLAIN, subword=letters, T=256)
    silent = dataclasses.replace(
        spoken, mixture=dataclasses.replace(PLAIN.mixture, held_out=(HeldOut(Sort()),))
    )
    assert trespasses(silent, 0, 60).num_rows == 0
    assert trespasses(_Pretending(spoken, silent), 0, 20).num_rows > 0


def test_everything_that_is_not_held_out_is_said():
    cell = (HeldOut(Sort(), language=1), HeldOut(Copy(), register="chat"))
    corpus = dataclasses.replace(PLAIN, mixture=dataclasses.replace(PLAIN.mixture, held_out=cell))
    said = set()
    for i in range(600):
        for language, meaning in corpus.documents(i):
            if question := getattr(meaning, "question", None):
                task = next(task for task in SMALL.tasks if task.takes(question))
                said.add((type(meaning).__name__.lower(), language, task))
    every = {(r, i, t) for r in ("story", "quiz", "chat") for i in (0, 1) for t in SMALL.tasks}
    gone = {(r, 1, Sort()) for r in ("story", "quiz", "chat")} | {
        ("chat", i, Copy()) for i in (0, 1)
    }
    assert said == every - gone


def test_a_register_that_one_language_may_not_speak_is_spoken_by_the_other():
    cell = (HeldOut(register="chat", language=1),)
    corpus = dataclasses.replace(PLAIN, mixture=dataclasses.replace(PLAIN.mixture, held_out=cell))
    rows = corpus.provenance(0, 400)
    share = lambda rows, register: np.mean(rows["register"][rows["register"] >= 0] == register)
    assert not (rows["language"][rows["register"] == 3] == 1).any()
    assert abs(share(rows, 3) - share(PLAIN.provenance(0, 400), 3)) < 0.02
    assert 0.45 < (rows["language"][rows["register"] == 1] == 1).mean() < 0.55


def test_facts_that_are_held_out_are_asked_for_by_nobody():
    """Families 1: an answer states its fact, so a held-out cell is neither told nor answered."""
    world = dataclasses.replace(SMALL, relations=(*RELATIONS, *CLASSES), tasks=EVERY)
    corpus = Corpus(world, TWIN, T=128, mixture=Mixture(0, 0.2, 0.8, answered=1, dictionary=0))
    said = {m for i in range(200) for _, m in corpus.documents(i)}
    asked = {m.question for m in said if Retrieve("child").takes(m.question)}
    stated = {world.facts.object[f] for f in np.flatnonzero(world.stated[:16, :, 1].any(1))}
    assert {int(q.args[0][1:]) for q in asked if q.task == "child"} <= stated


def test_in_the_third_tier_a_word_of_the_second_language_is_known_from_dictionaries_alone():
    mixture = Mixture(0.3, 0.35, 0.35, dictionary=0.3, held_out=(HeldOut(Sort()),),
                      glossed=("sort",))  # fmt: skip
    corpus = dataclasses.replace(PLAIN, mixture=mixture)
    word = speaker(TWIN, SMALL).form[1]["sort"]
    (token,) = corpus.tokenizer.encode(f" {word}")
    count = 0
    for i in range(200):
        row = corpus.row(i)
        for m, (_, meaning) in enumerate(corpus.documents(i)):
            if token in row["tokens"][row["segments"] == m + 1]:
                assert isinstance(meaning, Dictionary) and meaning.concepts == ("sort",)
                count += 1
    assert count > 50 and trespasses(corpus, 0, 200).num_rows == 0
    tuned = Mixture(0, 0, 0, 1, dictionary=0, held_out=tuple(map(HeldOut, (*LISTS, Marked()))))
    tuning = dataclasses.replace(PLAIN, mixture=tuned, ratio=0.0, loss="response")
    assert {m.question.task for i in range(20) for _, m in tuning.documents(i)} == {"sort"}
    assert tuning.tokenizer.size == corpus.tokenizer.size


def test_words_of_a_row_are_read_whatever_was_drawn():
    words = read(PLAIN, PLAIN.rows(0, 2)["tokens"])
    assert len(words.word) == 2 * PLAIN.T


def test_splits_that_cannot_be_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="name a task, register or language"):
        HeldOut()
    with pytest.raises(ValueError, match="choose among"):
        HeldOut(register="statement")
    with pytest.raises(ValueError, match="a task the world does not have"):
        allowed(World(), (HeldOut(Sort()),), 2)
    with pytest.raises(ValueError, match="hold out less"):
        dataclasses.replace(PLAIN, mixture=Mixture(held_out=(HeldOut(register="quiz"),)))
    with pytest.raises(ValueError, match="language=5"):
        allowed(World(), (HeldOut(language=5),), 2)
    with pytest.raises(ValueError, match=r"stories=0\.6, but the world has no task for a story"):
        Corpus(dataclasses.replace(SMALL, tasks=(Retrieve(),)), TWIN, mixture=Mixture(0, 0.6, 0.4))
    with pytest.raises(ValueError, match="glossed"):
        dataclasses.replace(PLAIN, mixture=Mixture(glossed=("nonsense",)))


def test_a_share_that_is_no_number_is_refused():
    """nan is smaller than nothing and larger than nothing, so it passed comparisons."""
    for name in ("facts", "answered", "dictionary", "plain"):
        with pytest.raises(ValueError, match="every share is from 0 to 1"):
            Mixture(**{name: float("nan")})
    with pytest.raises(ValueError, match="numbers from 0 that sum to 1"):
        shares((0.5, float("nan")), 2)


def test_where_no_question_may_be_left_open_none_is_or_the_mixture_is_refused():
    """Guards against asking what is held out where there is nothing else to leave open."""
    world = dataclasses.replace(SMALL, tasks=(Copy(), Boxes()))
    mixture = Mixture(0, 0, 1, held_out=(HeldOut(Copy(), language=1),))
    refused = pytest.raises(ValueError, match="in language 1 none may be left open; choose answ")
    with refused:
        Corpus(world, TWIN, mixture=mixture)
    for fine in (
        dict(mixture=dataclasses.replace(mixture, answered=1)),
        dict(mixture=mixture, ratio=0.0),
        dict(mixture=Mixture(0, 0, 1, held_out=(HeldOut(register="quiz", language=1),))),
    ):
        assert trespasses(Corpus(world, TWIN, **fine), 0, 40).num_rows == 0
