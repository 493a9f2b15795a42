"""Scores for lm-evaluation-harness: tasks asked of an exported model whose words it knows.

    simple_evaluate(adapter(folder), tasks=[task])             with `pip install lm_eval`

A closed vocabulary ends at the first word it has not, so a task of the harness's own, as arc_easy,
is for models of real text. The arithmetic is here and needs no harness: `score`, log-probabilities
of continuations, `continued`, what is said after prompts, and `answered`, texts that end where they
are told to.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from model.hf import encode, load, tokenizer
from model.lm import LM, Params, apply
from model.sample import generate

ROWS = 16  # a call: bounds memory, changes no number
# The harness's names of the tokens to say at most, of which the first that is given counts.
STEPS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# What a greedy answer obeys, or does not depend on.
OPTIONS = {*STEPS, "until", "do_sample", "temperature", "top_p", "top_k"}


def score(
    cfg: LM, params: Params, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[float, bool]]:
    """Of each (context, continuation): log p in nats, summed over the continuation's tokens, and
    whether each of them is the most probable. A context has at least one token."""
    found: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
    lengths = [len(context) + len(continuation) - 1 for context, continuation in pairs]
    for T, rows in _batches(lengths):
        tokens, first = np.zeros((ROWS, T + 1), np.int32), np.zeros(ROWS, np.int32)
        last = np.zeros(ROWS, np.int32)
        for r, i in enumerate(rows):
            context, continuation = pairs[i]
            tokens[r, : lengths[i] + 1] = [*context, *continuation]
            first[r], last[r] = len(context) - 1, lengths[i]
        total, greedy = map(np.asarray, _score(cfg, params, tokens, first, last))
        for r, i in enumerate(rows):
            found[i] = (float(total[r]), bool(greedy[r]))
    return found


def continued(cfg: LM, params: Params, prompts: Sequence[list[int]], steps: int) -> list[list[int]]:
    """What is said greedily after each prompt, at most `steps` tokens, without the ending."""
    found: list[list[int]] = [[]] * len(prompts)
    lengths = [len(prompt) for prompt in prompts]
    for P, rows in _batches(lengths):
        tokens, length = np.zeros((ROWS, P), np.int32), np.ones(ROWS, np.int32)
        for r, i in enumerate(rows):
            tokens[r, P - lengths[i] :], length[r] = prompts[i], lengths[i]
        said = np.asarray(generate(cfg, params, tokens, length, steps).tokens)
        for r, i in enumerate(rows):
            found[i] = [int(t) for t in said[r, : np.append(said[r], 0).argmin()]]
    return found


def answered(
    cfg: LM,
    params: Params,
    words: tokenizers.Tokenizer,
    requests: Sequence[tuple[str, dict[str, Any]]],
) -> list[str]:
    """What is said after each (context, options) of `generate_until`, those of one length at once.

    NotImplementedError if one asks for draws, which a temperature does where nothing says whether
    to draw, or has an option that this adapter has not.
    """
    found, groups = [""] * len(requests), {}
    for i, (_, options) in enumerate(requests):
        draws = options.get("do_sample")
        draws = (options.get("temperature") or 0) > 0 if draws is None else draws
        if draws or options.keys() - OPTIONS:
            raise NotImplementedError(
                f"generation with {options}: this adapter is greedy, and knows no option but "
                f"{', '.join(sorted(OPTIONS))}"
            )
        steps = next((options[name] for name in STEPS if options.get(name) is not None), 256)
        groups.setdefault(int(steps), []).append(i)
    for steps, rows in groups.items():
        prompts = [[0, *encode(words, requests[i][0])] for i in rows]
        for i, said in zip(rows, continued(cfg, params, prompts, steps), strict=True):
            ends = requests[i][1].get("until") or []
            found[i] = until(words.decode(said), [ends] if isinstance(ends, str) else ends)
    return found


def until(text: str, ends: Sequence[str]) -> str:
    """The text before the first of `ends`; an empty one ends nothing, as in the harness."""
    found = (text.find(end) for end in ends if end and end in text)
    return text[: min(found, default=len(text))]


def adapter(folder: str | pathlib.Path) -> Any:
    """The model of an exported folder as a `TemplateLM`; every text begins with <doc>."""
    try:
        from lm_eval.api.model import TemplateLM
    except ImportError as error:
        raise ImportError("the harness is not installed: pip install lm_eval") from error
    (cfg, params), words = load(folder), tokenizer(folder)

    class Diglossia(TemplateLM):
        eot_token_id = 0

        def tok_encode(self, string, add_special_tokens=None, **_):
            return [0] * (add_special_tokens is not False) + encode(words, string)

        def _loglikelihood_tokens(self, requests, **_):
            return score(cfg, params, [(context, said) for _, context, said in requests])

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            texts = [request.args[0] for request in requests]
            return [
                total for total, _ in score(cfg, params, [([0], encode(words, t)) for t in texts])
            ]

        def generate_until(self, requests, disable_tqdm=False):
            return answered(cfg, params, words, [request.args for request in requests])

    return Diglossia()


def _batches(lengths: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Groups of at most ROWS rows with the length, a power of two, that all of them fit in."""
    found: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        found.setdefault(1 << max(0, length - 1).bit_length(), []).append(i)
    cut = lambda rows: [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
    return [(T, part) for T, rows in sorted(found.items()) for part in cut(rows)]


@functools.partial(jax.jit, static_argnums=0)
def _score(cfg, params, tokens, first, last):
    logits, _ = apply(cfg, params, tokens[:, :-1])
    said = tokens[:, 1:]
    logprobs = jnp.take_along_axis(jax.nn.log_softmax(logits), said[..., None], 2)[..., 0]
    at = jnp.arange(said.shape[1])[None]
    asked = (at >= first[:, None]) & (at < last[:, None])
    greedy = jnp.all((jnp.argmax(logits, -1) == said) | ~asked, axis=1)
    return jnp.sum(jnp.where(asked, logprobs, 0), 1), greedy
