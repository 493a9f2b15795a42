"""What dictionary documents explain: so many nouns, or one word of another kind.

One that would explain a single noun explains a task instead, where tasks are glossed; every second
of the others a name, where names are in the scope, and every one where nouns are not.
"""

import functools
from dataclasses import dataclass

import numpy as np

from data.contact import NAME, NAMED
from data.draw import below, chance, hashed
from data.language import Languages
from data.mixture import Mixture
from data.speaker import speaker
from data.template import ENTRIES, REGISTERS, Tables, concept_ids
from data.world import World


@dataclass(frozen=True, eq=False)
class Entries:
    """The dictionary documents of a mixture, from random numbers `u` (DRAWS, N)."""

    world: World
    pair: Languages
    mixture: Mixture
    tables: Tables

    def columns(self, u: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Their place (N) on axis A of `Tables.ids`, for `count` (N) among ENTRIES."""
        column, names = count.copy(), self.mixture.glossed
        told = (count == 0) & bool(names)
        if names:
            column[told] = self._tasks[0][below(u[9, told], len(names))]
        if "names" in self.mixture.contact.scope:
            share = 0.5 if "nouns" in self.mixture.contact.scope else 1
            named = ~told & chance(hashed(u[0], u[1], NAMED), share)
            kind = np.searchsorted(self._ends, self._name(u[:, named]), side="right")
            column[named] = self._first + kind
        return column

    def explain(self, u: np.ndarray, template: np.ndarray, slots: np.ndarray) -> None:
        """Puts what is explained one by one into the `slots` (slots, N) of documents of these
        templates (N), in place."""
        place = self.tables.ids[REGISTERS.index("dictionary")]
        if self.mixture.glossed:
            column, concept = self._tasks
            (at,) = np.nonzero(np.isin(template, place[:, column, :, 0, 0]))
            slots[0, at] = concept[below(u[9, at], len(concept))]
        if "names" in self.mixture.contact.scope:
            (at,) = np.nonzero(np.isin(template, place[:, self._first :][:, : len(self._ends)]))
            slots[0, at] = self._name(u[:, at])

    def _name(self, u: np.ndarray) -> np.ndarray:
        """The concepts of the names that are explained; names are the first concepts."""
        return below(hashed(u[0], u[1], NAME), self._ends[-1])

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """Where the concepts end of every type that has names."""
        return np.cumsum([self.world.kinds[kind] for kind in self.world.named])

    @property
    def _first(self) -> int:
        """The column of the first type that has names."""
        return len(ENTRIES) + len(self.tables.shapes.words) - len(self._ends)

    @functools.cached_property
    def _tasks(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns and concepts of glossed tasks."""
        kind, kinds = speaker(self.pair, self.world).kind, self.tables.shapes.words
        names, concept = self.mixture.glossed, concept_ids(self.world)
        columns = [len(ENTRIES) + kinds.index(kind[name]) for name in names]
        return np.array(columns), np.array([concept[name] for name in names])
