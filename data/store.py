"""Rows on disk: any corpus written once and read back by range, with the corpus's own contract.

    folder/manifest.json      the source, its tokenizer, the columns, and a checksum of every shard
    folder/<column>/          one zarr3 array (rows, width) a column, by TensorStore

A shard is a stretch of rows, one file a column, in inner chunks of about 16k tokens (zarr's
`sharding_indexed`): a batch reads what it needs and a billion tokens are some hundred files. Every
inner chunk carries its crc32c, so a flipped bit is found when it is read; every shard's SHA-256 is
in the manifest, which is replaced whenever a shard is on disk. A shard that the manifest does not
name was never written.
"""

import functools
import hashlib
import json
import os
import pathlib
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
import tensorstore as ts

from data.tokenizer import BPE, Character, Tokenizer, Word

INNER, SHARD = 2**14, 2**23  # tokens of an inner chunk and of a shard
_BLOCK = 2**18  # tokens drawn together while a shard is made
_CACHE = 2**28  # bytes kept of what was read: the shards' indices above all
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
        for k, files in enumerate(manifest["shards"]):
            for column, (size, _) in files.items():
                file = _file(path, column, k)
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
        reading = {name: array[start:stop].read() for name, array in self._arrays.items()}
        dtypes = self._manifest["columns"]
        return {name: self._wait(name, f).astype(dtypes[name]) for name, f in reading.items()}

    def verify(self) -> None:
        """Reads everything; ValueError names the first shard that is not what was written."""
        for k, files in enumerate(self._manifest["shards"]):
            for column, written in files.items():
                file = _file(pathlib.Path(self.folder), column, k)
                if _checksum(file) != written:
                    raise ValueError(_damaged(file, "its SHA-256 is not that of what was written"))

    def _wait(self, column: str, future: ts.Future) -> np.ndarray:
        try:
            return future.result()
        except ValueError as error:  # TensorStore's message is a paragraph; its file is in quotes
            names = [part for part in str(error).split('"') if part.startswith("/")]
            where = names[0] if names else f"{self.folder}/{column}"
            raise ValueError(_damaged(pathlib.Path(where), "its crc32c does not fit")) from error

    @functools.cached_property
    def _manifest(self) -> dict:
        return _read(pathlib.Path(self.folder))

    @functools.cached_property
    def _arrays(self) -> dict[str, ts.TensorStore]:
        layout = _layout(self._manifest)
        context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE}})
        specs = {name: layout.spec(pathlib.Path(self.folder), name) for name in layout.widths}
        opening = {
            name: ts.open(spec, context=context, open=True, read=True)
            for name, spec in specs.items()
        }
        return {name: future.result() for name, future in opening.items()}


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
    arrays = {
        name: ts.open(layout.spec(path, name), open=True, create=True).result()
        for name in layout.widths
    }
    for k, (start, stop) in enumerate(layout.shards):
        if k < len(manifest["shards"]) and _whole(path, manifest["shards"][k], k):
            continue
        block = _drawn(source, start, stop, layout)
        writing = [arrays[name][start:stop].write(column) for name, column in block.items()]
        for future in writing:
            future.result()
        files = {name: _checksum(_file(path, name, k)) for name in layout.widths}
        manifest["shards"][k : k + 1] = [files]
        _replace(path / "manifest.json", manifest)
    return Stored(str(path))


def _described(source: Source, rows: int, zstd: int) -> dict:
    """The manifest of rows of which no shard is written yet."""
    first = source.rows(0, 1)
    manifest = dict(
        source=repr(source),
        tokenizer=[type(source.tokenizer).__name__, asdict(source.tokenizer)],
        T=source.T,
        rows=rows,
        zstd=zstd,
        columns={name: str(column.dtype) for name, column in first.items()},
        widths={name: column.shape[1] for name, column in first.items()},
        inner=INNER,
        shard=SHARD,
        vocabulary=source.tokenizer.size,
        shards=[],
    )
    return json.loads(json.dumps(manifest))  # as it will be read: no tuples


@dataclass(frozen=True)
class _Layout:
    """Where rows go: shapes, stored types and shards."""

    T: int
    rows: int
    zstd: int
    inner: int
    shard: int
    widths: dict[str, int]
    dtypes: dict[str, str]

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

    def spec(self, path: pathlib.Path, name: str) -> dict:
        """TensorStore's description of a column."""
        width = self.widths[name]
        checked = {"name": "crc32c"}
        plain = {"name": "bytes", "configuration": {"endian": "little"}}
        packed = [{"name": "zstd", "configuration": {"level": self.zstd}}] * bool(self.zstd)
        grid = {"chunk_shape": [self.rows_of_shard, width]}
        inner = {"chunk_shape": [self.rows_of_chunk, width], "codecs": [plain, *packed, checked]}
        return {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{path / name}/"},
            "metadata": {
                "shape": [self.rows, width],
                "data_type": self.dtypes[name],
                "chunk_grid": {"name": "regular", "configuration": grid},
                "codecs": [{"name": "sharding_indexed", "configuration": inner}],
            },
            # A chunk of zeros is written like any other: what is absent was lost.
            "store_data_equal_to_fill_value": True,
        }


def _layout(manifest: dict) -> _Layout:
    """Tokens and segments take two bytes where they fit; all else is stored as it is."""
    dtypes = dict(manifest["columns"])
    if manifest["vocabulary"] <= 2**16:
        dtypes["tokens"] = "uint16"
    if manifest["T"] < 2**16:
        dtypes["segments"] = "uint16"
    taken = {name: manifest[name] for name in ("T", "rows", "zstd", "inner", "shard", "widths")}
    return _Layout(dtypes=dtypes, **taken)


def _drawn(source: Source, start: int, stop: int, layout: _Layout) -> dict[str, np.ndarray]:
    """The rows of a shard, made in blocks: a shard at once would need a hundred times its size."""
    columns = {
        name: np.empty((stop - start, width), layout.dtypes[name])
        for name, width in layout.widths.items()
    }
    step = max(1, _BLOCK // layout.T)
    for i in range(start, stop, step):
        block = source.rows(i, min(i + step, stop))
        for name, column in columns.items():
            column[i - start : i - start + step] = block[name]
    return columns


def _read(path: pathlib.Path) -> dict | None:
    file = path / "manifest.json"
    return json.loads(file.read_text()) if file.exists() else None


def _replace(file: pathlib.Path, manifest: dict) -> None:
    """In one step, so that a kill leaves the old manifest or the new one."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(manifest))
    os.replace(new, file)


def _file(path: pathlib.Path, column: str, shard: int) -> pathlib.Path:
    return path / column / "c" / str(shard) / "0"


def _checksum(file: pathlib.Path) -> list:
    """Size and SHA-256."""
    with file.open("rb") as opened:
        return [file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest()]


def _whole(path: pathlib.Path, files: dict, shard: int) -> bool:
    found = {name: _file(path, name, shard) for name in files}
    return all(f.exists() and _checksum(f) == files[name] for name, f in found.items())


def _damaged(file: pathlib.Path, what: str) -> str:
    return f"{file}: damaged shard, {what}; run materialise again, it makes this shard anew"
