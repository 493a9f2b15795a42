"""The shapes of plain sentences: those a corpus draws, and all those that could be meant.

A shape is a `Say` with slots in place of words. A corpus draws the `SHAPES`; parsing looks at every
shape that has as many nouns, verbs, adjectives and adpositions as the words.
"""

import collections
import functools
import itertools
from collections.abc import Iterator, Mapping

from data.lexicon import PLAIN
from data.meaning import Nominal, Say, Slot, slots

_NOUNS = tuple(Slot("noun", i) for i in range(4))
# Slots of a sentence after its nouns: its verb, that of the clause within, and two more.
VERB, INNER, ADJECTIVE, ADPOSITION = 4, 5, 6, 7


def _shapes() -> tuple[Say, ...]:
    a, b, c, d = (Nominal(noun) for noun in _NOUNS)
    verb = lambda valency, index=VERB: Slot(valency, index)
    acts = lambda agent, theme: Say(verb("transitive"), agent, theme)
    red = lambda n: Nominal(n.noun, adjective=Slot("adjective", ADJECTIVE))
    near = lambda n, at: Nominal(n.noun, place=(Slot("adposition", ADPOSITION), at.noun))
    who = lambda n, at: Nominal(n.noun, relative=(verb("transitive", INNER), at.noun))
    gives = lambda double, theme=b: Say(verb("ditransitive"), a, theme, c, double)
    says = lambda *content: Say(verb("saying"), a, content=Say(*content))
    return (
        Say(verb("intransitive"), a),
        acts(a, b),
        *(acts(red(a), b), acts(a, red(b)), acts(near(a, c), b), acts(a, near(b, c))),
        *(acts(who(a, c), b), acts(a, who(b, c))),
        *(gives(False), gives(True), gives(False, red(b)), gives(True, red(b))),
        *(gives(False, near(b, d)), gives(True, near(b, d))),
        says(verb("intransitive", INNER), b),
        says(verb("transitive", INNER), b, c),
    )


# Both ways to put a recipient are equally many: the choice between them is free.
SHAPES = _shapes()


def shapes_of(kinds: Mapping[str, int]) -> tuple[Say, ...]:
    """Every sentence, with slots, that has these numbers of nouns and of the words of PLAIN."""
    return _every().get(_signature(kinds), ())


def _signature(kinds: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(kinds.get(kind, 0) for kind in ("noun", *PLAIN))


@functools.lru_cache
def _every() -> dict[tuple[int, ...], tuple[Say, ...]]:
    """All shapes by the numbers of their words; slots are numbered as they are met."""
    found = collections.defaultdict(list)
    whole = [(shape, None) for shape in _clauses()]
    whole += [(("saying", agent), inner) for agent in _NOMINALS for inner in _clauses()]
    for outer, inner in whole:
        counter = itertools.count()
        slot = lambda kind, counter=counter: Slot(kind, next(counter))
        content = _clause(inner, slot) if inner else None
        say = _clause(outer, slot, content)
        found[_signature(collections.Counter(s.kind for s in slots(say)))].append(say)
    return {signature: tuple(says) for signature, says in found.items()}


# Of a nominal: whether it has an adjective, a place, a relative clause.
_NOMINALS = tuple(itertools.product((False, True), repeat=3))


def _clauses() -> Iterator[tuple]:
    """Valency, the nominals, and whether the recipient is the first of two objects."""
    for valency, count in (("intransitive", 1), ("transitive", 2), ("ditransitive", 3)):
        for nominals in itertools.product(_NOMINALS, repeat=count):
            for double in (False, True)[: 1 + (count == 3)]:
                yield valency, *nominals, *[double] * (count == 3)


def _clause(shape: tuple, slot, content: Say | None = None) -> Say:
    valency, *parts = shape
    double = parts.pop() if valency == "ditransitive" else False
    agent, *objects = (_nominal(slot, *part) for part in parts)
    theme, recipient = (*objects, None, None)[:2]
    return Say(slot(valency), agent, theme, recipient, double, content)


def _nominal(slot, adjective: bool, place: bool, relative: bool) -> Nominal:
    return Nominal(
        slot("noun"),
        slot("adjective") if adjective else None,
        (slot("adposition"), slot("noun")) if place else None,
        (slot("transitive"), slot("noun")) if relative else None,
    )
