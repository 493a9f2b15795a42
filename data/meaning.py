"""What a document says, before words. Meanings are values: equal if they say the same.

Entities and tasks are concepts, named by strings ("x3", "noun7", "swap"). A `Slot` may stand where
a concept stands: a meaning with slots is a template, its linearisation the compiled template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace


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
    """A task and its arguments: concepts, questions whose answer is meant, and facts, which are
    told before anything is asked. A `marked` one is answered in marked words (data/task/style.py).
    `said` is the answer in a template, where it is not arguments at fixed places."""

    task: Concept
    args: tuple[Concept | Question | Fact, ...]
    marked: bool = False
    said: tuple[Concept, ...] | None = field(default=None, repr=False)

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts among the arguments, those of embedded questions too."""
        found: list[Concept] = []
        for arg in self.args:
            if not isinstance(arg, Fact):
                found += [arg] if isinstance(arg, str | Slot) else arg.concepts
        return tuple(found)


@dataclass(frozen=True)
class Story:
    """A task told with its result: `copy of a b is a b`."""

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


@dataclass(frozen=True)
class Nominal:
    """A noun and what is said of it: an adjective; a place, which is an adposition and its noun; a
    relative clause, which is a transitive verb and its object: the noun is its subject."""

    noun: Concept
    adjective: Concept | None = None
    place: tuple[Concept, Concept] | None = None
    relative: tuple[Concept, Concept] | None = None


@dataclass(frozen=True)
class Say:
    """A plain sentence: who does what, to what, for whom, or says that `content`. The valency of
    the verb says which of them there are. Of a recipient, `double` is the free choice between two
    ways to put it: "gives her a book" (double object) and "gives a book to her"."""

    verb: Concept
    agent: Nominal
    theme: Nominal | None = None
    recipient: Nominal | None = None
    double: bool = False
    content: Say | None = None

    def __post_init__(self) -> None:
        valency = self.verb.kind if isinstance(self.verb, Slot) else self.verb.rstrip("0123456789")
        given = [name for name in ("theme", "recipient", "content") if getattr(self, name)]
        wanted = _VALENCY.get(valency)
        if given != wanted:
            raise ValueError(
                f"verb={self.verb!r} with {given} beside its agent; choose a verb of valency "
                f"{', '.join(_VALENCY)}, which have {', '.join(map(str, _VALENCY.values()))}"
            )
        if self.double and not self.recipient:
            raise ValueError(f"double=True, but {self.verb!r} has no recipient; choose False")
        if self.content and self.content.content:
            raise ValueError(
                f"content={self.content!r} has a content itself; choose one clause within another"
            )


_VALENCY = {
    "intransitive": [],
    "transitive": ["theme"],
    "ditransitive": ["theme", "recipient"],
    "saying": ["content"],
}


@dataclass(frozen=True)
class Alias:
    """A fact whose entity in focus is called by a noun, after a definition that holds in this
    document alone: "define stone is Gosi, parent of stone is Vuzi"."""

    fact: Fact
    noun: Concept

    @property
    def renamed(self) -> Fact:
        """The fact, the entity in focus called by the noun."""
        places = ("subject", "object", "focus")
        called = {p: self.noun for p in places if getattr(self.fact, p) == self.fact.focus}
        return replace(self.fact, **called)


@dataclass(frozen=True)
class Parallel:
    """The same twice: in the document's language and, after that, in language `target`."""

    meaning: Fact | Story | Quiz | Chat | Say | Alias
    target: int


Meaning = Fact | Story | Quiz | Chat | Dictionary | Say | Alias | Parallel


def fill(meaning: Meaning, values: dict[int, str]) -> Meaning:
    """The meaning of a template whose slot i says the concept `values[i]`."""
    if isinstance(meaning, Parallel):
        return Parallel(fill(meaning.meaning, values), meaning.target)
    filled = replace_slots(meaning, lambda slot: values[slot.index])
    if isinstance(filled, Story | Quiz | Chat):  # what is right to say follows from the question
        return replace(filled, question=replace(filled.question, said=None))
    return filled


def slots(part) -> set[Slot]:
    """All slots of a meaning, or of any part of one."""
    found: set[Slot] = set()
    replace_slots(part, lambda slot: found.add(slot) or slot)
    return found


def replace_slots(part, of: Callable[[Slot], Concept]):
    """A meaning, or any part of one, with `of(slot)` for every slot."""
    if isinstance(part, Slot):
        return of(part)
    if isinstance(part, tuple):
        return tuple(replace_slots(p, of) for p in part)
    if not is_dataclass(part):
        return part
    return type(part)(**{f.name: replace_slots(getattr(part, f.name), of) for f in fields(part)})
