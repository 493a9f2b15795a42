"""Decoding: the prompt in one parallel pass, then one compiled scan of single-token steps.

Prompts of different length are padded on the left, so that all answers begin at the same place;
the padding is another document (segment 0) and leaves no trace in the state.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from model.lm import LM, Params, apply, fresh


@functools.partial(jax.jit, static_argnames=("cfg", "steps", "stop"))
def greedy(
    cfg: LM,
    params: Params,
    prompts: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    steps: int,
    stop: int = 0,
) -> Int[Array, "B G"]:
    """The G = `steps` most probable tokens after each prompt, one at a time.

    The last `lengths[b]` of the P tokens are the prompt, the rest is padding of any value. After
    `stop` a row goes on with `stop`.
    """
    B, P = prompts.shape
    segments = (jnp.arange(P)[None] >= P - lengths[:, None]).astype(jnp.int32)
    logits, state = apply(cfg, params, prompts, segments, fresh(cfg, B, P + steps))

    def step(carry, _):
        token, done, state = carry
        token = jnp.where(done, stop, token)
        done = done | (token == stop)
        logits, state = apply(cfg, params, token[:, None], None, state)
        return (_best(logits), done, state), token

    carry = (_best(logits), jnp.zeros(B, bool), state)
    _, tokens = jax.lax.scan(step, carry, None, length=steps)
    return tokens.T


def _best(logits):
    return jnp.argmax(logits[:, -1], axis=-1).astype(jnp.int32)
