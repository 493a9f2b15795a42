"""Rows of whole documents: tokens, the weight of each token as a target, and segments."""

import numpy as np

# How documents share a row: as many as fit; one; as many as fit of which no two state one fact, so
# that no statement of a fact can be copied from another one in the window.
PACKINGS = ("packed", "single", "apart")


def fit(lengths: np.ndarray, T: int) -> np.ndarray:
    """(B, M) bool: which of the offered documents, of `lengths` (B, M), fill a row of T tokens,
    taken in order until the next does not fit."""
    return np.cumsum(lengths, axis=1) <= T


def mates(fact: np.ndarray) -> np.ndarray:
    """(B, M) bool: which documents state a fact (B, M; -1 for none) that an earlier one of their
    row has stated.

    >>> mates(np.array([[7, -1, 3, 7, -1, 7]])).astype(int)
    array([[0, 0, 0, 1, 0, 1]])
    """
    order = np.argsort(fact, axis=1, kind="stable")
    known = np.take_along_axis(fact, order, 1)
    again = np.zeros(fact.shape, bool)
    np.put_along_axis(again, order[:, 1:], (known[:, 1:] == known[:, :-1]) & (known[:, 1:] >= 0), 1)
    return again


def spare(lengths: np.ndarray, fact: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray]:
    """Packing "apart": the offered documents (B*M) in the order in which they are laid out, those
    that state a fact (B, M) again at the end of their row, and which of these are kept (B, M)."""
    again, (B, M) = mates(fact), lengths.shape
    order = np.argsort(again, axis=1, kind="stable")
    lengths = np.take_along_axis(np.where(again, T + 1, lengths), order, 1)
    return (order + np.arange(B)[:, None] * M).ravel(), fit(lengths, T)


def follow(
    lengths: np.ndarray, more: np.ndarray, T: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents of which some are followed by another of `more` (B, M) tokens, 0 for none: both
    fit, or neither. What is laid out (B*M): whose place it is, and whether it is the second of two;
    and how far the rows go (B, M).

    >>> follow(np.array([[3, 2, 4]]), np.array([[3, 0, 4]]), 12)
    (array([0, 0, 1]), array([False,  True, False]), array([[ True,  True,  True]]))
    """
    B, M = lengths.shape
    times = fit(lengths + more, T) * (1 + (more > 0))
    source = np.repeat(np.arange(B * M), times.ravel())
    kept = np.arange(M) < times.sum(1, keepdims=True)
    place, second = np.zeros(B * M, np.int64), np.zeros(B * M, bool)
    place[kept.ravel()] = source
    second[kept.ravel()] = np.diff(source, prepend=-1) == 0
    return place, second, kept


def pack(
    flat: np.ndarray, lengths: np.ndarray, T: int, scored: np.ndarray, closed: np.ndarray
) -> dict[str, np.ndarray]:
    """Lays documents out in rows.

    `flat` (sum of lengths) holds their tokens one after another and `lengths` (B, M) their lengths,
    0 for none. `scored` (like flat) says which tokens are targets, `closed` (B, M) whether the
    <doc> after a document is one: also where that <doc> is the first padding of a row. The <doc>
    that opens a row has nothing before it and is never a target.

    >>> row = pack(np.array([0, 5, 0, 6]), np.array([[2, 2]]), 6, np.ones(4), np.ones((1, 2)))
    >>> for name, value in row.items(): print(name, value[0].tolist())
    tokens [0, 5, 0, 6, 0, 0]
    weights [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    segments [1, 1, 2, 2, 0, 0]
    """
    B, M = lengths.shape
    ends = np.cumsum(lengths, axis=1)
    filled = np.arange(T) < ends[:, -1:]
    tokens, segments = np.zeros((2, B, T), np.int32)
    weights = np.zeros((B, T + 1), np.float32)
    tokens[filled] = flat
    segments[filled] = np.repeat(np.tile(np.arange(1, M + 1, dtype=np.int32), B), lengths.ravel())
    weights[:, :T][filled] = scored
    row, document = np.nonzero(lengths)
    weights[row, ends[row, document]] = closed[row, document]
    weights[:, 0] = 0
    return dict(tokens=tokens, weights=weights[:, :T], segments=segments)


def numbered(rows: dict[str, np.ndarray], there: np.ndarray) -> np.ndarray:
    """(B, T) which of the documents that are `there` (B, M) each token of some rows is of, from 1,
    and 0 in padding. That is its segment, but in a row whose documents see one another
    (data/joined.py), where every <doc> opens the next.

    >>> rows = dict(tokens=np.array([[0, 5, 0, 6, 7, 0]]), segments=np.array([[1, 1, 1, 1, 1, 0]]))
    >>> numbered(rows, np.array([[True, True, False]]))
    array([[1, 1, 2, 2, 2, 0]])
    """
    segments, last = rows["segments"], (there * np.arange(1, there.shape[1] + 1)).max(1, initial=0)
    opened = np.cumsum((rows["tokens"] == 0) & (segments > 0), axis=1) * (segments > 0)
    place = np.pad(np.argsort(~there, axis=1, kind="stable") + 1, ((0, 0), (1, 0)))
    joined = (segments.max(1) < last)[:, None]
    return np.where(joined, np.take_along_axis(place, np.where(joined, opened, 0), 1), segments)


def lay(
    documents: np.ndarray, T: int, scored: np.ndarray | bool = True, closed: bool = True
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Lays out the documents offered (B, M, L), of whose tokens those of -1 are none, as many as
    fit; and says which were kept (B, M). `scored` is like them, `closed` as in `pack`.

    >>> rows, kept = lay(np.array([[[0, 5, -1], [0, -1, 6], [0, 7, 8]]]), T=6)
    >>> rows["tokens"].tolist(), kept.tolist()
    ([[0, 5, 0, 6, 0, 0]], [[True, True, False]])
    """
    lengths = (documents >= 0).sum(2)
    kept = fit(lengths, T)
    there = (documents >= 0) & kept[..., None]
    scored = np.broadcast_to(scored, documents.shape)[there]
    ends = kept & closed
    return pack(documents[there], np.where(kept, lengths, 0), T, scored, ends), kept
