"""Batches: grain over whole packed batches, so that batch t is a function of t and a resumed run
needs to know only its step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import grain
import numpy as np

from data.template import Tables
from data.tokenizer import Tokenizer

# A source that computes its rows has no latency to hide; grain's default threads only contend.
INLINE = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
# grain wants a length; no run takes this many steps.
_ENDLESS = 2**40


class Source(Protocol):
    """What a corpus offers: rows as a function of their number."""

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop as columns with a leading axis B. All have (B, T): `tokens` int32;
        `weights` float32, of each token as a target; `segments` int32, which document a token is
        of, from 1 in every row, 0 for padding."""


LAID = ("tokens", "weights", "segments")  # the columns (B, T)


class Documented(Source, Protocol):
    """A source that knows what its documents are: `provenance` is the columns (B, M) of `rows` that
    are of documents, -1 where there is none, and `legend` names the numbers in them."""

    T: int
    tokenizer: Tokenizer

    @property
    def legend(self) -> dict[str, tuple[str, ...]]: ...

    def row(self, i: int) -> dict[str, np.ndarray]:
        """Row i: `rows(i, i + 1)` without the leading axis."""
        return {name: column[0] for name, column in self.rows(i, i + 1).items()}

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns (B, M) of rows start..stop."""
        return {k: v for k, v in self.rows(start, stop).items() if k not in LAID}


class Based(Documented, Protocol):
    """A source over another, the `base`: rows as long, of the same words and grammar."""

    base: Documented

    @property
    def T(self) -> int:
        return self.base.T

    @property
    def tokenizer(self) -> Tokenizer:
        return self.base.tokenizer

    @property
    def tables(self) -> Tables:
        return self.base.tables

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return self.base.legend


class Spanned(Documented, Protocol):
    """A source that also knows what its tokens are part of: `word` and `slot` (B, T)."""

    def spans(self, start: int, stop: int) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class _Batches:
    """Element t: this shard's rows of the global batch t."""

    source: Source
    batch: int
    shard: tuple[int, int]

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, t: int) -> dict[str, np.ndarray]:
        index, count = self.shard
        start = t * self.batch + index * (self.batch // count)
        rows = self.source.rows(start, start + self.batch // count)
        return {name: rows[name] for name in ("tokens", "weights", "segments")}


def stream(source: Source, batch: int, shard: tuple[int, int] = (0, 1)) -> grain.MapDataset:
    """Element t is batch t: tokens, weights and segments of (batch / count, T).

    `shard` is (index, count) of this process; the shards of step t, one after another, are what a
    single process gets for step t."""
    index, count = shard
    if batch < 1 or count < 1 or batch % count or not 0 <= index < count:
        raise ValueError(
            f"batch={batch} cannot be dealt to shard {index} of {count}; choose a batch divisible "
            "by the number of shards and an index below it"
        )
    return grain.MapDataset.source(_Batches(source, batch, shard))


def iterate(source: Source, batch: int, start: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Batches start, start + 1, ... for ever."""
    return iter(stream(source, batch)[start:].to_iter_dataset(INLINE))
