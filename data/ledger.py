"""What has been said, counted: exposures of every fact, and a census of all documents.

    python -m data.ledger NAME --tokens 1e9 --out ledger.parquet

counts the corpus of the experiment NAME with every core. The ledger counts what provenance says and
makes no token of it, unless a transform has to; data/contamination.py reads the tokens and trusts
nothing else. What states no fact of a world (biographies, products) is counted by data/tally.py.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rich.console
import rich.progress
import tyro

from data import spec
from data.corpus import Corpus
from data.pack import numbered
from data.stream import Documented
from data.template import REGISTERS
from data.world import DIRECTIONS

_BLOCK = 2**18  # tokens looked at together: memory does not grow with the corpus
_SPAN = 2**23  # tokens a process counts before it reports
_GROUP = 2**18  # facts of a row group of a ledger's file
_OF_TEMPLATE = ("kind", "language", "register")  # what a template is of; all else makes a column


def ledger(source: Documented, start: int, stop: int) -> pa.Table:
    """Exposures in rows start..stop of every fact in every way to state it, zeros included.

    Columns: fact, relation, group, language, direction, template, register, whatever else the
    source tells of its documents (`transform`, `phase`, `replayed`), stated (whether the world's
    groups allow the cell), exposures, and mates: how many of the exposures come after another
    statement of the same fact, in whatever words, in the same row. A template that states its fact
    in two languages has a row for each, and of the second all exposures have a mate. `switched`
    counts apart the statements that have words of another language: they are no exposures.

    Every fact has a row for each template of its relation, and for each way in which some fact of
    its relation is stated: turned round by a transform, in a phase.

    >>> from data.feature import Lexicon
    >>> from data.language import Pair
    >>> from data.reorder import ReverseWords
    >>> from data.transform import Transformed
    >>> from data.world import World
    >>> base = Corpus(World(), Pair((Lexicon(0.3),)))
    >>> table = ledger(Transformed(base, ReverseWords(), share=0.5), 0, 2000)
    >>> by = table.group_by(["direction", "transform"]).aggregate([("exposures", "sum")])
    >>> for row in by.sort_by("exposures_sum").to_pylist(): print(*row.values())
    reverse none 639
    forward ReverseWords 646
    reverse ReverseWords 2117
    forward none 2146
    """
    counted = (_count(source, span) for span in blocks(source, start, stop, _SPAN))
    return pa.concat_tables(_tables(source, _sum(source, counted)))


def write(source: Documented, rows: int, out: str | os.PathLike, processes: int = 1) -> None:
    """The ledger of rows 0..rows as a parquet file, with a bar of its progress on stderr.

    Memory is that of the world's cells, however many rows there are. The file appears whole or not
    at all, and is the same for any number of `processes`."""
    if rows < 1 or processes < 1:
        raise ValueError(f"rows={rows}, processes={processes}: choose 1 or more of either")
    part = pathlib.Path(f"{out}.part")
    if not part.parent.is_dir():
        raise ValueError(f"{part.parent} is no folder; make it, or choose another file")
    if pathlib.Path(out).is_dir():
        raise ValueError(f"{out} is a folder; choose a file, e.g. {out}/ledger.parquet")
    part.touch()  # a folder that cannot be written to says so before hours of counting
    part.unlink()
    spans = list(blocks(source, 0, rows, _SPAN))
    counts = _sum(source, over(source, spans, _count, processes, "Counting"))
    tables = _tables(source, counts)
    first = next(tables)
    with pq.ParquetWriter(part, first.schema) as file:
        file.write_table(first)
        for table in tables:
            file.write_table(table)
    part.rename(out)


def speakers(source: Documented) -> Iterator[Corpus]:
    """The corpora that a source is made of, the first one first."""
    if hasattr(source, "sampler"):
        yield source
    for part in made_of(source):
        yield from speakers(part)


def made_of(source: Documented) -> Iterator[Documented]:
    """The sources whose rows a source has, the first one first."""
    for part in ("base", "tuning", "pretraining", "other"):
        if hasattr(source, part):
            yield getattr(source, part)


def spoken(source: Documented) -> Corpus:
    """The corpus whose world and languages a source speaks of."""
    corpus = next(speakers(source), None)
    if corpus is None:
        raise ValueError(
            f"{type(source).__name__} states no facts of a world; count its documents with "
            "data.tally, or choose a Corpus"
        )
    return corpus


def _more(source: Documented) -> dict[str, tuple[str, ...]]:
    """The columns that tell ways apart beside template and direction, and their names."""
    known = {"template", "direction", *_OF_TEMPLATE}
    return {name: names for name, names in source.legend.items() if name not in known}


def _sizes(source: Documented) -> tuple[int, ...]:
    """Of a way to state a fact: template, direction, and 1 + each of `_more`, 0 for none."""
    more = (len(names) + 1 for names in _more(source).values())
    return len(source.legend["template"]), len(DIRECTIONS), *more


def _count(source: Documented, span: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The cells that rows of a span state, and how often: the way, the fact, and 1 for one with a
    mate or 2 for one that is code-switched, as one number, so that a way's are side by side."""
    sizes, facts, found = _sizes(source), len(spoken(source).world.facts.relation), []
    for first, last in blocks(source, *span, _BLOCK):
        said = source.provenance(first, last)
        row, m = np.nonzero(said["fact"] >= 0)
        fact, *way = (
            said[name][row, m].astype(np.int64)
            for name in ("fact", "template", "direction", *_more(source))
        )
        how = _mated(row * facts + fact).astype(np.int64)
        if "switched" in said:
            how[said["switched"][row, m] > 0] = 2
        way = np.ravel_multi_index((*way[:2], *(1 + column for column in way[2:])), sizes)
        found.append(3 * (way * facts + fact) + how)
    return np.unique(np.concatenate(found), return_counts=True)


def _mated(key: np.ndarray) -> np.ndarray:
    """Which keys have appeared before."""
    order = np.argsort(key, kind="stable")
    before = np.zeros(len(key), bool)
    before[order[1:]] = key[order[1:]] == key[order[:-1]]
    return before


def _sum(
    source: Documented, counted: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[int, np.ndarray]:
    """Of every way (facts of its relation, 3): exposures without and with a mate, and code-switched
    statements."""
    base, sizes = spoken(source), _sizes(source)
    tables, relation = base.tables, base.world.facts.relation
    own = [np.flatnonzero(relation == r) for r in range(len(base.world.relations))]
    place = np.zeros(len(relation), np.int64)
    for facts in own:
        place[facts] = np.arange(len(facts))
    none = lambda z: np.zeros((len(own[tables.templates[z].relation]), 3), np.int64)
    (stating,) = np.nonzero([template.relation >= 0 for template in tables.templates])
    plain = [np.full(len(stating), int(bool(n))) for n in sizes[2:]]
    ways = np.ravel_multi_index((stating, tables.direction[stating], *plain), sizes)
    counts = {int(way): none(z) for way, z in zip(ways, stating, strict=True)}
    for cells, times in counted:
        way, cell = np.divmod(cells, 3 * len(relation))
        ends = np.flatnonzero(np.diff(way, append=-1)) + 1
        for first, last in zip([0, *ends], ends, strict=False):
            z = way[first] // np.prod(sizes[1:], dtype=np.int64)
            table = counts.setdefault(int(way[first]), none(z))
            fact, how = np.divmod(cell[first:last], 3)
            table[place[fact], how] += times[first:last]
    return counts


def _tables(source: Documented, counts: dict[int, np.ndarray]) -> Iterator[pa.Table]:
    """The ledger, some facts of a relation at a time."""
    base, ways = spoken(source), np.array(sorted(counts))
    template = np.unravel_index(ways, _sizes(source))[0]
    relation = np.array([t.relation for t in base.tables.templates])[template]
    for r in range(len(base.world.relations)):
        (facts,) = np.nonzero(base.world.facts.relation == r)
        mine = ways[relation == r]
        for start in range(0, len(facts), _GROUP):
            stop = start + _GROUP
            counted = np.stack([counts[way][start:stop] for way in mine], 1)
            yield _table(source, facts[start:stop], mine, counted)


def _table(source: Documented, facts: np.ndarray, ways: np.ndarray, counted: np.ndarray):
    """A row for each of some facts in each way, two where a template says it in two languages;
    `counted` (facts, ways, 3)."""
    base = spoken(source)
    tables, world = base.tables, base.world
    template, direction, *more = np.unravel_index(ways, _sizes(source))
    way = np.repeat(np.arange(len(ways)), 1 + (tables.also[template] >= 0))
    again = np.diff(way, prepend=-1) == 0
    language = np.where(again, tables.also[template[way]], tables.language[template[way]])
    fact, way = np.repeat(facts, len(way)), np.tile(way, len(facts))
    language = np.tile(language, len(facts))
    counted = counted[np.arange(len(facts)).repeat(len(way) // len(facts)), way]
    template, direction = template[way], direction[way]
    exposures, again = counted[:, :2].sum(1), np.tile(again, len(facts))
    own = zip(_more(source).items(), more, strict=True)
    return pa.table(
        dict(
            fact=fact,
            relation=named([r.name for r in world.relations], world.facts.relation[fact]),
            group=named([group.name for group in world.groups], world.facts.group[fact]),
            language=named(base.pair.names, language),
            direction=named(DIRECTIONS, direction),
            template=named(tables.names, template),
            register=named(REGISTERS, tables.register[template]),
            **{name: named((None, *names), code[way]) for (name, names), code in own},
            stated=base.stated[fact, language, direction],
            exposures=exposures,
            mates=np.where(again, exposures, counted[:, 1]),
            switched=counted[:, 2],
        )
    )


def census(source: Documented, start: int, stop: int) -> pa.Table:
    """Documents and tokens (their <doc> included) of each register and language."""
    registers, languages = (source.legend[name] for name in ("register", "language"))
    shape = len(registers), len(languages)
    documents, tokens = np.zeros((2, *shape), np.int64)
    for first, last in blocks(source, start, stop, _BLOCK):
        rows = source.rows(first, last)
        row, m = np.nonzero(rows["register"] >= 0)
        B, M = rows["register"].shape
        place = numbered(rows, rows["register"] >= 0) + np.arange(B)[:, None] * (M + 1)
        length = np.bincount(place.ravel(), minlength=B * (M + 1)).reshape(B, M + 1)
        cell = rows["register"][row, m], rows["language"][row, m]
        np.add.at(documents, cell, 1)
        np.add.at(tokens, cell, length[row, m + 1])
    register, language = np.indices(shape).reshape(2, -1)
    return pa.table(
        dict(
            register=named(registers, register),
            language=named(languages, language),
            documents=documents.ravel(),
            tokens=tokens.ravel(),
        )
    )


def over(
    source: Documented, spans: list, step: Callable, processes: int, doing: str
) -> Iterator[tuple[np.ndarray, ...]]:
    """`step(source, span)` of every span in order, by several processes at once, with a bar of
    progress on stderr."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, spawn) as pool:
        each = map if processes == 1 else pool.map
        done = each(functools.partial(_step, step, _bare(source)), spans)
        console = rich.console.Console(stderr=True)
        one = len(spans) < 2
        yield from rich.progress.track(done, doing, len(spans), console=console, disable=one)


def _bare(spec):
    """A spec without what was computed from it, to be sent to every process."""
    if isinstance(spec, type) or not dataclasses.is_dataclass(spec):
        return spec
    return dataclasses.replace(
        spec, **{f.name: _bare(getattr(spec, f.name)) for f in dataclasses.fields(spec) if f.init}
    )


def _step(step: Callable, source: Documented, span: tuple[int, int]) -> tuple[np.ndarray, ...]:
    return step(_known(source), span)


@functools.lru_cache(maxsize=1)
def _known(source: Documented) -> Documented:
    """The first of equal corpora: what was computed from it is not computed again."""
    return source


def blocks(source: Documented, start: int, stop: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Rows start..stop in stretches of so many tokens."""
    step = max(1, tokens // source.T)
    return ((first, min(first + step, stop)) for first in range(start, stop, step))


def named(names: Iterable[str | None], index: np.ndarray) -> pa.Array:
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
        write(corpus, spec.rows(corpus, tokens), out, processes)
        print(out)
    except (ValueError, OSError) as error:
        sys.exit(f"data.ledger: {error}")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m data.ledger")
