"""What a document says, before words. Meanings are values: equal if they say the same.

Entities and tasks are concepts, named by strings ("x3", "noun7", "swap"). A `Slot` may stand where
a concept stands: a meaning with slots is a template, its linearisation the compiled template.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A place to be filled by a concept of a kind; `index` numbers the places of one document."""

    kind: str
    index: int


Concept = str | Slot


@dataclass(frozen=True)
class Fact:
    """`relation` of `subject` is `object`. The entity in `focus` is mentioned first: it, and not
    syntax, makes the statement forward (the subject) or reverse (the object)."""

    relation: str
    subject: Concept
    object: Concept
    focus: Concept

    def __post_init__(self) -> None:
        if self.focus not in (self.subject, self.object):
            raise ValueError(
                f"focus={self.focus!r} is neither the subject {self.subject!r} nor the object "
                f"{self.object!r}; choose one of them"
            )


@dataclass(frozen=True)
class Question:
    """A list task and its arguments: part of a quiz or of a chat."""

    task: Concept
    args: tuple[Concept, ...]


@dataclass(frozen=True)
class Story:
    """A list task told with its result: `copy of a b is a b`."""

    question: Question


@dataclass(frozen=True)
class Quiz:
    """A question that is answered, or, where `follow` is one, followed by another question."""

    question: Question
    follow: Question | None = None


@dataclass(frozen=True)
class Chat:
    """An instruction and its answer between chat markers."""

    question: Question


@dataclass(frozen=True)
class Dictionary:
    """Words of the document's language and, after them, the same concepts in language `target`."""

    concepts: tuple[Concept, ...]
    target: int


Meaning = Fact | Story | Quiz | Chat | Dictionary


def fill(meaning: Meaning, values: dict[int, str]) -> Meaning:
    """The meaning of a template whose slot i says the concept `values[i]`."""
    of = lambda c: values[c.index] if isinstance(c, Slot) else c
    ask = lambda q: q and Question(of(q.task), tuple(map(of, q.args)))
    match meaning:
        case Fact(relation, subject, object, focus):
            return Fact(relation, of(subject), of(object), of(focus))
        case Story(question):
            return Story(ask(question))
        case Chat(question):
            return Chat(ask(question))
        case Quiz(question, follow):
            return Quiz(ask(question), ask(follow))
        case Dictionary(concepts, target):
            return Dictionary(tuple(map(of, concepts)), target)
    raise TypeError(f"{meaning!r} is not a meaning")
