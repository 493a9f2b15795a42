"""A soft prompt stands between <doc> and the document, in rows as in questions."""

import dataclasses

import numpy as np
import pytest

from data.probe import tasks
from data.prompt import Prompt
from experiments.standard import SIZES, corpus, tuning

BASE = dataclasses.replace(corpus(SIZES["smoke"], seed=0), T=16, packing="single")
CHAT = tuning(BASE, "chat", "L1")


@pytest.mark.parametrize("used", [1, 4])
def test_rows_without_their_prompt_are_those_of_the_corpus(used):
    prompted, plain = Prompt(used).prompted(CHAT), CHAT.rows(0, 8)
    rows = prompted.rows(0, 8)
    virtual = rows["tokens"] >= CHAT.tokenizer.size
    assert (virtual == (np.arange(16 + used) % 99 - 1 < used) & (np.arange(16 + used) > 0)).all()
    for name in ("tokens", "weights"):
        np.testing.assert_array_equal(rows[name][~virtual].reshape(8, 16), plain[name])
    assert (rows["weights"][virtual] == 0).all()


def test_a_question_has_the_prompt_that_its_row_has():
    prompt, probe = Prompt(3), tasks(BASE, "chat", items=2)
    asked, tokenizer = prompt.before(probe, BASE.tokenizer)
    assert (asked.lengths == probe.lengths + 3).all()
    said = [tokenizer.decode(row[-n:]) for row, n in zip(asked.prompts, asked.lengths, strict=True)]
    assert all(text.startswith("<doc> <0> <1> <2> <u> ") for text in said)
    assert [text.replace(" <0> <1> <2>", "") for text in said] == [
        tokenizer.decode(row[-n:]) for row, n in zip(probe.prompts, probe.lengths, strict=True)
    ]
    left = np.arange(asked.prompts.shape[1]) < asked.prompts.shape[1] - asked.lengths[:, None]
    assert (asked.prompts[left] == 0).all()


def test_a_prompt_of_no_words_changes_the_vocabulary_alone():
    prompted = Prompt(0).prompted(BASE)
    assert prompted.tokenizer.size == BASE.tokenizer.size + 16
    np.testing.assert_array_equal(prompted.rows(3, 9)["tokens"], BASE.rows(3, 9)["tokens"])


def test_more_words_than_are_reserved_are_refused():
    with pytest.raises(ValueError, match="used=17 of reserved=16"):
        Prompt(17)
