"""Questions to ask and examples to show: drawn apart from any corpus, held out or not."""

import functools
import zlib

import numpy as np

from data.draw import Draws
from data.key import key
from data.meaning import Question, Slot, replace_slots, slots
from data.task import ARITIES, SAID, TASKS, Items, Positional, Task, held_out
from data.template import concept_ids, concepts
from data.world import World

_MANY = 64  # questions drawn for every one that is to be held out


def label(task: Task) -> str:
    """A task in a table: the word of a list task, and of others what tells them apart."""
    return task.name if isinstance(task, Positional) else repr(task)


def sample(
    world: World, items: int, languages: int, seed: int
) -> dict[Task, list[list[tuple[Question, bool]]]]:
    """`items` questions of every task by language, and whether each is held out; as many as there
    are, those held out first. No question where a task may not ask."""
    rng = np.random.Generator(np.random.Philox(key=key("probe", seed)))
    listed = {
        name: [_listed(rng, t, world.nouns) for _ in range(items)] for t, name in enumerate(TASKS)
    }
    found: dict[Task, list[list[tuple[Question, bool]]]] = {}
    for task in world.tasks:
        for language in range(languages):
            if isinstance(task, Positional):
                own = listed[task.name]
            elif not task.may(world, language):
                own = []
            else:
                drawn = dict(drawn_questions(world, task, _MANY * items, language, seed))
                own = sorted(drawn.items(), key=lambda pair: not pair[1])[:items]
            found.setdefault(task, []).append(own)
    return found


def shown_before(
    world: World, task: Task, question: Question, shots: int, language: int, seed: int
) -> list[Question]:
    """`shots` questions of a task that are neither held out nor `question`, all different as far as
    there are so many."""
    if not shots:
        return []
    if not task.may(world, language):
        raise ValueError(
            f"{label(task)} may not be asked in language {language}, so nothing of it can be shown "
            "there; choose examples in another language, or shots=0"
        )
    drawn = drawn_questions(world, task, _MANY * shots, language, seed)
    fine = [*dict.fromkeys(q for q, spared in drawn if not spared and q != question)]
    if not fine:
        raise ValueError(f"{label(task)} has nothing to show but what is held out; choose shots=0")
    return (fine * shots)[:shots]


def drawn_questions(
    world: World, task: Task, n: int, language: int, seed: int
) -> list[tuple[Question, bool]]:
    """n questions of a task, and whether each is held out."""
    names, shapes = concepts(world), _shapes(task, world)
    start = zlib.crc32(label(task).encode()) + (seed << 32)
    draws = Draws(np.arange(n, dtype=np.uint64) + np.uint64(start % 2**64))
    if isinstance(task, Positional):
        arity, args = draws.below(len(ARITIES)), draws.distinct(max(ARITIES), world.nouns)
        kept = held_out(np.full(n, TASKS.index(task.name)), arity + ARITIES[0], args)
        items = Items(arity, args + concept_ids(world)["noun0"])
    else:
        items = task.draw(world, concept_ids(world), draws, np.full(n, language))
        size = np.array([sum(slot.index < SAID for slot in slots(q)) for q in shapes])
        kept = task.spared(concept_ids(world), items, size[items.shape])
    filled = []
    for i in range(n):
        concept = lambda slot, i=i: names[_row(items, slot)[i]]
        question = replace_slots(shapes[items.shape[i]], concept)
        filled.append(Question(question.task, question.args, question.marked))
    return list(zip(filled, kept.tolist(), strict=True))


def _row(items: Items, slot: Slot) -> np.ndarray:
    return items.args[slot.index] if slot.index < SAID else items.said[slot.index - SAID]


@functools.lru_cache(maxsize=256)
def _shapes(task: Task, world: World) -> tuple[Question, ...]:
    return tuple(task.shapes(world, ARITIES))


def _listed(rng: np.random.Generator, task: int, nouns: int) -> tuple[Question, bool]:
    """A question of any number of arguments, of those kept for evaluation where there are such."""
    count = int(rng.choice(ARITIES))
    while True:
        args = rng.permutation(nouns)[: max(ARITIES)]
        kept = bool(held_out(np.array([task]), np.array([count]), args[:, None]))
        if kept or count < 3:
            return Question(TASKS[task], tuple(f"noun{a}" for a in args[:count])), kept
