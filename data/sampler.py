"""The draw of documents from a mixture: random numbers to templates, languages and facts."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.choice import Choices, choices
from data.contact import AGAIN, OPAQUE, TARGET, Meeting, Switch, meet, switch
from data.coverage import Cells, cells
from data.draw import below, chance, hashed
from data.filling import Filling, Shape
from data.language import Languages
from data.mixture import Mixture
from data.question import questions
from data.sentence import SHAPES
from data.speaker import speaker
from data.split import ASKING
from data.task import ARITIES, Positional
from data.template import FOLLOWED, KINDS, PLAIN, REGISTERS, Tables, concept_ids
from data.world import World

_ENTRY = REGISTERS.index("dictionary")


@dataclass(frozen=True)
class Sampler:
    """Turns random numbers into documents.

    >>> from data.filling import DRAWS
    >>> from data.language import Pair
    >>> middle = np.full((DRAWS, 1), 2**31, np.uint32)
    >>> sampler = Sampler(World(), Pair(), Mixture(), shares=(0.5, 0.5))
    >>> shape = sampler.shape(middle)
    >>> sampler.tables.names[shape.template[0]]
    'last of noun noun noun is noun'
    >>> sampler.filling.slots(middle, shape)[0, :3] - sampler.concept["noun0"]
    array([15, 14, 16])
    """

    world: World
    pair: Languages
    mixture: Mixture
    shares: tuple[float, ...]  # of the languages

    def __post_init__(self) -> None:
        mixture, vocabulary = self.mixture, self.world.vocabulary
        if self.world.languages > len(self.shares):
            raise ValueError(
                f"the groups speak of {self.world.languages} languages and there are "
                f"{len(self.shares)}; choose cells of languages 0 to {len(self.shares) - 1}"
            )
        _ = self.choices  # checks what is held out
        if mixture.facts and not self.fact_shares.any():
            raise ValueError(
                f"facts={mixture.facts}, but no group states a fact in a language that has a "
                f"share, {self.shares}; choose facts=0 or another ratio"
            )
        if mixture.plain and not vocabulary.verbs:
            raise ValueError(
                f"plain={mixture.plain}, but the world has no verbs to say it with; choose "
                "World(vocabulary=Vocabulary(verbs=4)), or plain=0"
            )
        if mixture.statements.opaque and not vocabulary.aliases:
            raise ValueError(
                f"opaque={mixture.statements.opaque}, but nouns of this world stand for nothing "
                "else; choose World(vocabulary=Vocabulary(aliases=True)), or opaque=0"
            )
        if mixture.contact.switched:
            _ = self.switch  # checks the languages

    @functools.cached_property
    def cells(self) -> Cells:
        contact = self.mixture.contact
        again = contact.parallel / (len(self.shares) - 1) if "facts" in contact.scope else 0
        return cells(self.stated, self.shares, self.mixture.statements.exposures, again)

    @functools.cached_property
    def fact_shares(self) -> np.ndarray:
        """The languages' shares of the documents that state facts: of all cells, each weighted by
        its language's share."""
        weight = self.cells.total(len(self.shares)) * self.shares
        return weight / max(weight.sum(), 1e-300)

    @functools.cached_property
    def stated(self) -> np.ndarray:
        """(facts, languages, directions) bool: the world's `stated` over all languages, also those
        of which no group speaks."""
        stated = self.world.stated
        return np.pad(stated, ((0, 0), (0, len(self.shares) - stated.shape[1]), (0, 0)))

    @functools.cached_property
    def choices(self) -> Choices:
        return choices(self.world, self.mixture, self.shares)

    @functools.cached_property
    def filling(self) -> Filling:
        return Filling(self.world, self.pair, self.mixture, self.tables)

    def words(self, u: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """The word ids of documents, one after another, and how many of each one's (N) are of
        another language than they should be."""
        rate, slots = self.mixture.contact.switched, self.filling.slots(u, shape)
        words = self.tables.filled(shape.template, slots)
        if not rate:
            return words, np.zeros(len(slots), np.int64)
        return self.switch.words(rate, self.tables, u, shape.template, slots, words)

    @functools.cached_property
    def concept(self) -> dict[str, int]:
        return concept_ids(self.world)

    @functools.cached_property
    def tables(self) -> Tables:
        return self.meeting.tables

    def shape(self, u: np.ndarray, room: tuple[int, int] | None = None) -> Shape:
        """What kind of documents `u` (DRAWS, N) uint32 draws: cheap, since most of what is drawn
        concerns the concepts in them. Where they are offered to rows of `room`, so many documents
        and tokens, those that cannot begin there are left undecided."""
        row, language = self._rows(u)
        choice, count = self.choices.task, self.choices.count
        task = choice[row, language, below(u[4:6], count[row, language])]
        arity = below(u[6:8], len(ARITIES))
        shapes = self.tables.shapes
        begins = self._begins(row, language, task, room)
        question = np.minimum(shapes.first[task] + arity, len(shapes.question) - 1)
        question, fact, asked = self._others(row, language, u, task, question, begins)
        a, b = question[0].copy(), np.zeros(len(row), np.int64)
        followed, entry, plain = (row == r for r in (FOLLOWED, _ENTRY, PLAIN))
        a[followed], b[followed] = shapes.opening[question[:, followed]]
        a[entry] = self.filling.entries.columns(u[:, entry], arity[0, entry])
        b[entry] = below(u[4, entry], len(self.shares) - 1)
        a[plain] = below(u[4, plain], len(SHAPES))
        self._facts(row, language, u, a, b, fact)
        template = self.tables.ids[row, language, a, b, *self._wording(u, language)]
        return Shape(template, language, fact, task, arity, question, asked)

    def _rows(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of `Tables.ids` and language (N) of every document: the language by the languages'
        shares among those in which its register may say something."""
        mixture, choices = self.mixture, self.choices
        row = np.searchsorted(np.cumsum(mixture.registers)[:-1] * 2.0**32, u[1], side="right")
        row[chance(u[0], mixture.dictionary + mixture.plain)] = PLAIN
        row[chance(u[0], mixture.dictionary)] = _ENTRY
        language = _language(u[2], self.fact_shares)
        if choices.count.all():
            language = np.where(row == 0, language, _language(u[2], self.shares))
        else:
            for r in range(1, len(REGISTERS)):
                language[row == r] = _language(u[2, row == r], choices.share[r])
        row[(row == REGISTERS.index("quiz")) & ~chance(u[3], mixture.answered)] = FOLLOWED
        return row, language

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

    @functools.cached_property
    def meeting(self) -> Meeting:
        """The templates of the languages, and what contact makes of them."""
        contact = self.mixture.contact
        return meet(self.pair, self.world, contact.parallel > 0 and not contact.adjacent)

    @functools.cached_property
    def switch(self) -> Switch:
        """What may be said in another language."""
        contact = self.mixture.contact
        return switch(self.pair, self.world, contact.parallel > 0 and not contact.adjacent)

    def again(self, u: np.ndarray, shape: Shape) -> np.ndarray:
        """The language (N) in which documents that `u` drew are said again, or -1. A fact is stated
        again where that language states it in that direction, a question asked again where it may
        be asked; never one whose answer follows from facts that it does not state."""
        contact, languages = self.mixture.contact, len(self.shares)
        tables, twin = self.tables, self.meeting.twin
        target = np.full(len(shape.template), -1)
        (at,) = np.nonzero(chance(hashed(u[0], u[1], AGAIN), contact.parallel))
        template, fact = shape.template[at], shape.fact[at]
        shift = 1 + below(hashed(u[0, at], u[1, at], TARGET), languages - 1)
        other = (tables.language[template] + shift) % languages
        said = twin[template, other] >= 0
        may = self.stated[fact, other, tables.direction[template]] & ("facts" in contact.scope)
        said &= (fact < 0) | may
        asks = tables.kind[template] == KINDS.index("task")
        free = self.choices.free[tables.register[template], other, shape.task[:, at]]
        answered = tables.prompt[template] < tables.length[template]
        derived = np.array([task.derived for task in self.world.tasks])[shape.task[0, at]]
        said &= ~asks | free[0] & np.where(answered, ~derived, free[1])
        target[at[said]] = other[said]
        return target

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
        """Which documents (N) may begin in a row of `room`, so many documents and tokens: all that
        find some of it left if those before them are as short as they can be."""
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

    @functools.cached_property
    def _aliasable(self) -> np.ndarray:
        """(relations, directions) whether a noun may stand for the entity in focus: only for one
        with a name. Of a noun that stands for a noun, what is said could be true of itself."""
        kinds = [(r.subject, r.object) for r in self.world.relations]
        return np.isin(kinds, self.world.named)

    def _facts(self, row, language, u, a, b, fact) -> None:
        """Puts the facts (N) of statements into `fact`, and their relations and directions into `a`
        and `b`, in place."""
        (at,) = np.nonzero(row == 0)
        cell = self.cells.pick(u[8, at], language[at])
        fact[at] = f = self.cells.fact[cell]
        a[at], b[at] = self.world.facts.relation[f], self.cells.direction[cell]
        if opaque := self.mixture.statements.opaque:
            called = chance(hashed(u[0, at], u[1, at], OPAQUE), opaque)
            called &= self._aliasable[a[at], b[at]]
            a[at[called]] += len(self.world.relations)


def _language(u: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The language (N) that numbers `u` (N) draw: the twins lie before the base, as they always
    did, so that of two languages the second is drawn below its share."""
    return (np.searchsorted(np.cumsum(shares[1:]) * 2.0**32, u, side="right") + 1) % len(shares)
