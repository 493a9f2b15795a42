"""Greedy decoding against the parallel form, prompt by prompt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.lm import LM, apply, init
from model.sample import greedy
from model.softmax import Softmax

MIXERS = (GLA(heads=2), GLA(heads=2, convolution=4), Softmax(heads=2))
LENGTHS = (9, 1, 4)


def model(mixer):
    cfg = LM(W=17, D=16, layers=1, mixer=mixer)
    return cfg, init(cfg, jax.random.key(0))


def prompts(filler):
    """Three prompts of LENGTHS in 9 places, `filler` before them."""
    ids = np.array(jax.random.randint(jax.random.key(1), (3, 9), 1, 17), np.int32)
    for row, length in zip(ids, LENGTHS, strict=True):
        row[: 9 - length] = filler
    return jnp.asarray(ids)


def one_by_one(cfg, params, prompt, steps):
    """argmax of the parallel form over the growing text; what comes after it is not seen."""
    text = list(prompt)
    for _ in range(steps):
        padded = jnp.array([text + [0] * (14 - len(text))])
        logits, _ = jax.jit(apply, static_argnums=0)(cfg, params, padded)
        text.append(int(logits[0, len(text) - 1].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_decoding_is_the_argmax_of_the_parallel_form(mixer):
    cfg, params = model(mixer)
    found = greedy(cfg, params, prompts(0), jnp.array(LENGTHS), 5, stop=-1)
    for row, prompt, length in zip(found, prompts(0), LENGTHS, strict=True):
        assert row.tolist() == one_by_one(cfg, params, prompt[9 - length :].tolist(), 5)


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_padding_leaves_no_trace(mixer):
    cfg, params = model(mixer)
    run = lambda filler: greedy(cfg, params, prompts(filler), jnp.array(LENGTHS), 5, stop=-1)
    np.testing.assert_array_equal(run(0), run(13))


def test_after_the_stop_comes_only_the_stop():
    cfg, params = model(GLA(heads=2))
    free = greedy(cfg, params, prompts(0), jnp.array(LENGTHS), 8, stop=-1)
    stop = int(free[0, 3])
    held = greedy(cfg, params, prompts(0), jnp.array(LENGTHS), 8, stop=stop)
    for before, after in zip(free.tolist(), held.tolist(), strict=True):
        end = before.index(stop) if stop in before else 8
        assert after == before[:end] + [stop] * (8 - end)
