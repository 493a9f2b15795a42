"""The concepts in documents: what stands in the slots of drawn templates.

Arguments of list tasks are different nouns, and an item that `task.held_out` keeps for evaluation
is moved on to the next one that it does not keep.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data import zipf
from data.draw import below, stepped
from data.entry import Entries
from data.language import Languages
from data.meaning import slots
from data.mixture import Mixture
from data.sentence import VERB
from data.task import ARITIES, TASKS, held_out
from data.template import PLAIN, Tables, concept_ids, ends
from data.world import World

DRAWS = 16  # 32-bit random numbers a document is made of


class Shape(NamedTuple):
    """N documents, most of their concepts not yet drawn: template, the language in which each was
    drawn, the fact it states or -1 (N); task, arity and kind (2, N) of its first and its second
    question. `asked` (slots, N) has the concepts of questions of tasks that are no list tasks, else
    -1; it is empty where the world has list tasks alone."""

    template: np.ndarray
    language: np.ndarray
    fact: np.ndarray
    task: np.ndarray
    arity: np.ndarray
    question: np.ndarray
    asked: np.ndarray

    def of(self, chosen: np.ndarray) -> "Shape":
        """The chosen documents alone."""
        return Shape(*(column[..., chosen] for column in self))


@dataclass(frozen=True, eq=False)
class Filling:
    """Fills the slots of documents of `tables`."""

    world: World
    pair: Languages
    mixture: Mixture
    tables: Tables

    def slots(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """The concepts (N, slots) in the slots of documents drawn by `u` (DRAWS, N)."""
        shapes = self.tables.shapes
        slots = np.zeros((shapes.slots, u.shape[1]), np.int64)
        self._ask(u, shape, slots)
        self.entries.explain(u, shape.template, slots)
        self._say(u, shape, slots)
        (at,) = np.nonzero(self.tables.kind[shape.template] == 0)
        slots[:2, at] = ends(self.world)[shape.fact[at]].T
        # An alias is a noun of the second question: those of the first are drawn by the numbers
        # that draw the fact.
        slots[2, at] = slots[shapes.args, at]
        return slots.T

    def _ask(self, u: np.ndarray, shape: Shape, slots: np.ndarray) -> None:
        """Puts what is asked, and by which words, into `slots`, in place."""
        args, shapes = self._nouns(u[8:16].reshape(2, 4, -1), shape), self.tables.shapes
        _spare_held_out(self._codes[shape.task], shape.arity, args, self.world.nouns)
        for which in (0, 1):
            slots[which * shapes.args :][:4] = args[which] + self.concept["noun0"]
        np.copyto(slots[: len(shape.asked)], shape.asked, where=shape.asked >= 0)
        slots[shapes.task(0) : shapes.task(2)] = self._words[shape.question]

    def _say(self, u: np.ndarray, shape: Shape, slots: np.ndarray) -> None:
        """Puts the verb of a plain sentence, and what is not its nouns, into `slots`, in place."""
        (at,) = np.nonzero(self.tables.register[shape.template] == PLAIN)
        words = zipf.weights(max(1, self.world.vocabulary.verbs), self.mixture.zipf.words)
        number = self._ranked(zipf.drawn(u[12:16, at], words), shape.language[at], len(words))
        slots[VERB : VERB + 4, at] = self._plain[shape.template[at]].T + number

    def _nouns(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """(2, 4, N) the nouns of both questions, those of one different, from as many numbers."""
        n, exponent = self.world.nouns, self.mixture.zipf.nouns
        if not exponent:
            return stepped(below(u, np.arange(n, n - 4, -1)[:, None]))
        weight = zipf.weights(n, exponent)
        ranks = np.stack([zipf.distinct(numbers, weight) for numbers in u])
        return self._ranked(ranks, shape.language, n)

    def _ranked(self, rank: np.ndarray, language: np.ndarray, n: int) -> np.ndarray:
        """Which of a class of n has these ranks (..., N) in languages (N)."""
        ranked = [self.mixture.zipf.ranked(i, n) for i in range(len(self.pair.names))]
        return np.array(ranked)[language, rank]

    @functools.cached_property
    def entries(self) -> Entries:
        return Entries(self.world, self.pair, self.mixture, self.tables)

    @functools.cached_property
    def concept(self) -> dict[str, int]:
        return concept_ids(self.world)

    @functools.cached_property
    def _codes(self) -> np.ndarray:
        """Of every task its number among the list tasks, 0 of others."""
        names = [task.name for task in self.world.tasks]
        return np.array([TASKS.index(name) if name in TASKS else 0 for name in names])

    @functools.cached_property
    def _words(self) -> np.ndarray:
        """Of every kind of question the concept by whose word it asks."""
        return np.array([self.concept[q.task] for q in self.tables.shapes.question])

    @functools.cached_property
    def _plain(self) -> np.ndarray:
        """(Z, 4) the first concept of the kinds of words in the slots after the nouns of plain
        sentences, 0 where there is none."""
        first = np.zeros((len(self.tables.templates), 4), np.int64)
        for z in np.nonzero(self.tables.register == PLAIN)[0]:
            for slot in slots(self.tables.templates[z].meaning):
                if slot.index >= VERB:
                    first[z, slot.index - VERB] = self.concept[f"{slot.kind}0"]
        return first


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
