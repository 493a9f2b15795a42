"""A corpus whose documents are transformed: what is done to data against the curse of reversal
(data/reorder.py, data/restate.py), and what makes a language impossible.

Row j says what row j of the base says, a `share` of its documents transformed. `doubled`, a row of
the base is said twice instead: as it is in row 2j, transformed in row 2j + 1, so that no window
holds a document and its transform. That gives the comparisons of Golovneva et al. (2024), where the
plain corpus is read for N rows:

    matched data      2N rows of the doubled corpus: the same documents, twice the tokens
    matched compute   N rows of the doubled corpus: half of the documents, as many tokens

Provenance says how a document counts. Its `direction` is that of the entity mentioned first after
the transform, `fact` is -1 where no fact is stated any more, and `transform` names what was done.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from data.document import Documents, taken
from data.draw import chance, stretch
from data.joined import Joined
from data.key import key
from data.stream import Documented
from data.template import Tables
from data.tokenizer import BPE, Character, Tokenizer, Word
from data.world import World


class Transform(Protocol):
    """Changes the documents that are `chosen` (D), among those `eligible`. It may say words that
    the base does not know: `words`, whose tokens are `marks`.

    `offers` are the methods that the base must have: "spans" to know entities, "say" to state a
    fact anew."""

    offers: ClassVar[tuple[str, ...]]

    @property
    def words(self) -> tuple[str, ...]: ...

    def eligible(self, documents: Documents, base: Documented) -> np.ndarray: ...

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Documented, marks: tuple[int, ...]
    ) -> Documents: ...


@dataclass(frozen=True)
class Transformed(Documented):
    """The documents of `base`, a `share` of them transformed; `doubled` as above.

    Only those of the named `kinds` and the numbered `languages` are, or all where there are none. A
    transformed document is opened by `marker`, if there is one. Documents may grow: a row has
    `room` more tokens than a row of the base, and documents that do not fit at its end are left
    out.

    >>> from data.corpus import Corpus
    >>> from data.feature import Lexicon
    >>> from data.language import Pair
    >>> from data.reorder import ReverseWords
    >>> corpus = Corpus(World(), Pair((Lexicon(0.3),)), T=24)
    >>> turned = Transformed(corpus, ReverseWords(), share=1, marker="<rev>", room=4)
    >>> for said in (corpus, turned): print(said.tokenizer.decode(said.row(1)["tokens"])[:61])
    <doc> zumu rota Holu tedi Paru <doc> karu buso Sahe lago Rure
    <doc> <rev> Paru tedi Holu rota zumu <doc> <rev> Rure lago Sa
    >>> for said in (corpus, turned): print(said.row(1)["direction"][:2])
    [0 0]
    [1 1]
    """

    base: Documented
    transform: Transform
    share: float = 0.5
    doubled: bool = False
    marker: str = ""
    kinds: tuple[str, ...] = ()
    languages: tuple[int, ...] = ()
    room: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        key("transform", self.seed)  # checks it
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share} is not a share; choose a number from 0 to 1")
        if self.room < 0:
            raise ValueError(f"room={self.room} would make rows shorter; choose 0 or more")
        base, transform = type(self.base).__name__, type(self.transform).__name__
        if isinstance(self.base, Joined):
            raise ValueError(
                f"{base} has its documents in one segment, so they are not told apart here; "
                "transform what it joins, and join that"
            )
        for method in self.transform.offers:
            if not _has(self.base, method):
                raise ValueError(
                    f"{transform} needs a corpus with {method}(), and {base} has none; transform "
                    "a Corpus, or choose a transform of tokens"
                )
        if "direction" in self.base.legend and not _has(self.base, "spans"):
            raise ValueError(
                f"{base} has directions but no spans(), so nobody could say what they are after a "
                "transform; choose a corpus that has"
            )
        kinds, languages = (self.base.legend.get(name, ()) for name in ("kind", "language"))
        numbers = tuple(range(len(languages)))
        for named, known in ((self.kinds, kinds), (self.languages, numbers)):
            if not {*named} <= {*known}:
                raise ValueError(
                    f"kinds={self.kinds}, languages={self.languages}: {base} has the kinds {kinds} "
                    f"and, of {languages}, the numbers {numbers}; choose among them"
                )
        if isinstance(self.base, Transformed) and self.base.seed == self.seed:
            raise ValueError(
                f"seed={self.seed} is the base's too, so both would choose the same documents; "
                "choose another"
            )
        self.tokenizer  # noqa: B018  checks that new words are new

    @property
    def T(self) -> int:
        return self.base.T + self.room

    @property
    def world(self) -> World:
        return self.base.world

    @property
    def tables(self) -> Tables:
        return self.base.tables

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return extended(self.base.tokenizer, self._marks)

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        known = self.base.legend
        made = (*known.get("transform", ("none",)), type(self.transform).__name__)
        return known | {"transform": made}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: the columns of the base, and `transform` (B, M)."""
        return {k: v for k, v in self._rows(start, stop).items() if k not in ("word", "slot")}

    def spans(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """`word` and `slot` (B, T) of rows start..stop; a marker has the word after it."""
        rows = self._rows(start, stop)
        return {name: rows[name] for name in ("word", "slot")}

    @property
    def _marks(self) -> tuple[str, ...]:
        return (*self.transform.words, *([self.marker] if self.marker else []))

    def _rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        copies = 1 + self.doubled
        first, last = start // copies, -(-stop // copies)
        of = np.arange(start, stop) // copies - first
        block = lambda columns: {name: column[of] for name, column in columns.items()}
        u = stretch("transform", self.seed, first, last, 2 * self.base.T)[of]
        knows = isinstance(self.base, Transformed) or _has(self.base, "spans")
        spans = self.base.spans(first, last) if knows else {}
        rows, spans = block(self.base.rows(first, last)), block(spans)
        there, documents = taken(rows, spans, self.base.tokenizer.begins, u[:, : self.base.T])
        begins = np.diff(rows["segments"], axis=1, prepend=0) > 0
        chosen = self._chosen(documents, u[:, self.base.T :][begins])
        if self.doubled:
            chosen &= np.broadcast_to(np.arange(start, stop)[:, None] % 2 == 1, there.shape)[there]
        marks = range(self.base.tokenizer.size, self.tokenizer.size)
        made = self.transform(documents, chosen, self.base, (*marks,))
        if self.marker:
            made = made.insert(chosen[made.document] & (made.place == 1), marks[-1])
        before = documents.said.get("transform", np.zeros(len(chosen), np.int32))
        code = np.where(chosen, len(self.legend["transform"]) - 1, before)
        said = made.said | {"transform": code} | _directions(made, chosen, self)
        return made._replace(said=said).laid(there, self.T)

    def _chosen(self, documents: Documents, u: np.ndarray) -> np.ndarray:
        """(D) which documents are transformed."""
        said, legend = documents.said, self.base.legend
        chosen = chance(u, self.share) & self.transform.eligible(documents, self.base)
        if self.kinds:
            chosen &= np.isin(said["kind"], [legend["kind"].index(kind) for kind in self.kinds])
        if self.languages:
            chosen &= np.isin(said["language"], self.languages)
        return chosen


def _has(source: Documented, method: str) -> bool:
    """Whether a source has a method; one that is made of another, whether that has it too."""
    parts = [source.base] if hasattr(source, "base") else []
    return hasattr(source, method) and all(_has(part, method) for part in parts)


def _directions(
    documents: Documents, chosen: np.ndarray, source: Documented
) -> dict[str, np.ndarray]:
    """The direction of every document that states a fact: of those that were `chosen` (D), whether
    its subject or its object comes first now."""
    if "fact" not in documents.said:
        return {}
    ends = np.broadcast_to([0, 1], (len(chosen), 2))
    if "template" in documents.said:
        ends = _entities(source.tables, documents.said["template"])
    ends = ends[documents.document]
    (at,) = np.nonzero((documents.slot[:, None] == ends).any(1) & (documents.slot >= 0))
    mentioned, first = np.unique(documents.document[at], return_index=True)
    direction = np.full(len(chosen), -1)
    direction[mentioned] = documents.slot[at[first]] == ends[at[first], 1]
    direction = np.where(chosen, direction, documents.said.get("direction", -1))
    return {"direction": np.where(documents.said["fact"] >= 0, direction, -1)}


def _entities(tables: Tables, template: np.ndarray) -> np.ndarray:
    """(D, 2) the slots of the subject and the object of the fact that a template (D) states, -1
    where it states none."""
    ends = np.full((len(tables.templates) + 1, 2), -1)
    for z in np.unique(template[template >= 0]):
        if tables.templates[z].relation >= 0:
            ends[z] = [entity.index for entity in tables.templates[z].entities]
    return ends[template]


def extended(tokenizer: Tokenizer, words: tuple[str, ...]) -> Tokenizer:
    """A tokenizer that also knows `words`, each one token, after all that it knew.

    >>> extended(Word(("a", "b")), ("<rev>",)).decode([3, 1])
    '<rev> a'
    """
    if not words:
        return tokenizer
    if {*words} & {"", *tokenizer.tokens} or len({*words}) < len(words):
        raise ValueError(f"{words} are not new words; choose others")
    match tokenizer:
        case Word():
            return Word((*tokenizer.words, *words))
        case Character():
            if any(len(word) > 1 for word in words):
                raise ValueError(
                    f"{words}: to a Character tokenizer a marker is one character; choose such, "
                    "e.g. '←'"
                )
            return Character(tokenizer.alphabet + "".join(words))
        case BPE():
            return tokenizer.marked(words)
