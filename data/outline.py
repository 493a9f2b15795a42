"""What any corpus says that knows its documents: some of them with what they are, and a tally of
all, printed or as a page; where it speaks of a world, the page has a ledger too. For a corpus that
knows what its documents mean, data/preview.py shows more."""

import dataclasses
import html
from collections.abc import Iterator

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from data.ledger import ledger, made_of, speakers
from data.pack import numbered
from data.page import described, frame, heat
from data.stream import Documented
from data.survey import cells
from data.tally import tally

_SHOWN, _LOOKED = 12, 64  # documents shown, and rows looked at for them
_CELLS = 40  # most rows of the tally


def outline(source: Documented, rows: int) -> list[Table]:
    """Documents, one of every kind first, and how many there are of each in `rows` rows."""
    return [
        _table(f"Documents of rows of {source.T} tokens", *_documents(source)),
        _table(f"Documents of {rows:,} rows", *_counts(source, rows)),
    ]


def sheet(source: Documented, rows: int, title: str) -> str:
    """The same as a page that fetches nothing, with the ledger of a source that has one."""
    summary = "<p>Made of:</p>" + "".join(
        f"<p><b>{type(part).__name__}</b> <code>{html.escape(_values(part))}</code><br>"
        f"{described(part)}"
        for part in _parts(source)
    )
    first = source.tokenizer.decode(source.row(0)["tokens"])
    body = [
        ("A row as a model reads it", f"<p class=row>{html.escape(first)}</p>"),
        ("Documents, and what is known of each", _html(*_documents(source))),
        (f"How many there are of each kind in {rows:,} rows", _html(*_counts(source, rows))),
    ]
    corpus = next(speakers(source), None)
    if corpus is not None:
        said = ledger(source, 0, rows)
        mates = said["mates"].to_numpy().sum() / max(1, said["exposures"].to_numpy().sum())
        told = heat(corpus.pair.names, cells(corpus, said), mates)
        body.append(("Which facts are stated how often, and which never", told))
    return frame(title, summary, body)


def _parts(source: Documented) -> Iterator[object]:
    """A source, its transform or order, and what it is made from."""
    yield source
    for name in ("transform", "order"):
        if hasattr(source, name):
            yield getattr(source, name)
    for part in made_of(source):
        yield from _parts(part)


def _values(part: object) -> str:
    """The numbers and names in a spec, without what it is made from."""
    names = [field.name for field in dataclasses.fields(part)]
    values = ((name, getattr(part, name)) for name in names)
    plain = bool | int | float | str
    return ", ".join(f"{name}={value!r}" for name, value in values if isinstance(value, plain))


def _documents(source: Documented) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and rows of some documents."""
    seen, columns = source.rows(0, _LOOKED), [*source.provenance(0, 1)]
    kinds: dict[tuple, list] = {}
    there = np.any([seen[name] >= 0 for name in columns], axis=0)
    number = numbered(seen, there)
    for i, m in np.argwhere(there):
        values = {name: int(seen[name][i, m]) for name in columns}
        kind = tuple(values[name] for name in source.legend if name in values)
        text = source.tokenizer.decode(seen["tokens"][i, number[i] == m + 1])
        named = [_named(source, name, value) for name, value in values.items()]
        kinds.setdefault(kind, []).append([text, *named])
    found = sorted((k, kind) for kind, documents in kinds.items() for k in range(len(documents)))
    return ["document", *columns], [kinds[kind][k] for k, kind in found[:_SHOWN]]


def _counts(source: Documented, rows: int) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and rows of the tally, the most frequent kinds if there are many."""
    counts = tally(source, 0, rows)
    if counts.num_rows > _CELLS:
        counts = counts.sort_by([("documents", "descending")]).slice(0, _CELLS)
    said = [["" if x is None else f"{x:,}" if isinstance(x, int) else x for x in row.values()]
            for row in counts.to_pylist()]  # fmt: skip
    return counts.column_names, said


def _named(source: Documented, column: str, value: int) -> str:
    return "" if value < 0 else source.legend.get(column, {value: str(value)})[value]


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1))
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _html(columns: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(x)}" for x in row) for row in rows)
    return f"<div class=wide><table class=plain><thead><tr>{head}<tbody>{body}</table></div>"
