"""Decoding: the prompt in one parallel pass, then one compiled loop of single-token steps.

Prompts of different length are padded on the left, so that all answers begin at the same place;
the padding is another document (segment 0) and leaves no trace in the state, and positions count
from a prompt's first token. The loop carries a state of constant size (recurrent mixers) or a cache
with room for all steps (softmax), and ends when every row has stopped.

What is said is argmax(scores + noise): a rule makes scores of logits, and standard Gumbel noise
makes the argmax a draw from their softmax (Gumbel 1954). The noise of row b, step n and every word
is a function of the key alone. Two calls with one key but other parameters or prompts are therefore
counterfactuals of each other (Ravfogel et al. 2025, arXiv 2411.07180): they differ in what is said
only as far as the models do.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from model.lm import LM, Params, apply, bind, fresh
from model.mixer import typed
from model.softmax import Cache, left, settled


@dataclasses.dataclass(frozen=True)
class Greedy:
    """The most probable token."""

    def __call__(self, logits: Float[Array, "B W"]) -> Float[Array, "B W"]:
        return logits


@dataclasses.dataclass(frozen=True)
class Sample:
    """A draw at `temperature` from the nucleus: the fewest tokens that hold the mass `nucleus`.

    Holtzman et al. 2020, arXiv 1904.09751, equations 2 and 3; 1.0 is every token.
    """

    temperature: float = 1.0
    nucleus: float = 1.0

    def __post_init__(self):
        typed(self)
        if self.temperature <= 0 or not 0 < self.nucleus <= 1:
            raise ValueError(
                f"Sample(temperature={self.temperature:g}, nucleus={self.nucleus:g}): temperature "
                "> 0 (Greedy() is the limit of 0) and nucleus above 0, at most 1"
            )

    def __call__(self, logits: Float[Array, "B W"]) -> Float[Array, "B W"]:
        logits = logits / self.temperature
        if self.nucleus == 1:
            return logits
        order = jnp.argsort(logits, axis=-1, descending=True)
        p = jnp.take_along_axis(jax.nn.softmax(logits), order, axis=-1)
        kept = jnp.cumsum(p, axis=-1) - p < self.nucleus  # the mass of what is likelier
        kept = jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1)
        return jnp.where(kept, logits, -jnp.inf)


Rule = Greedy | Sample


class Said(NamedTuple):
    """What was said and its log-probabilities in nats; `stop` and 0 after the first `stop`.

    The probabilities are the model's own (after `adjust`): those of a rule at temperature 1, over
    all words, whatever the temperature, the nucleus or the set of answers.
    """

    tokens: Int[Array, "B G"]
    logprobs: Float[Array, "B G"]


def generate(
    cfg: LM,
    params: Params,
    prompts: Int[ArrayLike, "B P"],
    lengths: Int[ArrayLike, " B"],
    steps: int,
    rule: Rule = Greedy(),
    *,
    key: Key[Array, ""] | None = None,
    answers: Int[Array, "#B A L"] | None = None,
    stop: int = 0,
    adjust: Callable[[Array, Array, Array], Array] | None = None,
) -> Said:
    """At most `steps` tokens after each prompt, by `rule`, up to and with `stop`.

    The last `lengths[b]` of the P tokens are the prompt, the rest is padding of any value;
    ValueError unless there are 1 to P of them (no check of traced lengths). `Sample` needs a `key`.
    With `answers`, ended by `stop`, a row says one of them and nothing else.
    `adjust(logits (B,W), said (B,W), n)`, a hashable value, changes the logits after n tokens,
    `said` being those among them.
    """
    P = prompts.shape[1]
    if not isinstance(lengths, jax.core.Tracer):
        n = np.asarray(lengths)
        if (wrong := n[(n < 1) | (n > P)]).size:
            raise ValueError(
                f"a prompt of {wrong[0]} tokens in P={P} places; give each from 1 to {P}"
            )
    return _generate(cfg, params, prompts, lengths, steps, rule, key, answers, stop, adjust)


@functools.partial(jax.jit, static_argnames=("cfg", "steps", "rule", "stop", "adjust"))
def _generate(cfg, params, prompts, lengths, steps, rule, key, answers, stop, adjust):
    logits, state = prefill(cfg, params, prompts, lengths, prompts.shape[1] + steps)
    return decode(
        cfg, params, logits, state, steps, rule, key=key, answers=answers, stop=stop, adjust=adjust
    )


def greedy(cfg, params, prompts, lengths, steps, stop=0, adjust=None) -> Int[Array, "B G"]:
    """The tokens of `generate` by its default rule."""
    return generate(cfg, params, prompts, lengths, steps, stop=stop, adjust=adjust).tokens


def prefill(
    cfg: LM,
    params: Params,
    prompts: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    room: int,
) -> tuple[Float[Array, "B W"], tuple]:
    """Logits of the first token after each prompt, and a state with room for `room` tokens in all.

    One pass in the parallel form: chunks for recurrent mixers, the platform's attention for
    softmax. ValueError if the prompts have no room.
    """
    B, P = prompts.shape
    if not 1 <= P <= room:
        raise ValueError(
            f"prompts of {P} tokens do not fit room={room}, which is for them (1 or more) and for "
            "what follows"
        )
    segments = (jnp.arange(P)[None] >= P - lengths[:, None]).astype(jnp.int32)
    net, empty = bind(cfg, params), fresh(cfg, B, room)
    # A decay of its own for each channel of a rotated pair makes GLA know where in a row it is.
    place = lambda s: s | {"seen": lengths - P} if isinstance(s, dict) and "seen" in s else None
    x, state = net.trunk(prompts, segments, tuple(map(place, empty)))
    places = zip(state, empty, strict=True)
    state = tuple(settled(s, own) if isinstance(s, Cache) else s for s, own in places)
    return net.unembed(x[:, -1:])[:, 0], state  # of the other tokens no logits are made


def decode(
    cfg: LM,
    params: Params,
    logits: Float[Array, "B W"],
    state: tuple,
    steps: int,
    rule: Rule = Greedy(),
    *,
    key: Key[Array, ""] | None = None,
    answers: Int[Array, "#B A L"] | None = None,
    stop: int = 0,
    adjust: Callable[[Array, Array, Array], Array] | None = None,
) -> Said:
    """What `generate` says, from the logits and the state of a prefill.

    ValueError if `steps` are known to be more than its room, or fewer than an answer's tokens.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1, the first token said")
    if isinstance(rule, Sample) and key is None:
        raise ValueError(f"{rule} draws; give it key=jax.random.key(seed)")
    if answers is not None and (stop < 0 or answers.shape[2] > steps):
        raise ValueError(
            f"answers of {answers.shape[2]} tokens in steps={steps}, ended by stop={stop}; give "
            "them as many steps, and a token of the vocabulary as their end"
        )
    for mixer, s in zip(cfg.mixers, state, strict=True):
        if isinstance(s, Cache) and s.seen is None:
            raise ValueError(
                "the state grows by a place a token, which no compiled loop can; make it with "
                "`prefill`, or give `apply` one of model.lm.fresh"
            )
        if isinstance(s, Cache) and mixer.window is None and left(s) < steps:
            raise ValueError(
                f"steps={steps} are more than the {left(s)} places left in the state; give its "
                "prefill a `room` of the prompt and all steps"
            )
    B, W = logits.shape
    rows = jnp.arange(B)

    def say(n, logits, done, used, alive, said):
        if adjust is not None:
            logits = adjust(logits, used, n)
        scores = rule(logits if answers is None else _within(answers, alive, n, stop, logits))
        if isinstance(rule, Sample):
            scores += noise(key, n, B, W)
        token = jnp.where(done, stop, jnp.argmax(scores, axis=-1).astype(jnp.int32))
        logprob = jnp.where(done, 0.0, jax.nn.log_softmax(logits)[rows, token])
        said = Said(said.tokens.at[:, n].set(token), said.logprobs.at[:, n].set(logprob))
        if answers is not None:
            alive &= _column(answers, n, stop) == token[:, None]
        used = used if adjust is None else used.at[rows, token].set(True)
        return token, done | (token == stop), used, alive, said

    def step(carry):
        n, state, token, *rest = carry
        logits, state = apply(cfg, params, token[:, None], None, state)
        return n + 1, state, *say(n, logits[:, -1], *rest)

    nothing = Said(jnp.full((B, steps), stop, jnp.int32), jnp.zeros((B, steps)))
    used = jnp.zeros((B, 0 if adjust is None else W), bool)
    alive = jnp.ones((B, 0 if answers is None else answers.shape[1]), bool)
    # The first token is said before the loop: after the last one nothing is left to compute.
    first = say(jnp.int32(0), logits, jnp.zeros(B, bool), used, alive, nothing)
    going = lambda carry: (carry[0] < steps) & ~jnp.all(carry[3])
    return jax.lax.while_loop(going, step, (jnp.int32(1), state, *first))[-1]


def noise(key: Key[Array, ""], n: Int[Array, ""] | int, B: int, W: int) -> Float[Array, "B W"]:
    """Standard Gumbel noise of every word at step n, row b's the same in any batch."""
    own = lambda b: jax.random.gumbel(jax.random.fold_in(jax.random.fold_in(key, b), n), (W,))
    return jax.vmap(own)(jnp.arange(B))


def _column(answers: Int[Array, "#B A L"], n: Int[Array, ""], stop: int) -> Int[Array, "#B A"]:
    """The n-th token of each answer; `stop` after its last."""
    L = answers.shape[2]
    token = jax.lax.dynamic_index_in_dim(answers, jnp.minimum(n, L - 1), axis=2, keepdims=False)
    return jnp.where(n < L, token, stop)


def _within(
    answers: Int[Array, "#B A L"],
    alive: Bool[Array, "B A"],
    n: Int[Array, ""],
    stop: int,
    logits: Float[Array, "B W"],
) -> Float[Array, "B W"]:
    """Logits of the words with which an answer that is still possible goes on; -inf of others."""
    token = jnp.broadcast_to(_column(answers, n, stop), alive.shape)
    rows = jnp.arange(alive.shape[0])[:, None]
    allowed = jnp.zeros(logits.shape, bool).at[rows, token].max(alive)
    return jnp.where(allowed, logits, -jnp.inf)
