"""The search for what must not be said: held-out statements and items in the rendered tokens.

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
    found, tables = _search(corpus, (start, stop), cells, asked=False).hits, corpus.tables
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
    """What a search found: statements of held-out cells, and of how many it found in all; items of
    list tasks that are kept for evaluation, by row and position (n, 2), and of how many."""

    hits: search.Statements
    statements: int
    kept: np.ndarray
    items: int


def proof(corpus: Corpus, rows: int, processes: int = 1) -> Proof:
    """The search of rows 0..rows, with a bar of its progress on stderr."""
    if rows < 1 or processes < 1:
        raise ValueError(f"rows={rows}, processes={processes}: choose 1 or more of either")
    spans = list(blocks(corpus, 0, rows, _SPAN))
    step = functools.partial(_search, cells=None, asked=True)
    return _joined(list(over(corpus, spans, step, processes, "Searching")))


def _search(corpus: Corpus, span: tuple[int, int], cells: np.ndarray | None, asked: bool) -> Proof:
    cells, parts = ~corpus.stated if cells is None else cells, []
    for first, last in blocks(corpus, *span, _BLOCK):
        tokens = corpus.rows(first, last)["tokens"]
        said, kept, items = search.statements(corpus, tokens), np.zeros((0, 2), np.int64), 0
        if asked:
            kept, items = search.items(corpus, tokens)
        language = corpus.tables.language[said.template]
        chosen = cells[said.fact, language, said.direction]
        hits = search.Statements(*(column[chosen] for column in said))
        hits, kept = hits._replace(row=hits.row + first), kept + np.array([first, 0])
        parts.append(Proof(hits, len(said.fact), kept, items))
    return _joined(parts)


def _joined(parts: list[Proof]) -> Proof:
    columns = zip(*(part.hits for part in parts), strict=True)
    none = np.zeros(0, np.int64)
    hits = [np.concatenate([none, *column]) for column in columns] or [none] * 5
    kept = np.concatenate([np.zeros((0, 2), np.int64), *(part.kept for part in parts)])
    statements, items = (sum(getattr(part, n) for part in parts) for n in ("statements", "items"))
    return Proof(search.Statements(*hits), statements, kept, items)


def main(
    name: tyro.conf.Positional[str], tokens: float = 1e8, processes: int = os.cpu_count() or 1
) -> None:
    """Searches the tokens of an experiment's corpus for statements and items that are held out;
    exits with 1 if there are any.

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
    said = f"{found.statements:,} statements and {found.items:,} items in {tokens:,.0f} tokens"
    wrong = np.concatenate([np.stack(found.hits[:2], 1), found.kept])
    if len(wrong):
        row, token = wrong[0]
        sys.exit(f"{said}, {len(wrong):,} of them held out, the first in row {row}, token {token}")
    print(f"{said}, none of them held out")


if __name__ == "__main__":
    tyro.cli(main)
