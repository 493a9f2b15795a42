"""Text <-> token ids: whole words, characters, or byte-pair encoding.

A tokenizer is a value: its fields are its whole content, so a spec that holds one is complete.
Id 0 is always <doc>, which opens every document; of text, only a word "<doc>" is read as it, and
none by Character. `bytes` is the number of UTF-8 bytes each token stands for; <doc> counts as the
1 byte of the line break it replaces, so that the bytes of a file's documents are the file's.
`begins` says which tokens open a word.

All three encode word by word, where a word carries the space before it: encoding " a b" is encoding
" a", then " b". (Word drops the space.) A synthetic document is the text " w1 w2 ... wn".
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tokenizers

DOC = "<doc>"


@dataclass(frozen=True)
class Word:
    """One token a word, of a closed list.

    >>> Word(("sine", "muvu")).encode(" muvu sine")
    [2, 1]
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len({*self.tokens}) < len(self.tokens):
            twice = next(word for word in self.tokens if self.tokens.count(word) > 1)
            raise ValueError(f"{twice!r} is there twice; keep one of each word, and no {DOC}")

    @functools.cached_property
    def tokens(self) -> tuple[str, ...]:
        return (DOC, *self.words)

    @property
    def size(self) -> int:
        return len(self.tokens)

    @functools.cached_property
    def bytes(self) -> np.ndarray:
        # The space before a word is a byte of the text too.
        return np.array([1, *(len(f" {w}".encode()) for w in self.words)], np.int32)

    @property
    def begins(self) -> np.ndarray:
        return np.ones(self.size, bool)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        unknown = next((w for w in text.split() if w not in self._ids), None)
        if unknown is not None:
            raise ValueError(
                f"{unknown!r} is not among the {len(self.words)} words of this tokenizer; "
                "choose a known word, or Character or BPE for open text"
            )
        return [self._ids[w] for w in text.split()]

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.tokens[i] for i in ids)


@dataclass(frozen=True)
class Character:
    """One token a character, of a closed alphabet.

    >>> Character.of("abba").encode("ba")
    [2, 1]
    """

    alphabet: str

    def __post_init__(self) -> None:
        if len({*self.alphabet}) < len(self.alphabet):
            twice = next(c for c in self.alphabet if self.alphabet.count(c) > 1)
            raise ValueError(f"{twice!r} is there twice; make the alphabet with Character.of")

    @classmethod
    def of(cls, text: str) -> "Character":
        """The characters of a text, in code point order."""
        return cls("".join(sorted(set(text))))

    @property
    def tokens(self) -> tuple[str, ...]:
        return (DOC, *self.alphabet)

    @property
    def size(self) -> int:
        return len(self.alphabet) + 1

    @functools.cached_property
    def bytes(self) -> np.ndarray:
        return np.array([1, *(len(c.encode()) for c in self.alphabet)], np.int32)

    @functools.cached_property
    def begins(self) -> np.ndarray:
        return np.array([True, *(c == " " for c in self.alphabet)])

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {c: i for i, c in enumerate(self.alphabet, 1)}

    def encode(self, text: str) -> list[int]:
        unknown = next((c for c in text if c not in self._ids), None)
        if unknown is not None:
            raise ValueError(
                f"{unknown!r} is not in the alphabet of {len(self.alphabet)} characters; "
                "make it with Character.of of all the text there is, or choose BPE"
            )
        return [self._ids[c] for c in text]

    def decode(self, ids: Iterable[int]) -> str:
        tokens = self.tokens
        return "".join(tokens[i] for i in ids)


@dataclass(frozen=True)
class BPE:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's byte alphabet): nothing is
    unknown. `json` is the file format of the `tokenizers` library.

    >>> BPE.train([" low lower lowest"] * 9, size=262).encode(" low")
    [259]
    """

    json: str

    def __post_init__(self) -> None:
        if self._model.id_to_token(0) != DOC:
            raise ValueError(
                f"token 0 is {self._model.id_to_token(0)!r} and not {DOC}, which opens documents; "
                "choose a tokenizer made by BPE.train"
            )

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> "BPE":
        """Learn merges until there are `size` tokens, <doc> and 256 bytes among them."""
        if size < 257:
            raise ValueError(f"size={size} has no room for <doc> and 256 bytes; choose 257 or more")
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[DOC],
            initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    def marked(self, words: Iterable[str]) -> "BPE":
        """This tokenizer with a token more for each of `words`, never cut and never merged."""
        tokenizer = tokenizers.Tokenizer.from_str(self.json)
        tokenizer.add_special_tokens([*words])
        return BPE(tokenizer.to_str())

    @functools.cached_property
    def _model(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.json)

    @functools.cached_property
    def tokens(self) -> tuple[str, ...]:
        return tuple(map(self._model.id_to_token, range(self.size)))

    @property
    def size(self) -> int:
        return self._model.get_vocab_size()

    @functools.cached_property
    def bytes(self) -> np.ndarray:
        # The byte alphabet writes every byte as one character.
        return np.array([1, *map(len, self.tokens[1:])], np.int32)

    @functools.cached_property
    def begins(self) -> np.ndarray:
        # The byte alphabet writes a space as "Ġ"; special tokens are words of their own.
        special = {i for i, t in self._model.get_added_tokens_decoder().items() if t.special}
        return np.array([i in special or t.startswith("Ġ") for i, t in enumerate(self.tokens)])

    def encode(self, text: str) -> list[int]:
        return self._model.encode(text).ids

    def decode(self, ids: Iterable[int]) -> str:
        return self._model.decode(list(ids), skip_special_tokens=False)


Tokenizer = Word | Character | BPE
