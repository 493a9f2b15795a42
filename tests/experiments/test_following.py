"""Following with a prompt before, and with rules: what is said is decoded so."""

import jax
import pytest

from data.prompt import Prompt
from experiments.measure.following import Following
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init
from train.rule import Rules

TEXT = corpus(SIZES["smoke"], seed=0)
RESERVED = Prompt(0).prompted(TEXT)
MODEL = pretrained(SIZES["smoke"], "softmax", 0, RESERVED).model


@pytest.fixture(scope="module")
def asked():
    """The table of a model that knows nothing, whose rule is to say one word, behind a prompt."""
    word = TEXT.tokenizer.encode(f" {TEXT.pair.languages(TEXT.world)[0].forms[-1]}")[0]
    rules = Rules(rise=0.0, repetition=0.0, offsets=((word, 1e4),))
    measure = Following(TEXT, "chat", items=1, prompt=Prompt(2), rules=rules)
    return TEXT.tokenizer.decode([word]), measure(MODEL, init(MODEL, jax.random.key(0))).to_pylist()


def test_what_is_said_obeys_the_rules(asked):
    word, rows = asked
    assert all(set(row["answer"].split()) == {word} for row in rows)
    assert all(row["right"] + row["other"] + row["wrong"] == 1 for row in rows)


def test_a_prompt_stands_before_every_question(asked):
    assert all(" <0> <1> <u> " in f" {row['prompt']}" for row in asked[1])
