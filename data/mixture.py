"""What is said how often: the draw of documents from a mixture.

Facts are drawn over stated cells (data/coverage.py), by default so that every stated cell of every
fact has the same expected exposures; the languages' shares weight their cells. All other documents
are in a language with the probability that is its share. Tasks are drawn uniformly among those that
may be asked there. Arguments of list tasks are different nouns, and an item that `task.held_out`
keeps for evaluation is moved on to the next one that it does not keep.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data import zipf
from data.contact import AGAIN, NAME, NAMED, OPAQUE, TARGET, Contact, Meeting, Switch, meet, switch
from data.coverage import EXPOSURES, Cells, cells
from data.draw import below, chance, hashed
from data.language import Languages
from data.meaning import slots
from data.question import questions
from data.sentence import SHAPES, VERB
from data.speaker import speaker
from data.split import ASKING, HeldOut, allowed
from data.task import ARITIES, TASKS, Positional, distinct, held_out, leaves_open
from data.template import ENTRIES, FOLLOWED, KINDS, PLAIN, REGISTERS, Tables, concept_ids
from data.world import World
from data.zipf import Zipf

DRAWS = 16  # 32-bit random numbers a document is made of


@dataclass(frozen=True)
class Mixture:
    """Shares of documents, and with `zipf` of concepts. `dictionary` and `plain` (sentences that
    state no fact, of a world with verbs) are drawn first; the four registers share the rest.

    `answered` is the share of quiz documents whose question is answered; the others go on to
    another question (tier T1). Chat is what tuning alone says (tier T2). `held_out` cells are never
    said. `glossed` tasks are explained by the dictionary documents that would explain one noun
    (tier T3: the word of a held-out task is known from them alone). `exposures` of facts are
    "matched" over cells or "natural". `contact` is what documents say in two languages. An
    `opaque` share of the statements calls the entity in focus by a noun, which denotes it in that
    document alone (`Alias`)."""

    facts: float = 0.40
    stories: float = 0.35
    quiz: float = 0.25
    chat: float = 0.0
    answered: float = 0.2
    dictionary: float = 0.04
    held_out: tuple[HeldOut, ...] = ()
    glossed: tuple[str, ...] = ()
    exposures: str = "matched"
    plain: float = 0.0
    zipf: Zipf = field(default_factory=Zipf)
    contact: Contact = field(default_factory=Contact)
    opaque: float = 0.0

    def __post_init__(self) -> None:
        shares = (*self.registers, self.answered, self.plain, self.opaque)
        shares += (self.dictionary, self.dictionary + self.plain)
        if min(shares) < 0 or max(shares) > 1 or abs(sum(self.registers) - 1) > 1e-9:
            raise ValueError(
                f"{self}: every share is from 0 to 1 and facts + stories + quiz + chat is 1, "
                f"here {sum(self.registers):g}; change one of the four"
            )
        if self.exposures not in EXPOSURES:
            raise ValueError(f"exposures={self.exposures!r} is not known; choose among {EXPOSURES}")
        if self.dictionary and not {"nouns", "names"} & {*self.contact.scope}:
            raise ValueError(
                f"dictionary={self.dictionary}, but scope={self.contact.scope} has no words to "
                "explain; choose dictionary=0, or 'nouns' or 'names' in the scope"
            )

    @property
    def registers(self) -> tuple[float, ...]:
        """In the order of REGISTERS; the dictionary is not among them."""
        return self.facts, self.stories, self.quiz, self.chat


class Shape(NamedTuple):
    """N documents but for most of the concepts in them: template, the language whose words it was
    drawn from, the fact it states or -1 (N);
    task, arity and kind of question (2, N) of the first and the second question. Where there are
    tasks that are no list tasks, `asked` (slots, N) has the concepts of their questions and -1."""

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
        contact = self.mixture.contact
        again = contact.parallel / (len(self.shares) - 1) if "facts" in contact.scope else 0
        return cells(self._stated, self.shares, self.mixture.exposures, again)

    @functools.cached_property
    def fact_shares(self) -> np.ndarray:
        """The languages' shares of the documents that state facts: of all cells, each weighted by
        its language's share."""
        weight = self.cells.total(len(self.shares)) * self.shares
        return weight / max(weight.sum(), 1e-300)

    @property
    def tables(self) -> Tables:
        return self.meeting.tables

    def shape(self, u: np.ndarray, room: tuple[int, int] | None = None) -> Shape:
        """What kind of documents `u` (DRAWS, N) uint32 draws: cheap, since most of what is drawn
        concerns the concepts in them. Where they are offered to rows of `room`, so many documents
        and tokens, those that cannot begin there are left undecided."""
        share = np.cumsum(self.mixture.registers)[:-1] * 2.0**32
        row = np.searchsorted(share, u[1], side="right")
        row[chance(u[0], self.mixture.dictionary + self.mixture.plain)] = PLAIN
        row[chance(u[0], self.mixture.dictionary)] = REGISTERS.index("dictionary")
        language = self._languages(row, u[2])
        row[(row == REGISTERS.index("quiz")) & ~chance(u[3], self.mixture.answered)] = FOLLOWED
        choice, count = self._choices
        task = choice[row, language, below(u[4:6], count[row, language])]
        arity = below(u[6:8], len(ARITIES))
        shapes = self.tables.shapes
        begins = self._begins(row, language, task, room)
        question = np.minimum(shapes.first[task] + arity, len(shapes.question) - 1)
        question, fact, asked = self._others(row, language, u, task, question, begins)
        a, b = question[0].copy(), np.zeros(len(row), np.int64)
        followed, entries = row == FOLLOWED, row == REGISTERS.index("dictionary")
        a[followed], b[followed] = shapes.opening[question[:, followed]]
        a[entries], b[entries] = arity[0, entries], below(u[4], len(self.shares) - 1)[entries]
        glossed = entries & (arity[0] == 0) & bool(self.mixture.glossed)
        a[glossed] = self._glosses[0][below(u[9], max(len(self.mixture.glossed), 1))[glossed]]
        a[row == PLAIN] = below(u[4], len(SHAPES))[row == PLAIN]
        if "names" in self.mixture.contact.scope:
            named = entries & ~glossed & self._explains_name(u)
            a[named] = self._names(u[:, named])[0]
        self._facts(row, language, u, a, b, fact)
        template = self.tables.ids[row, language, a, b, *self._wording(u, language)]
        return Shape(template, language, fact, task, arity, question, asked)

    def _wording(self, u: np.ndarray, language: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Template and order (N), drawn from the lower halves of numbers whose upper halves have
        decided something else."""
        low = lambda i: (u[i] & np.uint32(2**16 - 1)).astype(np.int64)
        vocabulary = self.world.vocabulary
        template = low(0) * (vocabulary.templates - vocabulary.held_out) >> 16
        free = low(1) < self._freedom[language] * 2**16
        return template, np.where(free, 1 + (low(2) * 5 >> 16), 0)

    @functools.cached_property
    def _freedom(self) -> np.ndarray:
        """(languages) how often their order is another."""
        languages = speaker(self.pair, self.world).languages
        return np.array([language.freedom for language in languages])

    @property
    def meeting(self) -> Meeting:
        """The templates of the languages, and what contact makes of them."""
        contact = self.mixture.contact
        return meet(self.pair, self.world, contact.parallel > 0 and not contact.adjacent)

    @property
    def switch(self) -> Switch:
        """What may be said in another language."""
        contact = self.mixture.contact
        return switch(self.pair, self.world, contact.parallel > 0 and not contact.adjacent)

    def again(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """The language (N) in which documents that `u` drew are said again, or -1: those that state
        a fact where it is stated there in that direction, those that ask where that may be asked
        there."""
        contact, languages = self.mixture.contact, len(self.shares)
        tables, twin = self.tables, self.meeting.twin
        target = np.full(len(shape.template), -1)
        (at,) = np.nonzero(chance(hashed(u[0], u[1], AGAIN), contact.parallel))
        template, fact = shape.template[at], shape.fact[at]
        shift = 1 + below(hashed(u[0, at], u[1, at], TARGET), languages - 1)
        other = (tables.language[template] + shift) % languages
        said = twin[template, other] >= 0
        may = self._stated[fact, other, tables.direction[template]] & ("facts" in contact.scope)
        said &= (fact < 0) | may
        asks = tables.kind[template] == KINDS.index("task")
        free = self._free[tables.register[template], other, shape.task[:, at]]
        said &= ~asks | free[0] & (free[1] | (tables.prompt[template] < tables.length[template]))
        target[at[said]] = other[said]
        return target

    @functools.cached_property
    def _stated(self) -> np.ndarray:
        """(facts, languages, directions) the world's, over all languages that there are."""
        stated, languages = self.world.stated, len(self.shares)
        return np.pad(stated, ((0, 0), (0, languages - stated.shape[1]), (0, 0)))

    def _explains_name(self, u: np.ndarray) -> np.ndarray:
        """Which dictionary documents explain a name: every second, if some explain nouns."""
        both = "nouns" in self.mixture.contact.scope
        return chance(hashed(u[0], u[1], NAMED), 0.5 if both else 1)

    def _names(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The column in `Tables.ids` and the concept of the names that are explained; names are the
        first concepts."""
        ends = np.cumsum([self.world.kinds[kind] for kind in self.world.named])
        concept = below(hashed(u[0], u[1], NAME), ends[-1])
        first = len(ENTRIES) + len(self.tables.shapes.words) - len(ends)
        return first + np.searchsorted(ends, concept, side="right"), concept

    def _languages(self, row: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The language (N) of every document: by the languages' shares among those in which its
        register may say something."""
        if self._choices[1].all():
            return np.where(row == 0, _language(u, self.fact_shares), _language(u, self.shares))
        language = _language(u, self.fact_shares)
        for r in range(1, len(REGISTERS)):
            language[row == r] = _language(u[row == r], self._shares[r])
        return language

    def _others(self, row, language, u, task, question, begins):
        """The kinds of question (2, N), the facts that answers state (N), and the concepts of what
        is asked (slots, N): of tasks that are no list tasks, which are drawn here for documents
        that may begin."""
        shapes, fact, listed = self.tables.shapes, np.full(len(row), -1), self._listed
        if listed.all():
            return question, fact, np.zeros((0, len(row)), np.int64)
        asked = np.full((shapes.slots, len(row)), -1)
        registers = [*map(REGISTERS.index, ASKING), FOLLOWED]
        said = np.stack([np.isin(row, registers), row == FOLLOWED])
        which, at = np.nonzero(said & begins & ~listed[task])
        seed = u[8 + 4 * which, at].astype(np.uint64) << np.uint64(32) | u[9 + 4 * which, at]
        drawn = questions(self.world, self.concept, shapes, task[which, at], language[at], seed)
        question[which, at] = drawn.shape
        for i in (0, 1):
            asked[i * shapes.args : (i + 1) * shapes.args, at[which == i]] = drawn.args[
                :, which == i
            ]
        answered = row[at] != FOLLOWED
        asked[shapes.task(2) :, at[answered]] = drawn.said[:, answered]
        fact[at[answered]] = drawn.fact[answered]
        return question, fact, asked

    def _begins(self, row, language, task, room: tuple[int, int] | None) -> np.ndarray:
        """Which documents (N) may begin in a row of `room`, so many documents and tokens: those
        before which not all of it is taken even if all are as short as they can be."""
        if room is None:
            return np.ones(len(row), bool)
        least = self._least[row, language, task[0]].reshape(-1, room[0])
        return (np.cumsum(least, 1) - least < room[1]).ravel()

    @functools.cached_property
    def _least(self) -> np.ndarray:
        """(rows, languages, tasks) words of the shortest document."""
        tables, shapes = self.tables, self.tables.shapes
        words = np.where(tables.ids >= 0, tables.length[tables.ids], np.iinfo(np.int64).max)
        words = words.min((4, 5))  # over all wordings
        shortest = words.min((2, 3))[..., None].repeat(len(self.world.tasks), 2)
        parts = np.split(np.arange(len(shapes.question)), shapes.first[1:])
        for (t, own), register in itertools.product(enumerate(parts), ASKING):
            r = REGISTERS.index(register)
            shortest[r, :, t] = words[r, :, own, 0].min(0)
            if shapes.opening[own[0]] >= 0:
                shortest[FOLLOWED, :, t] = words[FOLLOWED][:, shapes.opening[own]].min((1, 2))
        return shortest

    @functools.cached_property
    def _listed(self) -> np.ndarray:
        """(tasks) which are list tasks."""
        return np.array([isinstance(task, Positional) for task in self.world.tasks])

    def _nouns(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """(2, 4, N) the nouns of both questions, those of one different, from as many numbers."""
        n, exponent = self.world.nouns, self.mixture.zipf.nouns
        if not exponent:
            return _distinct(u, n)
        weight = zipf.weights(n, exponent)
        ranks = np.stack([zipf.distinct(numbers, weight) for numbers in u])
        return self._chosen(ranks, shape, n)

    def _chosen(self, rank: np.ndarray, shape: Shape, n: int) -> np.ndarray:
        """Which of a class of n has these ranks (..., N) in the documents' languages."""
        ranked = [self.mixture.zipf.ranked(i, n) for i in range(len(self.shares))]
        return np.array(ranked)[shape.language, rank]

    def slots(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """The concepts (N, slots) in the slots of documents drawn by `u` (DRAWS, N)."""
        args, shapes = self._nouns(u[8:16].reshape(2, 4, -1), shape), self.tables.shapes
        _spare_held_out(self._codes[shape.task], shape.arity, args, self.world.nouns)
        slots = np.zeros((shapes.slots, u.shape[1]), np.int64)
        for which in (0, 1):
            slots[which * shapes.args :][:4] = args[which] + self.concept["noun0"]
        np.copyto(slots[: len(shape.asked)], shape.asked, where=shape.asked >= 0)
        slots[shapes.task(0) : shapes.task(2)] = self._words[shape.question]
        if self.mixture.glossed:
            which = (u[9] * np.uint64(len(self.mixture.glossed)) >> np.uint64(32)).astype(np.int64)
            (at,) = np.nonzero(np.isin(shape.template, self._glosses[2]))
            slots[0, at] = self._glosses[1][which[at]]
        words = zipf.weights(max(1, self.world.vocabulary.verbs), self.mixture.zipf.words)
        (at,) = np.nonzero(self.tables.register[shape.template] == PLAIN)
        number = self._chosen(zipf.drawn(u[12:16, at], words), shape.of(at), len(words))
        slots[VERB : VERB + 4, at] = self._plain[shape.template[at]].T + number
        if "names" in self.mixture.contact.scope:
            (at,) = np.nonzero(np.isin(shape.template, self._named))
            slots[0, at] = self._names(u[:, at])[1]
        facts, (at,) = self.world.facts, np.nonzero(self.tables.kind[shape.template] == 0)
        fact = shape.fact[at]
        slots[0, at] = facts.subject[fact] + self._first["subject"][facts.relation[fact]]
        slots[1, at] = facts.object[fact] + self._first["object"][facts.relation[fact]]
        return slots.T

    def _facts(self, row, language, u, a, b, fact) -> None:
        """Puts the facts (N) of statements into `fact`, and their relations and directions into `a`
        and `b`, in place."""
        (at,) = np.nonzero(row == 0)
        cell = self.cells.pick(u[8, at], language[at])
        fact[at] = f = self.cells.fact[cell]
        a[at], b[at] = self.world.facts.relation[f], self.cells.direction[cell]
        if self.mixture.opaque:
            called = chance(hashed(u[0, at], u[1, at], OPAQUE), self.mixture.opaque)
            a[at[called]] += len(self.world.relations)

    @functools.cached_property
    def _choices(self) -> tuple[np.ndarray, np.ndarray]:
        """Tasks by row and language, and how many of them may be asked there; where nothing is
        asked, all of them."""
        free = self._free
        return np.argsort(~free, axis=2, kind="stable"), free.sum(2)

    @functools.cached_property
    def _free(self) -> np.ndarray:
        """(rows, languages, tasks) bool: which tasks may be asked."""
        tasks, languages = self.world.tasks, len(self.shares)
        free = np.ones((FOLLOWED + 1, languages, len(tasks)), bool)
        said = allowed(self.world, self.mixture.held_out, languages)
        free[[*map(REGISTERS.index, ASKING)]] = said
        free[FOLLOWED] = said[ASKING.index("quiz")] & [leaves_open(task) for task in tasks]
        return free

    def check(self) -> None:
        """ValueError if the mixture asks for what there is none of."""
        free = (self._choices[1][: len(REGISTERS)] > 0) * self.shares
        for r, share in enumerate(self.mixture.registers):
            if share and not free[r].any():
                raise ValueError(
                    f"{REGISTERS[r]}: the mixture's share is {share}, but every task is held out "
                    f"in every language that has a share, {self.shares}; hold out less"
                )
        names = [task.name for task in self.world.tasks]
        for name in self.mixture.glossed:
            if name not in names:
                raise ValueError(
                    f"glossed={self.mixture.glossed}: {name!r} is the name of no task of the "
                    f"world; choose among {', '.join(names)}"
                )

    @functools.cached_property
    def _shares(self) -> np.ndarray:
        """(registers, languages) the languages' shares among those a register may ask in."""
        shares = (self._choices[1][: len(REGISTERS)] > 0) * self.shares
        return shares / np.maximum(shares.sum(1, keepdims=True), 1e-300)

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
    def _glosses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of glossed tasks the column in `Tables.ids` and the concept, and all their templates."""
        kind, kinds = speaker(self.pair, self.world).kind, self.tables.shapes.words
        names = self.mixture.glossed
        columns = [len(ENTRIES) + kinds.index(kind[name]) for name in names]
        templates = self.tables.ids[REGISTERS.index("dictionary"), :, columns, :, 0, 0]
        return np.array(columns), np.array([self.concept[n] for n in names]), templates

    @functools.cached_property
    def _named(self) -> np.ndarray:
        """The templates of dictionary documents that explain a name."""
        first = len(ENTRIES) + len(self.tables.shapes.words) - len(self.world.named)
        last = first + len(self.world.named)
        return self.tables.ids[REGISTERS.index("dictionary"), :, first:last]

    @functools.cached_property
    def concept(self) -> dict[str, int]:
        return concept_ids(self.world)

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

    @functools.cached_property
    def _first(self) -> dict[str, np.ndarray]:
        place = lambda kind: self.concept[f"{kind}0"]
        return {
            "subject": np.array([place(r.subject) for r in self.world.relations]),
            "object": np.array([place(r.object) for r in self.world.relations]),
        }


def _language(u: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The language (N) that numbers `u` (N) draw: the twins lie before the base, as they always
    did, so that of two languages the second is drawn below its share."""
    return (np.searchsorted(np.cumsum(shares[1:]) * 2.0**32, u, side="right") + 1) % len(shares)


def _distinct(u: np.ndarray, n: int) -> np.ndarray:
    """Four different numbers below n along axis 1."""
    left = np.arange(n, n - 4, -1).astype(np.uint64)[:, None]
    return distinct((u * left >> np.uint64(32)).astype(np.int64))


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
