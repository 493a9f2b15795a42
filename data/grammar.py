"""Meaning -> leaves: what a document says, in the syntax of its language (data/syntax.py).

A statement of a fact says `R of given is answer`, so whoever is mentioned first (the focus) and the
relation precede the answer. Where the order puts objects first, the given entity is the grammatical
object and the clause turns to the converse relation: `given is R' of answer`.

Statements, stories and questions are worded by a template. Template t has the frame t mod 3 and,
from the fourth on, an opener before it:

    frame     statement                story                      question
    plain     parent of x is y         copy of a b is a b         copy a b
    topic     x , parent of it is y    a b , copy of it is a b    a b , copy it
    having    x has parent y           a b has copy a b           copy of a b
"""

from collections.abc import Callable

from data.language import CITED, Leaf
from data.lexicon import FRAMES, HAS, IT, VERB
from data.meaning import Chat, Dictionary, Fact, Meaning, Question, Quiz, Say, Story
from data.syntax import Syntax, Wording
from data.task import Task

TOPIC, HAVING = 1, 2  # frames


class Grammar(Syntax):
    """How language `index` puts a meaning in words of a `wording`."""

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

    def _opener(self) -> list[Leaf]:
        which = self.wording.template // FRAMES
        return [self._word(f"opener{which - 1}")] if which else []

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

    def _entries(self, dictionary: Dictionary) -> list[Leaf]:
        concepts, target = dictionary.concepts, dictionary.target
        entries = [self._word(c, role=CITED) for c in concepts]
        # Of several other languages, a word that two of them share would not tell which.
        tag = (
            [self._word(language_tag(target), role=CITED)] if len(self.known.languages) > 2 else []
        )
        said = [Leaf(c, target, answer=True, role=CITED) for c in concepts]
        first = self._apart([self._word("define"), *tag, *entries])
        return self._clause(VERB, first, said, concepts)


def language_tag(language: int) -> str:
    """The name of a language, where one has to be named: the same word in all of them."""
    return f"<L{language + 1}>"
