"""String rewriting as instructions (Zhang, Wang & Charton 2024, 2402.10891): a rule in the prompt,
a string, and the string rewritten.

    a b → c d : x a b y a b = x c d y a b

The rule replaces the first occurrence of its left side, one step of a Markov algorithm; a share
`noop` of the strings has none, and stays as it is. A corpus is a fixed budget of `examples` dealt
equally to a number of `rules`, so that diversity can be had at the cost of repetition alone. Rules
after these, `unseen` of them, are of the same kind and in no row.

Each language has its own letters and marks, and rules of the same number say the same in both: the
k-th letter of one for the k-th letter of the other. An example is in one language only.
"""

import functools
from dataclasses import dataclass

import numpy as np

from data.draw import below, chance, hashed, stretch
from data.key import key
from data.pack import lay
from data.stream import Documented
from data.tokenizer import Word

MARKS = (("→", ":", "="), ("⇒", ";", "≡"))
ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# What a number is drawn for; letters use what follows.
_LANGUAGE, _NOOP, _PLACE, _LETTERS = range(4)


@dataclass(frozen=True)
class Rewrite(Documented):
    """Rows of T tokens of examples, drawn uniformly; `ratio` is the share of the second language.

    `left`, `right` and `length` are the letters of the rule's sides and of the string. `loss` is on
    "all" tokens, or on the "response" alone: the rewritten string and the <doc> that ends it.

    >>> rewrite = Rewrite(rules=20, examples=100, T=40)
    >>> rewrite.tokenizer.decode(rewrite.row(0)["tokens"])[:57]
    '<doc> x r → z l : j j x r e c v q = j j z l e c v q <doc>'
    """

    rules: int = 1000
    examples: int = 20_000
    unseen: int = 1000
    noop: float = 0.0
    left: int = 2
    right: int = 2
    length: int = 8
    letters: int = 26
    ratio: float = 0.0
    loss: str = "response"
    T: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        key("rewrite", self.seed)  # checks it
        for name, share in (("noop", self.noop), ("ratio", self.ratio)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share} is not a share; choose a number from 0 to 1")
        if self.loss not in ("all", "response"):
            raise ValueError(f"loss={self.loss!r} is not known; choose 'all' or 'response'")
        if not 2 <= self.letters <= 26 or not 1 <= self.left <= self.length or self.right < 1:
            raise ValueError(
                f"letters={self.letters}, left={self.left}, right={self.right}, length="
                f"{self.length}: choose 2 to 26 letters, and sides of 1 or more that the string "
                "has room for"
            )
        if self._capacity >= 2**63:
            raise ValueError(
                f"letters={self.letters}, left={self.left}, right={self.right} make "
                f"{self._capacity:.1e} rules, too many to number; choose shorter sides"
            )
        if not 1 <= self.rules <= self.examples or self.rules + self.unseen > self._capacity:
            raise ValueError(
                f"rules={self.rules} and unseen={self.unseen} with examples={self.examples}: there "
                f"are {self._capacity} different rules, and each that is seen needs an example; "
                "choose fewer rules, or longer sides"
            )
        if self._width > self.T:
            raise ValueError(
                f"T={self.T} is shorter than the longest document, {self._width} tokens; choose "
                f"T={self._width} or more"
            )

    @functools.cached_property
    def tokenizer(self) -> Word:
        spoken = zip(ALPHABETS, MARKS, strict=True)
        return Word(
            tuple(w for letters, marks in spoken for w in (*letters[: self.letters], *marks))
        )

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return dict(language=("L1", "L2"), noop=("rewritten", "unchanged"))

    @functools.cached_property
    def table(self) -> np.ndarray:
        """(rules + unseen, left + right) letters of different rules, no side equal to the other."""
        stream = np.random.Philox(key=key("rewrite", self.seed), counter=1 << 192)
        count = self.rules + self.unseen
        code = np.random.Generator(stream).choice(self._capacity, count, replace=False)
        rights = self._capacity // self.letters**self.left
        left, right = code // rights, code % rights
        if self.left == self.right:
            right += right >= left  # step over the rule that changes nothing
        powers = lambda n: self.letters ** np.arange(n)[::-1]
        sides = ((left, self.left), (right, self.right))
        return np.concatenate([side[:, None] // powers(n) % self.letters for side, n in sides], 1)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and the columns of `provenance`."""
        said = self._said(start, stop)
        documents, _ = self._documents(said["rule"], said["example"], said["language"])
        scored = self.loss == "all" or np.arange(self._width) >= self._prompt
        rows, kept = lay(documents, self.T, scored)
        return rows | {name: np.where(kept, c, -1).astype(np.int32) for name, c in said.items()}

    def questions(
        self, items: int = 256, unseen: bool = True
    ) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
        """Examples after those of the rows, with rules that no row has, or with those of the rows,
        in both languages (of short strings some are in a row by chance); as (prompt, answer), and
        the slices `rule`, `language` and `noop`: what data.probe.completion takes."""
        example = self.examples + np.tile(np.arange(items), 2)
        first, count = (self.rules, self.unseen) if unseen else (0, self.rules)
        if not count:
            raise ValueError("unseen=0: there are no rules to ask; choose some at construction")
        rule, language = first + example % count, np.repeat((0, 1), items)
        documents, noop = self._documents(rule, example, language)
        texts = [self.tokenizer.decode(d[d >= 0]).split() for d in documents]
        records = [(" ".join(t[1 : self._prompt]), " ".join(t[self._prompt :])) for t in texts]
        names = np.array(self.legend["language"])
        return records, dict(rule=rule, language=names[language], noop=noop)

    @property
    def _prompt(self) -> int:
        """Tokens before the answer."""
        return 1 + self.left + self.right + self.length + len(MARKS[0])

    @property
    def _width(self) -> int:
        return self._prompt + self.length + max(0, self.right - self.left)

    @property
    def _capacity(self) -> int:
        """How many rules there are."""
        lefts, rights = self.letters**self.left, self.letters**self.right
        return lefts * (rights - (self.left == self.right))

    def _said(self, start: int, stop: int) -> dict[str, np.ndarray]:
        M = self.T // (self._width - abs(self.right - self.left))
        example = below(stretch("rewrite", self.seed, start, stop, M), self.examples)
        language = chance(hashed(self.seed, example, _LANGUAGE), self.ratio).astype(np.int64)
        noop = chance(hashed(self.seed, example, _NOOP), self.noop)
        return dict(rule=example % self.rules, example=example, language=language, noop=noop)

    def _documents(self, rule, example, language) -> tuple[np.ndarray, np.ndarray]:
        """Tokens (..., width), -1 after a document's end, and which strings stay as they are."""
        left, right = np.split(self.table[rule], [self.left], axis=-1)
        string, noop = self._strings(left, example)
        found = _windows(string, left)
        at, changed = found.argmax(-1)[..., None], found.any(-1)[..., None]
        assert (changed[..., 0] != noop).all()
        place = np.arange(self._width - self._prompt)
        # A letter of the answer is of the string before the match, of the right side, or after it.
        old = np.where(~changed | (place < at), place, place - self.right + self.left)
        new = np.where(changed & (place >= at) & (place < at + self.right), place - at, -1)
        take = lambda letters, index, top: np.take_along_axis(letters, index.clip(0, top - 1), -1)
        answer = np.where(new >= 0, take(right, new, self.right), take(string, old, self.length))
        ended = old >= self.length
        said = [np.zeros((*rule.shape, 1), np.int64)]
        words = self.letters + len(MARKS[0])
        first = (1 + language * words)[..., None]
        mark = [first + self.letters + k for k in range(len(MARKS[0]))]
        said += [first + left, mark[0], first + right, mark[1], first + string, mark[2]]
        return np.concatenate([*said, np.where(ended & (new < 0), -1, first + answer)], -1), noop

    def _strings(self, left: np.ndarray, example: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The string of each example, in which its rule's left side occurs or not, as it shall."""
        draw = lambda use: hashed(self.seed, example, use)
        noop = chance(draw(_NOOP), self.noop)
        letters = lambda turn, of: below(
            hashed(self.seed, of[..., None], _LETTERS + turn, np.arange(self.length)), self.letters
        )
        string = letters(0, example)
        at = below(draw(_PLACE), self.length - self.left + 1)[..., None]
        within = np.arange(self.length) - at
        inside = (within >= 0) & (within < self.left) & ~noop[..., None]
        put = np.take_along_axis(left, within.clip(0, self.left - 1), -1)
        string = np.where(inside, put, string)
        turn = 0
        while (bad := noop & _windows(string, left).any(-1)).any():
            turn += 1
            string[bad] = letters(turn, example[bad])
        return string, noop


def _windows(string: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Where in each string its left side begins."""
    windows = np.lib.stride_tricks.sliding_window_view(string, left.shape[-1], -1)
    return (windows == left[..., None, :]).all(-1)
