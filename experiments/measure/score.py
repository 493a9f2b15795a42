"""What a model says and how probable it finds an answer, for any number of prompts.

Prompts are (N, P), left-padded, with `lengths` (N,); answers (N, A) end where zeros (<doc>) begin.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from data.probe import Probe
from data.tokenizer import Tokenizer
from data.transform import extended
from model.lm import LM, apply
from model.sample import greedy
from train.rule import Rules

BATCH = 1024  # rows a call: bounds memory, changes no number


def decoded(
    cfg: LM, params: dict, prompts, lengths, steps: int, rules: Rules | None = None
) -> np.ndarray:
    """Greedy continuations (N, steps), by `rules` if there are; zeros after the model ended the
    document."""
    call = lambda p, n: greedy(cfg, params, p, n, steps, adjust=rules)
    return _in_batches(call, prompts, lengths)


def next_logprobs(cfg: LM, params: dict, prompts, lengths) -> np.ndarray:
    """Log-probabilities (N, W) of the token after each prompt, in nats."""
    return _in_batches(lambda p, n: _next(cfg, params, p, n), prompts, lengths)


def answer_logprobs(cfg: LM, params: dict, prompts, lengths, answers) -> np.ndarray:
    """log p(answer | prompt) in nats (N,), summed over the answer's tokens, the ending not counted.

    Summed and not averaged: an average would favour long names made of probable pieces.
    """
    call = lambda p, n, a: _answer(cfg, params, p, n, a)
    return _in_batches(call, prompts, lengths, answers)


def table(probe: Probe, tokenizer: Tokenizer, said: np.ndarray, **metrics: np.ndarray) -> pa.Table:
    """One row an item: slices (flags as yes or no), prompt, gold and answer as text, metrics.

    Tokens that only the model has, with room for more than its corpus says, are their numbers."""
    more = range(tokenizer.size, 1 + max(said.max(), probe.prompts.max()))
    tokenizer = extended(tokenizer, tuple(f"<{i}>" for i in more))
    text = lambda rows: [tokenizer.decode(row[row != 0]) for row in rows]
    columns = {
        name: np.where(values, "yes", "no") if values.dtype == bool else values
        for name, values in probe.slices.items()
    }
    columns |= {"prompt": text(probe.prompts), "gold": text(probe.answers), "answer": text(said)}
    return pa.table(columns | {name: values.astype(float) for name, values in metrics.items()})


def _in_batches(call: Callable, *columns: np.ndarray) -> np.ndarray:
    found, count = [], len(columns[0])
    size = min(BATCH, count)
    for start in range(0, count, size):
        part = [np.asarray(column[start : start + size]) for column in columns]
        short = size - len(part[0])
        # The last rows are repeated so that every call has one shape and one program serves all.
        part = [np.concatenate([p, np.repeat(p[-1:], short, 0)]) for p in part]
        found.append(np.asarray(call(*part))[: size - short])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=0)
def _next(cfg, params, prompts, lengths):
    P = prompts.shape[1]
    segments = (jnp.arange(P)[None] >= P - lengths[:, None]).astype(jnp.int32)
    logits, _ = apply(cfg, params, prompts, segments)
    return jax.nn.log_softmax(logits[:, -1])


@functools.partial(jax.jit, static_argnums=0)
def _answer(cfg, params, prompts, lengths, answers):
    P, A = prompts.shape[1], answers.shape[1]
    tokens = jnp.concatenate([prompts, answers], 1)
    segments = (jnp.arange(P + A)[None] >= P - lengths[:, None]).astype(jnp.int32)
    logits, _ = apply(cfg, params, tokens, segments)
    said = jax.nn.log_softmax(logits[:, P - 1 : -1])
    picked = jnp.take_along_axis(said, answers[..., None], 2)[..., 0]
    return jnp.sum(picked * (answers != 0), 1)
