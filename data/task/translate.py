"""Translation between languages of words, lists and sentences, into a language that is named."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from data.draw import Draws
from data.meaning import Fact, Question, Slot
from data.task import Items, Task, nouns, number
from data.task.form import named

WORDS = (1, 2, 3)  # nouns of a list


@dataclass(frozen=True)
class Translate(Task):
    """`translate L2 a b` is what L2 calls a and b, L2 any of the first `languages`; a sentence is a
    statement of a fact, which the answer says in L2. One document in four is a sentence. What
    sentences say is true of no entity: a true one would be stated in both languages.

    Lists are of the first `nouns`, or of all: who tunes on some can ask for the others."""

    languages: int = 2
    nouns: int | None = field(default=None, repr=False)  # the same task, asked about less
    name: ClassVar[str] = "translate"

    def __post_init__(self) -> None:
        if self.languages < 2:
            raise ValueError(f"languages={self.languages} leave no other one; choose 2 or more")
        if self.nouns is not None and self.nouns < max(WORDS):
            raise ValueError(
                f"nouns={self.nouns} are too few for lists of {max(WORDS)}; choose so many or more"
            )

    def words(self, world: Any) -> dict[str, tuple[str, ...]]:
        return {"skill": (self.name,), "language": named(self.languages)}

    def _sentences(self, world: Any) -> list[tuple[Any, int]]:
        # Of a symmetric relation the words of both directions are the same.
        known = (r for r in world.relations if r.subject == "x")
        return [(r, d) for r in known for d in r.stated[: 1 if r.symmetric else 2]]

    def shapes(self, world: Any, counts: Iterable[int]) -> Iterator[Question]:
        targets = named(self.languages)
        if (self.nouns or 0) > world.nouns:
            raise ValueError(
                f"{self}: the world has {world.nouns} nouns and not {self.nouns}; choose so many "
                "or fewer, or None"
            )
        for n in WORDS:
            yield from (Question(self.name, (target, *nouns(n))) for target in targets)
        for relation, direction in self._sentences(world):
            ends = Slot(relation.subject, 0), Slot(relation.object, 1)
            fact = Fact(relation.name, *ends, ends[direction])
            yield from (Question(self.name, (target, fact)) for target in targets)

    def answer(self, world: Any, question: Question) -> tuple:
        return question.args[1:]

    def tongue(self, question: Question, language: int) -> int:
        return number(question.args[0])

    def draw(self, world: Any, ids: dict[str, int], draws: Draws, language: np.ndarray) -> Items:
        own = language < self.languages  # who speaks another may be asked for any
        shift = draws.below(self.languages - own)
        target = (np.where(own, language + 1, 0) + shift) % self.languages
        sentences, form = self._sentences(world), draws.below(len(WORDS))
        args = draws.distinct(max(WORDS), self.nouns or world.nouns) + ids["noun0"]
        chosen = np.where(draws.below(4) == 0, draws.below(len(sentences)), -1)
        for i, (relation, _) in enumerate(sentences):
            (at,) = np.nonzero(chosen == i)
            sub = Draws(draws.state[at])
            true = world.objects(relation.name)
            subject, values = sub.below(len(true)), world.kinds[relation.object]
            object = (true[subject] + 1 + sub.below(values - 1)) % values
            args[0, at] = subject + ids[f"{relation.subject}0"]
            args[1, at] = object + ids[f"{relation.object}0"]
            form[at] = len(WORDS) + i
        return Items(form * self.languages + target, args)
