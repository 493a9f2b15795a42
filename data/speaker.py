"""Meaning -> words -> meaning, by someone who speaks all languages of a family.

A meaning is linearised to leaves by data/grammar.py; their words are the document. Parsing matches
the words against every meaning with slots, in every wording, that so many words could say.
"""

import collections
import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace

from data.grammar import HAVING, TOPIC, Grammar, language_tag
from data.language import Language, Languages, Leaf
from data.lexicon import FRAMES, HAS, IT, THE, VERB, VERBS, gender, inventory
from data.meaning import (
    Alias,
    Chat,
    Concept,
    Dictionary,
    Fact,
    Meaning,
    Parallel,
    Question,
    Quiz,
    Slot,
    Story,
    fill,
    replace_slots,
)
from data.relation import Symmetric
from data.sentence import shapes_of
from data.syntax import Wording
from data.task import SAID, Task, leaves_open, nouns, opening, shapes
from data.world import World

_REGISTERS = {"story": Story, "quiz": Quiz, "chat": Chat}
_BARE = ("function", "mark", "chat", "task", "particle", "frame", "opener")  # no arguments


@functools.lru_cache(maxsize=16)
def speaker(pair: Languages, world: World) -> "Speaker":
    """The one who speaks both languages of a pair, or all those of a family."""
    return Speaker(pair.languages(world), world, pair.naming.words, pair.tagged)


class Speaker:
    """Renders meanings to words and parses words to meanings, in language 0, 1, ... The names of
    persons have `names` words; a `tagged` document begins with the name of its language or, if
    `tagged` is a word, with that word in all languages.

    >>> from data.feature import PossessorFirst
    >>> from data.language import Pair
    >>> both = speaker(Pair((PossessorFirst(),)), World())
    >>> fact = Fact("parent", "x0", "y0", focus="x0")
    >>> both.render(fact, 0), both.render(fact, 1)
    (('karu', 'buso', 'Gosi', 'lago', 'Vuzi'), ('Gosi', 'buso', 'karu', 'lago', 'Vuzi'))
    >>> both.parse(both.render(fact, 1), 1) == fact
    True
    """

    def __init__(
        self,
        languages: tuple[Language, ...],
        world: World,
        names: int = 1,
        tagged: bool | str = False,
    ) -> None:
        self.languages, self.world = languages, world
        self.relation = {relation.name: relation for relation in world.relations}
        tag = lambda i: tagged if isinstance(tagged, str) else language_tag(i)
        self._tag = [[Leaf(tag(i), i, given=True)] * bool(tagged) for i in range(len(languages))]
        self._spans = dict.fromkeys(world.persons, names)
        self.kind = {name: kind for kind, names in inventory(world).items() for name in names}
        self.form = [dict(zip(self.kind, lang.forms, strict=True)) for lang in languages]
        self.concept = [self._readings(i) for i in range(len(languages))]
        told = (relation for task in world.tasks for relation in task.relations)
        self.relation = {relation.name: relation for relation in (*world.relations, *told)}
        self._patterns: dict = {}

    def render(
        self, meaning: Meaning, language: int, wording: Wording = Wording()
    ) -> tuple[str, ...]:
        """The words of a document, without the <doc> that opens it."""
        leaves = self.leaves(meaning, language, wording)
        return tuple(word for leaf in leaves for word in self.word(leaf).split())

    def span(self, leaf: Leaf) -> int:
        """How many words a leaf has whose concept is a slot: as many as every name of its kind."""
        return self._spans.get(leaf.concept.kind, 1) if isinstance(leaf.concept, Slot) else 1

    def word(self, leaf: Leaf) -> str:
        """A leaf's word, inflected as its language does."""
        return self.languages[leaf.language].inflect(
            self.form[leaf.language].get(leaf.concept, leaf.concept), leaf
        )

    def words(self, kind: str, leaf: Leaf) -> tuple[list[str], tuple[str, ...]]:
        """A leaf's word for every concept of a kind, and these concepts: fast, since one inflection
        serves all of a kind."""
        concepts, form = inventory(self.world)[kind], self.form[leaf.language]
        ending = self.languages[leaf.language].inflect("", leaf._replace(concept=concepts[0]))
        return [form[c] + ending for c in concepts], concepts

    def _readings(self, language: int) -> dict[str, Concept]:
        """The concept of every word a language can say, however inflected."""
        grammar, found = self.languages[language], {}
        # One concept of each gender stands for all that a verb or an article may show.
        shown = tuple({gender(c): c for c in self.kind}.values())
        roles = ("", *dict(grammar.case))
        for kind, role in itertools.product(self.world.kinds, roles):
            for word, concept in zip(
                *self.words(kind, Leaf(None, language, role=role)), strict=True
            ):
                self._read(found, word, concept)
        few = [c for c, kind in self.kind.items() if kind not in self.world.kinds]
        leaves = [Leaf(c, language, role=r) for c in few for r in roles]
        verbs = [c for c, kind in self.kind.items() if c in (VERB, HAS) or kind in VERBS]
        leaves += [
            Leaf(verb, language, role="verb", controller=c, plural=p)
            for verb, c, p in itertools.product(verbs, shown, (0, 1))
        ]
        leaves += [Leaf(THE, language, controller=c) for c in shown if grammar.articles]
        leaves += [Leaf(language_tag(i), language) for i in range(len(self.languages))]
        leaves += self._tag[language]
        if grammar.perturbation:
            leaves += [Leaf(marker, language) for marker in grammar.perturbation.markers]
        for leaf in leaves:
            self._read(found, self.word(leaf), leaf.concept)
        return found

    def _read(self, found: dict[str, Concept], word: str, concept: Concept) -> None:
        if found.setdefault(word, concept) != concept:
            raise ValueError(
                f"{word!r} would mean {found[word]} and {concept} in one language; "
                "choose another phonology or other features"
            )

    def leaves(self, meaning: Meaning, language: int, wording: Wording = Wording()) -> list[Leaf]:
        """The words of a document, in order."""
        if isinstance(meaning, Parallel):
            # The order of a wording is one that its own language takes.
            other = self.leaves(meaning.meaning, meaning.target, Wording(wording.template))
            return [*self.leaves(meaning.meaning, language, wording), *other]
        known = self.world.vocabulary.templates
        if not 0 <= wording.template < known:
            raise ValueError(
                f"template={wording.template} of {known}: choose one from 0 to {known - 1}, or "
                f"World(vocabulary=Vocabulary(templates={max(wording.template, 0) + 1}))"
            )
        if isinstance(meaning, Alias):
            return self._defined(meaning, language, wording)
        return self._tag[language] + self._untagged(meaning, language, wording)

    def _defined(self, alias: Alias, language: int, wording: Wording) -> list[Leaf]:
        """The definition, as of a noun by itself in a dictionary, and the fact about that noun."""
        said = self.leaves(Dictionary((alias.noun,), language), language, wording)
        entity = alias.fact.focus
        defined = [
            leaf._replace(answer=False, given=True, **dict(concept=entity) if leaf.answer else {})
            for leaf in said
        ]
        return defined + self._untagged(alias.renamed, language, wording)

    def _untagged(self, meaning: Meaning, language: int, wording: Wording) -> list[Leaf]:
        own = self.languages[language]
        grammar = Grammar(self, language, wording)
        if not own.perturbation:
            return grammar.leaves(meaning)
        perturbed = lambda m: own.perturbation.perturb(grammar.leaves(m), Leaf("", language))
        if not isinstance(meaning, Fact):
            return perturbed(meaning)
        # The focus is to be mentioned first on the surface: direction is what a reader meets.
        pair = (meaning.subject, meaning.object)
        for focus in pair:
            said = perturbed(replace(meaning, focus=focus))
            if next(leaf.concept for leaf in said if leaf.concept in pair) == meaning.focus:
                roles = {c: dict(given=c == meaning.focus, answer=c != meaning.focus) for c in pair}
                return [leaf._replace(**roles.get(leaf.concept, {})) for leaf in said]
        raise AssertionError(f"{own.perturbation} mentions one entity first in both wordings")

    def parse(self, words: tuple[str, ...], language: int) -> Meaning:
        """The meaning of a document; ValueError if it has none, or more than one."""
        found = self._readable(words, language) or self._twice(words, language)
        if len(found) != 1:
            what = f"says {len(found)} things" if found else "is no document"
            raise ValueError(
                f"{' '.join(words)!r} {what} in language {language}; render one instead"
            )
        return found.pop()

    def _readable(self, words: tuple[str, ...], language: int) -> set[Meaning]:
        questions = list(self._questions(words, language))
        return {
            meaning
            for wording in self._wordings(words, language)
            for shape in self._shapes(words, language, wording, questions)
            for meaning in self._match(shape, language, wording, words)
        }

    def _twice(self, words: tuple[str, ...], language: int) -> set[Parallel]:
        """What the first words say in the language, and the others in another one."""
        known = [[word in vocabulary for word in words] for vocabulary in self._vocabularies]
        return {
            Parallel(meaning, other)
            for other, n in itertools.product(range(len(self.languages)), range(2, len(words) - 1))
            if other != language and all(known[language][:n]) and all(known[other][n:])
            for meaning in self._readable(words[:n], language)
            if meaning in self._readable(words[n:], other)
        }

    @functools.cached_property
    def _vocabularies(self) -> list[set[str]]:
        """The words of a document in every language, with those of answers in a named one."""
        own = [{word for form in concept for word in form.split()} for concept in self.concept]
        named = max((task.languages for task in self.world.tasks), default=0)
        return [words.union(*own[:named]) for words in own]

    def _wordings(self, words: tuple[str, ...], language: int) -> Iterator[Wording]:
        """How these words may be worded, as the words that only some templates have tell."""
        said = {self.concept[language].get(word) for word in words}
        count = self.world.vocabulary.templates
        opener = next((i + 1 for i in range(count) if f"opener{i}" in said), 0)
        frames = (TOPIC,) if IT in said else (HAVING,) if HAS in said else (0, HAVING)
        templates = (FRAMES * opener + frame for frame in frames)
        known = [template for template in templates if template < count]
        orders = self.languages[language].orders
        return itertools.starmap(Wording, itertools.product(known, orders))

    def _shapes(
        self,
        words: tuple[str, ...],
        language: int,
        wording: Wording,
        questions: list[tuple[Question, Task]],
    ) -> Iterator[Meaning]:
        """Every meaning with slots that these words could say in a wording."""
        names = {task.name for task in self.world.tasks}
        for r in self.world.relations:
            subject, object = Slot(r.subject, 0), Slot(r.object, 1)
            facts = [Fact(r.name, subject, object, focus) for focus in (subject, object)]
            yield from facts
            if self.world.vocabulary.aliases:
                named = (fact for fact in facts if fact.focus.kind in self.world.named)
                yield from (Alias(fact, Slot("noun", 2)) for fact in named)
        for question, task in questions:
            for kind in (kind for kind in _REGISTERS if kind in task.registers):
                yield _REGISTERS[kind](question)
        yield from self._followed(words, language, wording, questions)
        for n, target in itertools.product(range(1, len(words)), range(len(self.languages))):
            if target != language:
                yield Dictionary(nouns(n), target)
                if n == 1:
                    names_of = (Slot(kind, 0) for kind in self.world.named)
                    yield from (Dictionary((one,), target) for one in (*names, *names_of))
        said = map(self.kind.get, map(self.concept[language].get, words))
        yield from shapes_of(collections.Counter(said))

    def _questions(self, words: tuple[str, ...], language: int) -> Iterator[tuple[Question, Task]]:
        """Every question with slots about a task that is named."""
        said = {self.concept[language].get(word) for word in words}
        content = [
            c for c in map(self.concept[language].get, words) if self.kind.get(c) not in _BARE
        ]
        for task in self.world.tasks:
            for question in shapes(task, self.world, len(content) + 1):
                if question.task in said:
                    yield question, task

    def _followed(
        self,
        words: tuple[str, ...],
        language: int,
        wording: Wording,
        questions: list[tuple[Question, Task]],
    ) -> Iterator[Quiz]:
        """Every question that another one follows, in so many words."""
        own, grammar = self.languages[language], Grammar(self, language, wording)
        added = own.perturbation.added if own.perturbation else 0
        openings = dict.fromkeys(opening(q) for q, task in questions if leaves_open(task))
        length = {q: sum(map(self.span, grammar.asked(q))) + 2 for q in openings}
        for first, second in itertools.product(length, repeat=2):
            if length[first] + length[second] + added + len(self._tag[language]) == len(words):
                moved = lambda slot: Slot(slot.kind, slot.index + SAID)
                yield Quiz(first, replace_slots(second, moved))

    def _match(
        self, shape: Meaning, language: int, wording: Wording, words: tuple[str, ...]
    ) -> Iterator[Meaning]:
        """The shape with its slots filled by the words, if they fit."""
        key = shape, language, wording
        if key not in self._patterns:
            self._patterns[key] = self.leaves(*key)
        leaves, values = self._patterns[key], {}
        ends = list(itertools.accumulate(map(self.span, leaves)))
        if ends[-1] != len(words):
            return
        said = (" ".join(words[a:b]) for a, b in itertools.pairwise((0, *ends)))
        for (concept, tongue, *_), word in zip(leaves, said, strict=True):
            found = self.concept[tongue].get(word)  # its inflection is looked at below
            if isinstance(concept, Slot):
                if self.kind.get(found) != concept.kind:
                    return
                if values.setdefault(concept.index, found) != found:
                    return
            elif found != concept:
                return
        meaning = fill(shape, values)
        fact = meaning.fact if isinstance(meaning, Alias) else meaning
        if isinstance(fact, Fact) and not self._canonical(fact):
            return
        if self.render(meaning, language, wording) == words:
            yield meaning

    def _canonical(self, fact: Fact) -> bool:
        """Whether a fact is said as the world has it: of a symmetric one, the subject is the entity
        of the lower number."""
        number = lambda concept: int(concept.lstrip("abcdefghijklmnopqrstuvwxyz"))
        symmetric = isinstance(self.relation[fact.relation], Symmetric)
        return not symmetric or number(fact.subject) < number(fact.object)
