"""The syntax of a language: clauses and phrases of leaves; the only file that knows their order.

clause       the verb first, between or after its two phrases, as in `order`
phrase       "parent of x", or "x of parent" where the possessor comes first
nominal      adjective noun, adposition noun, noun which ..., or each the other way round, as
             the head switches say (data/head.py)
"""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from data.language import CITED, Language, Leaf
from data.lexicon import THAT, THE, TO, UNINFLECTED, WHICH
from data.meaning import Concept, Nominal, Say, Slot
from data.relation import Relation
from data.world import World


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
class Syntax:
    """How language `index` builds clauses and phrases, in the order of a `wording`."""

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

    def _word(self, concept: Concept, **role) -> Leaf:
        return Leaf(concept, self.index, **role)

    def _definite(self, phrase: list[Leaf], noun: int = 0) -> list[Leaf]:
        """A phrase with the article of its noun, if the language has articles."""
        if not self.own.articles:
            return phrase
        shown = phrase[noun].concept if self.own.gendered else None
        return [phrase[noun]._replace(concept=THE, role="", controller=shown), *phrase]

    def _verb(self, concept: Concept, topic: tuple[Concept, ...]) -> Leaf:
        """A verb that agrees with what its clause is about: with its number, and the gender of its
        first noun (what is known when the answer is asked, so agreement tells nothing new). The
        number that impossible languages mark begins above three (data/impossible.py)."""
        verb = self._word(concept, role="verb")
        if self.own.agreement or self.own.perturbation:
            verb = verb._replace(plural=len(topic) > (3 if self.own.perturbation else 1))
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

    def _of(self, head: list[Leaf], complement: list[Leaf]) -> list[Leaf]:
        return self.own.noun_phrase(head, self._word("of"), complement)

    def _said(self, concept: Concept, role: str, **known: bool) -> list[Leaf]:
        """A concept as an argument or an answer: nouns and names in their case, nouns with their
        article; what else there is (digits, brackets, classes, tasks) as it is cited."""
        kind = concept.kind if isinstance(concept, Slot) else self.known.kind[concept]
        named = (*self.known.world.named, "noun", "marked", "box", "stranger")
        leaf = self._word(concept, role=role if kind in named else CITED, **known)
        return self._definite([leaf]) if kind in ("noun", "marked") else [leaf]

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
        if not say.recipient:
            return theme
        if say.double:
            two = [self._nominal(say.recipient, "argument"), theme]
        else:
            two = [theme, self._adposition(TO, self._nominal(say.recipient, "complement"))]
        return [*two[1], *two[0]] if self.own.objects_turned else [*two[0], *two[1]]

    def _nominal(self, said: Nominal, role: str = "") -> list[Leaf]:
        noun, language = self._word(said.noun, role=role), self.own
        phrase = [noun]
        if said.adjective:
            adjective = self._word(said.adjective)
            phrase = [noun, adjective] if language.adjective_last else [adjective, noun]
        phrase = self._definite(phrase, phrase.index(noun))
        if said.place:
            adposition, place = said.place
            where = self._adposition(adposition, self._said(place, "complement"))
            phrase = where + phrase if language.place_first else phrase + where
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
