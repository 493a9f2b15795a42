"""The three rules, alone and in decoding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.lm import LM, apply, init
from model.sample import greedy
from model.softmax import Softmax
from train.rule import Rules

CFG = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)


def test_each_rule_adds_its_own():
    rules = Rules(eos=1, rise=0.5, repetition=-2.0, offsets=((0, 1.0), (3, -4.0)))
    said = jnp.array([[False, False, True, False], [True, False, False, False]])
    found = rules(jnp.zeros((2, 4)), said, jnp.int32(3))
    np.testing.assert_allclose(found, [[1, 1.5, -2, -4], [-1, 1.5, 0, -4]])


def test_decoding_follows_the_rules_token_by_token():
    params = init(CFG, jax.random.key(0))
    prompts = jax.random.randint(jax.random.key(1), (3, 5), 1, 9)
    rules = Rules(rise=0.3, repetition=-1.5, offsets=((4, -6.0),))
    found = np.asarray(greedy(CFG, params, prompts, jnp.full(3, 5), 6, adjust=rules))
    run = jax.jit(lambda text: apply(CFG, params, text)[0])
    for row, said in zip(np.asarray(prompts), found, strict=True):
        text, stopped = list(row), False
        for n, token in enumerate(said):
            padded = jnp.array([text + [0] * (11 - len(text))])  # nothing looks ahead
            logits = np.array(run(padded)[0, len(text) - 1])
            logits[0] += 0.3 * n
            logits[4] -= 6
            logits[sorted(set(said[:n].tolist()))] -= 1.5
            stopped = stopped or logits.argmax() == 0
            assert token == (0 if stopped else logits.argmax())
            text.append(token)


def test_a_token_that_is_no_word_is_refused():
    for rules in (Rules(offsets=((9, 1.0),)), Rules(eos=9)):
        with pytest.raises(ValueError, match="token 9, which is not one of the W=9"):
            rules(jnp.zeros((1, 9)), jnp.zeros((1, 9), bool), jnp.int32(0))
