"""Meaning -> leaves: the grammar of one language, and the only file that knows the order of words.

    clause       the verb first, between or after its two phrases, as in `order`
    phrase       "parent of x", or "x of parent" where the possessor comes first
    nominal      adjective noun, adposition noun, noun which ..., or each the other way round, as
                 the head switches say (data/head.py)

A statement of a fact says `R of given is answer`, so whoever is mentioned first (the focus) and the
relation precede the answer. Where the order puts objects first, the given entity is the grammatical
object and the clause turns to the converse relation: `given is R' of answer`.

Statements, stories and questions are worded by a template. Template t has the frame t mod 3 and,
from the fourth on, an opener before it:

    frame     statement            story                 question
    plain     parent of x is y     copy of a b is a b    copy a b
    topic     x , parent of it is y   a b , copy of it is a b   a b , copy it
    having    x has parent y       a b has copy a b      copy of a b
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from data.language import Language, Leaf
from data.lexicon import FRAMES, HAS, IT, THAT, THE, TO, UNINFLECTED, VERB, WHICH
from data.meaning import (
    Chat,
    Concept,
    Dictionary,
    Fact,
    Meaning,
    Nominal,
    Question,
    Quiz,
    Say,
    Slot,
    Story,
)
from data.relation import Relation
from data.task import Task
from data.world import World

TOPIC, HAVING = 1, 2  # frames


class Wording(NamedTuple):
    """One of the ways to say a meaning: the number of its template, and the order of the clauses
    where it is not the language's own ("" if it is)."""

    template: int = 0
    order: str = ""


class Known(Protocol):
    """What is known by who speaks: the languages, the world, the kind of every concept, the
    relations by name, those that tasks tell of too."""

    languages: tuple[Language, ...]
    world: World
    kind: Mapping[str, str]
    relation: Mapping[str, Relation]


@dataclass(frozen=True)
class Grammar:
    """How language `index` puts a meaning in words of a `wording`."""

    known: Known
    index: int
    wording: Wording

    @functools.cached_property
    def own(self) -> Language:
        return self.known.languages[self.index]

    @functools.cached_property
    def language(self) -> Language:
        """The language with the order of this wording."""
        return replace(self.own, order=self.wording.order) if self.wording.order else self.own

    @property
    def frame(self) -> int:
        return self.wording.template % FRAMES

    def leaves(self, meaning: Meaning) -> list[Leaf]:
        """The words of a document, in order."""
        match meaning:
            case Fact():
                return self._opener() + self._fact(meaning)
            case Story(question):
                return self._context(question) + self._opener() + self._story(question)
            case Quiz(question, follow):
                ask = lambda q: [self._word("question"), *self.asked(q), self._word("?")]
                return ask(question) + (ask(follow) if follow else self._result(question))
            case Chat(question):
                told = [self._word("user"), *self.asked(question), self._word("assistant")]
                return told + self._result(question)
            case Dictionary():
                return self._entries(meaning)
            case Say():
                return self._sentence(meaning)
        raise TypeError(f"{meaning!r} is not a meaning")

    def _word(self, concept: Concept, **role) -> Leaf:
        return Leaf(concept, self.index, **role)

    def _definite(self, phrase: list[Leaf], noun: int = 0) -> list[Leaf]:
        """A phrase with the article of its noun, if the language has articles."""
        if not self.own.articles:
            return phrase
        shown = phrase[noun].concept if self.own.gendered else None
        return [phrase[noun]._replace(concept=THE, role="", controller=shown), *phrase]

    def _opener(self) -> list[Leaf]:
        which = self.wording.template // FRAMES
        return [self._word(f"opener{which - 1}")] if which else []

    def _verb(self, concept: Concept, topic: tuple[Concept, ...]) -> Leaf:
        """A verb that agrees with what its clause is about: with its number, and the gender of its
        first noun (what is known when the answer is asked, so agreement tells nothing new)."""
        verb = self._word(concept, role="verb")
        if self.own.agreement or self.own.perturbation:
            verb = verb._replace(plural=len(topic) > 1)
        return verb._replace(controller=topic[0]) if self.own.gendered else verb

    def _clause(
        self, verb: Concept, first: list[Leaf], second: list[Leaf], topic: tuple[Concept, ...]
    ) -> list[Leaf]:
        """A clause about `topic`, the object in its case."""
        phrases = [first, second]
        mine = 0 if self.language.object_first else 1
        phrases[mine] = [
            leaf if leaf.role or leaf.concept in UNINFLECTED else leaf._replace(role="object")
            for leaf in phrases[mine]
        ]
        return self.language.clause(self._verb(verb, topic), *phrases)

    def _apart(self, first: list[Leaf]) -> list[Leaf]:
        """Where no verb keeps two lists apart, a comma does: the answer must have a beginning."""
        return first if self.language.order.index("V") == 1 else [*first, self._word(",")]

    def _fact(self, fact: Fact) -> list[Leaf]:
        relation, turned = self.known.relation[fact.relation], self.language.object_first
        forward, topic = fact.focus == fact.subject, (fact.focus,)
        given = self._word(fact.focus, given=True)
        said = self._word(fact.object if forward else fact.subject, answer=True)
        # In an object-first clause the converse's noun phrase comes second.
        name = relation.name if forward != turned else relation.converse
        head = self._definite([self._word(name, given=True)])
        if self.frame == HAVING:
            first, second = ([*head, given], [said]) if turned else ([given], [*head, said])
            return self._clause(HAS, first, second, topic)
        before = [given, self._word(",")] if self.frame == TOPIC else []
        given = self._word(IT) if before else given
        outer, inner = (given, said) if turned else (said, given)
        phrase = self._of(head, [inner._replace(role="complement")])
        pair = ([outer], phrase) if turned else (phrase, [outer])
        return before + self._clause(VERB, *pair, topic)

    def _of(self, head: list[Leaf], complement: list[Leaf]) -> list[Leaf]:
        return self.own.noun_phrase(head, self._word("of"), complement)

    def _plain(self, language: int) -> "Grammar":
        """The grammar of what is part of a document, and in no frame, in any language."""
        mine = language == self.index
        return Grammar(self.known, language, Wording(0, self.wording.order if mine else ""))

    def _context(self, question: Question) -> list[Leaf]:
        """The facts among the arguments, each closed by a comma."""
        told: list[Leaf] = []
        for fact in question.args:
            if isinstance(fact, Fact):
                leaves = self._plain(self.index)._fact(fact)
                told += [x._replace(answer=False, given=True) for x in leaves]
                told.append(self._word(","))
        return told

    def asked(self, question: Question) -> list[Leaf]:
        """A question in its frame, after its facts."""
        args = self._arguments(question, self._phrase, "")
        if self.frame == HAVING and args:
            said = self._phrase(question)
        elif self.frame == TOPIC and args:
            task, it = self._task_word(question), [self._word(IT, role="argument")]
            said = [*args, self._word(","), *self._ordered(task, it)]
        else:
            said = self._imperative(question)
        return self._context(question) + self._opener() + said

    def _story(self, question: Question) -> list[Leaf]:
        result, task = self._result(question), self._task_word(question)
        args = self._arguments(question, self._phrase, "")
        if self.frame == HAVING and args:
            return self._clause(HAS, self._apart(args), task + result, question.concepts)
        before, told = [], self._phrase(question)
        if self.frame == TOPIC and args:
            before = [*args, self._word(",")]
            told = self._of(task, [self._word(IT, role="complement")])
        return before + self._clause(VERB, self._apart(told), result, question.concepts)

    def _task_word(self, question: Question) -> list[Leaf]:
        return [self._word(question.task, given=True)]

    def _ordered(self, task: list[Leaf], args: list[Leaf]) -> list[Leaf]:
        return task + args if self.language.verb_before_object else args + task

    def _imperative(self, question: Question) -> list[Leaf]:
        """A task and its arguments, without the facts among them: "copy a b"."""
        args = self._arguments(question, self._imperative, "argument")
        return self._ordered(self._task_word(question), args)

    def _phrase(self, question: Question) -> list[Leaf]:
        """The same as a noun phrase: "copy of a b"."""
        args = self._arguments(question, self._phrase, "complement")
        return self._of(self._task_word(question), args)

    def _arguments(
        self, question: Question, embedded: Callable[[Question], list[Leaf]], role: str
    ) -> list[Leaf]:
        args: list[Leaf] = []
        for arg in question.args:
            if isinstance(arg, Question):
                args += embedded(arg)
            elif not isinstance(arg, Fact):
                args += self._said(arg, role, given=True)
        return args

    def _result(self, question: Question) -> list[Leaf]:
        """The answer, in its language."""
        said, task = question.said, self._task(question)
        tongue, answer = self._plain(task.tongue(question, self.index)), []
        if said is None:
            said = task.answer(self.known.world, question)
        for part in said:
            if isinstance(part, Fact):
                answer += [x._replace(answer=True, given=False) for x in tongue._fact(part)]
            else:
                answer += tongue._said(part, "", answer=True)
        return answer

    def _task(self, question: Question) -> Task:
        """The one task of the world that a question is of."""
        tasks = self.known.world.tasks
        for task in tasks:
            if task.takes(question):
                return task
        names = ", ".join(dict.fromkeys(task.name for task in tasks))
        raise ValueError(
            f"no task asks {question}; the world has {names}: choose one of its questions"
        )

    def _said(self, concept: Concept, role: str, **known: bool) -> list[Leaf]:
        """A concept as an argument or an answer: nouns and names in their case, nouns with their
        article; what else there is (digits, classes, marks, tasks) as it is cited."""
        kind = concept.kind if isinstance(concept, Slot) else self.known.kind[concept]
        named = (*self.known.world.named, "noun", "marked", "box", "stranger")
        leaf = self._word(concept, role=role if kind in named else "", **known)
        return self._definite([leaf]) if kind in ("noun", "marked") else [leaf]

    def _entries(self, dictionary: Dictionary) -> list[Leaf]:
        concepts, target = dictionary.concepts, dictionary.target
        entries = [self._word(c, role="entry") for c in concepts]
        # Of several other languages, a word that two of them share would not tell which.
        tag = (
            [self._word(language_tag(target), role="entry")]
            if len(self.known.languages) > 2
            else []
        )
        said = [Leaf(c, target, answer=True, role="entry") for c in concepts]
        first = self._apart([self._word("define"), *tag, *entries])
        return self._clause(VERB, first, said, concepts)

    def _sentence(self, say: Say) -> list[Leaf]:
        subject, verb = self._nominal(say.agent), self._verb(say.verb, (say.agent.noun,))
        objects = self._objects(say)
        language = self.language
        # Without case only their order tells subject from object, so the verb alone moves freely.
        if not self.own.case and language.object_first != self.own.object_first:
            swapped = language.order.translate(str.maketrans("SO", "OS"))
            language = replace(language, order=swapped)
        pair = (objects, subject) if language.object_first else (subject, objects)
        return language.clause(verb, *pair)

    def _objects(self, say: Say) -> list[Leaf]:
        if say.content:
            said, that = self._sentence(say.content), [self._word(THAT)]
            return said + that if self.own.complementizer_last else that + said
        theme = self._nominal(say.theme, "object") if say.theme else []
        if say.recipient and say.double:
            return self._nominal(say.recipient, "argument") + theme
        if say.recipient:
            return theme + self._adposition(TO, self._nominal(say.recipient, "complement"))
        return theme

    def _nominal(self, said: Nominal, role: str = "") -> list[Leaf]:
        noun, language = self._word(said.noun, role=role), self.own
        phrase = [noun]
        if said.adjective:
            adjective = self._word(said.adjective)
            phrase = [noun, adjective] if language.adjective_last else [adjective, noun]
        phrase = self._definite(phrase, phrase.index(noun))
        if said.place:
            adposition, place = said.place
            phrase += self._adposition(adposition, self._said(place, "complement"))
        if said.relative:
            verb, object = said.relative
            pair = [self._verb(verb, (said.noun,))], self._said(object, "object")
            clause = list(itertools.chain(*pair[:: 1 if self.language.verb_before_object else -1]))
            which = [self._word(WHICH)]
            phrase = clause + which + phrase if language.relative_first else phrase + which + clause
        return phrase

    def _adposition(self, adposition: Concept, phrase: list[Leaf]) -> list[Leaf]:
        word = [self._word(adposition)]
        return phrase + word if self.own.postpositions else word + phrase


def language_tag(language: int) -> str:
    """The name of a language, where one has to be named: the same word in all of them."""
    return f"<L{language + 1}>"
