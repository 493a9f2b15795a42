"""What is said how often: the draw of documents from a mixture.

Facts are drawn uniformly over stated cells, so every stated cell of every fact has the same
expected exposures however many cells its group has; the languages' shares then weight their cells.
All other documents are in a language with the probability that is its share. Arguments of list
tasks are different nouns, and an item that `task.held_out` keeps for evaluation is moved on to the
next one that it does not keep.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.language import Languages
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


class Shape(NamedTuple):
    """N documents but for the concepts in them: template, the fact it states or -1 (N); task and
    arity (2, N) of the first and the second question."""

    template: np.ndarray
    fact: np.ndarray
    task: np.ndarray
    arity: np.ndarray

    def of(self, chosen: np.ndarray) -> "Shape":
        """The chosen documents alone."""
        return Shape(*(column[..., chosen] for column in self))


class Cells(NamedTuple):
    """Stated cells, those of language 0 first."""

    fact: np.ndarray
    direction: np.ndarray
    first: np.ndarray  # (languages) where a language's cells begin
    count: np.ndarray  # (languages)


@dataclass(frozen=True)
class Sampler:
    """Turns random numbers into documents.

    >>> from data.language import Pair
    >>> middle = np.full((DRAWS, 1), 2**31, np.uint32)
    >>> sampler = Sampler(World(), Pair(), Mixture(), shares=(0.5, 0.5))
    >>> shape = sampler.shape(middle)
    >>> sampler.tables.names[shape.template[0]]
    'last of noun noun noun is noun'
    >>> sampler.slots(middle, shape)[0, :3] - sampler.concept["noun0"]
    array([15, 14, 16])
    """

    world: World
    pair: Languages
    mixture: Mixture
    shares: tuple[float, ...]  # of the languages

    @functools.cached_property
    def cells(self) -> Cells:
        language, fact, direction = np.nonzero(self.world.stated.transpose(1, 0, 2))
        count = np.bincount(language, minlength=len(self.shares))
        return Cells(fact, direction, np.cumsum(count) - count, count)

    @functools.cached_property
    def fact_shares(self) -> np.ndarray:
        """The languages' shares of the documents that state facts: of all cells, each weighted by
        its language's share."""
        weight = self.cells.count * self.shares
        return weight / max(weight.sum(), 1e-300)

    @property
    def tables(self) -> Tables:
        return compile(self.pair, self.world)

    def shape(self, u: np.ndarray) -> Shape:
        """What kind of documents `u` (DRAWS, N) uint32 draws: cheap, since most of what is drawn
        concerns the concepts in them."""
        below = lambda i, n: (u[i] * np.uint64(n) >> np.uint64(32)).astype(np.int64)
        chance = lambda i, p: u[i] < p * 2.0**32
        share = np.cumsum(self.mixture.registers)[:-1] * 2.0**32
        row = np.searchsorted(share, u[1], side="right")
        row[chance(0, self.mixture.dictionary)] = REGISTERS.index("dictionary")
        language = np.where(
            row == 0, _language(u[2], self.fact_shares), _language(u[2], self.shares)
        )
        row[(row == REGISTERS.index("quiz")) & ~chance(3, self.mixture.answered)] = FOLLOWED
        task = below(slice(4, 6), len(TASKS))
        arity = below(slice(6, 8), len(ARITIES))
        is_list = (row == FOLLOWED) | (row == REGISTERS.index("dictionary"))
        a, b = np.where(is_list, arity[0], task[0]), arity[0].copy()
        b[row == FOLLOWED] = arity[1][row == FOLLOWED]
        b[row == REGISTERS.index("dictionary")] = below(4, len(self.shares) - 1)[
            row == REGISTERS.index("dictionary")
        ]
        fact = self._facts(row, language, u[8], a, b)
        return Shape(self.tables.ids[row, language, a, b], fact, task, arity)

    def slots(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """The concepts (N, SLOTS) in the slots of documents drawn by `u` (DRAWS, N)."""
        args = _distinct(u[8:16].reshape(2, 4, -1), self.world.nouns)
        _spare_held_out(shape.task, shape.arity, args, self.world.nouns)
        slots = np.empty((SLOTS, u.shape[1]), np.int64)
        slots[:TASK] = args.reshape(TASK, -1) + self.concept["noun0"]
        slots[TASK:] = shape.task + self.concept[TASKS[0]]
        facts, (at,) = self.world.facts, np.nonzero(shape.fact >= 0)
        fact = shape.fact[at]
        slots[0, at] = facts.subject[fact] + self._first["subject"][facts.relation[fact]]
        slots[1, at] = facts.object[fact] + self._first["object"][facts.relation[fact]]
        return slots.T

    def _facts(self, row, language, u, a, b) -> np.ndarray:
        """The facts (N) that are stated, -1 where none is; puts their relations and directions into
        `a` and `b`, in place."""
        fact = np.full(len(row), -1)
        (at,) = np.nonzero(row == 0)
        spoken, cells = language[at], self.cells
        cell = (u[at] * cells.count[spoken].astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        cell += cells.first[spoken]
        fact[at] = f = cells.fact[cell]
        a[at], b[at] = self.world.facts.relation[f], cells.direction[cell]
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


def _language(u: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The language (N) that numbers `u` (N) draw: the twins lie before the base, as they always
    did, so that of two languages the second is drawn below its share."""
    return (np.searchsorted(np.cumsum(shares[1:]) * 2.0**32, u, side="right") + 1) % len(shares)


def _distinct(u: np.ndarray, n: int) -> np.ndarray:
    """Four different numbers below n along axis 1: the k-th is drawn from the n - k that are left,
    then stepped over the smaller ones that are taken."""
    left = np.arange(n, n - 4, -1).astype(np.uint64)[:, None]
    args = (u * left >> np.uint64(32)).astype(np.int64)
    taken = [args[:, 0]]  # in rising order
    for k in range(1, 4):
        new = args[:, k]
        for smaller in taken:
            new += new >= smaller
        for i, smaller in enumerate(taken):
            taken[i], new = np.minimum(smaller, new), np.maximum(smaller, new)
        taken.append(new)
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
