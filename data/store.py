"""Rows on disk: any corpus written once and read back by range. What is read has its rows, its
tokenizer, T and legend, and nothing else of it: no documents, spans or ledger.

    folder/manifest.json      the source, its tokenizer, the columns, and a checksum of every shard
    folder/rows/              one zarr3 array (rows, bytes), by TensorStore

A row is a NumPy record of its columns, whose dtype is in the manifest: a batch is one read, where
an array a column would be nine. A shard is a stretch of rows and one file, in inner chunks of about
8k tokens (zarr's `sharding_indexed`): a batch reads what it needs and a billion tokens are some
hundred files. Every inner chunk carries its crc32c, so a flipped bit is found when it is read;
every shard's SHA-256 is in the manifest, which is replaced whenever a shard is on disk. A shard
that the manifest does not name was never written.
"""

import functools
import hashlib
import json
import os
import pathlib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Protocol

import numpy as np
import rich.console
import rich.progress
import tensorstore as ts

from data.tokenizer import BPE, Character, Tokenizer, Word

INNER, SHARD = 2**13, 2**23  # tokens of an inner chunk and of a shard
_BLOCK = 2**18  # tokens drawn together while a shard is made
_TOKENIZERS = {kind.__name__: kind for kind in (Word, Character, BPE)}


class Source(Protocol):
    """A corpus: `rows` are a function of their number."""

    T: int

    @property
    def tokenizer(self) -> Tokenizer: ...

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Stored:
    """The rows of a corpus as `materialise` wrote them: same rows, same tokenizer, same T.

    The identity is the content, not the folder. A shard that is missing or not of its written size
    is a ValueError here, a damaged one when it is read; materialise() makes either anew.
    """

    folder: str = field(metadata={"identity": False})
    content: str = field(init=False)
    # Bytes kept in memory of what was read, the shards' indices among them.
    cache: int = field(default=2**28, metadata={"identity": False})

    def __post_init__(self) -> None:
        path = pathlib.Path(self.folder)
        manifest = _read(path)
        if manifest is None:
            raise ValueError(f"{path}: no manifest.json in it; write rows there with materialise")
        missing = len(_layout(manifest).shards) - len(manifest["shards"])
        if missing:
            raise ValueError(
                f"{path}: {missing} shards are not written yet; run materialise again, it goes on"
            )
        for k, (size, _) in enumerate(manifest["shards"]):
            file = _file(path, k)
            if not file.exists() or file.stat().st_size != size:
                found = f"{file.stat().st_size} bytes" if file.exists() else "missing"
                raise ValueError(_damaged(file, f"{found}, and {size} bytes were written"))
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        object.__setattr__(self, "content", digest)

    def __len__(self) -> int:
        """Rows there are."""
        return self._manifest["rows"]

    @property
    def T(self) -> int:
        return self._manifest["T"]

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        kind, fields = self._manifest["tokenizer"]
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return _TOKENIZERS[kind](**fields)

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        """What the numbers in a column of provenance stand for, where the source knows it."""
        return {name: tuple(names) for name, names in self._manifest["legend"].items()}

    def row(self, i: int) -> dict[str, np.ndarray]:
        """Row i: `rows(i, i + 1)` without the leading axis."""
        return {name: column[0] for name, column in self.rows(i, i + 1).items()}

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop, every column of the source."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(
                f"rows {start}..{stop} of a store of {len(self)}; choose 0 <= start <= stop <= "
                f"{len(self)}, or materialise more rows"
            )
        try:
            rows = self._array[start:stop].read().result().view(self._layout.record)[:, 0]
        except ValueError as error:  # TensorStore's message is a paragraph; its file is in quotes
            names = [part for part in str(error).split('"') if part.startswith("/")]
            file = pathlib.Path(names[0] if names else self.folder)
            raise ValueError(_damaged(file, "its crc32c does not fit")) from error
        dtypes = self._manifest["columns"]
        return {name: rows[name].astype(dtype) for name, dtype in dtypes.items()}

    def verify(self) -> None:
        """Reads everything; ValueError names the first shard that is not what was written."""
        for k, written in enumerate(self._manifest["shards"]):
            file = _file(pathlib.Path(self.folder), k)
            if _checksum(file) != written:
                raise ValueError(_damaged(file, "its SHA-256 is not that of what was written"))

    @functools.cached_property
    def _manifest(self) -> dict:
        return _read(pathlib.Path(self.folder))

    @functools.cached_property
    def _layout(self) -> "_Layout":
        return _layout(self._manifest)

    @functools.cached_property
    def _array(self) -> ts.TensorStore:
        context = ts.Context({"cache_pool": {"total_bytes_limit": self.cache}})
        spec = self._layout.spec(pathlib.Path(self.folder))
        return ts.open(spec, context=context, open=True, read=True).result()


def materialise(source: Source, folder: str | os.PathLike, rows: int, *, zstd: int = 0) -> Stored:
    """Writes rows 0..rows of `source` to `folder`, compressed at level `zstd` (0: not at all).

    A folder in which some of the same rows are is completed: shards whose checksum is right stay,
    the others are made. ValueError if it holds something else."""
    if rows < 1 or not 0 <= zstd <= 22:
        raise ValueError(f"rows={rows}, zstd={zstd}: choose 1 row or more and a level from 0 to 22")
    path, manifest = pathlib.Path(folder).absolute(), _described(source, rows, zstd)
    layout, written = _layout(manifest), _read(path)
    if written is not None:
        differ = [name for name in manifest if name != "shards" and manifest[name] != written[name]]
        if differ:
            raise ValueError(
                f"{path}: holds rows of another {', '.join(differ)}; choose an empty folder"
            )
        manifest["shards"] = written["shards"]
    path.mkdir(parents=True, exist_ok=True)
    _replace(path / "manifest.json", manifest)  # whose folder it is, before its first shard
    array = ts.open(layout.spec(path), open=True, create=True).result()
    console = rich.console.Console(stderr=True)
    shards, many = layout.shards, len(layout.shards) > 1
    shown = rich.progress.track(shards, f"Writing {path.name}", console=console, disable=not many)
    for k, (start, stop) in enumerate(shown):
        if k < len(manifest["shards"]) and _checksum(_file(path, k)) == manifest["shards"][k]:
            continue
        array[start:stop].write(_drawn(source, start, stop, layout)).result()
        manifest["shards"][k : k + 1] = [_checksum(_file(path, k))]
        _replace(path / "manifest.json", manifest)
    return Stored(str(path))


def _described(source: Source, rows: int, zstd: int) -> dict:
    """The manifest of rows of which no shard is written yet."""
    first = source.rows(0, 1)
    manifest = dict(
        source=_spec(source),
        tokenizer=[type(source.tokenizer).__name__, asdict(source.tokenizer)],
        T=source.T,
        rows=rows,
        zstd=zstd,
        columns={name: str(column.dtype) for name, column in first.items()},
        legend=getattr(source, "legend", {}),  # real text has none
        record=[[name, _stored(source, name, x), [x.shape[1]]] for name, x in first.items()],
        inner=INNER,
        shard=SHARD,
        shards=[],
    )
    return json.loads(json.dumps(manifest))  # as it will be read: no tuples


def _spec(value: object) -> str:
    """Its repr, with the fields that a repr leaves out."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_spec, value))}{',' * (len(value) == 1)})"
    if not is_dataclass(value):
        return repr(value)
    said = (f"{f.name}={_spec(getattr(value, f.name))}" for f in fields(value))
    return f"{type(value).__qualname__}({', '.join(said)})"


def _stored(source: Source, name: str, column: np.ndarray) -> str:
    """The type a column has on disk: the smallest that holds all its numbers, where these are
    known; of what a legend names, -1 among them."""
    named = getattr(source, "legend", {}).get(name)
    if name in ("tokens", "segments"):
        last = source.tokenizer.size - 1 if name == "tokens" else source.T
        return np.min_scalar_type(last).str
    return np.min_scalar_type(-max(len(named), 1)).str if named else column.dtype.str


@dataclass(frozen=True)
class _Layout:
    """Where rows go: their record, and shards."""

    T: int
    rows: int
    zstd: int
    inner: int
    shard: int
    record: np.dtype

    @property
    def rows_of_chunk(self) -> int:
        return max(1, self.inner // self.T)

    @property
    def rows_of_shard(self) -> int:
        return self.rows_of_chunk * max(1, self.shard // self.inner)

    @property
    def shards(self) -> list[tuple[int, int]]:
        step = self.rows_of_shard
        return [(i, min(i + step, self.rows)) for i in range(0, self.rows, step)]

    def spec(self, path: pathlib.Path) -> dict:
        """TensorStore's description of the rows."""
        width = self.record.itemsize
        packed = [{"name": "zstd", "configuration": {"level": self.zstd}}] * bool(self.zstd)
        grid = {"chunk_shape": [self.rows_of_shard, width]}
        codecs = [{"name": "bytes"}, *packed, {"name": "crc32c"}]
        inner = {"chunk_shape": [self.rows_of_chunk, width], "codecs": codecs}
        return {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{path / 'rows'}/"},
            "metadata": {
                "shape": [self.rows, width],
                "data_type": "uint8",
                "chunk_grid": {"name": "regular", "configuration": grid},
                "codecs": [{"name": "sharding_indexed", "configuration": inner}],
            },
            # A chunk of zeros is written like any other: what is absent was lost.
            "store_data_equal_to_fill_value": True,
        }


def _layout(manifest: dict) -> _Layout:
    taken = {name: manifest[name] for name in ("T", "rows", "zstd", "inner", "shard")}
    record = [(name, kind, tuple(shape)) for name, kind, shape in manifest["record"]]
    return _Layout(record=np.dtype(record), **taken)


def _drawn(source: Source, start: int, stop: int, layout: _Layout) -> np.ndarray:
    """The rows of a shard as bytes, made in blocks: a shard at once would need a hundred times its
    size."""
    rows = np.empty(stop - start, layout.record)
    step = max(1, _BLOCK // layout.T)
    for i in range(start, stop, step):
        for name, column in source.rows(i, min(i + step, stop)).items():
            rows[name][i - start : i - start + step] = column
    return rows.view(np.uint8).reshape(len(rows), -1)


def _read(path: pathlib.Path) -> dict | None:
    file = path / "manifest.json"
    return json.loads(file.read_text()) if file.exists() else None


def _replace(file: pathlib.Path, manifest: dict) -> None:
    """In one step, so that a kill leaves the old manifest or the new one."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(manifest))
    os.replace(new, file)


def _file(path: pathlib.Path, shard: int) -> pathlib.Path:
    return path / "rows" / "c" / str(shard) / "0"


def _checksum(file: pathlib.Path) -> list | None:
    """Size and SHA-256; none where there is no file."""
    if not file.exists():
        return None
    with file.open("rb") as opened:
        return [file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest()]


def _damaged(file: pathlib.Path, what: str) -> str:
    return f"{file}: damaged shard, {what}; run materialise again, it makes this shard anew"
