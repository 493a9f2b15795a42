"""The list tasks: what each does to its arguments, as a reference that runs.

Every task only moves and repeats its arguments, so it is a tuple of positions; a corpus compiles it
to a gather, and an evaluation answers it without a model.
"""

import numpy as np

TASKS = ("copy", "reverse", "first", "last", "dup", "swap")
ARITIES = (2, 3, 4)
# One in so many argument lists (of 3 or 4) is kept for evaluation; lists of 2 are too few to spare.
HELD_OUT_ONE_IN = 16


def positions(task: str, n: int) -> tuple[int, ...]:
    """Which of the n arguments the answer says, in order.

    >>> positions("swap", 4), positions("dup", 2)
    ((1, 0, 2, 3), (0, 1, 0, 1))
    """
    all_ = tuple(range(n))
    match task:
        case "copy":
            return all_
        case "reverse":
            return all_[::-1]
        case "first":
            return all_[:1]
        case "last":
            return all_[-1:]
        case "dup":
            return all_ + all_
        case "swap":
            return all_[1:2] + all_[:1] + all_[2:]
    raise ValueError(f"no list task {task!r}; there are {', '.join(TASKS)}")


def answer(task: str, args: tuple) -> tuple:
    """The right answer, e.g. `answer("swap", ("a", "b", "c"))` is `("b", "a", "c")`."""
    return tuple(args[i] for i in positions(task, len(args)))


def held_out(task: np.ndarray, count: np.ndarray, args: np.ndarray) -> np.ndarray:
    """Which items are kept for evaluation, in every language alike: a hash of task and arguments.

    `task` and `count` (...) are indices into TASKS and numbers of arguments; `args` (4, ...) are
    indices of nouns, of which the first `count` matter."""
    code = (task * 8 + count).astype(np.uint64)
    for k, arg in enumerate(args):
        said = np.where(k < count, arg + 1, 0)
        code = code * np.uint64(1_000_003) + said.astype(np.uint64)
    code = (code ^ (code >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing
    return ((code >> np.uint64(40)) % np.uint64(HELD_OUT_ONE_IN) == 0) & (count >= 3)
