"""Decoding against the parallel form, prompt by prompt."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM, apply, fresh, init, shapes
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.retnet import RetNet
from model.sample import Greedy, Sample, decode, generate, noise, prefill
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer

MIXERS = (
    GLA(heads=2),
    GLA(heads=2, convolution=4),
    # Its decays differ within a rotated pair, so that it knows where in a row it is.
    GLA(heads=4, kv_heads=2, expand_k=1.0, rotary=0.5),
    SimpleGLA(heads=2),
    LinearAttention(heads=2),
    RetNet(heads=2),
    TransNormer(heads=2, depth=0.5),
    Mamba(state=4),
    Mamba2(state=4, width=8),
    Softmax(heads=2),
    Softmax(heads=4, kv_heads=2, rotary=0.0, cope=4),
    Softmax(heads=2, window=5),
    Softmax(heads=2, window=12),
    (GLA(heads=2), Softmax(heads=2, window=5)),
)
LENGTHS = np.array([9, 1, 4])
W, STEPS = 17, 5
KEY = jax.random.key(3)
ANY = Softmax(heads=2)  # for what asks how tokens are chosen, and not how they are scored
parallel = jax.jit(apply, static_argnums=0)


def model(mixer):
    layers = len(mixer) if isinstance(mixer, tuple) else 1
    cfg = LM(W=W, D=16, layers=layers, mixer=mixer)
    return cfg, init(cfg, jax.random.key(0))


def prompts(filler):
    """Three prompts of LENGTHS in 9 places, `filler` before them."""
    ids = np.array(jax.random.randint(jax.random.key(1), (3, 9), 1, W), np.int32)
    for row, length in zip(ids, LENGTHS, strict=True):
        row[: 9 - length] = filler
    return jnp.asarray(ids)


def said_by(cfg, params, rule=Greedy(), **more):
    more = {"stop": -1} | more
    return generate(cfg, params, prompts(0), jnp.array(LENGTHS), STEPS, rule, **more)


def one_by_one(cfg, params, scores):
    """(tokens, logprobs) of the parallel form over texts that grow by the argmax of
    scores(row, step, logits); what comes after a text is not seen."""
    texts = [list(p[9 - n :]) for p, n in zip(np.asarray(prompts(0)), LENGTHS, strict=True)]
    logprobs = []
    for n in range(STEPS):
        padded = jnp.array([text + [0] * (9 + STEPS - len(text)) for text in texts])
        logits = parallel(cfg, params, padded)[0]
        last = [logits[b, len(text) - 1] for b, text in enumerate(texts)]
        for b, text in enumerate(texts):
            text.append(int(jnp.argmax(scores(b, n, last[b]))))
        logprobs.append([jax.nn.log_softmax(x)[t[-1]] for x, t in zip(last, texts, strict=True)])
    return [text[-STEPS:] for text in texts], np.array(logprobs).T


# The rest is their code again, and test_mixer.py takes steps with every mixer.
QUICK = MIXERS[1], MIXERS[-1]


@pytest.mark.parametrize("mixer", [
    pytest.param(m, id=str(m), marks=() if m in QUICK else pytest.mark.slow) for m in MIXERS
])  # fmt: skip
def test_decoding_is_the_parallel_form_token_by_token(mixer):
    cfg, params = model(mixer)
    found = said_by(cfg, params)
    tokens, logprobs = one_by_one(cfg, params, lambda b, n, logits: logits)
    np.testing.assert_array_equal(found.tokens, tokens)
    np.testing.assert_allclose(found.logprobs, logprobs, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mixer", [GLA(heads=2, convolution=4), Softmax(heads=2)], ids=repr)
def test_decoding_in_bfloat16_is_the_parallel_form_within_its_rounding(mixer):
    cfg, params = model(mixer)
    cfg = dataclasses.replace(cfg, dtype="bfloat16")
    tokens, found = said_by(cfg, params)
    padded = np.zeros((3, 9 + STEPS), np.int32)
    for b, n in enumerate(LENGTHS):
        padded[b, : n + STEPS] = [*prompts(0)[b, 9 - n :], *tokens[b]]
    logprobs = jax.nn.log_softmax(parallel(cfg, params, padded)[0])
    for b, n in enumerate(LENGTHS):
        own = logprobs[b, n - 1 : n - 1 + STEPS]
        # Logits with deviation 1, to 8 bits: four units of the last of them.
        np.testing.assert_allclose(found[b], own[np.arange(STEPS), tokens[b]], atol=2**-6)
        np.testing.assert_allclose(found[b], own.max(-1), atol=2**-6)


@pytest.mark.parametrize("mixer", [
    pytest.param(m, id=str(m), marks=() if m in QUICK[1:] else pytest.mark.slow)
    for m in MIXERS[:3] + MIXERS[-4:]
])  # fmt: skip
def test_padding_leaves_no_trace(mixer):
    cfg, params = model(mixer)
    run = lambda fill: generate(cfg, params, prompts(fill), jnp.array(LENGTHS), STEPS, stop=-1)
    one, other = run(0), run(13)
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-6)  # sums of other roundings


def test_after_the_stop_comes_only_the_stop():
    cfg, params = model(ANY)
    free = said_by(cfg, params)
    stop = int(free.tokens[0, 3])
    held = said_by(cfg, params, stop=stop)
    for b, row in enumerate(free.tokens.tolist()):
        said = row.index(stop) + 1 if stop in row else STEPS
        assert held.tokens[b].tolist() == row[:said] + [stop] * (STEPS - said)
        np.testing.assert_array_equal(held.logprobs[b, :said], free.logprobs[b, :said])
        np.testing.assert_array_equal(held.logprobs[b, said:], 0)


def test_a_draw_is_the_argmax_of_logits_and_noise_and_its_probability_the_models_own():
    cfg, params = model(ANY)
    found = said_by(cfg, params, Sample(temperature=0.7), key=KEY)
    drawn = lambda b, n, logits: logits / 0.7 + noise(KEY, n, 3, W)[b]
    tokens, logprobs = one_by_one(cfg, params, drawn)
    np.testing.assert_array_equal(found.tokens, tokens)
    np.testing.assert_allclose(found.logprobs, logprobs, atol=2e-5)


def test_draws_are_as_frequent_as_they_are_probable():
    cfg, params = model(ANY)
    B = 4000
    prompt = jnp.ones((B, 1), jnp.int32)
    found = generate(cfg, params, prompt, jnp.ones(B, int), 1, Sample(2.0), key=KEY, stop=-1)
    p = jax.nn.softmax(parallel(cfg, params, prompt[:1])[0][0, 0] / 2.0)
    count = np.bincount(found.tokens[:, 0], minlength=W)
    spread = np.sqrt(B * p * (1 - p))  # of a binomial
    assert np.all(np.abs(count - B * p) < 4 * spread)


def test_the_nucleus_is_the_fewest_words_that_hold_its_mass():
    logits = jnp.log(jnp.array([[0.15, 0.4, 0.05, 0.3, 0.1], [0.96, 0.01, 0.01, 0.01, 0.01]]))
    kept = lambda mass: np.isfinite(Sample(nucleus=mass)(logits)).astype(int).tolist()
    assert kept(0.35) == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert kept(0.6) == [[0, 1, 0, 1, 0], [1, 0, 0, 0, 0]]
    assert kept(0.9) == [[1, 1, 0, 1, 1], [1, 0, 0, 0, 0]]
    assert kept(1e-9) == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    equal = Sample(nucleus=0.5)(jnp.zeros((1, 4)))
    assert np.isfinite(equal).sum() == 2, "words as likely as the last one are not in it too"


def test_the_same_noise_says_the_same_of_the_same_model_in_any_batch():
    cfg, params = model(ANY)
    whole = said_by(cfg, params, Sample(), key=KEY)
    first = generate(
        cfg, params, prompts(0)[:1], jnp.array(LENGTHS[:1]), STEPS, Sample(), key=KEY, stop=-1
    )
    np.testing.assert_array_equal(whole.tokens[:1], first.tokens)
    other = said_by(cfg, params, Sample(), key=jax.random.key(4))
    assert (whole.tokens != other.tokens).any()


def test_a_model_a_little_changed_says_almost_the_same_under_the_same_noise():
    """Its own noise would give other tokens nearly everywhere: this is what the coupling is for."""
    cfg, params = model(ANY)
    moved = jax.tree.map(lambda x: x * 1.001, params)
    B = 64
    ask = jax.random.randint(jax.random.key(1), (B, 4), 1, W)
    run = lambda params, key: (
        generate(cfg, params, ask, jnp.full(B, 4), STEPS, Sample(), key=key, stop=-1).tokens
    )
    one = run(params, KEY)
    assert np.mean(one == run(moved, KEY)) > 0.95
    assert np.mean(one == run(moved, jax.random.key(4))) < 0.5


def test_only_answers_of_the_set_are_said():
    cfg, params = model(ANY)
    answers = jnp.array([[[3, 4, 0], [3, 5, 6], [7, 0, 0]], [[1, 2, 0]] * 3, [[3, 4, 5]] * 3])
    for seed in range(8):
        key = jax.random.key(seed)
        found = said_by(cfg, params, Sample(2.0), key=key, answers=answers, stop=0).tokens
        assert found[0].tolist() in [[3, 4, 0, 0, 0], [3, 5, 6, 0, 0], [7, 0, 0, 0, 0]]
        assert found[1].tolist() == [1, 2, 0, 0, 0]
        assert found[2].tolist() == [3, 4, 5, 0, 0]


def test_answers_that_could_not_be_said_whole_are_refused():
    cfg, params = model(ANY)
    for answers, stop in ((jnp.ones((3, 1, STEPS + 1), int), 0), (jnp.ones((3, 1, 1), int), -1)):
        with pytest.raises(ValueError, match="give them as many steps, and a token of the vocab"):
            said_by(cfg, params, answers=answers, stop=stop)


def test_a_state_that_grows_is_refused():
    cfg, text = LM(W=W, D=16, layers=1, mixer=Softmax(heads=2)), prompts(0)

    def run(params):
        logits, state = apply(cfg, params, text)
        return decode(cfg, params, logits[:, -1], state, 2).tokens

    with pytest.raises(ValueError, match="make it with `prefill`"):
        jax.eval_shape(run, shapes(cfg))


def test_more_tokens_than_a_cache_has_room_for_are_refused():
    """What is written past the end would be written over the last tokens."""
    cfg, text = LM(W=W, D=16, layers=1, mixer=Softmax(heads=2)), prompts(0)

    def say(cfg, room, steps):
        def run(params):
            logits, state = prefill(cfg, params, text, jnp.array(LENGTHS), room)
            return decode(cfg, params, logits, state, steps).tokens

        return jax.eval_shape(run, shapes(cfg)).shape

    assert say(cfg, 12, 3) == (3, 3)
    with pytest.raises(ValueError, match=r"steps=4 are more than the 3 places left"):
        say(cfg, 12, 4)
    with pytest.raises(ValueError, match=r"prompts of 9 tokens do not fit room=8"):
        say(cfg, 8, 1)
    (cache,) = fresh(cfg, 3, 12)
    more = lambda seen: jax.eval_shape(
        lambda params: apply(cfg, params, text[:, :4], None, (cache._replace(seen=seen),)),
        shapes(cfg),
    )
    more(jnp.int32(8))
    with pytest.raises(ValueError, match=r"4 more tokens do not fit a cache of 12 places, 3 of"):
        more(jnp.int32(9))
    narrow = dataclasses.replace(cfg, mixer=Softmax(heads=2, window=5))
    assert say(narrow, 9, 4) == (3, 4), "a window has room for ever"


@pytest.mark.parametrize("lengths", [(0, 1, 4), (9, 10, 4), (9, -1, 4)])
def test_a_prompt_is_of_one_token_or_more_and_no_longer_than_its_row(lengths):
    """An empty one would go on from padding, without a word."""
    cfg, params = model(ANY)
    with pytest.raises(ValueError, match=r"a prompt of (0|10|-1) tokens in P=9 places"):
        generate(cfg, params, prompts(0), jnp.array(lengths), STEPS)


def test_no_step_is_refused():
    cfg, params = model(ANY)
    with pytest.raises(ValueError, match=r"steps=0 must be at least 1"):
        generate(cfg, params, prompts(0), jnp.array(LENGTHS), 0)
    with pytest.raises(ValueError, match=r"prompts of 0 tokens do not fit room=5"):
        prefill(cfg, params, prompts(0)[:, :0], jnp.ones(3, int), 5)


def test_a_draw_without_a_key_is_refused():
    cfg, params = model(ANY)
    with pytest.raises(ValueError, match=r"draws; give it key="):
        said_by(cfg, params, Sample())
    with pytest.raises(ValueError, match="temperature > 0"):
        Sample(temperature=0.0)
    with pytest.raises(ValueError, match="temperature=nan of Sample must be a number"):
        Sample(temperature=float("nan"))
