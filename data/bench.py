"""python -m data.bench: how fast rows are made on one core, beside what grain alone allows.

Every line is the best of five timings of whole batches, in seconds of this process, so that a busy
machine counts for less; the ceiling is grain handing out a constant batch.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from data.contamination import contamination
from data.corpus import Corpus
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Cognates,
    FalseFriends,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
    Script,
)
from data.language import Pair
from data.ledger import ledger
from data.store import materialise
from data.stream import iterate
from data.tokenizer import BPE
from data.world import World

BATCH = 32
DEFAULT = Corpus(World(), Pair((Lexicon(0.3), Names(0.5), PossessorFirst())))
RICH = Pair((
    Lexicon(0.3), Names(0.5), Cognates(), FalseFriends(0.3), Script("mapped"), Punctuation(),
    ChatMarkers(), Order("SOV"), Case(4), Agreement("gender x number"), Articles(),
))  # fmt: skip


class Constant:
    """The same rows for ever."""

    def __init__(self, corpus: Corpus, batch: int) -> None:
        self.batch = corpus.rows(0, batch)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        return self.batch


def rates(seconds: float = 1.0) -> dict[str, float]:
    """Tokens a second of everything that is measured."""
    found = {}
    for T in (64, 512):
        corpus = replace(DEFAULT, T=T)
        for batch in (BATCH, 1024 * 32 // T):
            name = f"T={T}, batches of {batch}"
            step = lambda i, corpus=corpus, batch=batch: corpus.rows(i * batch, (i + 1) * batch)
            found[f"rows, {name}"] = _rate(step, batch * T, seconds)
            for what, source in (
                ("grain", corpus),
                ("grain, constant source", Constant(corpus, batch)),
            ):
                batches = iterate(source, batch)
                found[f"{what}, {name}"] = _rate(lambda i, b=batches: next(b), batch * T, seconds)
    rich = replace(DEFAULT, T=512, pair=RICH)
    found["rows of every feature, T=512, batches of 64"] = _rate(
        lambda i: rich.rows(i * 64, (i + 1) * 64), 64 * 512, seconds
    )
    pieces = replace(DEFAULT, T=512, subword=BPE.train(_words(), 1000))
    found["rows of byte pairs, T=512, batches of 64"] = _rate(
        lambda i: pieces.rows(i * 64, (i + 1) * 64), 64 * 512, seconds
    )
    for name, count in (("ledger", ledger), ("contamination", contamination)):
        n = 4096
        found[f"{name}, T=64"] = _rate(
            lambda i, f=count, n=n: f(DEFAULT, i * n, (i + 1) * n), n * 64, seconds
        )
    return found | _stored(seconds)


def _stored(seconds: float) -> dict[str, float]:
    """Batches read from disk, at random places of some that were just written there."""
    corpus, n = replace(DEFAULT, T=512), 4096
    place = np.random.Generator(np.random.Philox(0)).integers(0, n - 64, 2**16)
    found = {}
    for zstd in (0, 3):
        with tempfile.TemporaryDirectory() as folder:
            stored = materialise(corpus, folder, n, zstd=zstd)
            read = lambda i, s=stored: s.rows(place[i % len(place)], place[i % len(place)] + 64)
            name = f"store, zstd {zstd}, T=512, batches of 64"
            found[name] = _rate(read, 64 * 512, seconds)
    return found


def _rate(step: Callable[[int], object], tokens: int, seconds: float) -> float:
    """Tokens a second of `step`, which makes `tokens` of them: the fastest of five stretches, since
    whatever else the machine does only slows it down."""
    step(0)
    best, i = 0.0, 1
    for _ in range(5):
        begin, first = time.process_time(), i
        while (passed := time.process_time() - begin) < seconds / 5 or i == first:
            step(i)
            i += 1
        best = max(best, (i - first) * tokens / passed)
    return best


def _words() -> list[str]:
    return ["".join(f" {word}" for word in DEFAULT.tables.words[1:])]


def main() -> None:
    table = Table("what", "million tokens/s", "rows/s")
    for name, rate in rates().items():
        T = 512 if "T=512" in name else 64
        table.add_row(name, f"{rate / 1e6:.2f}", f"{rate / T:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
