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

from data.key import key
from data.language import Languages
from data.lexicon import inventory
from data.meaning import Meaning, fill
from data.mixture import DRAWS, Mixture, Sampler, Shape
from data.pack import PACKINGS, fit, mates, pack
from data.template import KINDS, REGISTERS, Tables
from data.tokenizer import BPE, Character, Tokenizer, Word
from data.world import DIRECTIONS, World

_COUNTERS = DRAWS // 8  # a step of the Philox counter yields four words of 64 bits


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
        _check_shares(self.ratio, len(self.pair.names))
        if self.loss not in ("all", "response"):
            raise ValueError(f"loss={self.loss!r} is not known; choose 'all' or 'response'")
        if self.packing not in PACKINGS:
            raise ValueError(f"packing={self.packing!r} is not known; choose among {PACKINGS}")
        if self.world.languages > len(self.shares):
            raise ValueError(
                f"the groups speak of {self.world.languages} languages and there are "
                f"{len(self.shares)}; choose cells of languages 0 to {len(self.shares) - 1}"
            )
        self.sampler.check()
        if self.mixture.facts and not self.sampler.fact_shares.any():
            raise ValueError(
                f"facts={self.mixture.facts}, but no group states a fact in a language that "
                f"ratio={self.ratio} allows; choose facts=0 or another ratio"
            )
        if self.mixture.plain and not self.world.vocabulary.verbs:
            raise ValueError(
                f"plain={self.mixture.plain}, but the world has no verbs to say it with; choose "
                "World(vocabulary=Vocabulary(verbs=4)), or plain=0"
            )
        if self.mixture.opaque and not self.world.vocabulary.aliases:
            raise ValueError(
                f"opaque={self.mixture.opaque}, but nouns of this world stand for nothing else; "
                "choose World(vocabulary=Vocabulary(aliases=True)), or opaque=0"
            )
        self._check_contact()
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

    def _check_contact(self) -> None:
        contact = self.mixture.contact
        if contact.switched:
            _ = self.sampler.switch  # checks the languages
        if not contact.parallel:
            return
        if self.loss == "response":
            raise ValueError(
                f"loss='response', and parallel={contact.parallel} of the documents have their "
                "prompt after their answer; choose loss='all' or parallel=0"
            )
        if self.packing == "apart" and "facts" in contact.scope:
            raise ValueError(
                f"packing='apart' keeps a window from stating a fact twice, and parallel="
                f"{contact.parallel} of the facts are; choose 'packed', or a scope without 'facts'"
            )
        if self.packing != "packed" and contact.adjacent:
            raise ValueError(
                f"packing={self.packing!r} has no place for the next document, in which adjacent "
                "ones are said again; choose packing='packed' or adjacent=False"
            )

    @property
    def tables(self) -> Tables:
        return self.sampler.meeting.tables

    @property
    def shares(self) -> tuple[float, ...]:
        """The languages' shares."""
        return self.ratio if isinstance(self.ratio, tuple) else (1 - self.ratio, self.ratio)

    @functools.cached_property
    def stated(self) -> np.ndarray:
        """(facts, languages, directions) bool: the world's `stated` over all languages, also those
        of which no group speaks."""
        unspoken = len(self.shares) - self.world.languages
        return np.pad(self.world.stated, ((0, 0), (0, unspoken), (0, 0)))

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
        template, words = said.template, self._words(u[:, kept.ravel()], said)
        length, prompt = self.tables.length[template], self.tables.prompt[template]
        answers = prompt < length if self.loss == "response" else np.ones(len(length), bool)
        if self.loss == "response":
            place = np.arange(len(words)) - np.repeat(np.cumsum(length) - length, length)
            scored = place >= np.repeat(prompt, length)
        else:
            scored = np.ones(len(words), bool)
        if self.subword:
            pieces = self.pieces.count[words]
            length = _sums(pieces, length)
            words, scored = self.pieces.of(words), np.repeat(scored, pieces)
        lengths, closed = np.zeros(kept.shape, np.int64), np.zeros(kept.shape, bool)
        lengths[kept], closed[kept] = length, answers
        rows = pack(words, lengths, self.T, scored, closed)
        return rows | self._provenance(u, drawn, kept)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """What the documents of rows start..stop say: kind, fact, direction, language, template and
        register, each (B, M) int32, -1 where it has none and after a row's last document.

        With contact of languages also `also`, the language in which a document says the same again,
        and `switched`, how many of its words are of another language."""
        return self._provenance(*self._kept(start, stop))

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
        slots = self.sampler.slots(u, drawn)
        said = self.say(drawn.template, slots, self._words(u, drawn))
        lengths = np.zeros(kept.shape, np.int64)
        lengths[kept] = said.length
        filled = np.arange(self.T) < lengths.sum(1, keepdims=True)
        word, slot = np.full((2, *filled.shape), -1, np.int32)
        word[filled], slot[filled] = said.word, said.slot
        return dict(word=word, slot=slot)

    def say(self, template: np.ndarray, slots: np.ndarray, words: np.ndarray | None = None) -> Said:
        """Documents of the given templates (N), with concepts (N, slots) in their slots; `words`
        are theirs where they are not all of one language."""
        words = self._filled(template, slots) if words is None else words
        length = self.tables.length[template]
        begin = np.cumsum(length) - length
        word = np.arange(len(words)) - np.repeat(begin, length)
        place = np.repeat(self.tables.start[template], length) + word
        slot = np.where(self.tables.said[place], self.tables.slot[place], -1)
        if self.subword:
            pieces = self.pieces.count[words]
            words, length = self.pieces.of(words), _sums(pieces, length)
            word, slot = np.repeat(word, pieces), np.repeat(slot, pieces)
        return Said(words, length, word, slot)

    def documents(self, i: int) -> list[tuple[int, Meaning]]:
        """Language and meaning of every document of row i."""
        u, drawn, kept = self._kept(i, i + 1)
        drawn, slots = drawn.of(kept[0]), self.sampler.slots(u[:, kept[0]], drawn.of(kept[0]))
        names = [name for names in inventory(self.world).values() for name in names]
        known = [self.tables.templates[z] for z in drawn.template]
        values = [dict(enumerate(names[c] for c in concepts)) for concepts in slots]
        return [(t.language, fill(t.meaning, v)) for t, v in zip(known, values, strict=True)]

    def _kept(self, start: int, stop: int) -> tuple[np.ndarray, Shape, np.ndarray]:
        """The random numbers (DRAWS, B*M) and shapes of all drawn documents, and which of them are
        kept (B, M). Only those that are need their concepts."""
        if not 0 <= start <= stop:
            raise ValueError(f"rows {start}..{stop} are no range; choose 0 <= start <= stop")
        rows, M = stop - start, self._offered
        stream = np.random.Philox(counter=start * M * _COUNTERS, key=key("corpus", self.seed))
        u = stream.random_raw(rows * M * DRAWS // 2).astype("<u8", copy=False).view("<u4")
        u = u.reshape(-1, DRAWS).T
        # Where documents are left out, later ones may begin than could otherwise.
        drawn = self.sampler.shape(u, None if self.packing == "apart" else (M, self.T))
        if not self.mixture.contact.parallel:
            return self._fit(u, drawn, rows)
        meeting, said = self.sampler.meeting, self.sampler.again(u, drawn)
        (at,) = np.nonzero(said >= 0)
        if self.mixture.contact.adjacent:
            said[at] = meeting.twin[drawn.template[at], said[at]]
            return self._fit(u, drawn, rows, said)
        drawn.template[at] = meeting.joined[drawn.template[at], said[at]]
        return self._fit(u, drawn, rows)

    def _fit(
        self, u: np.ndarray, drawn: Shape, rows: int, twin: np.ndarray | None = None
    ) -> tuple[np.ndarray, Shape, np.ndarray]:
        """Of drawn documents those that fit. One whose `twin` is a template (-1: none) is followed
        by a document of it: both fit, or neither."""
        lengths = self._length(u, drawn).reshape(rows, -1)
        M = lengths.shape[1]
        if twin is not None:
            return self._twinned(u, drawn, lengths, twin)
        if self.packing != "apart":
            return u, drawn, fit(lengths, self.T)
        # Those that are left out go to the end of the row.
        spared = mates(drawn.fact.reshape(rows, M))
        order = np.argsort(spared, axis=1, kind="stable")
        place = (order + np.arange(rows)[:, None] * M).ravel()
        lengths = np.take_along_axis(np.where(spared, self.T + 1, lengths), order, 1)
        return u[:, place], drawn.of(place), fit(lengths, self.T)

    def _twinned(
        self, u: np.ndarray, drawn: Shape, lengths: np.ndarray, twin: np.ndarray
    ) -> tuple[np.ndarray, Shape, np.ndarray]:
        rows, M = lengths.shape
        has = twin >= 0
        follow = drawn.of(has)._replace(template=twin[has])
        lengths = lengths.copy()
        lengths.reshape(-1)[has] += self._length(u[:, has], follow)
        times = fit(lengths, self.T) * (1 + has.reshape(rows, M))
        source = np.repeat(np.arange(rows * M), times.ravel())
        kept = np.arange(M) < times.sum(1, keepdims=True)
        place = np.zeros(rows * M, np.int64)
        place[kept.ravel()] = source
        second = np.zeros(rows * M, bool)
        second[kept.ravel()] = np.diff(source, prepend=-1) == 0
        laid = drawn.of(place)
        laid.template[second] = twin[place[second]]
        return u[:, place], laid, kept

    def _length(self, u: np.ndarray, drawn: Shape) -> np.ndarray:
        """(N) tokens of documents."""
        lengths = self.tables.length[drawn.template]
        if not self.subword:
            return lengths
        return _sums(self.pieces.count[self._words(u, drawn)], lengths)

    def _words(self, u: np.ndarray, drawn: Shape) -> np.ndarray:
        """Word ids of documents, one after another."""
        return self._switched(u, drawn)[0]

    def _switched(self, u: np.ndarray, drawn: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Word ids of documents, and how many (N) are of another language than they should be."""
        rate, slots = self.mixture.contact.switched, self.sampler.slots(u, drawn)
        words = self._filled(drawn.template, slots)
        if not rate:
            return words, np.zeros(len(slots), np.int64)
        return self.sampler.switch.words(rate, self.tables, u, drawn.template, slots, words)

    def _filled(self, template: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Word ids of templates with concepts in their slots."""
        tables, length = self.tables, self.tables.length[template]
        document = np.repeat(np.arange(len(template)), length)
        place = np.arange(len(document)) + np.repeat(
            tables.start[template] - np.cumsum(length) + length, length
        )
        words, slot = tables.literal[place], tables.slot[place]
        (at,) = np.nonzero(slot >= 0)
        row, shown = tables.tongue[place[at]], tables.shown[place[at]]
        (verb,) = np.nonzero(shown >= 0)
        row[verb] += tables.gender[slots[document[at[verb]], shown[verb]]]
        words[at] = tables.form[row, slots[document[at], slot[at]]]
        return words

    def _provenance(self, u: np.ndarray, drawn: Shape, kept: np.ndarray) -> dict[str, np.ndarray]:
        template = np.where(kept, drawn.template.reshape(kept.shape), -1).astype(np.int32)
        column = lambda name: np.append(getattr(self.tables, name), -1).astype(np.int32)[template]
        more, contact = {}, self.mixture.contact
        if contact.parallel:
            more["also"] = column("also")
        if contact.switched:
            more["switched"] = np.full(kept.shape, -1, np.int32)
            more["switched"][kept] = self._switched(u[:, kept.ravel()], drawn.of(kept.ravel()))[1]
        return more | dict(
            kind=column("kind"),
            fact=np.where(kept, drawn.fact.reshape(kept.shape), -1).astype(np.int32),
            direction=column("direction"),
            language=column("language"),
            template=template,
            register=column("register"),
        )

    @functools.cached_property
    def pieces(self) -> "Pieces":
        """How every word is tokenized, where tokens are parts of words."""
        text = (f" {word}" for word in self.tables.words[1:])
        return Pieces([[0], *map(self.tokenizer.encode, text)])

    @property
    def _longest(self) -> int:
        return int(self._lengths(np.max).max())

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
        count = self.pieces.count
        filled = np.where(tables.slot >= 0, bound(count[tables.form]), count[tables.literal])
        return _sums(filled, tables.length)


class Pieces:
    """The tokens of every word, ragged."""

    def __init__(self, pieces: list[list[int]]) -> None:
        self.count = np.array([len(ids) for ids in pieces])
        self.start = np.cumsum(self.count) - self.count
        self.flat = np.array([i for ids in pieces for i in ids], np.int32)

    def of(self, words: np.ndarray) -> np.ndarray:
        """The tokens of words, one after another."""
        count = self.count[words]
        shift = self.start[words] - np.cumsum(count) + count
        return self.flat[np.arange(count.sum()) + np.repeat(shift, count)]


def _check_shares(ratio: float | tuple[float, ...], languages: int) -> None:
    if isinstance(ratio, tuple):
        if len(ratio) != languages or min(ratio) < 0 or abs(sum(ratio) - 1) > 1e-9:
            raise ValueError(
                f"ratio={ratio}: the shares of {languages} languages are {languages} numbers from "
                f"0 that sum to 1, here {len(ratio)} that sum to {sum(ratio):g}; change them"
            )
    elif languages != 2:
        raise ValueError(
            f"ratio={ratio} is a share of the second of two languages, and there are {languages}; "
            f"choose a tuple of {languages} shares that sum to 1"
        )
    elif not 0 <= ratio <= 1:
        raise ValueError(f"ratio={ratio} is no share of language 1; choose it from 0 to 1")


def _sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sums over consecutive runs of the given lengths, all positive."""
    return np.add.reduceat(values, np.cumsum(lengths) - lengths) if len(lengths) else lengths
