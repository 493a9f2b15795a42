"""Meaning -> words -> meaning, by someone who speaks all languages of a family.

A meaning is linearised to leaves by the grammar of data/language.py; their words are the document.
Parsing matches the words against every meaning with slots that so many words could say.
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace

from data.language import Language, Languages, Leaf
from data.lexicon import THE, UNINFLECTED, VERB, gender, inventory
from data.meaning import (
    Chat,
    Concept,
    Dictionary,
    Fact,
    Meaning,
    Question,
    Quiz,
    Slot,
    Story,
    fill,
    replace_slots,
)
from data.relation import Symmetric
from data.task import SAID, Task, leaves_open, nouns, opening, shapes
from data.world import World

_REGISTERS = {"story": Story, "quiz": Quiz, "chat": Chat}


@functools.lru_cache(maxsize=16)
def speaker(pair: Languages, world: World) -> "Speaker":
    """The one who speaks both languages of a pair, or all those of a family."""
    return Speaker(pair.languages(world), world, pair.naming.words)


class Speaker:
    """Renders meanings to words and parses words to meanings, in language 0, 1, ... The names of
    persons have `names` words.

    >>> from data.feature import PossessorFirst
    >>> from data.language import Pair
    >>> both = speaker(Pair((PossessorFirst(),)), World())
    >>> fact = Fact("parent", "x0", "y0", focus="x0")
    >>> both.render(fact, 0), both.render(fact, 1)
    (('karu', 'buso', 'Gosi', 'lago', 'Vuzi'), ('Gosi', 'buso', 'karu', 'lago', 'Vuzi'))
    >>> both.parse(both.render(fact, 1), 1) == fact
    True
    """

    def __init__(self, languages: tuple[Language, ...], world: World, names: int = 1) -> None:
        self.languages, self.world = languages, world
        self.relation = {relation.name: relation for relation in world.relations}
        self._spans = dict.fromkeys(world.persons, names)
        self.kind = {name: kind for kind, names in inventory(world).items() for name in names}
        self.form = [dict(zip(self.kind, lang.forms, strict=True)) for lang in languages]
        self.concept = [self._readings(i) for i in range(len(languages))]
        told = (relation for task in world.tasks for relation in task.relations)
        self.relation = {relation.name: relation for relation in (*world.relations, *told)}
        self._patterns: dict = {}

    def render(self, meaning: Meaning, language: int) -> tuple[str, ...]:
        """The words of a document, without the <doc> that opens it."""
        return tuple(w for x in self.leaves(meaning, language) for w in self.word(x).split())

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
        leaves += [Leaf(VERB, language, controller=c, plural=p) for c in shown for p in (0, 1)]
        leaves += [Leaf(THE, language, controller=c) for c in shown if grammar.articles]
        leaves += [Leaf(_tag(i), language) for i in range(len(self.languages))]
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

    def leaves(self, meaning: Meaning, language: int) -> list[Leaf]:
        """The words of a document, in order."""
        grammar = self.languages[language]
        if not grammar.perturbation:
            return self._grammatical(meaning, language)
        perturbed = lambda m: grammar.perturbation.perturb(
            self._grammatical(m, language), Leaf("", language)
        )
        if not isinstance(meaning, Fact):
            return perturbed(meaning)
        # The focus is to be mentioned first on the surface: direction is what a reader meets.
        pair = (meaning.subject, meaning.object)
        for focus in pair:
            said = perturbed(replace(meaning, focus=focus))
            if next(leaf.concept for leaf in said if leaf.concept in pair) == meaning.focus:
                roles = {c: dict(given=c == meaning.focus, answer=c != meaning.focus) for c in pair}
                return [leaf._replace(**roles.get(leaf.concept, {})) for leaf in said]
        raise AssertionError(f"{grammar.perturbation} mentions one entity first in both wordings")

    def _grammatical(self, meaning: Meaning, language: int) -> list[Leaf]:
        """The linearisation; the only function that knows word order."""
        grammar = self.languages[language]
        word = lambda concept, **role: Leaf(concept, language, **role)

        def clause(first: list[Leaf], second: list[Leaf], topic: tuple[Concept, ...]) -> list[Leaf]:
            # Where no verb keeps two lists apart, a comma does: the answer must have a beginning.
            comma = [] if grammar.order.index("V") == 1 else [word(",")]
            return self._clause(language, [*first, *comma], second, topic)

        context = lambda question: self._context(question, language)
        asked = lambda question: context(question) + self._asked(question, language)
        result = lambda question: self._result(question, language)

        match meaning:
            case Fact():
                return self._fact(meaning, language)
            case Story(question):
                told = self._told(question, language)
                return context(question) + clause(told, result(question), question.concepts)
            case Quiz(question, None):
                return [word("question"), *asked(question), word("?"), *result(question)]
            case Quiz(question, follow):
                both = [[word("question"), *asked(q), word("?")] for q in (question, follow)]
                return both[0] + both[1]
            case Chat(question):
                told = [word("user"), *asked(question), word("assistant")]
                return told + result(question)
            case Dictionary(concepts, target):
                entries = [word(c, role="entry") for c in concepts]
                said = [Leaf(c, target, answer=True, role="entry") for c in concepts]
                # Of several other languages, a word that two of them share would not tell which.
                tag = [word(_tag(target), role="entry")] if len(self.languages) > 2 else []
                return clause([word("define"), *tag, *entries], said, concepts)
        raise TypeError(f"{meaning!r} is not a meaning")

    def _context(self, question: Question, language: int) -> list[Leaf]:
        """The facts among the arguments, each closed by a comma."""
        told: list[Leaf] = []
        for fact in question.args:
            if isinstance(fact, Fact):
                told += [x._replace(answer=False, given=True) for x in self._fact(fact, language)]
                told.append(Leaf(",", language))
        return told

    def _asked(self, question: Question, language: int) -> list[Leaf]:
        """A task and its arguments, without the facts among them."""
        task = [Leaf(question.task, language, given=True)]
        args = self._arguments(question, self._asked, "argument", language)
        return task + args if self.languages[language].verb_before_object else args + task

    def _told(self, question: Question, language: int) -> list[Leaf]:
        """A task and its arguments as a noun phrase, without the facts among them."""
        task = [Leaf(question.task, language, given=True)]
        args = self._arguments(question, self._told, "complement", language)
        return self.languages[language].noun_phrase(task, Leaf("of", language), args)

    def _arguments(self, question: Question, embedded, role: str, language: int) -> list[Leaf]:
        args: list[Leaf] = []
        for arg in question.args:
            if isinstance(arg, Question):
                args += embedded(arg, language)
            elif not isinstance(arg, Fact):
                args += self._said(arg, language, role, given=True)
        return args

    def _result(self, question: Question, language: int) -> list[Leaf]:
        """The answer, in its language."""
        said, task = question.said, self._task(question)
        tongue, answer = task.tongue(question, language), []
        if said is None:
            said = task.answer(self.world, question)
        for part in said:
            if isinstance(part, Fact):
                leaves = self._fact(part, tongue)
                answer += [x._replace(answer=True, given=False) for x in leaves]
            else:
                answer += self._said(part, tongue, "", answer=True)
        return answer

    def _task(self, question: Question) -> Task:
        """The one task of the world that a question is of."""
        for task in self.world.tasks:
            if task.takes(question):
                return task
        names = ", ".join(dict.fromkeys(task.name for task in self.world.tasks))
        raise ValueError(
            f"no task asks {question}; the world has {names}: choose one of its questions"
        )

    def _said(self, concept: Concept, language: int, role: str, **known: bool) -> list[Leaf]:
        """A concept as an argument or an answer: nouns and names in their case, nouns with their
        article; what else there is (digits, classes, marks, tasks) as it is cited."""
        kind = concept.kind if isinstance(concept, Slot) else self.kind[concept]
        role = role if kind in (*self.world.named, "noun", "marked", "box", "stranger") else ""
        leaf = Leaf(concept, language, role=role, **known)
        return self._definite(leaf) if kind in ("noun", "marked") else [leaf]

    def _fact(self, fact: Fact, language: int) -> list[Leaf]:
        grammar, relation = self.languages[language], self.relation[fact.relation]
        word = lambda concept, **role: Leaf(concept, language, **role)
        forward = fact.focus == fact.subject
        given = word(fact.focus, given=True)
        said = word(fact.object if forward else fact.subject, answer=True)
        # In an object-first clause the converse's noun phrase comes second.
        name = relation.name if forward != grammar.object_first else relation.converse
        outer, inner = (given, said) if grammar.object_first else (said, given)
        head = self._definite(word(name, given=True))
        phrase = grammar.noun_phrase(head, word("of"), [inner._replace(role="complement")])
        pair = ([outer], phrase) if grammar.object_first else (phrase, [outer])
        return self._clause(language, *pair, (fact.focus,))

    def _clause(
        self, language: int, first: list[Leaf], second: list[Leaf], topic: tuple[Concept, ...]
    ) -> list[Leaf]:
        """A clause about `topic`, with which its verb agrees: with its number, and the gender of
        its first noun (what is known when the answer is asked, so agreement tells nothing new)."""
        grammar, phrases = self.languages[language], [first, second]
        mine = 0 if grammar.object_first else 1
        phrases[mine] = [
            leaf if leaf.role or leaf.concept in UNINFLECTED else leaf._replace(role="object")
            for leaf in phrases[mine]
        ]
        verb = Leaf(VERB, language)
        if grammar.agreement or grammar.perturbation:
            verb = verb._replace(plural=len(topic) > 1)
        if grammar.gendered:
            verb = verb._replace(controller=topic[0])
        return grammar.clause(verb, *phrases)

    def _definite(self, noun: Leaf) -> list[Leaf]:
        """A noun with its article, if its language has articles."""
        grammar = self.languages[noun.language]
        if not grammar.articles:
            return [noun]
        shown = noun.concept if grammar.gendered else None
        return [noun._replace(concept=THE, role="", controller=shown), noun]

    def parse(self, words: tuple[str, ...], language: int) -> Meaning:
        """The meaning of a document; ValueError if it has none, or more than one."""
        found = {m for shape in self._shapes(words, language) for m in self._match(shape, words)}
        if len(found) != 1:
            what = f"says {len(found)} things" if found else "is no document"
            raise ValueError(
                f"{' '.join(words)!r} {what} in language {language}; render one instead"
            )
        return found.pop()

    def _shapes(self, words: tuple[str, ...], language: int) -> Iterator[tuple[Meaning, int]]:
        """Every meaning with slots that words of this number could say."""
        names = {task.name for task in self.world.tasks}
        for r in self.world.relations:
            subject, object = Slot(r.subject, 0), Slot(r.object, 1)
            yield from ((Fact(r.name, subject, object, f), language) for f in (subject, object))
        for question, task in self._questions(words, language):
            for kind in (kind for kind in _REGISTERS if kind in task.registers):
                yield _REGISTERS[kind](question), language
        yield from ((quiz, language) for quiz in self._followed(words, language))
        for n, target in itertools.product(range(1, len(words)), range(len(self.languages))):
            if target != language:
                yield Dictionary(nouns(n), target), language
                if n == 1:
                    yield from ((Dictionary((task,), target), language) for task in names)

    def _questions(self, words: tuple[str, ...], language: int) -> Iterator[tuple[Question, Task]]:
        """Every question with slots about a task that is named."""
        said = {self.concept[language].get(word) for word in words}
        for task in self.world.tasks:
            for question in shapes(task, self.world, len(words)):
                if question.task in said:
                    yield question, task

    def _followed(self, words: tuple[str, ...], language: int) -> Iterator[Quiz]:
        """Every question that another one follows, in so many words."""
        grammar = self.languages[language]
        added = grammar.perturbation.added if grammar.perturbation else 0
        asked = (q for q, task in self._questions(words, language) if leaves_open(task))
        opened = {opening(question): 0 for question in asked}
        for question in opened:
            context = self._context(question, language)
            asked = context + self._asked(question, language)
            opened[question] = sum(map(self.span, asked)) + 2
        for first, second in itertools.product(opened, repeat=2):
            if opened[first] + opened[second] + added == len(words):
                moved = lambda slot: Slot(slot.kind, slot.index + SAID)
                yield Quiz(first, replace_slots(second, moved))

    def _match(self, shape: tuple[Meaning, int], words: tuple[str, ...]) -> Iterator[Meaning]:
        """The shape with its slots filled by the words, if they fit."""
        if shape not in self._patterns:
            self._patterns[shape] = self.leaves(*shape)
        leaves, values = self._patterns[shape], {}
        ends = list(itertools.accumulate(map(self.span, leaves)))
        if ends[-1] != len(words):
            return
        said = (" ".join(words[a:b]) for a, b in itertools.pairwise((0, *ends)))
        for (concept, language, *_), word in zip(leaves, said, strict=True):
            found = self.concept[language].get(word)  # its inflection is looked at below
            if isinstance(concept, Slot):
                if self.kind.get(found) != concept.kind:
                    return
                if values.setdefault(concept.index, found) != found:
                    return
            elif found != concept:
                return
        meaning = fill(shape[0], values)
        if isinstance(meaning, Fact) and not self._canonical(meaning):
            return
        if self.render(meaning, shape[1]) == words:
            yield meaning

    def _canonical(self, fact: Fact) -> bool:
        """Whether a fact is said as the world has it: of a symmetric one, the subject is the entity
        of the lower number."""
        number = lambda concept: int(concept.lstrip("abcdefghijklmnopqrstuvwxyz"))
        symmetric = isinstance(self.relation[fact.relation], Symmetric)
        return not symmetric or number(fact.subject) < number(fact.object)


def _tag(language: int) -> str:
    """The name of a language, where one has to be named: the same word in all of them."""
    return f"<L{language + 1}>"
