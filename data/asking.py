"""What rendered tokens ask, read (data/reader.py) without trust in what was drawn.

A document that fits a template which asks is a question of the tasks that ask it in these words,
and an item that is kept for evaluation if the tasks' hashes say so.
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from data.corpus import Corpus
from data.draw import Draws
from data.meaning import Chat, Parallel, Question, Quiz, Slot, Story
from data.reader import Words, matches, read
from data.task import TASKS, Items, Positional, Task, held_out


class Questions(NamedTuple):
    """N questions in tokens: where each is asked, how and in which language; whether it is `of` the
    tasks of the world (N, tasks): those that ask it in these words; whether it is an item that is
    `kept` for evaluation, and whether it is `worded` by a template that is."""

    row: np.ndarray
    position: np.ndarray
    register: np.ndarray
    language: np.ndarray
    of: np.ndarray
    kept: np.ndarray
    worded: np.ndarray


def questions(corpus: Corpus, tokens: np.ndarray) -> Questions:
    """Every question in rows of tokens (B, T): answered, rightly or not, or left open before or
    after another one. One that is asked for within another's is not meant, that is the other's.

    Words that the corpus does not know are a soft prompt or markers, and read over. Questions are
    found in the order of the grammar alone: one that a transform has turned round is not."""
    words, tables, found = read(corpus, tokens), corpus.tables, []
    words = Words(*(column[words.word < len(tables.words)] for column in words))
    meaning = [
        t.meaning.meaning if isinstance(t.meaning, Parallel) else t.meaning
        for t in tables.templates
    ]
    asked = [z for z, said in enumerate(meaning) if isinstance(said, Story | Quiz | Chat)]
    for z, begin, filled in matches(corpus, words, asked, whole=True):
        follow = getattr(meaning[z], "follow", None)
        for which, question in enumerate(filter(None, (meaning[z].question, follow))):
            of, kept = _asked(corpus, question, which if follow else -1, filled)
            for language in (tables.language[z], tables.also[z]):
                if language >= 0:
                    same = lambda value, n=len(begin): np.full(n, value)
                    where = words.row[begin], words.position[begin]
                    told = same(tables.register[z]), same(language)
                    found.append(Questions(*where, *told, of, kept, same(tables.held_out[z])))
    none = np.zeros(0, np.int64)
    no = none > 0
    empty = Questions(*[none] * 4, np.zeros((0, len(corpus.world.tasks)), bool), no, no)
    seen = Questions(*(np.concatenate(column) for column in zip(empty, *found, strict=True)))
    # Words in the place of a task that asks nothing so are another template's.
    return Questions(*(column[seen.of.any(1)] for column in seen))


def _asked(
    corpus: Corpus, question: Question, which: int, filled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`of` and `kept` of a question with slots, filled by concepts (N, slots); `which` of two that
    are left open it is, or -1."""
    concept, shapes = corpus.sampler.concept, corpus.tables.shapes
    of = np.zeros((len(filled), len(corpus.world.tasks)), bool)
    kept = np.zeros(len(filled), bool)
    for t, p in _kinds(corpus)[question]:
        here = slice(None)
        if which >= 0:
            here = filled[:, question.task.index] == concept[shapes.question[p].task]
        args = filled[here, max(which, 0) * shapes.args :].T
        of[here, t] = True
        kept[here] |= _spared(corpus, t, p, args)
    return of, kept


@functools.lru_cache(maxsize=4)
def _kinds(corpus: Corpus) -> dict[Question, list[tuple[int, int]]]:
    """Of every question with slots the task and the shape that it may be of."""
    shapes, found = corpus.tables.shapes, {}
    ends = [*shapes.first[1:], len(shapes.question)]
    for t, (first, last) in enumerate(zip(shapes.first, ends, strict=True)):
        for p in range(first, last):
            asked = [shapes.place(shapes.question[p])]
            if shapes.opening[p] >= 0:
                generic = shapes.openings[shapes.opening[p]]
                task = [Slot(generic.task.kind, shapes.task(which)) for which in (0, 1)]
                asked += [replace(shapes.place(generic, w), task=task[w]) for w in (0, 1)]
            for question in asked:
                found.setdefault(question, []).append((t, p))
    return found


def _spared(corpus: Corpus, t: int, p: int, args: np.ndarray) -> np.ndarray:
    """Which questions (n) of a task and a shape are kept for evaluation; `args` (slots, n)."""
    task, shapes, concept = corpus.world.tasks[t], corpus.tables.shapes, corpus.sampler.concept
    size = np.full(args.shape[1], shapes.size[p])
    if isinstance(task, Positional):
        return held_out(
            np.full_like(size, TASKS.index(task.name)), size, args[:4] - concept["noun0"]
        )
    width = _width(corpus, task)
    shape = np.full_like(size, p - shapes.first[t])
    return task.spared(concept, Items(shape, args[:width]), size) if width else size < 0


@functools.lru_cache(maxsize=256)
def _width(corpus: Corpus, task: Task) -> int:
    """How many concepts a task draws for a question: its hash is over all; 0 if it draws none."""
    world, concept, one = corpus.world, corpus.sampler.concept, np.zeros(1, np.uint64)
    for language in range(len(corpus.shares)):
        if task.may(world, language):
            return len(task.draw(world, concept, Draws(one), np.array([language])).args)
    return 0
