"""A corpus is a function: row i is what (spec, i) say, in any order, on any machine.

Row i reads its own stretch of one Philox stream keyed by the seed (Salmon et al. 2011: the stream
is addressed by a counter). From it more documents are drawn than fit, by array operations over all
rows at once, and the first ones that fit are kept whole. A document is a template and the concepts
in its slots; its words are a gather from the compiled grammar (data/template.py).

Because a row ends where the next document does not fit, long documents are slightly rarer than the
mixture says. The ledger counts what is there.
"""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data.draw import stretch
from data.filling import DRAWS, Shape
from data.key import key
from data.language import Languages
from data.meaning import Meaning, fill
from data.mixture import Mixture, shares
from data.pack import PACKINGS, fit, follow, pack, spare
from data.pieces import Pieces, sums
from data.sampler import Sampler
from data.template import KINDS, REGISTERS, Tables, concepts
from data.tokenizer import BPE, Character, Tokenizer, Word
from data.world import DIRECTIONS, World


class Said(NamedTuple):
    """Documents one after another: their tokens, and how many of them each document has."""

    tokens: np.ndarray
    length: np.ndarray  # (documents)
    word: np.ndarray  # the number of a token's word in its document; 0 is <doc>
    slot: np.ndarray  # the slot of the template whose concept it says, -1 where it says none


@dataclass(frozen=True)
class Corpus:
    """Rows of `T` tokens in which a pair of languages, or a family, speaks of a world; `ratio` is
    the share of language 1 of two, or the shares of all (of facts: the weights of their cells).

    `loss` is "all" tokens, or the "response" alone: the answer and the <doc> that ends it.
    `subword` tokenizes within words; without it a token is a word. `packing` is "packed", "single"
    (one document a row) or "apart": a document that states a fact which an earlier one of its row
    states is left out, and the next takes its place.

    >>> from data.feature import Lexicon, Names, PossessorFirst
    >>> from data.language import Pair
    >>> pair = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
    >>> corpus = Corpus(World(), pair, T=24)
    >>> corpus.tokenizer.decode(corpus.row(1)["tokens"])[:82]
    '<doc> Ziga rota zumu tedi Laka <doc> karu buso Sahe lago Rure <doc> faju tiho rota'
    >>> for language, meaning in corpus.documents(1): print(language, meaning)
    1 Fact(relation='parent', subject='x1', object='y101', focus='x1')
    0 Fact(relation='parent', subject='x99', object='y149', focus='x99')
    1 Story(question=Question(task='swap', args=('noun7', 'noun6'), marked=False))
    >>> corpus.row(1)["fact"].tolist()
    [1, 99, -1, -1, -1]
    """

    world: World
    pair: Languages
    T: int = 64
    mixture: Mixture = field(default_factory=Mixture)
    ratio: float | tuple[float, ...] = 0.5
    loss: str = "all"
    seed: int = 0
    subword: Character | BPE | None = None
    packing: str = "packed"

    def __post_init__(self) -> None:
        key("corpus", self.seed)  # checks it
        if self.loss not in ("all", "response"):
            raise ValueError(f"loss={self.loss!r} is not known; choose 'all' or 'response'")
        if self.packing not in PACKINGS:
            raise ValueError(f"packing={self.packing!r} is not known; choose among {PACKINGS}")
        _ = self.sampler  # checks the mixture
        self.mixture.contact.check(self.loss, self.packing)
        if self.loss == "response":
            said = {i for i, share in enumerate(self.mixture.registers) if share}
            unasked = ~self.tables.askable & np.isin(self.tables.register, list(said))
            unasked &= np.isin(self.tables.language, np.nonzero(self.shares)[0])
            if unasked.any():
                name = self.tables.names[np.argmax(unasked)]
                raise ValueError(
                    f"loss='response', but {name!r} says its answer before all that is given; "
                    "choose loss='all' or another word order"
                )
        if self._longest > self.T:
            raise ValueError(
                f"T={self.T} is shorter than the longest document, {self._longest} tokens; "
                f"choose T={self._longest} or more"
            )

    @property
    def tables(self) -> Tables:
        return self.sampler.meeting.tables

    @property
    def shares(self) -> tuple[float, ...]:
        """The languages' shares."""
        return shares(self.ratio, len(self.pair.names))

    @property
    def stated(self) -> np.ndarray:
        """(facts, languages, directions) bool: the world's `stated` over all languages, also those
        of which no group speaks."""
        return self.sampler.stated

    @functools.cached_property
    def sampler(self) -> Sampler:
        return Sampler(self.world, self.pair, self.mixture, self.shares)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return self.subword or Word(self.tables.words[1:])

    def row(self, i: int) -> dict[str, np.ndarray]:
        """Row i: `rows(i, i + 1)` without the leading axis."""
        return {name: column[0] for name, column in self.rows(i, i + 1).items()}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and the columns (B, M) of
        `provenance`; token t of a row is of its document segments[t] - 1."""
        u, drawn, kept = self._kept(start, stop)
        said = drawn.of(kept.ravel())
        template, (words, switched) = said.template, self.sampler.words(u[:, kept.ravel()], said)
        length, prompt = self.tables.length[template], self.tables.prompt[template]
        answers = prompt < length if self.loss == "response" else np.ones(len(length), bool)
        if self.loss == "response":
            document, place = self.tables.places(template)
            scored = place - self.tables.start[template][document] >= prompt[document]
        else:
            scored = np.ones(len(words), bool)
        if self.subword:
            pieces = self.pieces.count[words]
            length = sums(pieces, length)
            words, scored = self.pieces.of(words), np.repeat(scored, pieces)
        lengths, closed = np.zeros(kept.shape, np.int64), np.zeros(kept.shape, bool)
        lengths[kept], closed[kept] = length, answers
        rows = pack(words, lengths, self.T, scored, closed)
        return rows | self._provenance(drawn, kept, switched)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """What the documents of rows start..stop say: kind, fact, direction, language, template and
        register, each (B, M) int32, -1 where it has none and after a row's last document.

        With contact of languages also `also`, the language in which a document says the same again,
        and `switched`, how many of its words are of another language."""
        u, drawn, kept = self._kept(start, stop)
        switched = None
        if self.mixture.contact.switched:
            switched = self.sampler.words(u[:, kept.ravel()], drawn.of(kept.ravel()))[1]
        return self._provenance(drawn, kept, switched)

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        """What the numbers in a column of `provenance` stand for; those of `fact` are facts."""
        return dict(
            kind=KINDS,
            direction=DIRECTIONS,
            language=self.pair.names,
            template=self.tables.names,
            register=REGISTERS,
        )

    def spans(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """What the tokens of rows start..stop are part of: `word` and `slot` as in `Said`, (B, T)
        int32, -1 in padding."""
        u, drawn, kept = self._kept(start, stop)
        drawn, u = drawn.of(kept.ravel()), u[:, kept.ravel()]
        slots = self.sampler.filling.slots(u, drawn)
        said = self.say(drawn.template, slots, self.sampler.words(u, drawn)[0])
        lengths = np.zeros(kept.shape, np.int64)
        lengths[kept] = said.length
        filled = np.arange(self.T) < lengths.sum(1, keepdims=True)
        word, slot = np.full((2, *filled.shape), -1, np.int32)
        word[filled], slot[filled] = said.word, said.slot
        return dict(word=word, slot=slot)

    def say(self, template: np.ndarray, slots: np.ndarray, words: np.ndarray | None = None) -> Said:
        """Documents of the given templates (N), with concepts (N, slots) in their slots; `words`
        are theirs where they are not all of one language."""
        words = self.tables.filled(template, slots) if words is None else words
        length, (document, place) = self.tables.length[template], self.tables.places(template)
        word = place - self.tables.start[template][document]
        slot = np.where(self.tables.said[place], self.tables.slot[place], -1)
        if self.subword:
            pieces = self.pieces.count[words]
            words, length = self.pieces.of(words), sums(pieces, length)
            word, slot = np.repeat(word, pieces), np.repeat(slot, pieces)
        return Said(words, length, word, slot)

    def documents(self, i: int) -> list[tuple[int, Meaning]]:
        """Language and meaning of every document of row i."""
        u, drawn, kept = self._kept(i, i + 1)
        drawn, names = drawn.of(kept[0]), concepts(self.world)
        slots = self.sampler.filling.slots(u[:, kept[0]], drawn)
        known = [self.tables.templates[z] for z in drawn.template]
        values = [dict(enumerate(names[c] for c in concepts)) for concepts in slots]
        return [(t.language, fill(t.meaning, v)) for t, v in zip(known, values, strict=True)]

    def _kept(self, start: int, stop: int) -> tuple[np.ndarray, Shape, np.ndarray]:
        """The random numbers (DRAWS, B*M) and shapes of all drawn documents, and which of them are
        kept (B, M). Only those that are need their concepts."""
        rows, M = stop - start, self._offered
        u = stretch("corpus", self.seed, start, stop, M * DRAWS).reshape(-1, DRAWS).T
        # Where documents are left out, later ones may begin than could otherwise.
        drawn = self.sampler.shape(u, None if self.packing == "apart" else (M, self.T))
        if not self.mixture.contact.parallel:
            return self._fit(u, drawn, rows)
        meeting, said = self.sampler.meeting, self.sampler.again(u, drawn)
        (at,) = np.nonzero(said >= 0)
        if self.mixture.contact.adjacent:
            said[at] = meeting.twin[drawn.template[at], said[at]]
            return self._followed(u, drawn, rows, said)
        drawn.template[at] = meeting.joined[drawn.template[at], said[at]]
        return self._fit(u, drawn, rows)

    def _fit(self, u: np.ndarray, drawn: Shape, rows: int) -> tuple[np.ndarray, Shape, np.ndarray]:
        """Of drawn documents those that fit."""
        lengths = self._length(u, drawn).reshape(rows, self._offered)
        if self.packing != "apart":
            return u, drawn, fit(lengths, self.T)
        place, kept = spare(lengths, drawn.fact.reshape(rows, self._offered), self.T)
        return u[:, place], drawn.of(place), kept

    def _followed(
        self, u: np.ndarray, drawn: Shape, rows: int, twin: np.ndarray
    ) -> tuple[np.ndarray, Shape, np.ndarray]:
        """The same where one whose `twin` (N) is a template, and not -1, is followed by a document
        of it."""
        lengths, has = self._length(u, drawn).reshape(rows, self._offered), twin >= 0
        more = np.zeros(lengths.shape, np.int64)
        more.reshape(-1)[has] = self._length(u[:, has], drawn.of(has)._replace(template=twin[has]))
        place, second, kept = follow(lengths, more, self.T)
        laid = drawn.of(place)
        laid.template[second] = twin[place[second]]
        return u[:, place], laid, kept

    def _length(self, u: np.ndarray, drawn: Shape) -> np.ndarray:
        """(N) tokens of documents."""
        lengths = self.tables.length[drawn.template]
        if not self.subword:
            return lengths
        return sums(self.pieces.count[self.sampler.words(u, drawn)[0]], lengths)

    def _provenance(
        self, drawn: Shape, kept: np.ndarray, switched: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        template = np.where(kept, drawn.template.reshape(kept.shape), -1).astype(np.int32)
        column = lambda name: np.append(getattr(self.tables, name), -1).astype(np.int32)[template]
        more, contact = {}, self.mixture.contact
        if contact.parallel:
            more["also"] = column("also")
        if contact.switched:
            more["switched"] = np.full(kept.shape, -1, np.int32)
            more["switched"][kept] = switched
        return more | dict(
            kind=column("kind"),
            fact=np.where(kept, drawn.fact.reshape(kept.shape), -1).astype(np.int32),
            direction=column("direction"),
            language=column("language"),
            template=template,
            register=column("register"),
        )

    @functools.cached_property
    def pieces(self) -> Pieces:
        """How every word is tokenized, where tokens are parts of words."""
        text = (f" {word}" for word in self.tables.words[1:])
        return Pieces([[0], *map(self.tokenizer.encode, text)])

    @property
    def _longest(self) -> int:
        """Tokens of the longest document, or of the longest two that fit together or not at all."""
        lengths, contact = self._lengths(np.max), self.mixture.contact
        if contact.parallel and contact.adjacent:
            twin = self.sampler.meeting.twin
            lengths = lengths + np.where(twin >= 0, lengths[twin], 0).max(1)
        return int(lengths.max())

    @functools.cached_property
    def _offered(self) -> int:
        """Documents drawn for a row: as many as would fill it were they all the shortest."""
        if self.packing == "single":
            return 1
        return -(-self.T // int(self._lengths(np.min).min()))

    def _lengths(self, bound) -> np.ndarray:
        """(Z) tokens of a template whose slots hold their longest (np.max) or shortest concepts."""
        tables = self.tables
        if not self.subword:
            return tables.length
        count, literal = self.pieces.count, tables.literal[None]
        if self.mixture.contact.switched:
            literal = self.sampler.switch.literal
        fixed = bound(count[literal], axis=0)
        return sums(np.where(tables.slot >= 0, bound(count[tables.form]), fixed), tables.length)
