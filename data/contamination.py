"""The search for what must not be said: held-out statements in the rendered tokens.

    python -m data.contamination NAME --tokens 1e8

searches the corpus of the experiment NAME with every core. It trusts neither the generator nor its
provenance: data/search.py reads the tokens.
"""

import functools
import os
import sys
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import tyro

from data import search, spec
from data.corpus import Corpus
from data.ledger import blocks, named, over
from data.world import DIRECTIONS

_BLOCK = 2**18  # tokens searched together
_SPAN = 2**22  # tokens a process searches before it reports


def contamination(
    corpus: Corpus, start: int, stop: int, cells: np.ndarray | None = None
) -> pa.Table:
    """Every place in the tokens of rows start..stop where a held-out cell is stated, none if all is
    well. `cells` (facts, languages, directions) bool is by default what the groups do not state.

    Columns: row, position (where the statement begins), fact, language, direction, template."""
    found, tables = _search(corpus, (start, stop), cells).hits, corpus.tables
    return pa.table(
        dict(
            row=found.row,
            position=found.position,
            fact=found.fact,
            language=named(corpus.pair.names, tables.language[found.template]),
            direction=named(DIRECTIONS, found.direction),
            template=named(tables.names, found.template),
        )
    )


class Proof(NamedTuple):
    """What a search found: statements of held-out cells, and of how many it found in all."""

    hits: search.Statements
    statements: int


def proof(corpus: Corpus, rows: int, processes: int = 1) -> Proof:
    """The search of rows 0..rows, with a bar of its progress on stderr."""
    if rows < 1 or processes < 1:
        raise ValueError(f"rows={rows}, processes={processes}: choose 1 or more of either")
    spans = list(blocks(corpus, 0, rows, _SPAN))
    step = functools.partial(_search, cells=None)
    return _joined(list(over(corpus, spans, step, processes, "Searching")))


def _search(corpus: Corpus, span: tuple[int, int], cells: np.ndarray | None) -> Proof:
    cells, parts = ~corpus.stated if cells is None else cells, []
    for first, last in blocks(corpus, *span, _BLOCK):
        said = search.statements(corpus, corpus.rows(first, last)["tokens"])
        language = corpus.tables.language[said.template]
        chosen = cells[said.fact, language, said.direction]
        hits = search.Statements(*(column[chosen] for column in said))
        parts.append(Proof(hits._replace(row=hits.row + first), len(said.fact)))
    return _joined(parts)


def _joined(parts: list[Proof]) -> Proof:
    columns = zip(*(part.hits for part in parts), strict=True)
    none = np.zeros(0, np.int64)
    hits = [np.concatenate([none, *column]) for column in columns] or [none] * 5
    return Proof(search.Statements(*hits), sum(part.statements for part in parts))


def main(
    name: tyro.conf.Positional[str], tokens: float = 1e8, processes: int = os.cpu_count() or 1
) -> None:
    """Searches the tokens of an experiment's corpus for statements that are held out; exits with 1
    if there are any.

    Args:
        name: an experiment, as in experiments/<name>.py
        tokens: how many tokens of the corpus
        processes: how many search at once
    """
    try:
        corpus = spec.corpus(name)
        found = proof(corpus, -(-int(tokens) // corpus.T), processes)
    except ValueError as error:
        sys.exit(f"data.contamination: {error}")
    said = f"{found.statements:,} statements found in {tokens:,.0f} tokens"
    if len(found.hits.row):
        where = f"first in row {found.hits.row[0]} at token {found.hits.position[0]}"
        sys.exit(f"{said}, {len(found.hits.row):,} of them held out, {where}")
    print(f"{said}, none of them held out ({(~corpus.stated).sum():,} are)")


if __name__ == "__main__":
    tyro.cli(main)
