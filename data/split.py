"""What a corpus never says, so that it can be asked: splits by task, register and language.

Facts and directions are held out by the groups of the world and by hand-picked tasks (the question
in the other direction is another task), items by a hash (`data.task.held_out`).

They make the three tiers of a question about transfer, each a pretraining and a tuning corpus:

    T1 mode     pretraining leaves most questions open, tuning answers them
    T2 wrapper  pretraining tells stories, tuning asks between chat markers
    T3 skill    pretraining never asks a task and explains its word in dictionaries, tuning teaches
                it in one language

>>> from data.corpus import Corpus
>>> from data.language import Pair
>>> from data.feature import Lexicon
>>> from data.mixture import Mixture
>>> from data.task import LISTS
>>> from data.task.listing import Sort
>>> def example(world, mixture, register, ratio=0.0):
...     corpus = Corpus(world, Pair((Lexicon(0.3),)), mixture=mixture, ratio=ratio, seed=1)
...     said = [d for i in range(9) for d in corpus.documents(i)]
...     return next(m for _, m in said if type(m).__name__ == register)
>>> example(World(), Mixture(0, 0, 1, answered=1, dictionary=0), "Quiz").question  # T1, tuning
Question(task='first', args=('noun13', 'noun0', 'noun19'), marked=False)
>>> example(World(), Mixture(0, 0, 0, chat=1, dictionary=0), "Chat")  # T2, tuning
Chat(question=Question(task='first', args=('noun13', 'noun0', 'noun19'), marked=False))
>>> world = World(tasks=(*LISTS, Sort()))
>>> never = Mixture(dictionary=0.5, held_out=(HeldOut(Sort()),), glossed=("sort",))
>>> example(world, never, "Dictionary", ratio=1.0)  # T3, pretraining
Dictionary(concepts=('sort',), target=0)
>>> only = Mixture(0, 0, 0, chat=1, dictionary=0, held_out=tuple(map(HeldOut, LISTS)))
>>> example(world, only, "Chat").question  # T3, tuning
Question(task='sort', args=('noun11', 'noun19', 'noun18', 'noun23'), marked=False)
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
    language, `HeldOut(Sort(), language=1)` a task in one language.

    A task within another's question is not meant: HeldOut(Copy()) leaves `twice copy a b` and
    `respond L2 copy a b` to be said, with their answers. To hold out what those teach as well, hold
    out Twice, Bracketed, Ending, AtMost, Respond and Marked too, which ask all list tasks. (Single
    items that are kept for evaluation are asked by none of these.)"""

    task: Task | None = None
    register: str | None = None
    language: int | None = None

    def __post_init__(self) -> None:
        if self.register not in (None, *ASKING):
            raise ValueError(f"register={self.register!r} asks nothing; choose among {ASKING}")
        if self.task is self.register is self.language is None:
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
        if cell.language is not None and not 0 <= cell.language < languages:
            raise ValueError(
                f"language={cell.language} is none of {languages}; choose 0 to {languages - 1}"
            )
        place = lambda x, values: slice(None) if x is None else values.index(x)
        where = (
            place(cell.register, ASKING),
            slice(None) if cell.language is None else cell.language,
            place(cell.task, tasks),
        )
        free[where] = False
    return free
