"""What any corpus says that knows its documents: some of them with what they are, and a tally of
all. For a corpus that speaks of a world, data/preview.py shows more."""

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from data.stream import Documented
from data.tally import tally

_SHOWN, _LOOKED = 12, 64  # documents shown, and rows looked at for them
_CELLS = 40  # most rows of the tally


def outline(source: Documented, rows: int) -> list[Table]:
    """Documents, one of every kind first, and how many there are of each in `rows` rows."""
    return [_documents(source), _counts(source, rows)]


def _documents(source: Documented) -> Table:
    seen, columns = source.rows(0, _LOOKED), [*source.provenance(0, 1)]
    table = _table(f"Documents of rows of {source.T} tokens", "document", *columns)
    kinds: dict[tuple, list] = {}
    for i, m in np.argwhere(np.any([seen[name] >= 0 for name in columns], axis=0)):
        values = {name: int(seen[name][i, m]) for name in columns}
        kind = tuple(values[name] for name in source.legend if name in values)
        text = source.tokenizer.decode(seen["tokens"][i, seen["segments"][i] == m + 1])
        named = [_named(source, name, value) for name, value in values.items()]
        kinds.setdefault(kind, []).append([escape(text), *named])
    found = sorted((k, kind) for kind, documents in kinds.items() for k in range(len(documents)))
    for k, kind in found[:_SHOWN]:
        table.add_row(*kinds[kind][k])
    return table


def _counts(source: Documented, rows: int) -> Table:
    counts = tally(source, 0, rows)
    title = f"Documents of {rows:,} rows"
    if counts.num_rows > _CELLS:
        counts = counts.sort_by([("documents", "descending")]).slice(0, _CELLS)
        title += f", the {_CELLS} most frequent kinds"
    table = _table(title, *counts.column_names)
    for row in counts.to_pylist():
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    return table


def _named(source: Documented, column: str, value: int) -> str:
    return "" if value < 0 else escape(source.legend.get(column, {value: str(value)})[value])


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1))
