"""The grammar compiled: every shape of document as a row of literal words and slots.

`Speaker.leaves` runs once per template, on a meaning with slots; after that a document is a gather
from these tables, and no word order is known anywhere else.
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from data.language import Languages, Leaf
from data.lexicon import gender, inventory
from data.meaning import (
    Alias,
    Chat,
    Dictionary,
    Fact,
    Meaning,
    Parallel,
    Question,
    Quiz,
    Slot,
    Story,
    replace_slots,
    slots,
)
from data.paradigm import paradigm, paradigms, shown, table, variable
from data.sentence import SHAPES
from data.speaker import Speaker, speaker
from data.syntax import Wording
from data.task import ARITIES, SAID, leaves_open, nouns, opening
from data.tokenizer import DOC
from data.world import DIRECTIONS, FORWARD, World

KINDS = ("fact", "task", "dictionary", "plain")
REGISTERS = ("statement", "story", "quiz", "chat", "dictionary", "plain")
PLAIN = REGISTERS.index("plain")
CONSTRUCTS = {"story": Story, "quiz": Quiz, "chat": Chat}
FOLLOWED = len(REGISTERS)  # the last row of Tables.ids: a quiz whose question is left open
ENTRIES = (1, 2, 3)  # nouns a dictionary document may explain


@dataclass(frozen=True)
class Template:
    """A meaning with slots, to be said in a language, a register and a wording."""

    meaning: Meaning
    language: int
    register: int
    wording: Wording
    relation: int = -1  # of the fact it states, be it in the answer to a question
    direction: int = -1

    @property
    def kind(self) -> int:
        return {0: 0, 4: 2, PLAIN: 3}.get(self.register, 1)

    @property
    def entities(self) -> tuple[Slot, Slot]:
        """The slots of the subject and the object of the fact that it states: in an answer, of
        whoever was asked about and of what is said of them."""
        said = self.meaning.meaning if isinstance(self.meaning, Parallel) else self.meaning
        said = said.fact if isinstance(said, Alias) else said
        if isinstance(said, Fact):
            return said.subject, said.object
        given = min(slots(said.question.args), key=lambda slot: slot.index)
        (answer,) = said.question.said
        return (given, answer) if self.direction == FORWARD else (answer, given)


class Shapes(NamedTuple):
    """P kinds of question, those of a task together, and the slots of a document: the arguments of
    a first and of a second question, `args` each, then their tasks, then the answer. A fact has its
    subject and object in slots 0 and 1, a dictionary its words in slots 0, 1, 2; for a plain
    sentence see data/sentence.py."""

    question: tuple[Question, ...]  # (P)
    first: np.ndarray  # (tasks) where a task's shapes begin
    opening: np.ndarray  # (P) which of Q openings: shapes whose questions differ in the task alone
    openings: tuple[Question, ...]  # (Q), the task a slot
    size: np.ndarray  # (P) arguments
    words: tuple[str, ...]  # the kinds of words explained one by one: for tasks, then names
    args: int
    slots: int

    def place(self, part, which: int = 0):
        """A question, or part of one, with its slots those of the first or second of a document."""
        answer = 2 * self.args + 2
        index = lambda i: i - SAID + answer if i >= SAID else i + which * self.args
        return replace_slots(part, lambda slot: Slot(slot.kind, index(slot.index)))

    def task(self, which: int) -> int:
        """The slot of the first or second task."""
        return 2 * self.args + which


class Tables(NamedTuple):
    """Z templates over one flat array of their words, <doc> first."""

    templates: tuple[Template, ...]
    shapes: Shapes
    # (register or FOLLOWED, language, A, B, templates, orders) -> template, -1 where there is none.
    # A, B: of facts relation and direction; of questions the shape; of two questions their
    # openings; of a dictionary how many nouns it explains, then, for that of a task, the kind of
    # its word; of plain sentences the shape.
    ids: np.ndarray
    names: tuple[str, ...]  # (Z) skeletons such as "parent of x is y"
    kind: np.ndarray  # (Z)
    language: np.ndarray  # (Z)
    register: np.ndarray  # (Z)
    direction: np.ndarray  # (Z)
    wording: np.ndarray  # (Z) which of the templates of its construct it is
    held_out: np.ndarray  # (Z) bool: no corpus says it
    also: np.ndarray  # (Z) the language in which it says the same again, or -1
    start: np.ndarray  # (Z) first word of a template in the flat arrays
    length: np.ndarray  # (Z) words
    prompt: np.ndarray  # (Z) words before the answer; all of them where nothing is answered
    askable: np.ndarray  # (Z) bool: nothing that is given stands after the answer begins
    literal: np.ndarray  # (flat) word id
    slot: np.ndarray  # (flat) slot whose concept stands or is shown here, or -1
    said: np.ndarray  # (flat) bool: the slot's concept itself stands here
    tongue: np.ndarray  # (flat) row of `form`
    shown: np.ndarray  # (flat) slot whose gender chooses this row of `form` or the next, or -1
    gender: np.ndarray  # (concepts)
    # (paradigms, concepts) word id of a concept in a language and case, or of the word that shows
    # its gender; of a name of several words, one row a word. The first rows are the languages,
    # their words as they are cited.
    form: np.ndarray
    words: tuple[str, ...]  # every word form; word id 0 is <doc>

    def places(self, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of documents of templates (N), and which flat place, every one of their words has,
        document after document."""
        length = self.length[template]
        document = np.repeat(np.arange(len(template)), length)
        skip = self.start[template] - np.cumsum(length) + length
        return document, np.arange(len(document)) + skip[document]

    def filled(self, template: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """The word ids of documents of templates (N) with concepts (N, slots) in their slots."""
        document, place = self.places(template)
        words, slot = self.literal[place], self.slot[place]
        (at,) = np.nonzero(slot >= 0)
        row, shown = self.tongue[place[at]], self.shown[place[at]]
        (verb,) = np.nonzero(shown >= 0)
        row[verb] += self.gender[slots[document[at[verb]], shown[verb]]]
        words[at] = self.form[row, slots[document[at], slot[at]]]
        return words


@functools.lru_cache(maxsize=16)
def compile(pair: Languages, world: World) -> Tables:
    """All templates of a pair or a family of languages."""
    both, drawn = speaker(pair, world), world.vocabulary.templates - world.vocabulary.held_out
    known = _shapes(both)
    templates, leaves, ids = _templates(both, known)
    cited = (word for forms in both.form for form in forms.values() for word in form.split())
    # Every word of a document as a leaf and which of the leaf's words it is; None stands for the
    # <doc> that opens every document.
    said = [[(None, 0)] + [(x, k) for x in ls for k in range(both.span(x))] for ls in leaves]
    length = np.array(list(map(len, said)))
    prompt = [next((i for i, (x, _) in enumerate(ws) if x and x.answer), len(ws)) for ws in said]
    flat = list(itertools.chain(*said))
    slots = [leaf and variable(leaf) for leaf, _ in flat]
    known_forms = paradigms(both, flat)
    literals = [both.word(l) if l and not s else DOC for (l, _), s in zip(flat, slots, strict=True)]
    inflected = (form for row in known_forms.values() for forms in row.values() for form in forms)
    words = tuple(dict.fromkeys((DOC, *cited, *literals, *inflected)))
    word, row = {form: i for i, form in enumerate(words)}, {p: i for i, p in enumerate(known_forms)}
    return Tables(
        templates=templates,
        shapes=known,
        ids=ids,
        names=tuple(_skeleton(ls) for ls in leaves),
        kind=np.array([t.kind for t in templates]),
        language=np.array([t.language for t in templates]),
        register=np.array([t.register for t in templates]),
        direction=np.array([t.direction for t in templates]),
        wording=np.array([t.wording.template for t in templates]),
        held_out=np.array([t.wording.template >= drawn for t in templates]),
        also=np.full(len(templates), -1),
        start=np.cumsum(length) - length,
        length=length,
        prompt=np.array(prompt),
        askable=np.array(
            [not any(x.given for x, _ in ws[p:] if x) for ws, p in zip(said, prompt, strict=True)]
        ),
        literal=np.array([word[form] for form in literals], np.int32),
        slot=np.array([s.index if s else -1 for s in slots]),
        said=np.array([leaf is not None and isinstance(leaf.concept, Slot) for leaf, _ in flat]),
        tongue=np.array(
            [row[paradigm(both, *l)] if s else 0 for l, s in zip(flat, slots, strict=True)]
        ),
        shown=np.array([shown(leaf) for leaf, _ in flat]),
        gender=np.array([gender(concept) for concept in both.kind]),
        form=table(both, known_forms, word),
        words=words,
    )


@functools.lru_cache(maxsize=16)
def concept_ids(world: World) -> dict[str, int]:
    """Every concept's place in `Tables.form`."""
    return {concept: i for i, concept in enumerate(concepts(world))}


@functools.lru_cache(maxsize=16)
def concepts(world: World) -> tuple[str, ...]:
    """The concepts in the order of `Tables.form`."""
    return tuple(itertools.chain(*inventory(world).values()))


@functools.lru_cache(maxsize=16)
def ends(world: World) -> np.ndarray:
    """(facts, 2) the concepts of every fact's subject and object."""
    concept, facts = concept_ids(world), world.facts
    kinds = [(r.subject, r.object) for r in world.relations]
    first = np.array([[concept[f"{kind}0"] for kind in pair] for pair in kinds])
    return np.stack([facts.subject, facts.object], 1) + first[facts.relation]


def _shapes(both: Speaker) -> Shapes:
    asked = [(task, q) for task in both.world.tasks for q in task.shapes(both.world, ARITIES)]
    for task, question in asked:
        if not slots(question):
            raise ValueError(
                f"{task}: the shape {question} has no slot, so it would ask one thing for ever and "
                "nothing of it could be held out; choose a shape with a Slot among its arguments"
            )
    questions = tuple(question for _, question in asked)
    indices = lambda q, said: {s.index for s in slots(q) if (s.index >= SAID) == said}
    size = np.array([len(indices(q, False)) for q in questions])
    args = max(4, *size)
    generic = [
        replace(opening(q), task=Slot(both.kind[q.task], 2 * SAID)) if leaves_open(task) else None
        for task, q in asked
    ]
    openings = tuple(dict.fromkeys(filter(None, generic)))
    count = [sum(t == task for t, _ in asked) for task in both.world.tasks]
    return Shapes(
        question=questions,
        first=np.cumsum(count) - count,
        opening=np.array([openings.index(q) if q else -1 for q in generic]),
        openings=openings,
        size=size,
        words=(*dict.fromkeys(both.kind[q.task] for q in questions), *both.world.named),
        args=args,
        slots=2 * args + 2 + max(len(indices(q, True)) for q in questions),
    )


def _templates(
    both: Speaker, shapes: Shapes
) -> tuple[tuple[Template, ...], list[list[Leaf]], np.ndarray]:
    """All templates, their leaves, and `Tables.ids`. Wordings that are the same are one."""
    languages, vocabulary = both.languages, both.world.vocabulary
    orders = max(len(language.orders) for language in languages)
    constructs = list(_constructs(both, shapes))
    widths = (1 + max(construct[i] for construct in constructs) for i in (2, 3))
    ids = np.full((len(REGISTERS) + 1, len(languages), *widths, vocabulary.templates, orders), -1)
    found: dict[Template, list[Leaf]] = {}
    for row, lang, a, b, meaning, *stated in constructs:
        said: dict[tuple[Leaf, ...], int] = {}
        register = REGISTERS.index("quiz") if row == FOLLOWED else row
        for t, (o, order) in itertools.product(
            range(vocabulary.templates), enumerate(languages[lang].orders)
        ):
            wording = Wording(t, order)
            leaves = both.leaves(meaning, lang, wording)
            if tuple(leaves) not in said:
                said[tuple(leaves)] = len(found)
                found[Template(meaning, lang, register, wording, *stated)] = leaves
            ids[row, lang, a, b, t, o] = said[tuple(leaves)]
    return tuple(found), list(found.values()), ids


def _constructs(both: Speaker, shapes: Shapes) -> Iterator[tuple]:
    """Place in `Tables.ids`, meaning with slots, and the relation and direction that it states."""
    tasks, Q = both.world.tasks, len(shapes.openings)
    owner = [task for task in tasks for _ in task.shapes(both.world, ARITIES)]
    openings = [
        (b, replace(shapes.place(q, which), task=Slot(q.task.kind, shapes.task(which))))
        for which in (0, 1) for b, q in enumerate(shapes.openings)
    ]  # fmt: skip
    languages = range(len(both.languages))
    for lang in languages:
        relations = enumerate(both.world.relations)
        for (a, r), direction in itertools.product(relations, range(len(DIRECTIONS))):
            entities = Slot(r.subject, 0), Slot(r.object, 1)
            fact = Fact(r.name, *entities, entities[direction])
            yield 0, lang, a, direction, fact, a, direction
            if both.world.vocabulary.aliases and fact.focus.kind in both.world.named:
                called = a + len(both.world.relations)
                yield 0, lang, called, direction, Alias(fact, Slot("noun", 2)), a, direction
        for (a, question), (register, construct) in itertools.product(
            enumerate(shapes.question), CONSTRUCTS.items()
        ):
            if register in owner[a].registers:
                meaning = construct(shapes.place(question))
                row = REGISTERS.index(register)
                yield row, lang, a, 0, meaning, *owner[a].states(both.world, question)
        others = [other for other in languages if other != lang]
        for (a, n), (b, other) in itertools.product(enumerate(ENTRIES), enumerate(others)):
            yield 4, lang, a, b, Dictionary(nouns(n), other)
        for a, shape in enumerate(SHAPES if both.world.vocabulary.verbs else ()):
            yield PLAIN, lang, a, 0, shape
        for (a, first), (b, second) in itertools.product(openings[:Q], openings[Q:]):
            yield FOLLOWED, lang, a, b, Quiz(first, second)
    for (lang, other), (a, kind) in itertools.product(
        itertools.permutations(languages, 2), enumerate(shapes.words, len(ENTRIES))
    ):
        yield 4, lang, a, other - (other > lang), Dictionary((Slot(kind, 0),), other)


def _skeleton(leaves) -> str:
    return " ".join(l.concept.kind if isinstance(l.concept, Slot) else l.concept for l in leaves)
