"""Languages: concept -> word form, and meaning -> words -> meaning.

A document is linearised to *leaves* (a concept, the language whose word is used, whether it belongs
to the answer) by a small grammar with two switches:

    clause   the verb ("is") first, between or after its two noun phrases, as in `order`
    phrase   "parent of x", or "x of parent" where the possessor comes first

The clause says `R of given is answer`, so whoever is mentioned first (the focus) and the relation
precede the answer. Where the order puts objects first, the given entity is the grammatical object
and the clause turns to the converse relation: `given is R' of answer`.

A `Pair` is a language and its *twin*: the same language edited by features (data/feature.py), an
exact clone if there are none. A `Speaker` knows both, renders meanings and parses words.
"""

import functools
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from data.key import key
from data.meaning import Chat, Concept, Dictionary, Fact, Meaning, Question, Quiz, Slot, Story, fill
from data.task import TASKS, answer
from data.world import RELATIONS, World

VERB = "is"
FUNCTION = ("of", VERB, "question", "define")
MARKS = {"?": "?", ",": ","}
CHAT = {"user": "<u>", "assistant": "<a>"}
THE = "the"  # the article: a word that is no concept, and that only some languages have
_UNINFLECTED = {*FUNCTION, *MARKS, *CHAT, THE}
_RELATION = {relation.name: relation for relation in RELATIONS}


class Leaf(NamedTuple):
    """One word to be: `language` whose word it is; `answer`: what a completion has to say;
    `given`: what has to be known before. `role` is the case of a noun, "" for the nominative and
    wherever words are cited; `controller` is the concept whose gender the word shows, if it shows
    one, and `plural` whether it shows that of several."""

    concept: Concept
    language: int
    answer: bool = False
    given: bool = False
    role: str = ""
    controller: Concept | None = None
    plural: bool = False


def gender(concept: str) -> int:
    """0 or 1, for no reason, as genders are: of the concept, and so of no group or seed."""
    return zlib.crc32(concept.encode()) & 1


@functools.lru_cache
def inventory(world: World) -> dict[str, tuple[str, ...]]:
    """Every concept that has a word, by kind, in the order of the lexicon."""
    kinds = {kind: world.entities(kind) for kind in ("x", "y", "city", "noun")}
    nouns = tuple(noun for r in RELATIONS for noun in (r.name, r.converse))
    return kinds | dict(
        relation=nouns, task=TASKS, function=FUNCTION, mark=(*MARKS,), chat=(*CHAT,)
    )


@dataclass(frozen=True)
class Phonology:
    """Pronounceable pseudo-words: `syllables` of one consonant and one vowel each."""

    consonants: str = "bdfghjklmnprstvz"
    vowels: str = "aeiou"
    syllables: int = 2

    def words(self, count: int, seed: int) -> list[str]:
        """`count` distinct words, the same first ones for any count.

        >>> Phonology().words(3, seed=0)
        ['gosi', 'holu', 'juru']
        """
        capacity = (len(self.consonants) * len(self.vowels)) ** self.syllables
        if count > capacity:
            raise ValueError(
                f"{count} words do not fit an inventory of {capacity} "
                f"({len(self.consonants)} x {len(self.vowels)} syllables, {self.syllables} each); "
                f"choose syllables={self.syllables + 1} or a smaller world"
            )
        parts = [c + v for c in self.consonants for v in self.vowels]
        order = np.random.Generator(np.random.Philox(key=key("lexicon", seed))).permutation(
            capacity
        )[:count]
        digits = np.stack(np.unravel_index(order, (len(parts),) * self.syllables), 1)
        return ["".join(parts[d] for d in row) for row in digits]


@dataclass(frozen=True)
class Language:
    """A lexicon (`forms`, aligned with the inventory's concepts) and the grammar's switches.

    `case` pairs roles ("object", "complement" of "of", "argument" of a question) with suffixes;
    `agreement` has the verb's suffixes: singular and plural, or these for gender 0 and then for 1;
    `articles` the article, or one a gender. Empty, there are none."""

    forms: tuple[str, ...]
    order: str = "SVO"
    possessor_first: bool = False
    case: tuple[tuple[str, str], ...] = ()
    agreement: tuple[str, ...] = ()
    articles: tuple[str, ...] = ()
    perturbation: "Perturbation | None" = None  # of the finished document: data/impossible.py

    def concepts(self, world: World) -> tuple[Concept, ...]:
        """What `forms` are the forms of."""
        return tuple(itertools.chain(*inventory(world).values()))

    def borrow(self, other: "Language", concepts: set[str], world: World) -> "Language":
        """This language with the other's words for `concepts`."""
        chosen = zip(self.concepts(world), self.forms, other.forms, strict=True)
        return replace(self, forms=tuple(b if name in concepts else a for name, a, b in chosen))

    def noun_phrase(self, head: list[Leaf], of: Leaf, complement: list[Leaf]) -> list[Leaf]:
        return [*complement, of, *head] if self.possessor_first else [*head, of, *complement]

    def clause(self, verb: Leaf, first: list[Leaf], second: list[Leaf]) -> list[Leaf]:
        """The verb at its place; two phrases that meet are the caller's to keep apart."""
        phrases = [first, second]
        phrases.insert(self.order.index("V"), [verb])
        return list(itertools.chain(*phrases))

    def inflect(self, form: str, leaf: Leaf) -> str:
        """The form of a leaf's concept, or none for the article, with what the leaf shows."""
        shown = gender(leaf.controller) if self.gendered and leaf.controller else 0
        if leaf.concept == THE:
            return self.articles[shown]
        if leaf.concept == VERB and self.agreement:
            return form + self.agreement[2 * shown + leaf.plural]
        return form + dict(self.case).get(leaf.role, "")

    @property
    def gendered(self) -> bool:
        return len(self.agreement) == 4

    @property
    def object_first(self) -> bool:
        return self.order.index("O") < self.order.index("S")

    @property
    def verb_before_object(self) -> bool:
        return self.order.index("V") < self.order.index("O")


class Perturbation(Protocol):
    """What an impossible language does to the words of a document; it says `markers` too, and adds
    `added` words to a document without a verb."""

    added: ClassVar[int]
    markers: ClassVar[tuple[str, ...]]

    def perturb(self, leaves: list[Leaf], marker: Leaf) -> list[Leaf]: ...


class Feature(Protocol):
    """One way in which a twin differs; `own` is a language that shares no form with `base`.

    Features are applied by their `stage`, so that their order says nothing; `excludes` names kinds
    that this one contradicts."""

    stage: ClassVar[int] = 0
    excludes: ClassVar[tuple[str, ...]] = ()

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language: ...


@dataclass(frozen=True)
class Pair:
    """A base language drawn from `seed` and its twin, edited by `features`, in whatever order."""

    features: tuple[Feature, ...] = ()
    seed: int = 0
    phonology: Phonology = Phonology()

    def __post_init__(self) -> None:
        key("lexicon", self.seed)  # checks it
        kinds = [type(feature).__name__ for feature in self.features]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"features={kinds} name one kind twice; keep one of each")
        for feature in self.features:
            one = type(feature).__name__
            for kind in (set(feature.excludes) & set(kinds)) - {one}:
                raise ValueError(f"features={kinds}: {one} contradicts {kind}; keep one of the two")

    def languages(self, world: World) -> tuple[Language, Language]:
        """Both languages' words are drawn once, so a feature chooses forms and never re-draws."""
        kinds = inventory(world)
        spoken = sum(len(v) for k, v in kinds.items() if k not in ("mark", "chat"))
        words = self.phonology.words(2 * spoken, self.seed)
        names = 2 * world.pairs + world.cities
        words = [w.capitalize() if i % spoken < names else w for i, w in enumerate(words)]
        base = Language((*words[:spoken], *MARKS.values(), *CHAT.values()))
        own = replace(base, forms=(*words[spoken:], "¿", "·", "<v>", "<b>"))
        edited = lambda twin, feature: feature.edit(twin, base, own, world)
        features = sorted(self.features, key=lambda feature: feature.stage)
        return base, functools.reduce(edited, features, base)


@functools.lru_cache(maxsize=16)
def speaker(pair: Pair, world: World) -> "Speaker":
    """The one who speaks both languages of a pair."""
    return Speaker(pair.languages(world), world)


class Speaker:
    """Renders meanings to words and parses words to meanings, in language 0 or 1.

    >>> from data.feature import PossessorFirst
    >>> both = speaker(Pair((PossessorFirst(),)), World())
    >>> fact = Fact("parent", "x0", "y0", focus="x0")
    >>> both.render(fact, 0), both.render(fact, 1)
    (('karu', 'buso', 'Gosi', 'lago', 'Vuzi'), ('Gosi', 'buso', 'karu', 'lago', 'Vuzi'))
    >>> both.parse(both.render(fact, 1), 1) == fact
    True
    """

    def __init__(self, languages: tuple[Language, ...], world: World) -> None:
        self.languages, self.world = languages, world
        self.kind = {name: kind for kind, names in inventory(world).items() for name in names}
        self.form = [dict(zip(self.kind, lang.forms, strict=True)) for lang in languages]
        self.concept = [self._readings(i) for i in range(len(languages))]
        self._patterns: dict = {}

    def render(self, meaning: Meaning, language: int) -> tuple[str, ...]:
        """The words of a document, without the <doc> that opens it."""
        return tuple(map(self.word, self.leaves(meaning, language)))

    def word(self, leaf: Leaf) -> str:
        """A leaf's word, inflected as its language does."""
        return self.languages[leaf.language].inflect(
            self.form[leaf.language].get(leaf.concept, leaf.concept), leaf
        )

    def _readings(self, language: int) -> dict[str, Concept]:
        """The concept of every word a language can say, however inflected."""
        grammar, found = self.languages[language], {}
        # One concept of each gender stands for all that a verb or an article may show.
        shown = tuple({gender(c): c for c in self.kind}.values())
        leaves = [Leaf(c, language, role=r) for c in self.kind for r in ("", *dict(grammar.case))]
        leaves += [Leaf(VERB, language, controller=c, plural=p) for c in shown for p in (0, 1)]
        leaves += [Leaf(THE, language, controller=c) for c in shown if grammar.articles]
        if grammar.perturbation:
            leaves += [Leaf(marker, language) for marker in grammar.perturbation.markers]
        for leaf in leaves:
            word = self.word(leaf)
            if found.setdefault(word, leaf.concept) != leaf.concept:
                raise ValueError(
                    f"{word!r} would mean {found[word]} and {leaf.concept} in one language; "
                    "choose another phonology or other features"
                )
        return found

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

        def nouns(concepts: tuple[Concept, ...], **role) -> list[Leaf]:
            return [x for c in concepts for x in self._definite(word(c, **role))]

        def clause(first: list[Leaf], second: list[Leaf], topic: tuple[Concept, ...]) -> list[Leaf]:
            # Where no verb keeps two lists apart, a comma does: the answer must have a beginning.
            comma = [] if grammar.order.index("V") == 1 else [word(",")]
            return self._clause(language, [*first, *comma], second, topic)

        def asked(question: Question) -> list[Leaf]:
            task = [word(question.task, given=True)]
            args = nouns(question.args, role="argument", given=True)
            return task + args if grammar.verb_before_object else args + task

        def result(question: Question) -> list[Leaf]:
            return nouns(answer(question.task, question.args), answer=True)

        match meaning:
            case Fact():
                return self._fact(meaning, language)
            case Story(question):
                args = nouns(question.args, role="complement", given=True)
                told = grammar.noun_phrase([word(question.task, given=True)], word("of"), args)
                return clause(told, result(question), question.args)
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
                return clause([word("define"), *entries], said, concepts)
        raise TypeError(f"{meaning!r} is not a meaning")

    def _fact(self, fact: Fact, language: int) -> list[Leaf]:
        grammar, relation = self.languages[language], _RELATION[fact.relation]
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
            leaf if leaf.role or leaf.concept in _UNINFLECTED else leaf._replace(role="object")
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
        nouns = lambda n, start=0: tuple(Slot("noun", start + i) for i in range(n))
        for r in RELATIONS:
            subject, object = Slot(r.subject, 0), Slot(r.object, 1)
            yield from ((Fact(r.name, subject, object, f), language) for f in (subject, object))
        tasks = [c for w in dict.fromkeys(words) if (c := self.concept[language].get(w)) in TASKS]
        for task, n in itertools.product(tasks, range(1, len(words))):
            question = Question(task, nouns(n))
            yield from ((kind(question), language) for kind in (Story, Quiz, Chat))
            for other in tasks if len(words) > n + 5 else ():
                grammar = self.languages[language]
                added = 6 + (grammar.perturbation.added if grammar.perturbation else 0)
                rest = (len(words) - added) // (1 + bool(grammar.articles)) - n
                if rest < 1:
                    continue
                follow = Question(other, nouns(rest, n))
                yield Quiz(question, follow), language
        for n, target in itertools.product(range(1, len(words)), range(len(self.languages))):
            if target != language:
                yield Dictionary(nouns(n), target), language

    def _match(self, shape: tuple[Meaning, int], words: tuple[str, ...]) -> Iterator[Meaning]:
        """The shape with its slots filled by the words, if they fit."""
        if shape not in self._patterns:
            self._patterns[shape] = self.leaves(*shape)
        leaves, values = self._patterns[shape], {}
        if len(leaves) != len(words):
            return
        for (concept, language, *_), word in zip(leaves, words, strict=True):
            said = self.concept[language].get(word)  # its inflection is looked at below
            if isinstance(concept, Slot):
                if self.kind.get(said) != concept.kind:
                    return
                if values.setdefault(concept.index, said) != said:
                    return
            elif said != concept:
                return
        meaning = fill(shape[0], values)
        if self.render(meaning, shape[1]) == words:
            yield meaning
