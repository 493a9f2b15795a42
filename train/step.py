"""The training step, and a chunk of steps of all members as one compiled call.

Members (seeds, and conditions that share shapes) are the leading axis S of every leaf. Their
numbers are arguments of the program: learning rates by step, weight decays, batches. Within a
member the steps are a loop whose length is an argument too, so one program serves every chunk, and
how a run is cut into chunks cannot change a bit of it. A member whose loss or gradient is not
finite stays as it was before that step, and no later step moves it; nothing it does reaches
another.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from model.lm import LM, bind, init, shapes
from train.adapter import Full, divide, together
from train.mesh import Layout, moved, placed
from train.recipe import Recipe, numbers, with_numbers


class State(NamedTuple):
    """`trained` parameters, the optimizer's state, and steps done; every leaf has a leading S."""

    trained: Any
    opt: Any
    step: Int[Array, " S"]


class Span(NamedTuple):
    """What members need for their next steps `first`, `first` + 1, ...: `count` <= n of them.

    `batches` is a dict of tokens, weights, segments (S,n,B,T). A member with count 0 rests.
    """

    batches: Any
    rates: Float[Any, "S n"]  # the learning rate of each step
    first: Int[Any, " S"]
    count: Int[Any, " S"]


class Still(NamedTuple):
    """What no step moves: the `frozen` part of the parameters, and all those of the base, where an
    objective is relative to it, else {}."""

    frozen: Any
    base: Any


class Metrics(NamedTuple):
    loss: Float[Array, "S n"]
    gradient: Float[Array, "S n"]  # norm before clipping


def parameters(cfg: LM, seeds: tuple[int, ...], mesh: Mesh | None = None) -> Any:
    """Fresh parameters of one member per seed; on a mesh they come to be where they lie."""
    return _laid(_drawn(cfg), mesh, keys(seeds))


@functools.cache  # the same function for the same model, or it is compiled anew
def _drawn(cfg: LM):
    return jax.vmap(lambda key: init(cfg, jax.random.wrap_key_data(key)))


def stacked(cfg: LM) -> Any:
    """The shapes of `parameters` of one seed, as whoever trained one member leaves them."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), shapes(cfg))


def keys(seeds: tuple[int, ...]) -> np.ndarray:
    """A raw key (S, 2) for each seed."""
    return np.stack([jax.random.key_data(jax.random.key(seed)) for seed in seeds])


def divided(params: Any, recipes: Sequence[Recipe], keys: np.ndarray) -> tuple[Any, Still]:
    """What of the members' parameters is trained, and what stands still."""
    trained, frozen = divide([recipe.adapter for recipe in recipes], params, keys)
    return trained, Still(frozen, params if recipes[0].objective.relative else {})


def result(
    cfg: LM, recipes: tuple[Recipe, ...], state: State, params: Any = None, mesh: Mesh | None = None
) -> Any:
    """The parameters of members at the end, trained from `params` (absent: fresh from seeds); they
    lie on the mesh that the state lies on."""
    if recipes[0].adapter == Full():
        return state.trained
    seeds = tuple(recipe.seed for recipe in recipes)
    params = parameters(cfg, seeds, mesh) if params is None else moved(params, mesh)
    return together([recipe.adapter for recipe in recipes], state.trained, params, keys(seeds))


def constants(recipes: tuple[Recipe, ...]) -> dict[str, Float[Array, " S"]]:
    """The numbers of the members' optimizers, which the program takes as arguments."""
    rows = [numbers(recipe.optimizer) for recipe in recipes]
    return {name: jnp.array([row[name] for row in rows], jnp.float32) for name in rows[0]}


def begin(recipe: Recipe, trained: Any, mesh: Mesh | None = None) -> State:
    """The state before the first step, committed to its devices as one from a checkpoint is: the
    same program goes on from both."""
    # The chunk donates its state: what the caller passed in must survive that.
    state = _laid(_started(recipe.structure()), mesh, jax.tree.map(jnp.copy, trained))
    return jax.device_put(state, jax.local_devices()[0]) if mesh is None else state


@functools.cache
def _started(recipe: Recipe):
    def start(trained):
        S = len(jax.tree.leaves(trained)[0])
        fresh = jax.vmap(recipe.optimizer.transform(0.0).init)
        return State(trained, fresh(trained), jnp.zeros(S, jnp.int32))

    return start


def _laid(make, mesh, *arguments):
    """What `make` gives, compiled; on a mesh no device holds more than its part."""
    out = None if mesh is None else placed(jax.eval_shape(make, *arguments), mesh)
    return jax.jit(make, out_shardings=out)(*arguments)


def abstract(cfg: LM, recipe: Recipe, S: int) -> tuple[State, Still]:
    """Shapes of the state of S members, and of what stands still."""
    add = lambda x: jax.ShapeDtypeStruct((S, *x.shape), x.dtype)
    own = functools.partial(divided, recipes=(recipe,) * S, keys=keys((0,) * S))
    trained, still = jax.eval_shape(own, jax.tree.map(add, shapes(cfg)))
    return jax.eval_shape(functools.partial(begin, recipe), trained), still


def chunk(
    cfg: LM,
    recipe: Recipe,
    layout: Layout = Layout(),
    mesh: Mesh | None = None,
):
    """`run(state, still, constants, span) -> (state, Metrics)`, compiled once for all recipes of
    one structure. `state` is donated. With a mesh, call it under `jax.set_mesh(mesh)`.
    """
    backend = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    return _chunk(cfg, recipe.structure(), layout, mesh, backend)


@functools.cache
def _chunk(cfg: LM, recipe: Recipe, layout: Layout, mesh: Mesh | None, backend: str):
    one = functools.partial(_member, cfg, recipe, layout)

    def run(state, still, constants, span):
        own = (state, still, constants, span)
        if backend == "cpu":
            # On a CPU members one after the other are faster, and equal to a run alone bit for bit.
            return jax.lax.map(lambda own: one(*own, own[-1].count), own)
        # Together, as long as the longest: a loop of its own length would select its whole state.
        return jax.vmap(one, in_axes=(0, 0, 0, 0, None))(*own, span.count.max())

    if mesh is None:
        return jax.jit(run, donate_argnums=0)
    if layout.member > 1:  # members meet nobody: each device runs its own
        # Mosaic's kernels are for devices that share nothing: an axis of one must be manual too.
        own = {"member"} if layout.shared > 1 else set(mesh.axis_names)
        run = jax.shard_map(
            run, in_specs=P("member"), out_specs=P("member"), axis_names=own, check_vma=False
        )
    S = layout.member
    after = placed(abstract(cfg, recipe, S)[0], mesh)
    return jax.jit(run, donate_argnums=0, out_shardings=(after, jax.NamedSharding(mesh, P())))


def _member(cfg, recipe, layout, state, still, constants, span, turns):
    """The next steps of one member; arguments without the members' axis."""
    n = span.batches["tokens"].shape[0]
    optimizer = with_numbers(recipe.optimizer, constants)

    def body(i, carry):
        state, metrics = carry
        batch = jax.tree.map(lambda x: x[i], span.batches)
        loss, gradient = loss_and_gradient(cfg, recipe, state.trained, still, batch, layout)
        norm = optax.tree.norm(gradient)
        good = jnp.isfinite(loss) & jnp.isfinite(norm)
        good &= (i < span.count) & (state.step == span.first + i)
        after = _updated(optimizer.transform(span.rates[i]), state, gradient)
        state = jax.tree.map(functools.partial(jnp.where, good), after, state)
        return state, Metrics(metrics.loss.at[i].set(loss), metrics.gradient.at[i].set(norm))

    nothing = Metrics(jnp.zeros(n), jnp.zeros(n))
    return jax.lax.fori_loop(0, turns, body, (state, nothing))


def _updated(transform, state, gradient):
    updates, opt = transform.update(gradient, state.opt, state.trained)
    return State(optax.apply_updates(state.trained, updates), opt, state.step + 1)


def loss_and_gradient(
    cfg: LM, recipe: Recipe, trained: Any, still: Still, batch: Any, layout: Layout = Layout()
) -> tuple[Float[Array, ""], Any]:
    """The mean loss of one member and its gradient, of the whole batch or summed over parts."""

    def total(trained, part):
        net = bind(cfg, recipe.adapter.join(trained, still.frozen))
        base = bind(cfg, still.base) if recipe.objective.relative else None
        return recipe.objective(net, part, layout, base)

    def mean(trained):
        nats, weight = total(trained, batch)
        return nats / jnp.maximum(weight, 1e-9)

    if layout.accumulate == 1:
        return jax.value_and_grad(mean)(trained)

    def add(carry, part):
        (nats, weight), gradient = jax.value_and_grad(total, has_aux=True)(trained, part)
        return jax.tree.map(jnp.add, carry, (nats, weight, gradient)), None

    nothing = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained))
    (nats, weight, gradient), _ = jax.lax.scan(add, nothing, layout.parts(batch))
    scale = 1 / jnp.maximum(weight, 1e-9)
    return nats * scale, jax.tree.map(lambda leaf: leaf * scale, gradient)
