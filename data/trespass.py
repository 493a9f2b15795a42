"""The search for what a mixture holds out, in the rendered tokens: it trusts no generator.

Together with data/contamination.py (facts) and the list tasks' held-out items, it is the proof that
what is asked was never said.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data import search
from data.corpus import Corpus
from data.ledger import blocks
from data.sample import label
from data.split import ASKING, allowed
from data.task import leaves_open
from data.template import FOLLOWED, REGISTERS

_BLOCK = 2**18  # tokens searched together


def trespasses(corpus: Corpus, start: int, stop: int) -> pa.Table:
    """Every place in the tokens of rows start..stop where a task is asked in a register and a
    language that the mixture holds out, none if all is well: answered rightly or not, or left open
    before or after another question.

    A task that is asked for within another's question is not meant: that is the other task.

    Columns: row, position (where it begins), task, register, language."""
    cells, found = list(_cells(corpus)), []
    for first, last in blocks(corpus, start, stop, _BLOCK):
        words = search.read(corpus, corpus.rows(first, last)["tokens"])
        known = {}
        wanted = sorted({z for _, templates in cells for z, _, _ in templates})
        for z, begin, slots in search.matches(corpus, words, wanted, whole=True):
            known[z] = begin, slots
        for cell, templates in cells:
            for z, slot, concept in templates:
                if z not in known:
                    continue
                begin, slots = known[z]
                begin = begin if slot is None else begin[slots[:, slot] == concept]
                found += [(int(words.row[b]) + first, int(words.position[b]), *cell) for b in begin]
    columns = list(zip(*sorted(set(found)), strict=True)) or [()] * 5
    names = ("row", "position", "task", "register", "language")
    kinds = (pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string())
    return pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], names)


def _cells(corpus: Corpus) -> Iterator[tuple[tuple[str, str, str], list]]:
    """What is held out by name, and the templates that would say it: each with a slot and a concept
    that is to stand in it, None where any may."""
    tables, world, names = corpus.tables, corpus.world, corpus.pair.names
    said = allowed(world, corpus.mixture.held_out, len(names))
    may = allowed(world, (), len(names))
    for r, language, t in np.argwhere(may & ~said).tolist():
        task, register = world.tasks[t], REGISTERS.index(ASKING[r])
        own = _own(corpus, t)
        wordings = np.unique(tables.ids[register, language, own, 0])
        templates = [(int(z), None, None) for z in wordings if z >= 0]
        if ASKING[r] == "quiz" and leaves_open(task):
            templates += _open(corpus, t, language, said[r, language])
        yield (label(task), ASKING[r], names[language]), templates


def _own(corpus: Corpus, task: int) -> np.ndarray:
    """The shapes of a task."""
    shapes = corpus.tables.shapes
    last = [*shapes.first[1:], len(shapes.question)][task]
    return np.arange(shapes.first[task], last)


def _open(corpus: Corpus, task: int, language: int, said: np.ndarray) -> list:
    """The templates of two questions of which one is of the task; none for openings that a task
    which is said has in common with it."""
    shapes, ids = corpus.tables.shapes, corpus.tables.ids[FOLLOWED, language]
    asks = lambda t: {(shapes.opening[s], shapes.question[s].task) for s in _own(corpus, t)}
    others = set().union(*(asks(t) for t in np.flatnonzero(said)))
    found = []
    for opening, name in asks(task) - others:
        concept = corpus.sampler.concept[name]
        for which, said in enumerate((ids[opening], ids[:, opening])):
            found += [(int(z), shapes.task(which), concept) for z in np.unique(said) if z >= 0]
    return found
