"""What has been said, counted: exposures of every fact, and the search for what must not be said.

The ledger and the census count what the corpus drew; contamination() reads the tokens of the rows
and trusts nothing else.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.meaning import Fact
from data.speaker import speaker
from data.template import REGISTERS
from data.world import DIRECTIONS, RELATIONS

_BLOCK = 2**18  # tokens looked at together: memory does not grow with the corpus


def ledger(corpus: Corpus, start: int, stop: int) -> pa.Table:
    """Exposures in rows start..stop of every fact in every way to state it, zeros included.

    Columns: fact, relation, group, language, direction, template, register, stated (whether the
    world's groups allow the cell), exposures."""
    tables, facts = corpus.tables, corpus.world.facts
    Z = len(tables.templates)
    counts = np.zeros(len(facts.group) * Z, np.int64)
    for first, last in _blocks(corpus, start, stop):
        said = corpus.provenance(first, last)
        stated = said["fact"] >= 0
        cell = said["fact"][stated].astype(np.int64) * Z + said["template"][stated]
        counts += np.bincount(cell, minlength=len(counts))
    # Every fact meets the templates of its own relation.
    relation = np.array([_relation(template.meaning) for template in tables.templates])
    fact, template = np.nonzero(facts.relation[:, None] == relation)
    language, direction = tables.language[template], tables.direction[template]
    return pa.table(
        dict(
            fact=fact,
            relation=_named([r.name for r in RELATIONS], facts.relation[fact]),
            group=_named([group.name for group in corpus.world.groups], facts.group[fact]),
            language=_named(corpus.pair.names, language),
            direction=_named(DIRECTIONS, direction),
            template=_named(tables.names, template),
            register=_named(REGISTERS, tables.register[template]),
            stated=corpus.stated[fact, language, direction],
            exposures=counts.reshape(-1, Z)[fact, template],
        )
    )


def census(corpus: Corpus, start: int, stop: int) -> pa.Table:
    """Documents and tokens (their <doc> included) of each register and language."""
    shape = len(REGISTERS), len(corpus.pair.names)
    documents, tokens = np.zeros((2, *shape), np.int64)
    for first, last in _blocks(corpus, start, stop):
        rows = corpus.rows(first, last)
        row, m = np.nonzero(rows["kind"] >= 0)
        length = (
            rows["segments"][:, None] == np.arange(1, rows["kind"].shape[1] + 1)[:, None]
        ).sum(2)
        cell = rows["register"][row, m], rows["language"][row, m]
        np.add.at(documents, cell, 1)
        np.add.at(tokens, cell, length[row, m])
    register, language = np.indices(shape).reshape(2, -1)
    return pa.table(
        dict(
            register=_named(REGISTERS, register),
            language=_named(corpus.pair.names, language),
            documents=documents.ravel(),
            tokens=tokens.ravel(),
        )
    )


def contamination(
    corpus: Corpus, start: int, stop: int, held_out: np.ndarray | None = None
) -> pa.Table:
    """Every place in the tokens of rows start..stop where a held-out cell is stated, none if all is
    well. `held_out` (facts, languages, directions) bool is by default every cell the groups do not
    state.

    Columns: row, position (where the statement begins), fact, language, direction."""
    held_out = ~corpus.stated if held_out is None else held_out
    cells = np.argwhere(held_out)
    by_length: dict[int, list[int]] = {}
    statements = [_statement(corpus, *cell) for cell in cells.tolist()]
    for i, statement in enumerate(statements):
        by_length.setdefault(len(statement), []).append(i)
    found = [np.zeros((0, 3), np.int64)]
    for first, last in _blocks(corpus, start, stop):
        tokens = corpus.rows(first, last)["tokens"]
        for members in by_length.values():
            sought = np.array([statements[i] for i in members], np.int32)
            row, position, which = _search(tokens, sought)
            found.append(np.stack([row + first, position, np.array(members)[which]], 1))
    row, position, which = np.concatenate(found).T
    fact, language, direction = cells[which].T
    return pa.table(
        dict(
            row=row,
            position=position,
            fact=fact,
            language=_named(corpus.pair.names, language),
            direction=_named(DIRECTIONS, direction),
        )
    )


def _search(tokens: np.ndarray, sought: np.ndarray) -> tuple[np.ndarray, ...]:
    """Row, position and index into `sought` (n, length) wherever it stands in `tokens`.

    A hash of every window finds candidates, a comparison of tokens decides."""
    length = sought.shape[1]
    if length > tokens.shape[1]:
        return (np.zeros(0, np.int64),) * 3
    factor = np.random.Generator(np.random.Philox(key=0)).integers(1, 2**63, length, np.uint64) | 1
    width = tokens.shape[1] - length + 1
    windows = sum(tokens[:, j : j + width].astype(np.uint64) * factor[j] for j in range(length))
    keys = (sought.astype(np.uint64) * factor).sum(1)
    order = np.argsort(keys)
    low, high = (np.searchsorted(keys[order], windows, side) for side in ("left", "right"))
    row, position = np.nonzero(high > low)
    # Several cells may be said by the same words: repeat the window for each of them.
    times = (high - low)[row, position]
    begin = np.repeat(low[row, position], times)
    which = order[begin + np.arange(len(begin)) - np.repeat(np.cumsum(times) - times, times)]
    row, position = np.repeat(row, times), np.repeat(position, times)
    same = (tokens[row[:, None], position[:, None] + np.arange(length)] == sought[which]).all(1)
    return row[same], position[same], which[same]


def _statement(corpus: Corpus, fact: int, language: int, direction: int) -> list[int]:
    relation, *entities, _ = corpus.world.fact(fact)
    meaning = Fact(relation, *entities, focus=entities[direction])
    words = speaker(corpus.pair, corpus.world).render(meaning, language)
    return corpus.tokenizer.encode("".join(f" {word}" for word in words))


def _relation(meaning) -> int:
    names = [relation.name for relation in RELATIONS]
    return names.index(meaning.relation) if isinstance(meaning, Fact) else -1


def _blocks(corpus: Corpus, start: int, stop: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK // corpus.T)
    return ((first, min(first + step, stop)) for first in range(start, stop, step))


def _named(names, index: np.ndarray) -> np.ndarray:
    return np.array(names)[index]
