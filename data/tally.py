"""How many documents there are of each kind, for any corpus that knows what its documents are: a
ledger of transforms, of the phases of a curriculum, of a replay.

data/ledger.py counts the facts of a world by their templates; here the columns of provenance say
what is counted, and their legend how it is called.
"""

import collections

import numpy as np
import pyarrow as pa

from data.stream import Documented

_BLOCK = 2**18  # tokens looked at together: memory does not grow with the corpus


def tally(source: Documented, start: int, stop: int, by: tuple[str, ...] = ()) -> pa.Table:
    """Documents of rows start..stop by the columns `by`, or by all that the legend names.

    One row for every combination that occurs, and `documents`; null where a document has none.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.restate import Swap
    >>> from data.transform import Transformed
    >>> from data.world import World
    >>> corpus = Transformed(Corpus(World(), Pair()), Swap(), share=0.5, languages=(1,))
    >>> for row in tally(corpus, 0, 1000, ("register", "transform")).to_pylist(): print(row)
    {'register': 'statement', 'transform': 'none', 'documents': 2487}
    {'register': 'statement', 'transform': 'Swap', 'documents': 293}
    {'register': 'story', 'transform': 'none', 'documents': 2272}
    {'register': 'quiz', 'transform': 'none', 'documents': 1524}
    {'register': 'dictionary', 'transform': 'none', 'documents': 279}
    """
    known = source.provenance(start, start)
    if not {*by} <= {*known}:
        raise ValueError(f"by={by}: documents are told apart by {', '.join(known)}; choose of them")
    by = by or tuple(source.legend)
    counts: collections.Counter = collections.Counter()
    step = max(1, _BLOCK // source.T)
    for first in range(start, stop, step):
        said = source.provenance(first, min(first + step, stop))
        there = np.any([column >= 0 for column in said.values()], axis=0)
        # A column of zeros in front counts all documents where nothing is named to count by.
        columns = np.stack([np.zeros(there.sum(), int), *(said[name][there] + 1 for name in by)])
        sizes = columns.max(1, initial=0) + 1
        cells, documents = np.unique(np.ravel_multi_index(columns, sizes), return_counts=True)
        keys = zip(*(c.tolist() for c in np.unravel_index(cells, sizes)), strict=True)
        counts.update(dict(zip(keys, documents.tolist(), strict=True)))
    cells = sorted(counts)
    table = {name: _named(source, name, [c[k] - 1 for c in cells]) for k, name in enumerate(by, 1)}
    return pa.table(table | {"documents": pa.array([counts[c] for c in cells], pa.int64())})


def _named(source: Documented, column: str, codes: list[int]) -> pa.Array:
    if column not in source.legend:
        return pa.array([None if code < 0 else code for code in codes], pa.int64())
    names = source.legend[column]
    return pa.array([None if code < 0 else names[code] for code in codes], pa.string())
