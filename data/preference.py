"""Pairs of responses of which one is to be preferred: the same answer, plain and in marked words.

For direct preference optimisation (Rafailov et al. 2023): a model that answers in either way is
tuned on pairs of one language, and asked in another.
"""

from dataclasses import dataclass

import numpy as np

from data.corpus import Corpus
from data.draw import stretch
from data.key import key
from data.pack import pack
from data.question import questions
from data.task import ARITIES, LISTS
from data.task.style import Marked
from data.template import REGISTERS


@dataclass(frozen=True)
class Preference:
    """Pair i is a function of (spec, i): an instruction to a list task in `language`, never one
    that is held out, with the plain answer (chosen) and the marked one (rejected).

    >>> from data.language import Pair
    >>> from data.world import World
    >>> world = World(tasks=(*LISTS, Marked()))
    >>> pairs = Preference(Corpus(world, Pair()), register="quiz").row(1)
    >>> for side in pairs["tokens"]: print(Corpus(world, Pair()).tokenizer.decode(side[:10]))
    <doc> bipa homi dasi meni tuzi heto ? heto <doc>
    <doc> bipa homi dasi meni tuzi heto ? paju <doc>
    >>> pairs["weights"][0, :10].tolist(), int(pairs["prompt"])
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0], 8)
    """

    corpus: Corpus
    language: int = 0
    register: str = "chat"
    seed: int = 0

    def __post_init__(self) -> None:
        key("preference", self.seed)  # checks it
        missing = {*LISTS, Marked()} - {*self.corpus.world.tasks}
        if missing:
            raise ValueError(
                f"a pair is a list task answered plainly and in marked words, and the world lacks "
                f"{', '.join(sorted(map(repr, missing)))}; give it tasks=(*LISTS, Marked())"
            )
        if self.register not in Marked.registers:
            raise ValueError(
                f"register={self.register!r} answers nothing; choose among {Marked.registers}"
            )
        if not 0 <= self.language < len(self.corpus.pair.names):
            raise ValueError(
                f"language={self.language} is none of {len(self.corpus.pair.names)}; "
                f"choose 0 to {len(self.corpus.pair.names) - 1}"
            )

        free = self.corpus.sampler.choices.free[REGISTERS.index(self.register), self.language]
        tasks = zip(self.corpus.world.tasks, free, strict=True)
        kept = [task for task, may in tasks if not may and task in (*LISTS, Marked())]
        if kept:
            raise ValueError(
                f"{kept[0]} is held out of the {self.register} of language {self.language}; choose "
                "another register or language, or a corpus that does not hold it out"
            )

    @property
    def T(self) -> int:
        return self.corpus.T

    def row(self, i: int) -> dict[str, np.ndarray]:
        """Pair i: `rows(i, i + 1)` without the leading axis."""
        return {name: column[0] for name, column in self.rows(i, i + 1).items()}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Pairs start..stop: tokens, weights, segments (B, 2, T), the chosen response first, and
        prompt (B), how many tokens the two have in common. Weights are those of the response and
        of the <doc> that ends it."""
        template, slots = self._documents(start, stop)
        said = self.corpus.say(template, slots)
        begin = np.repeat(self.corpus.tables.prompt[template], said.length)
        lengths = said.length[:, None]
        closed = np.ones_like(lengths, bool)
        rows = pack(said.tokens, lengths, self.T, said.word >= begin, closed)
        document = np.repeat(np.arange(len(template)), said.length)
        prompt = np.bincount(document, said.word < begin, len(template)).astype(np.int64)
        both = lambda column: column.reshape(-1, 2, *column.shape[1:])
        return {name: both(column) for name, column in rows.items()} | dict(prompt=prompt[::2])

    def _documents(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Templates (2B) and slots (2B, slots) of chosen and rejected documents in turn."""
        corpus, N = self.corpus, stop - start
        tables, tasks = corpus.tables, corpus.world.tasks
        shapes, concept = tables.shapes, corpus.sampler.concept
        u = stretch("preference", self.seed, start, stop, 2).T
        seed = u[0] << np.uint64(32) | u[1]
        marked = np.full(N, tasks.index(Marked()))
        spoken = np.full(N, self.language)
        drawn = questions(corpus.world, concept, shapes, marked, spoken, seed)
        task, arity = np.divmod(drawn.shape - shapes.first[marked], len(ARITIES))
        first = shapes.first[[tasks.index(one) for one in LISTS]]
        shape = np.stack([first[task] + arity, drawn.shape], 1)
        register = REGISTERS.index(self.register)
        template = tables.ids[register, self.language, shape, 0, 0, 0].ravel()
        slots = np.zeros((N, shapes.slots), np.int64)
        slots[:, : shapes.args] = np.maximum(drawn.args.T, 0)
        slots[:, shapes.task(2) :] = np.maximum(drawn.said.T, 0)
        return template, np.repeat(slots, 2, axis=0)
