"""Questions of tasks whose answers are computed, drawn for many documents at once."""

from typing import NamedTuple

import numpy as np

from data.draw import Draws
from data.template import Shapes
from data.world import World

_TRIES = 200  # at an item that is not held out


class Questions(NamedTuple):
    """K questions: their shapes (K), the concepts in the slots of arguments and of answers, and the
    facts that their answers state, -1 where there is none (K)."""

    shape: np.ndarray
    args: np.ndarray
    said: np.ndarray
    fact: np.ndarray


def questions(
    world: World,
    concept: dict[str, int],
    shapes: Shapes,
    task: np.ndarray,
    language: np.ndarray,
    seed: np.ndarray,
) -> Questions:
    """Questions of the given tasks, in languages, from seeds (K each); none is held out."""
    shape, fact = np.zeros(len(task), np.int64), np.full(len(task), -1)
    args = np.full((shapes.args, len(task)), -1)
    said = np.full((shapes.slots - shapes.task(2), len(task)), -1)
    for t, one in enumerate(world.tasks):
        (at,) = np.nonzero(task == t)
        state = seed[at]
        for _ in range(_TRIES):
            if not len(at):
                break
            items = one.draw(world, concept, Draws(state), language[at])
            shape[at] = shapes.first[t] + items.shape
            args[: len(items.args), at] = items.args
            if items.said is not None:
                said[: len(items.said), at] = items.said
            if items.fact is not None:
                fact[at] = items.fact
            again = one.spared(concept, items, shapes.size[shape[at]])
            at, state = at[again], state[again] * np.uint64(0xD1B54A32D192ED03) + np.uint64(1)
        else:
            raise ValueError(f"{one} has no item that is not held out; choose a larger world")
    return Questions(shape, args, said, fact)
