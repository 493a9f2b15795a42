"""The training step, and a chunk of steps of all members as one compiled call.

Members (seeds) are the leading axis S of every leaf. Within a member the steps are a loop whose
length is an argument, so that one program serves every chunk, and how a run is cut into chunks
cannot change a bit of it. A member whose loss or gradient is not finite stays as it was before
that step, and no later step moves it.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from model.lm import LM, apply, init
from train.adapter import Full
from train.objective import next_token
from train.recipe import Recipe

Batch = dict[str, Array]  # tokens, weights, segments


class State(NamedTuple):
    """`trained` parameters, the optimizer's state, and steps done; every leaf has a leading S."""

    trained: Any
    opt: Any
    step: Int[Array, " S"]


class Metrics(NamedTuple):
    loss: Float[Array, "S n"]
    gradient: Float[Array, "S n"]  # norm before clipping


def parameters(cfg: LM, seeds: tuple[int, ...]) -> Any:
    """Fresh parameters of one member per seed."""
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    return jax.jit(jax.vmap(functools.partial(init, cfg)))(keys)


def begin(recipe: Recipe, trained: Any) -> State:
    """The state before the first step."""
    S = len(jax.tree.leaves(trained)[0])
    # The chunk donates its state: what the caller passed in must survive that.
    trained = jax.tree.map(jnp.copy, trained)
    opt = jax.jit(jax.vmap(recipe.transform().init))(trained)
    return State(trained, opt, jnp.zeros(S, jnp.int32))


def chunk(cfg: LM, recipe: Recipe, adapter: Full):
    """`run(state, frozen, batches, first, count) -> (state, Metrics)`, compiled once.

    batches: dict of (S, n, B, T) of which the first `count` <= n steps are taken; `first` is the
    number of the first step. `state` is donated.
    """
    return _chunk(cfg, dataclasses.replace(recipe, seed=0), adapter, jax.default_backend())


@functools.cache
def _chunk(cfg: LM, recipe: Recipe, adapter: Full, backend: str):
    one = functools.partial(_member, cfg, recipe.transform(), adapter)

    def run(state, frozen, batches, first, count):
        member = lambda own: one(*own, first, count)
        own = (state, frozen, batches)
        # On a CPU members one after the other are faster, and equal to a run alone bit for bit.
        return jax.lax.map(member, own) if backend == "cpu" else jax.vmap(member)(own)

    return jax.jit(run, donate_argnums=0)


def _member(cfg, optimizer, adapter, state, frozen, batches, first, count):
    n = batches["tokens"].shape[0]

    def body(i, carry):
        state, metrics = carry
        batch = jax.tree.map(lambda x: x[i], batches)
        state, loss, norm = _step(cfg, optimizer, adapter, state, frozen, batch, first + i)
        return state, Metrics(metrics.loss.at[i].set(loss), metrics.gradient.at[i].set(norm))

    nothing = Metrics(jnp.zeros(n), jnp.zeros(n))
    return jax.lax.fori_loop(0, count, body, (state, nothing))


def _step(cfg, optimizer, adapter, state, frozen, batch, number):
    def loss(trained):
        params = adapter.join(trained, frozen)
        logits, _ = apply(cfg, params, batch["tokens"], batch["segments"])
        return next_token(logits, batch["tokens"], batch["weights"])

    value, gradient = jax.value_and_grad(loss)(state.trained)
    norm = optax.tree.norm(gradient)
    good = jnp.isfinite(value) & jnp.isfinite(norm) & (state.step == number)
    updates, opt = optimizer.update(gradient, state.opt, state.trained)
    after = State(optax.apply_updates(state.trained, updates), opt, state.step + 1)
    return jax.tree.map(functools.partial(jnp.where, good), after, state), value, norm
