"""What is said how often: the draw of documents from a mixture.

Facts are drawn uniformly over stated cells, so every stated cell of every fact has the same
expected exposures however many cells its group has; `ratio` then weights the cells of the two
languages. All other documents are in language 1 with probability `ratio`. Arguments of list tasks
are different nouns, and an item that `task.held_out` keeps for evaluation is moved on to the next
one that it does not keep.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.language import Pair
from data.task import ARITIES, TASKS, held_out
from data.template import FOLLOWED, REGISTERS, SLOTS, TASK, Tables, compile, concept_ids
from data.world import RELATIONS, World

DRAWS = 16  # 32-bit random numbers a document is made of


@dataclass(frozen=True)
class Mixture:
    """Shares of documents. `dictionary` is drawn first; the four registers share the rest.

    `answered` is the share of quiz documents whose question is answered; the others go on to
    another question (tier T1). Chat is what tuning alone says (tier T2)."""

    facts: float = 0.40
    stories: float = 0.35
    quiz: float = 0.25
    chat: float = 0.0
    answered: float = 0.2
    dictionary: float = 0.04

    def __post_init__(self) -> None:
        shares = (*self.registers, self.answered, self.dictionary)
        if min(shares) < 0 or max(shares) > 1 or abs(sum(self.registers) - 1) > 1e-9:
            raise ValueError(
                f"{self}: every share is from 0 to 1 and facts + stories + quiz + chat is 1, "
                f"here {sum(self.registers):g}; change one of the four"
            )

    @property
    def registers(self) -> tuple[float, ...]:
        """In the order of REGISTERS; the dictionary is not among them."""
        return self.facts, self.stories, self.quiz, self.chat


class Drawn(NamedTuple):
    """N documents: template (N), concepts in its slots (N, SLOTS), the fact it states or -1 (N)."""

    template: np.ndarray
    slots: np.ndarray
    fact: np.ndarray


class Cells(NamedTuple):
    """Stated cells, those of language 0 first."""

    fact: np.ndarray
    direction: np.ndarray
    first: np.ndarray  # (languages) where a language's cells begin
    count: np.ndarray  # (languages)


@dataclass(frozen=True)
class Sampler:
    """Turns random numbers into documents.

    >>> middle = np.full((DRAWS, 1), 2**31, np.uint64)
    >>> sampler = Sampler(World(), Pair(), Mixture(), ratio=0.5)
    >>> drawn = sampler(middle)
    >>> sampler.tables.names[drawn.template[0]], drawn.slots[0, :3] - sampler.concept["noun0"]
    ('last of noun noun noun is noun', array([15, 14, 16]))
    """

    world: World
    pair: Pair
    mixture: Mixture
    ratio: float

    @functools.cached_property
    def cells(self) -> Cells:
        language, fact, direction = np.nonzero(self.world.stated.transpose(1, 0, 2))
        count = np.bincount(language, minlength=2)
        return Cells(fact, direction, np.cumsum(count) - count, count)

    @functools.cached_property
    def fact_ratio(self) -> float:
        """The share of fact documents in language 1: cells weighted by their language's share."""
        weight = self.cells.count * [1 - self.ratio, self.ratio]
        return weight[1] / max(weight.sum(), 1e-300)

    @property
    def tables(self) -> Tables:
        return compile(self.pair, self.world)

    def __call__(self, u: np.ndarray) -> Drawn:
        """Documents from `u` (DRAWS, N), uint64 holding uniform 32-bit numbers."""
        below = lambda i, n: (u[i] * np.uint64(n) >> np.uint64(32)).astype(np.int64)
        chance = lambda i, p: u[i] < p * 2.0**32
        share = np.cumsum(self.mixture.registers)[:-1] * 2.0**32
        row = np.searchsorted(share, u[1], side="right")
        row[chance(0, self.mixture.dictionary)] = REGISTERS.index("dictionary")
        language = chance(2, np.where(row == 0, self.fact_ratio, self.ratio)).astype(np.int64)
        row[(row == REGISTERS.index("quiz")) & ~chance(3, self.mixture.answered)] = FOLLOWED
        task = below(slice(4, 6), len(TASKS))
        arity = below(slice(6, 8), len(ARITIES))
        args = _distinct(u[8:16].reshape(2, 4, -1), self.world.nouns)
        _spare_held_out(task, arity, args, self.world.nouns)
        slots = np.empty((SLOTS, u.shape[1]), np.int64)
        slots[:TASK] = args.reshape(TASK, -1) + self.concept["noun0"]
        slots[TASK:] = task + self.concept[TASKS[0]]
        a, b = task[0], arity[0].copy()
        is_list = (row == FOLLOWED) | (row == REGISTERS.index("dictionary"))
        a = np.where(is_list, arity[0], a)
        b[row == FOLLOWED] = arity[1][row == FOLLOWED]
        b[row == REGISTERS.index("dictionary")] = 0
        fact = self._facts(row, language, u[8], a, b, slots)
        return Drawn(self.tables.ids[row, language, a, b], slots.T, fact)

    def _facts(self, row, language, u, a, b, slots) -> np.ndarray:
        """Puts a stated cell into the rows that state facts, in place; returns the facts."""
        fact = np.full(len(row), -1)
        (at,) = np.nonzero(row == 0)
        spoken, cells, facts = language[at], self.cells, self.world.facts
        cell = (u[at] * cells.count[spoken].astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        cell += cells.first[spoken]
        fact[at] = f = cells.fact[cell]
        a[at], b[at] = facts.relation[f], cells.direction[cell]
        slots[0, at] = facts.subject[f] + self._first["subject"][facts.relation[f]]
        slots[1, at] = facts.object[f] + self._first["object"][facts.relation[f]]
        return fact

    @functools.cached_property
    def concept(self) -> dict[str, int]:
        return concept_ids(self.world)

    @functools.cached_property
    def _first(self) -> dict[str, np.ndarray]:
        place = lambda kind: self.concept[f"{kind}0"]
        return {
            "subject": np.array([place(r.subject) for r in RELATIONS]),
            "object": np.array([place(r.object) for r in RELATIONS]),
        }


def _distinct(u: np.ndarray, n: int) -> np.ndarray:
    """Four different numbers below n along axis 1: the k-th is drawn from the n - k that are left,
    then stepped over the smaller ones that are taken."""
    left = np.arange(n, n - 4, -1).astype(np.uint64)[:, None]
    args = (u * left >> np.uint64(32)).astype(np.int64)
    for k in range(1, 4):
        for taken in np.sort(args[:, :k], axis=1).swapaxes(0, 1):
            args[:, k] += args[:, k] >= taken
    return args


def _spare_held_out(task: np.ndarray, arity: np.ndarray, args: np.ndarray, n: int) -> None:
    """Moves the last argument on, in place, until no item is one kept for evaluation.

    task and arity (2, N), args (2, 4, N): the first and the second question of a document."""
    count = arity + ARITIES[0]
    which = np.nonzero(held_out(task, count, args.swapaxes(0, 1)))
    while len(which[0]):
        item, last = args[which[0], :, which[1]], count[which] - 1
        rows = np.arange(len(last))
        item[rows, last] = (item[rows, last] + 1) % n
        clash = ((item == item[rows, last][:, None]) & (np.arange(4) < last[:, None])).any(1)
        args[which[0], :, which[1]] = item
        bad = clash | held_out(task[which], count[which], item.T)
        which = which[0][bad], which[1][bad]
