"""What a corpus never says, so that it can be asked: splits by task, register and language.

Facts and directions are held out by the groups of the world and by hand-picked tasks (the question
in the other direction is another task), items by a hash (`data.task.held_out`).
"""

from dataclasses import dataclass

import numpy as np

from data.task import Task
from data.world import World

ASKING = ("story", "quiz", "chat")


@dataclass(frozen=True)
class HeldOut:
    """A cell that is left out: a task, in a register, in a language; None stands for all of them.

    `HeldOut(Sort())` leaves out a task, `HeldOut(register="chat", language=1)` a register of one
    language, `HeldOut(Sort(), language=1)` a task in one language."""

    task: Task | None = None
    register: str | None = None
    language: int | None = None

    def __post_init__(self) -> None:
        if self.register not in (None, *ASKING):
            raise ValueError(f"register={self.register!r} asks nothing; choose among {ASKING}")
        if self == HeldOut():
            raise ValueError("HeldOut() leaves nothing to say; name a task, register or language")


def allowed(world: World, held_out: tuple[HeldOut, ...], languages: int) -> np.ndarray:
    """(registers, languages, tasks) bool: what may be said of ASKING."""
    tasks = world.tasks
    free = np.ones((len(ASKING), languages, len(tasks)), bool)
    for r, register in enumerate(ASKING):
        free[r] &= [register in task.registers for task in tasks]
        free[r] &= [[task.may(world, i) for task in tasks] for i in range(languages)]
    for cell in held_out:
        if cell.task is not None and cell.task not in tasks:
            raise ValueError(
                f"{cell} holds out a task the world does not have; choose one of "
                f"{', '.join(map(repr, tasks))}"
            )
        place = lambda x, values: slice(None) if x is None else values.index(x)
        where = (
            place(cell.register, ASKING),
            slice(None) if cell.language is None else cell.language,
            place(cell.task, tasks),
        )
        free[where] = False
    return free
