"""The reference answers of the list tasks, and what is no task."""

import pytest

from data.corpus import Corpus
from data.language import Pair
from data.meaning import Question, Quiz
from data.speaker import speaker
from data.task import LISTS, Copy
from data.world import World


@pytest.mark.parametrize(
    ("task", "expected"),
    [("copy", "abc"), ("reverse", "cba"), ("first", "a"), ("last", "c"), ("dup", "abcabc"),
     ("swap", "bac")],
)  # fmt: skip
def test_a_task_answers_as_its_name_says(task, expected):
    asked = next(one for one in LISTS if one.name == task)
    assert "".join(asked.answer(None, Question(task, tuple("abc")))) == expected


def test_a_question_of_no_task_is_refused_with_those_there_are():
    assert len(LISTS) == 6
    with pytest.raises(ValueError, match="copy, reverse, first, last, dup, swap"):
        speaker(Pair(), World()).render(Quiz(Question("sort", ("noun1",))), 0)


class Motto(Copy):
    """The same words for ever."""

    def shapes(self, world, counts):
        yield Question("copy", ("noun0", "noun1"))


def test_a_template_without_a_slot_is_refused_when_it_is_compiled():
    with pytest.raises(
        ValueError, match=r"Motto\(\): the shape Question.* has no slot, .*; choose"
    ):
        Corpus(World(tasks=(Motto(),)), Pair())
