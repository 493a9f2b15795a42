"""Which tasks may be asked where: what register and language allow, less what is held out."""

from typing import NamedTuple

import numpy as np

from data.mixture import Mixture
from data.split import ASKING, allowed
from data.task import ARITIES, leaves_open
from data.template import FOLLOWED, REGISTERS
from data.world import World


class Choices(NamedTuple):
    """Over the rows of `Tables.ids`. Where nothing is asked, all tasks may be."""

    free: np.ndarray  # (rows, languages, tasks) bool: which may be asked
    task: np.ndarray  # (rows, languages, tasks) the tasks, those that may be asked first
    count: np.ndarray  # (rows, languages) how many may be asked
    share: np.ndarray  # (registers, languages) languages' shares among those a register asks in


def choices(world: World, mixture: Mixture, shares: tuple[float, ...]) -> Choices:
    """What may be asked in languages of these `shares`. ValueError if the mixture asks for, or
    explains, what there is none of."""
    free = np.ones((FOLLOWED + 1, len(shares), len(world.tasks)), bool)
    for task in world.tasks:
        if task.languages > len(shares):
            raise ValueError(
                f"{task} names {task.languages} languages and there are {len(shares)}; choose "
                f"languages={len(shares)}"
            )
        for question in task.shapes(world, ARITIES):
            owners = [one for one in world.tasks if one.takes(question)]
            if owners != [task]:  # each has a hash of its own: held out by one, asked by the other
                raise ValueError(
                    f"{owners[0]} and {owners[-1]} both ask {question.task!r} of the same; choose "
                    "one of the two"
                )
    asked = allowed(world, mixture.held_out, len(shares))
    free[[*map(REGISTERS.index, ASKING)]] = asked
    free[FOLLOWED] = asked[ASKING.index("quiz")] & [leaves_open(task) for task in world.tasks]
    spoken = (free.any(2) * shares)[: len(REGISTERS)]
    said = allowed(world, (), len(shares)).any(2) @ shares > 0
    for field, register in zip(("stories", "quiz", "chat"), ASKING, strict=True):
        if getattr(mixture, field) and not spoken[REGISTERS.index(register)].any():
            why, less = (
                ("every task is held out", "hold out less, or")
                if said[ASKING.index(register)]
                else (f"the world has no task for a {register}", "give it one, or")
            )
            raise ValueError(
                f"{field}={getattr(mixture, field)}, but {why} in every language that has a share, "
                f"{shares}; {less} choose {field}=0"
            )
    closed = free[REGISTERS.index("quiz")].any(1) & ~free[FOLLOWED].any(1) & (np.array(shares) > 0)
    if mixture.quiz and mixture.answered < 1 and closed.any():
        raise ValueError(
            f"answered={mixture.answered}, but of the quiz questions in language "
            f"{np.argmax(closed)} none may be left open; choose answered=1, hold out quiz in that "
            "language, or add a task that may be left open"
        )
    names = [task.name for task in world.tasks]
    for name in mixture.glossed:
        if name not in names:
            raise ValueError(
                f"glossed={mixture.glossed}: {name!r} is the name of no task of the "
                f"world; choose among {', '.join(names)}"
            )
    return Choices(
        free=free,
        task=np.argsort(~free, axis=2, kind="stable"),
        count=free.sum(2),
        share=spoken / np.maximum(spoken.sum(1, keepdims=True), 1e-300),
    )
