"""The documents of some rows, taken out of them to be changed and laid out again."""

from typing import NamedTuple

import numpy as np

from data.pack import fit, pack


class Documents(NamedTuple):
    """D documents, token after token (n), each opened by <doc>."""

    tokens: np.ndarray  # (n)
    weights: np.ndarray  # (n)
    document: np.ndarray  # (n) which of the D, ascending
    word: np.ndarray  # (n) number of its word in the document, 0 for <doc>
    slot: np.ndarray  # (n) slot whose concept it says, or -1
    u: np.ndarray  # (n) uniform 32-bit numbers
    said: dict[str, np.ndarray]  # the columns of provenance, (D)

    @property
    def opening(self) -> np.ndarray:
        """(D) where each document begins."""
        return np.flatnonzero(np.diff(self.document, prepend=-1))

    @property
    def place(self) -> np.ndarray:
        """(n) the number of a token in its document; 0 is <doc>."""
        return np.arange(len(self.tokens)) - self.opening[self.document]

    def take(self, index: np.ndarray) -> "Documents":
        """The tokens at `index`, in that order."""
        columns = {k: v[index] for k, v in self._asdict().items() if k != "said"}
        return Documents(**columns, said=self.said)

    def sort(self, chosen: np.ndarray, rank: np.ndarray) -> "Documents":
        """The tokens of the `chosen` (D) documents by rank (n), from 0 to 2**32 - 1; where it is
        equal, and in other documents, in the order they have. <doc> stays first."""
        place = self.place
        rank = np.where(chosen[self.document] & (place > 0), rank.astype(np.int64), place)
        return self.take(np.argsort((self.document.astype(np.int64) << 32) + rank, kind="stable"))

    def insert(self, before: np.ndarray, token: int) -> "Documents":
        """A token more before each that is marked in `before` (n), a target as that one is."""
        made = self.take(np.repeat(np.arange(len(self.tokens)), 1 + before))
        at = (np.arange(len(self.tokens)) + np.cumsum(before) - 1)[before]
        made.tokens[at], made.slot[at] = token, -1
        return made

    def laid(self, there: np.ndarray, T: int) -> dict[str, np.ndarray]:
        """Rows of T tokens of the documents that are `there` (B, M), as long as they fit: the
        columns of `pack` and of `said`, and `word` and `slot` (B, T)."""
        lengths = np.zeros(there.shape, np.int64)
        lengths[there] = np.bincount(self.document, minlength=there.sum())
        kept = fit(lengths, T) & there
        lengths[~kept] = 0
        held = kept[there][self.document]
        closed = np.zeros(there.shape, np.float32)
        # Whoever scores a document's words scores its end.
        scored = np.where(self.place > 0, self.weights, 0)
        closed[there] = np.maximum.reduceat(scored, self.opening) if len(scored) else 0
        rows = pack(self.tokens[held], lengths, T, self.weights[held], closed)
        for name in ("word", "slot"):
            rows[name] = np.full(rows["tokens"].shape, -1, np.int32)
            rows[name][rows["segments"] > 0] = getattr(self, name)[held]
        for name, values in self.said.items():
            rows[name] = np.full(there.shape, -1, np.int32)
            rows[name][there] = values
            rows[name][~kept] = -1
        return rows


def taken(
    rows: dict, spans: dict, begins: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, Documents]:
    """Which documents (B, M) some rows have, and they themselves. Without `spans` words are where
    tokens that open one (W) say so; `u` (B, T) goes with the tokens."""
    columns = {k: v for k, v in rows.items() if k not in ("tokens", "weights", "segments")}
    segments = rows["segments"]
    filled = segments > 0
    M = next(iter(columns.values())).shape[1]
    there = np.arange(M) < segments.max(1, keepdims=True)
    document = np.cumsum((np.diff(segments, axis=1, prepend=0) > 0)[filled]) - 1
    documents = Documents(
        tokens=rows["tokens"][filled],
        weights=rows["weights"][filled],
        document=document,
        word=document,
        slot=np.full_like(document, -1),
        u=u[filled],
        said={name: column[there] for name, column in columns.items()},
    )
    if spans:
        word, slot = spans["word"][filled], spans["slot"][filled]
        return there, documents._replace(word=word, slot=slot)
    count = np.cumsum(begins[documents.tokens] | (documents.place < 2))
    return there, documents._replace(word=count - count[documents.opening][document])
