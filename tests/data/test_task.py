"""The reference answers of the list tasks."""

import pytest

from data.language import Pair
from data.meaning import Question, Quiz
from data.speaker import speaker
from data.task import LISTS
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
