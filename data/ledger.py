"""What has been said, counted: exposures of every fact, and a census of all documents.

    python -m data.ledger NAME --tokens 1e9 --out ledger.parquet

counts the corpus of the experiment NAME with every core. The ledger counts what the corpus drew and
makes no token of it; data/contamination.py reads the tokens and trusts nothing else.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rich.console
import rich.progress
import tyro

from data import spec
from data.corpus import Corpus
from data.template import REGISTERS
from data.world import DIRECTIONS

_BLOCK = 2**18  # tokens looked at together: memory does not grow with the corpus
_SPAN = 2**23  # tokens a process counts before it reports
_GROUP = 2**18  # facts of a row group of a ledger's file


def ledger(corpus: Corpus, start: int, stop: int) -> pa.Table:
    """Exposures in rows start..stop of every fact in every way to state it, zeros included.

    Columns: fact, relation, group, language, direction, template, register, stated (whether the
    world's groups allow the cell), exposures, and mates: how many of the exposures come after
    another statement of the same fact, in whatever words, in the same row. A template that states
    its fact in two languages has a row for each. `switched` counts apart the statements that have
    words of another language: they are no exposures."""
    counted = (_count(corpus, span) for span in blocks(corpus, start, stop, _SPAN))
    return pa.concat_tables(_tables(corpus, _sum(corpus, counted)))


def write(corpus: Corpus, rows: int, out: str | os.PathLike, processes: int = 1) -> None:
    """The ledger of rows 0..rows as a parquet file, with a bar of its progress on stderr.

    Memory is that of the world's cells, however many rows there are. The file appears whole or not
    at all, and is the same for any number of `processes`."""
    if rows < 1 or processes < 1:
        raise ValueError(f"rows={rows}, processes={processes}: choose 1 or more of either")
    spans = list(blocks(corpus, 0, rows, _SPAN))
    counts = _sum(corpus, over(corpus, spans, _count, processes, "Counting"))
    part = pathlib.Path(f"{out}.part")
    tables = _tables(corpus, counts)
    first = next(tables)
    with pq.ParquetWriter(part, first.schema) as file:
        file.write_table(first)
        for table in tables:
            file.write_table(table)
    part.rename(out)


class _Cells(NamedTuple):
    """Every fact meets the templates of its relation, in cells first[fact] + local[template]."""

    first: np.ndarray  # (facts + 1)
    local: np.ndarray  # (Z) -1 where a template states no fact
    templates: tuple[np.ndarray, ...]  # of every relation


@functools.lru_cache(maxsize=4)
def _cells(corpus: Corpus) -> _Cells:
    tables, local = corpus.tables, np.full(len(corpus.tables.templates), -1)
    relation = np.array([template.relation for template in tables.templates])
    relations = range(len(corpus.world.relations))
    templates = tuple(np.flatnonzero(relation == r) for r in relations)
    for own in templates:
        local[own] = np.arange(len(own))
    many = np.array([len(own) for own in templates])[corpus.world.facts.relation]
    return _Cells(np.concatenate([[0], np.cumsum(many)]), local, templates)


def _count(corpus: Corpus, span: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The cells that rows of a span state, 3 cell + (1 for one with a mate, 2 for one that is
    code-switched), and how often."""
    cells, found = _cells(corpus), []
    for first, last in blocks(corpus, *span, _BLOCK):
        said = corpus.provenance(first, last)
        row, m = np.nonzero(said["fact"] >= 0)
        fact, template = said["fact"][row, m].astype(np.int64), said["template"][row, m]
        cell = cells.first[fact] + cells.local[template]
        how = _mated(row * len(cells.first) + fact).astype(np.int64)
        if "switched" in said:
            how[said["switched"][row, m] > 0] = 2
        found.append(3 * cell + how)
    return np.unique(np.concatenate(found), return_counts=True)


def _mated(key: np.ndarray) -> np.ndarray:
    """Which keys have appeared before."""
    order = np.argsort(key, kind="stable")
    before = np.zeros(len(key), bool)
    before[order[1:]] = key[order[1:]] == key[order[:-1]]
    return before


def _sum(corpus: Corpus, counted: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(cells, 3): exposures without and with a mate, and code-switched statements."""
    counts = np.zeros(3 * _cells(corpus).first[-1], np.int64)
    for cells, times in counted:
        counts[cells] += times
    return counts.reshape(-1, 3)


def _tables(corpus: Corpus, counts: np.ndarray) -> Iterator[pa.Table]:
    """The ledger, some facts at a time."""
    tables, facts, cells = corpus.tables, corpus.world.facts, _cells(corpus)
    groups = [group.name for group in corpus.world.groups]
    for start in range(0, len(facts.relation), _GROUP):
        own = np.arange(start, min(start + _GROUP, len(facts.relation)))
        fact = np.repeat(own, np.diff(cells.first)[own])
        template = np.concatenate([cells.templates[r] for r in facts.relation[own]])
        counted = counts[cells.first[own[0]] : cells.first[own[-1] + 1]]
        times = 1 + (tables.also[template] >= 0)
        again = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        fact, template, counted = (np.repeat(x, times, 0) for x in (fact, template, counted))
        language = np.where(again, tables.also[template], tables.language[template])
        direction = tables.direction[template]
        yield pa.table(
            dict(
                fact=fact,
                relation=named([r.name for r in corpus.world.relations], facts.relation[fact]),
                group=named(groups, facts.group[fact]),
                language=named(corpus.pair.names, language),
                direction=named(DIRECTIONS, direction),
                template=named(tables.names, template),
                register=named(REGISTERS, tables.register[template]),
                stated=corpus.stated[fact, language, direction],
                exposures=counted[:, :2].sum(1),
                mates=counted[:, 1],
                switched=counted[:, 2],
            )
        )


def census(corpus: Corpus, start: int, stop: int) -> pa.Table:
    """Documents and tokens (their <doc> included) of each register and language."""
    shape = len(REGISTERS), len(corpus.pair.names)
    documents, tokens = np.zeros((2, *shape), np.int64)
    for first, last in blocks(corpus, start, stop, _BLOCK):
        rows = corpus.rows(first, last)
        row, m = np.nonzero(rows["kind"] >= 0)
        B, M = rows["kind"].shape
        place = rows["segments"] + np.arange(B)[:, None] * (M + 1)
        length = np.bincount(place.ravel(), minlength=B * (M + 1)).reshape(B, M + 1)
        cell = rows["register"][row, m], rows["language"][row, m]
        np.add.at(documents, cell, 1)
        np.add.at(tokens, cell, length[row, m + 1])
    register, language = np.indices(shape).reshape(2, -1)
    return pa.table(
        dict(
            register=named(REGISTERS, register),
            language=named(corpus.pair.names, language),
            documents=documents.ravel(),
            tokens=tokens.ravel(),
        )
    )


def over(
    corpus: Corpus, spans: list, step: Callable, processes: int, doing: str
) -> Iterator[tuple[np.ndarray, ...]]:
    """`step(corpus, span)` of every span in order, by several processes at once, with a bar of
    progress on stderr."""
    spawn = multiprocessing.get_context("spawn")
    # Sent to every process without what was computed from it.
    bare = dataclasses.replace(corpus, world=dataclasses.replace(corpus.world))
    with concurrent.futures.ProcessPoolExecutor(processes, spawn) as pool:
        each = map if processes == 1 else pool.map
        done = each(functools.partial(_step, step, bare), spans)
        console = rich.console.Console(stderr=True)
        one = len(spans) < 2
        yield from rich.progress.track(done, doing, len(spans), console=console, disable=one)


def _step(step: Callable, corpus: Corpus, span: tuple[int, int]) -> tuple[np.ndarray, ...]:
    return step(_known(corpus), span)


@functools.lru_cache(maxsize=1)
def _known(corpus: Corpus) -> Corpus:
    """The first of equal corpora: what was computed from it is not computed again."""
    return corpus


def blocks(corpus: Corpus, start: int, stop: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Rows start..stop in stretches of so many tokens."""
    step = max(1, tokens // corpus.T)
    return ((first, min(first + step, stop)) for first in range(start, stop, step))


def named(names: Iterable[str], index: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(index))


def main(
    name: tyro.conf.Positional[str],
    out: pathlib.Path = pathlib.Path("ledger.parquet"),
    tokens: float = 1e9,
    processes: int = os.cpu_count() or 1,
) -> None:
    """Counts the exposures of every fact in the corpus of an experiment.

    Args:
        name: an experiment, as in experiments/<name>.py
        out: the parquet file to write
        tokens: how many tokens of the corpus
        processes: how many count at once
    """
    try:
        corpus = spec.corpus(name)
        write(corpus, -(-int(tokens) // corpus.T), out, processes)
    except ValueError as error:
        sys.exit(f"data.ledger: {error}")


if __name__ == "__main__":
    tyro.cli(main)
