"""Transforms that state a fact anew (for data/transform.py), from the fact and the grammar.

    Swap      "parent of x is y" becomes "child of y is x": the augmentation by the inverse relation
    Bridge    "parent of x is y" becomes "name of x is x" or "name of y is y": an identity bridge
              (arXiv 2602.02470), which states no fact

Only invertible relations are swapped.

    >>> from data.transform import Transformed
    >>> corpus = Corpus(World(), Pair(), T=24)
    >>> for transform in (Swap(), Bridge()):
    ...     said = Transformed(corpus, transform, share=1)
    ...     row = said.row(1)
    ...     print(said.tokenizer.decode(row["tokens"]).split(" <doc>")[0], row["fact"][0])
    <doc> gihu buso Paru lago Holu 1
    <doc> <nomo> buso Holu lago Holu -1
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data.corpus import Corpus, Said
from data.document import Documents
from data.language import Leaf, Pair
from data.meaning import Fact, Slot
from data.speaker import speaker
from data.template import KINDS, compile, ends
from data.world import World


@dataclass(frozen=True)
class Swap:
    """The other direction, in the same language, in the template of its wording that was drawn; the
    clauses have the order that is the language's own."""

    offers: ClassVar[tuple[str, ...]] = ("spans", "say")
    words: ClassVar[tuple[str, ...]] = ()

    def eligible(self, documents: Documents, base: Corpus) -> np.ndarray:
        world = base.world
        inverse = np.array([relation.invertible for relation in world.relations])
        return _states(documents) & inverse[world.facts.relation[documents.said["fact"]]]

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Corpus, marks: tuple[int, ...]
    ) -> Documents:
        said = {name: column[chosen] for name, column in documents.said.items()}
        relation = base.world.facts.relation[said["fact"]]
        wording = base.tables.wording[said["template"]]
        template = base.tables.ids[0, said["language"], relation, 1 - said["direction"], wording, 0]
        made = base.say(template, ends(base.world)[said["fact"]])
        documents.said["template"][chosen] = template
        _said_once(documents, chosen)
        return _replaced(documents, chosen, made, _scored(base, template, made))


@dataclass(frozen=True)
class Bridge:
    """Either entity, as often, but for those whose names have so many words that no relation has
    two alike. `names` are the word for "name" in each language."""

    names: tuple[str, ...] = ("<name>", "<nomo>")
    offers: ClassVar[tuple[str, ...]] = ("spans", "say")

    @property
    def words(self) -> tuple[str, ...]:
        return self.names

    def eligible(self, documents: Documents, base: Corpus) -> np.ndarray:
        bridged = (_hosts(base.pair, base.world) >= 0).any(1)
        return _states(documents) & bridged[base.world.facts.relation[documents.said["fact"]]]

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Corpus, marks: tuple[int, ...]
    ) -> Documents:
        said = {name: column[chosen] for name, column in documents.said.items()}
        fact, language = said["fact"], said["language"]
        which = (documents.u[documents.opening][chosen] & np.uint64(1)).astype(np.int64)
        hosts = _hosts(base.pair, base.world)[base.world.facts.relation[fact]]
        which ^= hosts[np.arange(len(which)), which] < 0
        # The entity is the focus of its template, and what is said of it is itself.
        template = base.tables.ids[0, language, hosts[np.arange(len(which)), which], which, 0, 0]
        slots = ends(base.world)[fact, which][:, None].repeat(2, 1)
        made = base.say(template, slots)
        document = np.repeat(np.arange(len(template)), made.length)
        named = _relations(base.pair, base.world)[base.tables.start[template][document] + made.word]
        tokens = np.where(named, np.array(marks)[language[document]], made.tokens)
        kept = ~(named & (np.diff(made.word, prepend=-1) == 0))  # one token for the whole word
        length = np.bincount(document[kept], minlength=len(template))
        made = Said(tokens[kept], length, made.word[kept], made.slot[kept])
        for name in ("fact", "template", "direction"):
            documents.said[name][chosen] = -1
        _said_once(documents, chosen)
        return _replaced(documents, chosen, made, _scored(base, template, made))


def _states(documents: Documents) -> np.ndarray:
    """(D) which are statements of a fact: an answer that states one is not said anew."""
    return (documents.said["fact"] >= 0) & (documents.said["kind"] == KINDS.index("fact"))


def _said_once(documents: Documents, chosen: np.ndarray) -> None:
    """What is stated anew is in one language, whatever it was said in before."""
    for name, value in (("also", -1), ("switched", 0)):
        if name in documents.said:
            documents.said[name][chosen] = value


@functools.lru_cache(maxsize=16)
def _hosts(pair: Pair, world: World) -> np.ndarray:
    """(relations, 2) a relation of whose subject and object one can stand in both places, the
    subject or the object of this one; -1 where there is none. Any will do, since its name goes."""
    both, found = speaker(pair, world), np.full((len(world.relations), 2), -1)
    kinds = [(r.subject, r.object) for r in world.relations]
    span = lambda kind: both.span(Leaf(Slot(kind, 0), 0))
    for r, which in np.ndindex(found.shape):
        for host in (*range(r, len(kinds)), *range(r)):
            own, other = kinds[host][which], kinds[host][1 - which]
            if found[r, which] < 0 and own == kinds[r][which] and span(own) == span(other):
                found[r, which] = host
    return found


@functools.lru_cache(maxsize=16)
def _relations(pair: Pair, world: World) -> np.ndarray:
    """(flat) bool: the words of the compiled templates of facts that name a relation."""
    tables, both = compile(pair, world), speaker(pair, world)
    names = {name for r in world.relations for name in (r.name, r.converse)}
    found = np.zeros(len(tables.literal), bool)
    for z, template in enumerate(tables.templates):
        if isinstance(template.meaning, Fact):
            leaves = both.leaves(template.meaning, template.language)
            said = [leaf.concept in names for leaf in leaves for _ in range(both.span(leaf))]
            found[tables.start[z] + 1 + np.flatnonzero(said)] = True
    return found


def _scored(base: Corpus, template: np.ndarray, made: Said) -> np.ndarray:
    """(n) the weights of what templates say: of a corpus that scores responses, the answer's."""
    if base.loss == "all":
        return np.ones(len(made.tokens), np.float32)
    prompt = np.repeat(base.tables.prompt[template], made.length)
    return (made.word >= prompt).astype(np.float32)


def _replaced(
    documents: Documents, chosen: np.ndarray, made: Said, weights: np.ndarray
) -> Documents:
    """The documents with those that are `chosen` as they are said in `made`, of such weights."""
    kept = documents.take(np.flatnonzero(~chosen[documents.document]))
    document = np.concatenate([kept.document, np.repeat(np.flatnonzero(chosen), made.length)])
    n = len(made.tokens)
    joined = Documents(
        tokens=np.concatenate([kept.tokens, made.tokens]),
        weights=np.concatenate([kept.weights, weights]),
        document=document,
        word=np.concatenate([kept.word, made.word]),
        slot=np.concatenate([kept.slot, made.slot]),
        u=np.concatenate([kept.u, np.zeros(n, np.uint64)]),
        said=documents.said,
    )
    return joined.take(np.argsort(document, kind="stable"))
