"""Documents explained to people: a formula, an interlinear gloss, a free translation.

The gloss follows the Leipzig rules (Comrie, Haspelmath & Bickel 2015): morphemes are kept apart by
hyphens in the words and in their glosses, grammatical categories are abbreviated in capitals: ACC,
GEN, DAT and OBL (of two cases) are cases, SG and PL numbers, I and II genders, DEF the article.
"""

from dataclasses import replace
from typing import NamedTuple

from data.language import Leaf
from data.lexicon import HAS, THE, VERB, gender
from data.meaning import (
    Alias,
    Chat,
    Dictionary,
    Fact,
    Meaning,
    Parallel,
    Question,
    Quiz,
    Say,
    Story,
)
from data.speaker import Speaker

ROLES = ("given", "relation", "answer", "function")
_CASES = {"object": "ACC", "complement": "GEN", "argument": "DAT"}
_WORDS = {VERB: "be", HAS: "have", "question": "Q", "user": "USER", "assistant": "ASSISTANT"}
_GENDERS = ("I", "II")
_ASKING = ("relation", "task", "skill")  # kinds of concepts that say what is asked


class Word(NamedTuple):
    """A word of a document: its morphemes, their glosses, its role in the document (of ROLES), and
    the concept it says."""

    form: str
    gloss: str
    role: str
    concept: str


def interlinear(both: Speaker, meaning: Meaning, language: int) -> list[Word]:
    """The words of a meaning in a language, glossed.

    >>> from data.feature import Case, Lexicon, Names
    >>> from data.language import Pair
    >>> from data.speaker import speaker
    >>> from data.world import World
    >>> both = speaker(Pair((Lexicon(0), Names(1), Case(4))), World())
    >>> words = interlinear(both, Fact("parent", "x0", "y0", focus="x0"), 1)
    >>> " ".join(w.form for w in words), " ".join(w.gloss for w in words)
    ('zumu rota Gosi-s tedi Vuzi-n', 'parent of x0-GEN be y0-ACC')
    >>> [w.role for w in words]
    ['relation', 'function', 'given', 'function', 'answer']
    """
    return [_word(both, leaf) for leaf in both.leaves(meaning, language)]


def begun(meaning: Meaning, drawn: int, language: int) -> Meaning:
    """A meaning that is drawn in a language, to be said in another one: a document of two languages
    that begins in the second of them ends in the first."""
    two = isinstance(meaning, Dictionary | Parallel) and meaning.target == language
    return replace(meaning, target=drawn) if two else meaning


def _word(both: Speaker, leaf: Leaf) -> Word:
    word = both.word(leaf)
    # An article has the colour of its noun.
    kind = both.kind.get(leaf.controller if leaf.concept == THE else leaf.concept)
    stem = both.form[leaf.language].get(leaf.concept, word)
    suffix = word[len(stem) :] if word.startswith(stem) else ""
    shown = _shown(both, leaf)
    label = "DEF" if leaf.concept == THE else _WORDS.get(leaf.concept, leaf.concept)
    if leaf.concept == THE and shown:
        label += f".{shown}"
    if suffix:
        word, label = f"{stem}-{suffix}", f"{label}-{shown}"
    elif leaf.role == "verb" and shown:
        label += f"[{shown}]"  # a form without a suffix shows it too
    said = "answer" if leaf.answer else "given" if leaf.given else "function"
    role = "relation" if kind in _ASKING and not leaf.answer else said
    return Word(word, label, role, leaf.concept)


def _shown(both: Speaker, leaf: Leaf) -> str:
    """The categories that a word shows, abbreviated."""
    grammar = both.languages[leaf.language]
    kind = [_GENDERS[gender(leaf.controller)]] if grammar.gendered and leaf.controller else []
    if leaf.concept == THE:
        return ".".join(kind)
    if leaf.role == "verb" and grammar.agreement:
        return ".".join([*kind, "PL" if leaf.plural else "SG"])
    alike = len({suffix for _, suffix in grammar.case}) == 1
    return "OBL" if alike else _CASES.get(leaf.role, "")


def translation(both: Speaker, meaning: Meaning) -> str:
    """A meaning in English, entities and nouns by their concepts.

    >>> from data.language import Pair
    >>> from data.speaker import speaker
    >>> from data.world import World
    >>> both = speaker(Pair(), World())
    >>> translation(both, Fact("parent", "x3", "y7", focus="y7"))
    'The child of y7 is x3.'
    >>> translation(both, Alias(Fact("parent", "x3", "y7", focus="y7"), "noun1"))
    'noun1 is y7. The child of noun1 is x3.'
    >>> translation(both, Quiz(Question("swap", ("noun1", "noun2"))))
    'Question: swap noun1 noun2? noun2 noun1.'
    """
    if isinstance(meaning, Fact):
        relation = both.relation[meaning.relation]
        if meaning.focus == meaning.subject:
            return f"The {relation.name} of {meaning.subject} is {meaning.object}."
        return f"The {relation.converse} of {meaning.object} is {meaning.subject}."
    if isinstance(meaning, Alias):
        return f"{meaning.noun} is {meaning.fact.focus}. {translation(both, meaning.renamed)}"
    if isinstance(meaning, Parallel):
        return f"{translation(both, meaning.meaning)} And again in another language."
    said = [leaf.concept for leaf in both.leaves(meaning, 0) if leaf.answer]
    answer = " ".join(c for c in said if c in both.kind and both.kind[c] != "function")
    match meaning:
        case Story(question):
            return f"{_asked(both, question, ' of').capitalize()} is {answer}."
        case Quiz(question, None):
            return f"Question: {_asked(both, question)}? {answer}."
        case Quiz(question, follow):
            return f"Question: {_asked(both, question)}? Question: {_asked(both, follow)}?"
        case Chat(question):
            return f"User: {_asked(both, question)}. Assistant: {answer}."
        case Dictionary(concepts, _):
            return f"{', '.join(concepts)}, in the words of another language."
    return formula(meaning)


def _asked(both: Speaker, question: Question, link: str = "") -> str:
    def phrase(arg) -> str:
        if isinstance(arg, Fact):
            return f"[{translation(both, arg)}]"
        return f"({_asked(both, arg, link)})" if isinstance(arg, Question) else arg

    return " ".join([f"{question.task}{link}", *map(phrase, question.args)])


def formula(meaning: Meaning) -> str:
    """A meaning as a formula, e.g. parent(*x3) = y7 with a star on the entity mentioned first."""

    def ask(q) -> str:
        if isinstance(q, Fact):
            return formula(q)
        return f"{q.task}({', '.join(map(ask, q.args))})" if isinstance(q, Question) else str(q)

    match meaning:
        case Fact(relation, subject, object, focus):
            star = lambda entity: "*" * (entity == focus) + entity
            return f"{relation}({star(subject)}) = {star(object)}"
        case Story(question):
            return f"{ask(question)} told"
        case Chat(question):
            return f"{ask(question)} asked and answered"
        case Quiz(question, None):
            return f"{ask(question)}? answered"
        case Quiz(question, follow):
            return f"{ask(question)}? {ask(follow)}?"
        case Dictionary(concepts, _):
            return f"define {', '.join(concepts)}"
        case Alias(fact, noun):
            return f"define {noun} as {fact.focus}, {formula(meaning.renamed)}"
        case Parallel(said, target):
            return f"{formula(said)}, and again in L{target + 1}"
        case Say(verb, agent, theme, recipient, double, content):
            roles = [part.noun for part in (agent, theme, recipient) if part]
            roles += [formula(content)] if content else []
            return f"{verb}({', '.join(roles)})" + ", double object" * double
    raise TypeError(f"{meaning!r} is not a meaning")
