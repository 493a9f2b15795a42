"""The reference answers of the list tasks."""

import pytest

from data.task import TASKS, answer


@pytest.mark.parametrize(
    ("task", "expected"),
    [("copy", "abc"), ("reverse", "cba"), ("first", "a"), ("last", "c"), ("dup", "abcabc"),
     ("swap", "bac")],
)  # fmt: skip
def test_a_task_answers_as_its_name_says(task, expected):
    assert "".join(answer(task, tuple("abc"))) == expected


def test_an_unknown_task_is_refused_with_those_there_are():
    assert len(TASKS) == 6
    with pytest.raises(ValueError, match="copy, reverse, first, last, dup, swap"):
        answer("sort", ("a",))
