"""Rewritten strings are scored as rewritten, copied, or neither."""

import types

import numpy as np

from data.rewrite import Rewrite
from experiments.measure import rewriting
from experiments.measure.rewriting import Rewriting

TEXT = Rewrite(rules=4, examples=40, unseen=4, left=1, right=1, length=4, letters=8, T=32)


def scored(monkeypatch, say):
    """The items of a model that says `say(gold, string)` and finds it the most probable."""
    asked = types.SimpleNamespace()

    def decoded(cfg, params, prompts, lengths, steps):
        asked.string = prompts[:, -5:-1]
        asked.said = say(prompts, asked.string)
        return np.pad(asked.said, ((0, 0), (0, steps - asked.said.shape[1])))

    def answer_logprobs(cfg, params, prompts, lengths, answers):
        return np.where((answers == asked.said[:, : answers.shape[1]]).all(1), -1.0, -3.0)

    monkeypatch.setattr(rewriting, "decoded", decoded)
    monkeypatch.setattr(rewriting, "answer_logprobs", answer_logprobs)
    return Rewriting(TEXT, items=8)(None, None)


def follow(prompts, string):
    """What the rule in the prompt, `<doc> a -> b : string =`, makes of the string."""
    said = string.copy()
    for row, left, right in zip(said, prompts[:, 1], prompts[:, 3], strict=True):
        row[np.argmax(row == left)] = right
    return said


def test_a_model_that_follows_the_rule_is_exact_and_two_nats_above_copying(monkeypatch):
    items = scored(monkeypatch, follow).to_pydict()
    assert set(items["exact"]) == {1.0} and set(items["copied"]) == {0.0}
    assert set(items["log_odds"]) == {2.0}
    kinds = set(zip(items["rules"], items["language"], strict=True))
    assert kinds == {(r, l) for r in ("seen", "unseen") for l in ("L1", "L2")}
    assert len(items["exact"]) == 8 * 4


def test_a_model_that_copies_the_string_is_said_to(monkeypatch):
    items = scored(monkeypatch, lambda prompts, string: string).to_pydict()
    assert set(items["exact"]) == {0.0} and set(items["copied"]) == {1.0}
    assert set(items["log_odds"]) == {-2.0}


def test_an_answer_that_goes_on_is_neither(monkeypatch):
    longer = lambda prompts, string: np.pad(follow(prompts, string), ((0, 0), (0, 1)), mode="edge")
    items = scored(monkeypatch, longer).to_pydict()
    assert set(items["exact"]) == {0.0} and set(items["copied"]) == {0.0}
