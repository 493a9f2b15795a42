"""Real text as a corpus with the contract of the synthetic one: rows as a function of their number.

A line or record is a document. Of two aligned files (line j of one translates line j of the other)
every line is read in one language only: a share `ratio` of them, drawn once, in the second. So the
two languages have no sentence in common, and the corpus is the same list of documents each epoch.
Documents are packed into rows once, by a table; an epoch is a permutation of the rows.
"""

import functools
import gzip
import hashlib
import io
import json
import pathlib
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from data.key import key
from data.pack import pack
from data.stream import Documented
from data.tokenizer import Tokenizer

Record = tuple[str, str]  # prompt (empty for plain text) and completion


class _Table(NamedTuple):
    """Documents in the order in which they fill rows, and where each row begins."""

    tokens: np.ndarray  # (all tokens) int32
    length: np.ndarray  # (documents)
    begin: np.ndarray  # (documents) where in `tokens` each begins
    line: np.ndarray  # (documents) number in the file
    language: np.ndarray  # (documents)
    cut: np.ndarray  # (documents) bool: longer than T, its end is lost
    first: np.ndarray  # (rows + 1) first document of each row
    most: int  # documents of a row


@dataclass(frozen=True)
class Text(Documented):
    """Rows of `T` tokens of the documents in one file, or in two line-aligned ones.

    Documents longer than T are cut to it; `truncated` counts them, and nothing marks their cut end.
    Blank lines are no documents: with two files, a line blank in either is left out of both. The
    identity of the corpus is the files' content, not their paths.

    >>> import tempfile
    >>> from data.tokenizer import Word
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     _ = file.write("a b\\nb\\n"), file.flush()
    ...     corpus = Text((file.name,), Word(("a", "b")), T=6)
    >>> corpus.row(0)["tokens"].tolist(), corpus.row(0)["segments"].tolist()
    ([0, 2, 0, 1, 2, 0], [1, 1, 2, 2, 2, 0])
    """

    paths: tuple[str, ...] = field(metadata={"identity": False})
    tokenizer: Tokenizer
    T: int = 128
    ratio: float = 0.0
    seed: int = 0
    content: str = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.paths, str) or len(self.paths) not in (1, 2):
            raise ValueError(f"paths={self.paths!r} is not a tuple of one file or two aligned ones")
        if not 0 <= self.ratio <= 1 or (self.ratio and len(self.paths) == 1):
            raise ValueError(
                f"ratio={self.ratio} with {len(self.paths)} file(s): it is the share of the second "
                "file's language, from 0 to 1; give two files, or ratio=0"
            )
        if self.T < 2:
            raise ValueError(f"T={self.T} has no room for <doc> and a token; choose 2 or more")
        key("text", self.seed)  # checks it
        digest = hashlib.sha256(json.dumps(self._lines).encode()).hexdigest()
        object.__setattr__(self, "content", digest)

    @property
    def epoch(self) -> int:
        """Rows until every document has been read once."""
        return len(self._table.first) - 1

    @property
    def truncated(self) -> int:
        """Documents that were longer than T."""
        return int(self._table.cut.sum())

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return {"language": ("L1", "L2")[: len(self.paths)]}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and by document `line` and
        `language` (B, M), -1 after the last. Everything is a target, prompts too."""
        if not 0 <= start <= stop:
            raise ValueError(f"rows {start}..{stop} are no range; choose 0 <= start <= stop")
        table, epochs = self._table, range(start // self.epoch, stop // self.epoch + 1)
        chosen = np.concatenate([_order(self.seed, e, self.epoch) for e in epochs])
        chosen = chosen[start % self.epoch :][: stop - start]
        first, count = table.first[chosen], table.first[chosen + 1] - table.first[chosen]
        m = np.arange(table.most)
        there = m < count[:, None]
        document = np.where(there, first[:, None] + m, 0)
        lengths = np.where(there, table.length[document], 0)
        begin, taken = table.begin[document[there]], lengths[there]
        place = np.arange(taken.sum()) + np.repeat(begin - np.cumsum(taken) + taken, taken)
        scored = np.ones(len(place), bool)
        # A document cut to T fills its row, so no <doc> follows where a text does not end.
        rows = pack(table.tokens[place], lengths, self.T, scored, closed=there)
        column = lambda values: np.where(there, values[document], -1).astype(np.int32)
        return rows | dict(line=column(table.line), language=column(table.language))

    @functools.cached_property
    def _lines(self) -> list[tuple[int, tuple[str, ...]]]:
        """Number and text, in each language, of every line that is a document."""
        files = [["".join(record) for record in read(path)] for path in self.paths]
        if len({len(file) for file in files}) > 1:
            raise ValueError(
                f"{self.paths[0]} has {len(files[0])} lines and {self.paths[1]} {len(files[1])}: "
                "aligned files have a line for a line; give two that translate each other"
            )
        aligned = enumerate(zip(*files, strict=True))
        lines = [(j, texts) for j, texts in aligned if all(text.strip() for text in texts)]
        if not lines:
            raise ValueError(f"{' and '.join(self.paths)}: no text in it; give a file with some")
        return lines

    @functools.cached_property
    def _table(self) -> _Table:
        n = len(self._lines)
        rng = np.random.Generator(np.random.Philox(key=key("text", self.seed)))
        language = (rng.permutation(n) < round(self.ratio * n)).astype(np.int32)
        order = rng.permutation(n)
        texts = [self._lines[j][1][language[j]] for j in order]
        ids = [[0, *self.tokenizer.encode(text)] for text in texts]
        if any(0 in document[1:] for document in ids):
            raise ValueError(
                f"{self.paths}: a text says <doc>, which only opens documents; take it out"
            )
        length = np.array([len(document) for document in ids])
        kept = np.minimum(length, self.T)
        first = _row_starts(kept, self.T)
        return _Table(
            tokens=np.concatenate([document[: self.T] for document in ids]).astype(np.int32),
            length=kept,
            begin=np.cumsum(kept) - kept,
            line=np.array([self._lines[j][0] for j in order]),
            language=language[order],
            cut=length > self.T,
            first=first,
            most=int(np.diff(first).max()),
        )


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The rows of an epoch, shuffled by the epoch's own stretch of the stream."""
    stream = np.random.Philox(key=key("text", seed), counter=(epoch + 1) << 64)
    return np.random.Generator(stream).permutation(rows)


def read(path: str | pathlib.Path) -> list[Record]:
    """The records of a file as (prompt, completion); of plain text, lines as ("", line).

    By its name (.gz aside) a file is .jsonl with `text` or `prompt` and `completion`, .parquet with
    such columns, or else text with a document a line."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the path")
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: not whole gzip ({error}); fetch it again") from error
    if not data:
        raise ValueError(f"{path}: empty; give a file with some text")
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(path, data)
    try:
        text = data.decode("utf-8-sig")  # without a byte order mark, if there is one
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 at byte {error.start}; convert it, e.g. with iconv -t UTF-8"
        ) from error
    # Not splitlines(): it also splits at characters that aligned files have inside a line.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if not name.endswith(".jsonl"):
        return [("", line) for line in lines]
    return [_json(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _json(path: pathlib.Path, number: int, line: str) -> Record:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number}: not JSON ({error}); mend or drop it") from error
    found = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
    names = _names(found, f"{path}, line {number}")
    values = [fields[name] for name in names]
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{path}, line {number}: {' and '.join(names)} must be strings; mend it")
    return ("", *values) if len(values) == 1 else tuple(values)


def _parquet(path: pathlib.Path, data: bytes) -> list[Record]:
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{path}: not whole parquet ({why}); fetch it again") from error
    names = _names(table.column_names, str(path))
    columns = [table[name].to_pylist() for name in names]
    for row, values in enumerate(zip(*columns, strict=True)):
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{path}, row {row}: {' and '.join(names)} must be strings; mend it")
    return list(zip(*([[""] * len(table)] if len(columns) == 1 else []), *columns, strict=True))


def _names(found, where: str) -> tuple[str, ...]:
    for names in (("prompt", "completion"), ("text",)):
        if set(names) <= set(found if isinstance(found, list) else ()):
            return names
    raise ValueError(
        f"{where}: has {found}, needs `text`, or `prompt` and `completion`; rename them"
    )


def _row_starts(lengths: np.ndarray, T: int) -> np.ndarray:
    """The first document of every row, and the number of documents."""
    ends = np.cumsum(lengths)
    following = np.searchsorted(ends, ends - lengths + T, side="right")
    starts = [0]
    while starts[-1] < len(lengths):
        starts.append(int(following[starts[-1]]))
    return np.array(starts)
