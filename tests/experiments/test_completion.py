"""The wrong answers that completions of real text are compared with."""

import json

import pytest

from data.tokenizer import Character
from experiments.measure.completion import Completion


def written(path, *pairs):
    lines = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in pairs]
    path.write_text("\n".join(lines))
    return Completion(str(path), Character.of("abcd"))


def test_without_a_file_of_them_the_wrong_answer_is_the_next_entity_s(tmp_path):
    records = [("a", "c"), ("b", "d"), ("b", "c")]
    wrong = written(tmp_path / "x.jsonl", *records)._wrong(records, ["c", "d"], [0, 1, 0])
    assert [Character.of("abcd").decode(row) for row in wrong.answers] == ["d", "c", "d"]


def test_of_one_answer_alone_there_is_no_wrong_one(tmp_path):
    records = [("a", "c"), ("b", "c")]
    with pytest.raises(ValueError, match="has one answer only, so there is no wrong one"):
        written(tmp_path / "x.jsonl", *records)._wrong(records, ["c"], [0, 0])
