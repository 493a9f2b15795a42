"""Do a step that was not finite again: `python -m train.replay DIR`.

DIR is the folder of the run, or of the stage, in which `fit` left a not-finite-<step>.npz: the
member's state before the step, its rows, its model, recipe and layout. The step is run in as many
parts and with the same `remat`, but alone and on one device, which must hold it: what came of a sum
over devices need not come again. Printed are its loss, the norm of its gradient, and the parameters
whose gradient or value is not finite.
"""

import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from train.mesh import Layout, pathname
from train.pretrain import run
from train.recipe import Recipe
from train.step import Span, State, Still, abstract, chunk, constants, loss_and_gradient
from train.store import rebuild


class Found(NamedTuple):
    step: int
    loss: float
    gradient: float  # norm
    values: list[str]  # parameters that are not finite before the step
    gradients: list[str]  # parameters whose gradient is not


def main() -> None:
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else "")
    files = sorted(folder.glob("not-finite-*.npz"))
    if len(sys.argv) != 2 or not files:
        raise ValueError(f"no not-finite-<step>.npz in {folder}; give the folder of a lost run")
    for path in files:
        found = replay(path)
        print(f"{path.name}: step {found.step}, loss {found.loss}, gradient norm {found.gradient}")
        print(f"  not finite before the step: {', '.join(found.values) or 'no parameter'}")
        print(f"  without a finite gradient: {', '.join(found.gradients) or 'no parameter'}")


def replay(path: pathlib.Path) -> Found:
    """The step of a file that `fit` left."""
    with np.load(path) as kept:
        kept = dict(kept)
    spec = rebuild(json.loads(str(kept["spec"])))
    cfg, recipe, was = spec["model"], spec["recipe"], spec.get("layout", Layout())
    layout = Layout(accumulate=was.accumulate, remat=was.remat)
    state, still = _filled(("state", "still"), abstract(cfg, recipe, 1), kept)
    rows = {name: kept[f"batch/{name}"] for name in ("tokens", "weights", "segments")}
    step = int(state.step[0])
    one = lambda tree: jax.tree.map(lambda x: x[0], tree)
    _, gradient = jax.jit(lambda *own: loss_and_gradient(cfg, recipe, *own, layout))(
        one(state.trained), one(still), rows
    )
    wrong = (_not_finite(one(state.trained)), _not_finite(gradient))
    return Found(step, *_metrics(cfg, recipe, layout, state, still, rows), *wrong)


def _metrics(
    cfg: Any, recipe: Recipe, layout: Layout, state: State, still: Still, rows: dict
) -> tuple:
    span = Span(
        batches=jax.tree.map(lambda x: jnp.asarray(x)[None, None], rows),
        rates=recipe.rates()[None, int(state.step[0]) :][:, :1],
        first=np.array(state.step),
        count=np.ones(1, np.int32),
    )
    _, metrics = chunk(cfg, recipe, layout)(state, still, constants((recipe,)), span)
    return float(metrics.loss[0, 0]), float(metrics.gradient[0, 0])


def _filled(names: tuple[str, ...], like: tuple, kept: dict[str, np.ndarray]) -> tuple:
    """The trees of the file, in the shapes of `like`, with the members' axis."""

    def leaf(name, keys, shape):
        return jnp.asarray(kept[f"{name}/{pathname(keys)}"], shape.dtype)[None]

    each = lambda name, tree: jax.tree_util.tree_map_with_path(
        lambda keys, shape: leaf(name, keys, shape), tree
    )
    return tuple(each(name, tree) for name, tree in zip(names, like, strict=True))


def _not_finite(tree: Any) -> list[str]:
    named = jax.tree_util.tree_leaves_with_path(tree)
    return [pathname(keys) for keys, leaf in named if not np.isfinite(np.asarray(leaf)).all()]


if __name__ == "__main__":
    run(main)
