"""Biographies in the style of bioS (Allen-Zhu & Li, Physics of Language Models 3.1, 2309.14316), in
two languages: when can what was memorised be asked for, and is a translation an augmentation?

A person has a name of three words and six attributes; the city of a company is decided by the
company, everything else is uniform and independent. A biography says every attribute in a sentence
of its own, the person first and then the value, so that no value ever comes before its person:

    Name name name <words of a template> value .   He <words of another> value .   ...

Of a person there are so many `versions` (the paper's multiM; 1 is its `single`), each with
templates of its own and, if `permuted`, its own order; each is always the same text. `full` says
the name in every sentence instead of a pronoun. A share `translated` of the people has as many
versions in the second language. Questions, a share `asked` of the documents, are of the even people
only: the odd ones tell whether the facts were learnt so that they can be asked for. `inverse`
questions say a birth date and ask whose it is (Physics 3.2, 2309.14402: knowledge inverse search).
"""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data.draw import below, chance, hashed, stretch
from data.key import key
from data.pack import fit, pack
from data.pool import ATTRIBUTES, VALUES, WORDS, Pools, Vocabulary, vocabulary
from data.stream import Documented
from data.tokenizer import Word

REGISTERS = ("biography", "question")
_NAME, _VALUE, _SENTENCE = 3, 3, 10  # most words of a name, of a value, and of all with the stop
# What a number is drawn for.
_ATTRIBUTE, _PRONOUN, _CITY, _ORDER, _TEMPLATE = range(5)


class _Drawn(NamedTuple):
    """N documents; of a question `version` is -1, of a biography `attribute`."""

    person: np.ndarray
    language: np.ndarray
    version: np.ndarray
    attribute: np.ndarray


@dataclass(frozen=True)
class Biography(Documented):
    """Rows of T tokens of biographies of so many `people`, and of questions about them; a document
    about someone translated is in the second language with probability `ratio`.

    `loss` is on "all" tokens, or on the "response" alone: the answers of questions.

    >>> few = Biography(people=10, pools=Pools(9, 9, 9, 9, 9, 9, 9, 9), asked=0.5, T=60)
    >>> few.tokenizer.decode(few.row(2)["tokens"])[:94]
    '<doc> Zuhe Pili Hohe sohi beri kono . rime saje nahi 12 1902 . rime lone suka pezi . rime duvi'
    """

    people: int = 1000
    versions: int = 5
    permuted: bool = True
    full: bool = False
    templates: int = 50
    translated: float = 0.0
    ratio: float = 0.5
    asked: float = 0.0
    inverse: bool = False
    loss: str = "all"
    pools: Pools = field(default_factory=Pools)
    T: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        key("biography", self.seed)  # checks it
        for name in ("translated", "ratio", "asked"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not a share; choose from 0 to 1")
        names = self.pools.names
        if not 2 <= self.people <= min(names, 2**24):
            raise ValueError(
                f"people={self.people}, and there are {names} names; choose 2 people to "
                f"{min(names, 2**24)}, or larger pools"
            )
        if self.versions < 1 or self.templates < 1:
            raise ValueError(
                f"versions={self.versions}, templates={self.templates}: choose 1 or more of each"
            )
        if self.loss not in ("all", "response") or (self.loss == "response" and not self.asked):
            raise ValueError(
                f"loss={self.loss!r} with asked={self.asked}: choose 'all', or 'response' where "
                "questions are asked"
            )
        if self._longest > self.T:
            raise ValueError(
                f"T={self.T} is shorter than the longest biography, {self._longest} tokens; choose "
                f"T={self._longest} or more"
            )

    @functools.cached_property
    def tokenizer(self) -> Word:
        return Word(self._vocabulary.words[1:])

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return dict(register=REGISTERS, language=("L1", "L2"), attribute=ATTRIBUTES)

    def attributes(self, person: np.ndarray) -> np.ndarray:
        """(..., attributes) the value of each, a number in its pool; a birth date is month + 12
        (day + 28 year), all from 0."""
        sizes = np.array([12 * 28 * self.pools.years, self.pools.cities, self.pools.universities,
                          self.pools.majors, self.pools.companies])  # fmt: skip
        of = np.arange(len(sizes))
        value = below(hashed(self.seed, _ATTRIBUTE, person[..., None], of), sizes)
        city = below(hashed(self.seed, _CITY, value[..., -1:]), self.pools.cities)
        return np.concatenate([value, city], -1)

    def is_translated(self, person: np.ndarray) -> np.ndarray:
        """Who has biographies in both languages: the same share of even and of odd people."""
        place = person // 2
        spread = lambda k: np.floor(np.round(k * self.translated, 9))
        return spread(place + 1) > spread(place)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and the columns of `provenance`."""
        drawn, kept = self._kept(start, stop)
        chosen = _Drawn(*(column[kept] for column in drawn))
        words = self._words(chosen)
        there, asks = words >= 0, chosen.attribute >= 0
        lengths = np.zeros(kept.shape, np.int64)
        lengths[kept] = there.sum(1)
        closed = kept & ((drawn.attribute >= 0) | (self.loss == "all"))
        answer = asks[:, None] & (np.arange(words.shape[1]) >= 3 + _NAME)
        scored = np.broadcast_to((self.loss == "all") | answer, words.shape)
        rows = pack(words[there], lengths, self.T, scored[there], closed)
        return rows | self._columns(drawn, kept)

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """person, register, language, version (of a biography) and attribute (of a question), each
        (B, M) int32, -1 where there is none."""
        return self._columns(*self._kept(start, stop))

    def questions(
        self, asked: bool, people: int = 100
    ) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
        """Every attribute of the first `people` who are asked about in training or who are not, in
        both languages, or whose birth date it is; as (prompt, answer), and the slices person,
        attribute, language and told (whether a biography is in that language): what
        data.probe.completion takes."""
        persons = np.arange(not asked, self.people, 2)[:people]
        shape = (2, len(persons), 1 if self.inverse else len(ATTRIBUTES))
        language, person, attribute = np.indices(shape).reshape(3, -1)
        person = persons[person]
        words = self._words(_Drawn(person, language, np.full_like(person, -1), attribute))
        texts = [self.tokenizer.decode(line[line >= 0]).split() for line in words]
        records = [(" ".join(t[1 : 3 + _NAME]), " ".join(t[3 + _NAME :])) for t in texts]
        told = (language == 0) | self.is_translated(person)
        names = np.array(ATTRIBUTES)[attribute], np.array(self.legend["language"])[language]
        return records, dict(person=person, attribute=names[0], language=names[1], told=told)

    def _kept(self, start: int, stop: int) -> tuple[_Drawn, np.ndarray]:
        """All drawn documents, and which of them are kept, all (B, M)."""
        M = self.T // self._shortest
        u = stretch("biography", self.seed, start, stop, 5 * M).reshape(stop - start, 5, M)
        asks = chance(u[:, 0], self.asked)
        even = 2 * below(u[:, 1], (self.people + 1) // 2)
        person = np.where(asks, even, below(u[:, 1], self.people))
        language = (self.is_translated(person) & chance(u[:, 2], self.ratio)).astype(np.int64)
        version = np.where(asks, -1, below(u[:, 3], self.versions))
        which = below(u[:, 4], 1 if self.inverse else len(ATTRIBUTES))
        attribute = np.where(asks, which, -1)
        drawn = _Drawn(person, language, version, attribute)
        said = self._template(drawn) % WORDS + 1
        subjects = 6 * _NAME if self.full else _NAME + 5
        told = 1 + subjects + (said + VALUES + 1).sum(-1)
        return drawn, fit(np.where(asks, 3 + _NAME + VALUES[attribute], told), self.T)

    def _columns(self, drawn: _Drawn, kept: np.ndarray) -> dict[str, np.ndarray]:
        said = drawn._asdict() | {"register": (drawn.attribute >= 0).astype(np.int64)}
        return {name: np.where(kept, c, -1).astype(np.int32) for name, c in said.items()}

    def _template(self, drawn: _Drawn) -> np.ndarray:
        """(..., attributes) the template of each attribute's sentence; it has 1 to 3 words."""
        return below(self._fixed(drawn, _TEMPLATE), self.templates)

    def _fixed(self, drawn: _Drawn, use: int) -> np.ndarray:
        """A number for each sentence of a biography, the same whenever it is told."""
        text = (c[..., None] for c in (drawn.person, drawn.version, drawn.language))
        return hashed(self.seed, use, *text, np.arange(len(ATTRIBUTES)))

    def _words(self, drawn: _Drawn) -> np.ndarray:
        """(N, most) the tokens of documents, -1 where there is none."""
        asks = drawn.attribute >= 0
        words = np.full((len(asks), 1 + len(ATTRIBUTES) * _SENTENCE), -1)
        words[:, 0] = 0
        words[~asks, 1:] = self._biography(_Drawn(*(c[~asks] for c in drawn)))
        words[asks, 1 : 3 + _NAME + _VALUE] = self._question(_Drawn(*(c[asks] for c in drawn)))
        return words

    def _biography(self, drawn: _Drawn) -> np.ndarray:
        known, person, language = self._vocabulary, drawn.person, drawn.language
        said = known.said[language[:, None], np.arange(len(ATTRIBUTES)), self._template(drawn)]
        sentences = np.full((len(person), len(ATTRIBUTES), _SENTENCE), -1)
        sentences[..., _NAME : _NAME + WORDS] = said
        sentences[..., _NAME + WORDS : -1] = self._values(person, language)
        sentences[..., -1] = known.stop
        if self.permuted:
            order = self._fixed(drawn, _ORDER).argsort(1)
            sentences = np.take_along_axis(sentences, order[..., None], 1)
        sentences[:, : 6 if self.full else 1, :_NAME] = self._names(person)[:, None]
        if not self.full:
            pronoun = below(hashed(self.seed, _PRONOUN, person), 2)
            sentences[:, 1:, 0] = known.pronouns[language, pronoun][:, None]
        return sentences.reshape(len(person), len(ATTRIBUTES) * _SENTENCE)

    def _question(self, drawn: _Drawn) -> np.ndarray:
        known, language, attribute = self._vocabulary, drawn.language, drawn.attribute
        value = self._values(drawn.person, language)[np.arange(len(attribute)), attribute]
        mark = np.full((len(attribute), 1), known.question)
        asks = known.asks[language, attribute][:, None]
        # A value of one word is the first of its three places, so that the answer begins there.
        value = np.take_along_axis(value, (value < 0).argsort(1, kind="stable"), 1)
        name = self._names(drawn.person)
        given, answer = (value, name) if self.inverse else (name, value)  # a date has three words
        return np.concatenate([asks, given, mark, answer], 1)

    def _values(self, person: np.ndarray, language: np.ndarray) -> np.ndarray:
        """(N, attributes, _VALUE) the words of every value."""
        known, value = self._vocabulary, self.attributes(person)
        words = np.full((*value.shape, _VALUE), -1)
        words[..., 0] = known.values[language] + value
        date = value[:, 0]
        words[:, 0, 0] = known.values[language, 0] + date % 12
        words[:, 0, 1], words[:, 0, 2] = known.days + date // 12 % 28, known.years + date // 336
        return words

    def _names(self, person: np.ndarray) -> np.ndarray:
        """(N, 3) first, middle and last name."""
        sizes = self.pools.first, self.pools.middle, self.pools.last
        return np.stack(np.unravel_index(self._codes[person], sizes), -1) + self._vocabulary.names

    @functools.cached_property
    def _codes(self) -> np.ndarray:
        """A different name for everyone."""
        stream = np.random.Philox(key=key("biography", self.seed), counter=1 << 192)
        return np.random.Generator(stream).choice(self.pools.names, self.people, replace=False)

    @property
    def _vocabulary(self) -> Vocabulary:
        return vocabulary(self.pools, self.templates, self.seed)

    @property
    def _longest(self) -> int:
        subjects = 6 * _NAME if self.full else _NAME + 5
        return int(1 + subjects + (min(self.templates, WORDS) + VALUES + 1).sum())

    @property
    def _shortest(self) -> int:
        if self.asked:
            return 3 + _NAME + 1
        return self._longest - 6 * (min(self.templates, WORDS) - 1)
