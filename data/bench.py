"""python -m data.bench: how fast rows are made, counted, searched and stored, and in what memory.

Every line is the best of five timings in CPU seconds of this process, all its threads together: a
rate on one core, whatever else the machine does. "of the ceiling" compares with grain handing out
a constant batch of the same size.
"""

import functools
import itertools
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import rich.progress
import tyro
from rich.console import Console
from rich.table import Table

from data.contact import SCOPE, Contact
from data.contamination import contamination
from data.corpus import Corpus
from data.coverage import Statements
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Cognates,
    Digits,
    FalseFriends,
    FreeOrder,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
    Script,
)
from data.language import Pair
from data.ledger import ledger
from data.mixture import Mixture
from data.name import Naming
from data.relation import CLASSES, RELATIONS
from data.search import statements
from data.store import Stored, materialise
from data.stream import iterate
from data.task.every import EVERY
from data.tokenizer import BPE
from data.world import Vocabulary, World
from data.zipf import Zipf

BATCH = 32
DEFAULT = Corpus(World(), Pair((Lexicon(0.3), Names(0.5), PossessorFirst())))
RICH = Pair((
    Lexicon(0.3), Names(0.5), Cognates(), FalseFriends(0.3), Script("mapped"), Punctuation(),
    ChatMarkers(), Order("SOV"), Case(4), Agreement("gender x number"), Articles(),
))  # fmt: skip


class Line(NamedTuple):
    """Something to be timed: `step(i)` handles `rows` rows of T tokens; the target is tokens/s."""

    what: str
    T: int
    rows: int
    step: Callable[[int], object]
    target: float = 0


@functools.cache
def everything() -> Corpus:
    """Every feature of data/feature.py that goes with the others (none of data/head.py), every
    wording, contact, Zipf's law and every task: some 36 thousand templates, which take half a
    minute to compile."""
    vocabulary = Vocabulary(numerals=True, verbs=4, templates=3, held_out=1, aliases=True)
    return Corpus(
        World(relations=(*RELATIONS, *CLASSES), tasks=EVERY, vocabulary=vocabulary),
        Pair((*RICH.features, FreeOrder(0.2), Digits()), naming=Naming(2, 4)),
        T=512,
        mixture=Mixture(
            *(0.3, 0.3, 0.2, 0.2),
            plain=0.1,
            statements=Statements(opaque=0.1),
            zipf=Zipf(nouns=1.0, words=1.0, permuted=True),
            contact=Contact(parallel=0.1, adjacent=True, scope=SCOPE, switched=0.1),
        ),
    )


class Constant:
    """The same rows for ever."""

    def __init__(self, corpus: Corpus, batch: int) -> None:
        self.batch = corpus.rows(0, batch)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        return self.batch


def lines() -> Iterator[Line]:
    """Everything but the store."""
    for T, batch in itertools.product((64, 512), (BATCH, 512)):
        corpus = replace(DEFAULT, T=T)
        target = 5e6 * (T == 512)
        yield Line("rows, default mixture", T, batch, _rows(corpus, batch), target)
        for what, source in (("", corpus), (CEILING, Constant(corpus, batch))):
            batches = iterate(source, batch)
            yield Line(f"grain{what}", T, batch, lambda i, b=batches: next(b))
    rich = replace(DEFAULT, T=512, pair=RICH)
    yield Line("rows, grammar of every feature", 512, 64, _rows(rich, 64), 1e6)
    every = World(relations=(*RELATIONS, *CLASSES), tasks=EVERY)
    asked = replace(DEFAULT, T=512, world=every)
    yield Line("rows, every task", 512, 64, _rows(asked, 64), 1e6)
    for batch in (64, 512):
        step = lambda i, b=batch: _rows(everything(), b)(i)
        yield Line("rows, everything on", 512, batch, step, 1e6)
    pieces = replace(DEFAULT, T=512, subword=BPE.train(_words(), 1000))
    yield Line("rows, byte pairs", 512, 64, _rows(pieces, 64))
    corpus, n = replace(DEFAULT, T=512), 2048
    provenance = lambda i: corpus.provenance(i * n, (i + 1) * n)
    yield Line("provenance, no token made", 512, n, provenance)
    yield Line("ledger", 512, n, lambda i: ledger(corpus, i * n, (i + 1) * n))
    tokens = corpus.rows(0, n)["tokens"]
    yield Line("search for statements", 512, n, lambda i: statements(corpus, tokens))
    search = lambda i: contamination(corpus, i * n, (i + 1) * n)
    yield Line("contamination, rows made and searched", 512, n, search)


CEILING = ", constant source"


def stored(folder: str, zstd: int) -> Iterator[Line]:
    """Rows written to `folder`, then batches of them read at random places: from a cache that holds
    all of it, and from one that holds a tenth."""
    corpus, n = replace(DEFAULT, T=512), 8192
    write = lambda i: materialise(corpus, f"{folder}/{i}", n, zstd=zstd)
    yield Line(f"store, written at zstd {zstd}", 512, n, write)
    place = np.random.Generator(np.random.Philox(0)).integers(0, n - 128, 2**16)
    row = sum(column.nbytes for column in corpus.row(0).values())
    for share, batch in itertools.product((1.5, 0.1), (32, 64, 128)):
        kept = Stored(f"{folder}/0", cache=int(share * row * n))
        read = lambda i, s=kept, b=batch: s.rows(p := place[i % len(place)], p + b)
        what = f"store, read at zstd {zstd}, " + ("cached" if share > 1 else "beyond the cache")
        yield Line(what, 512, batch, read, 30e6)


def rate(line: Line, seconds: float = 1.0) -> float:
    """Tokens a second: the fastest of five stretches, since whatever else the machine does only
    slows it down."""
    line.step(0)
    best, i = 0.0, 1
    for _ in range(5):
        begin, first = time.process_time(), i
        while (passed := time.process_time() - begin) < seconds / 5 or i == first:
            line.step(i)
            i += 1
        best = max(best, (i - first) * line.rows * line.T / passed)
    return best


def peak(step: Callable[[], object]) -> int:
    """The most bytes that a call holds at once."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _rows(corpus: Corpus, batch: int) -> Callable[[int], object]:
    return lambda i: corpus.rows(i * batch, (i + 1) * batch)


def _words() -> list[str]:
    return ["".join(f" {word}" for word in DEFAULT.tables.words[1:])]


def memory() -> Table:
    """Peak memory of what goes through a whole corpus, by the corpus's length."""
    corpus, lengths = replace(DEFAULT, T=512), (2**21, 2**23, 2**25)
    table = Table("peak memory", *(f"{n / 1e6:.0f}M tokens" for n in lengths))
    for name, through in (
        ("ledger", lambda rows: ledger(corpus, 0, rows)),
        ("contamination", lambda rows: contamination(corpus, 0, rows)),
        ("a batch, so far into the corpus", lambda rows: corpus.rows(rows, rows + BATCH)),
    ):
        found = [peak(functools.partial(through, n // 512)) for n in lengths]
        table.add_row(name, *(f"{bytes_ / 2**20:.1f} MiB" for bytes_ in found))
    return table


def main() -> None:
    """Print the table."""
    # In a pipe there is no width to ask for, and 80 columns would break every line.
    console, found = Console(width=None if sys.stdout.isatty() else 120), []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        todo = itertools.chain(lines(), stored(one, 0), stored(two, 3))
        for line in rich.progress.track(todo, "Measuring", console=Console(stderr=True)):
            found.append((line, rate(line)))
    ceiling = {(l.T, l.rows): r for l, r in found if l.what == f"grain{CEILING}"}
    table = Table("what", "T", "batch", "million tokens/s", "rows/s", "of the ceiling", "target")
    for line, tokens in found:
        top, numbers = ceiling.get((line.T, line.rows)), (str(line.T), str(line.rows))
        share = f"{tokens / top:.1%}" if top else ""
        met = "[green]met[/]" if tokens >= line.target else "[red]missed[/]"
        target = f"{line.target / 1e6:g} {met}" if line.target else ""
        values = f"{tokens / 1e6:.2f}", f"{tokens / line.T:,.0f}", share, target
        table.add_row(line.what, *numbers, *values)
    console.print(table, memory())


if __name__ == "__main__":
    tyro.cli(main, prog="python -m data.bench")
