"""A dictionary of two models of one language each, found without a single known translation.

Words are matched so that what is near in one model is near in the other: T (N, N), with rows and
columns that sum to 1, ascends trace(G T H T^T) of their cosines G and H by

    T <- Sinkhorn(exp(G T H / e))     e falling        (Alvarez-Melis & Jaakkola 2018, algorithm 1)

It starts from how alike the sorted rows of G and H are (Artetxe et al. 2018, section 3.2), from the
ranks of the words' frequencies, and from the first with noise; the best end is kept. Ranks are a
start and no part of what is ascended, since where they are permuted they would mislead: what they
tell alone, without any model, is a matching of its own.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from data.corpus import Corpus
from data.fact import facts
from data.key import key
from data.probe import encode
from experiments.measure.alignment import (
    centred,
    looked_up,
    nouns,
    residuals,
    rotated,
)
from model.lm import LM

COUNTED = 2000  # rows in which the frequency of words is counted
NOISY = 100  # starts with noise: of 90 in a pilot, one reached the end that is right
TEMPERATURES = np.geomspace(0.5, 0.02, 25)


@dataclasses.dataclass(frozen=True)
class Induction:
    """Finds the nouns of L1 in one model, which read `first`, among those of L2 in another, which
    read `second`; the measure is of the model of L2, beside that of L1, or of one model of both.

    A noun's vector is what the model holds when it is asked for the noun's attributes: the residual
    stream after the last block and "colour of noun is", about its mean over nouns and of length 1,
    for each relation. Columns: item (the noun), prompt, gold and answer as words, and the metrics
      induced    1 if the noun is matched with its translation; chance 1 / nouns
      ranked     1 if its translation is as frequent: matched by the ranks alone
      chance     that
      retrieved  1 if the translation is the nearest after a rotation fitted on other matched words
      raw        1 if it is the nearest by CSLS as they are: of two models, a random rotation
      known      1 if it is the nearest after a rotation fitted on other words' true translations
      residual   1 - cosine after that: squared residual over that of a random rotation, 1
    """

    first: Corpus
    second: Corpus

    def __call__(self, cfg: LM, params: dict, beside: dict | None = None) -> pa.Table:
        corpora, forms = (self.first, self.second), nouns(self.first)
        models = (params if beside is None else beside, params)
        vectors, counts = [], []
        for language, (corpus, model) in enumerate(zip(corpora, models, strict=True)):
            vectors.append(attributes(corpus, language, cfg, model))
            counts.append(frequencies(corpus, forms[language]))
        # The second language's words in an order that tells nothing.
        stream = np.random.Philox(key=key("probe", self.second.seed))
        order = np.random.Generator(stream).permutation(len(forms[0]))
        x, y = vectors[0], vectors[1][order]
        found = matching(x, y, counts[0], counts[1][order])
        as_often = by_rank(counts[0], counts[1][order])
        nearest = found[rotated(x, y[found]).argmax(1)]
        true, right = looked_up(*vectors), np.arange(len(x))
        return pa.table(
            {
                "item": right,
                "prompt": forms[0],
                "gold": forms[1],
                "answer": [forms[1][i] for i in order[found]],
                "induced": (order[found] == right).astype(float),
                "ranked": (order[as_often] == right).astype(float),
                "chance": true["chance"],
                "retrieved": (order[nearest] == right).astype(float),
                "raw": true["retrieved"],
                "known": true["mapped"],
                "residual": true["residual"],
            }
        )


def frequencies(corpus: Corpus, words: Sequence[str]) -> np.ndarray:
    """(N) how often each word, which must be one token, is said in the first rows."""
    said = np.bincount(corpus.rows(0, COUNTED)["tokens"].ravel(), minlength=corpus.tokenizer.size)
    return said[[encode(corpus, [word])[0] for word in words]]


def attributes(corpus: Corpus, language: int, cfg: LM, params: dict) -> Float[np.ndarray, "N D"]:
    """The vectors of all nouns in a language: D is the model's for each of their relations."""
    asked, world = facts(corpus), corpus.world
    mine = asked.slices["language"] == corpus.pair.names[language]
    found = []
    for relation in (r.name for r in world.relations if r.subject == "noun"):
        rows = np.flatnonzero(mine & (asked.slices["relation"] == relation))
        assert len(rows) == world.nouns, (relation, len(rows))
        states = residuals(cfg, params, asked.prompts[rows], asked.lengths[rows])
        found.append(centred(np.asarray(states[-1])))
    return np.concatenate(found, 1)


def matching(
    x: Float[np.ndarray, "N D"],
    y: Float[np.ndarray, "N D"],
    often_x: np.ndarray | None = None,
    often_y: np.ndarray | None = None,
) -> np.ndarray:
    """(N) the row of y matched with every row of x by their cosines among themselves; `often_x` and
    `often_y` (N) are how often the words are said.

    >>> x = np.random.default_rng(0).normal(size=(8, 5))
    >>> matching(x, x[[3, 1, 2, 0, 7, 5, 6, 4]]).tolist()
    [3, 1, 2, 0, 7, 5, 6, 4]
    """
    near, also = (rows @ rows.T for rows in map(centred, (x, y)))
    alike = -((np.sort(near, 1)[:, None] - np.sort(also, 1)[None]) ** 2).sum(2)
    alike *= 3 / max(alike.std(), 1e-12)
    noise = np.random.Generator(np.random.Philox(0)).normal(size=(NOISY, *alike.shape))
    starts = [alike, *(alike + noise)]
    if often_x is not None and often_y is not None:
        rank = [_ranks(often) for often in (often_x, often_y)]
        starts.append(-np.abs(rank[0][:, None] - rank[1][None]).astype(float))
    found = [_ascend(near, also, start) for start in starts]
    return max(found, key=lambda to: (near * also[np.ix_(to, to)]).sum())


def by_rank(often_x: np.ndarray, often_y: np.ndarray) -> np.ndarray:
    """(N) the word of the second language that is as frequent as every word of the first.

    >>> by_rank(np.array([5, 90, 40]), np.array([80, 6, 30])).tolist()
    [1, 0, 2]
    """
    return np.argsort(_ranks(often_y))[_ranks(often_x)]


def _ranks(often: np.ndarray) -> np.ndarray:
    """(N) ranks from 0, the most frequent word first."""
    return np.argsort(np.argsort(-often, kind="stable"))


def _ascend(near: np.ndarray, also: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(N) the permutation reached from the scores (N, N) of matches."""
    match = _sinkhorn(start)
    for temperature in TEMPERATURES:
        match = _sinkhorn(near @ match @ also / temperature)
    return linear_sum_assignment(match, maximize=True)[1]


def _sinkhorn(scores: np.ndarray) -> np.ndarray:
    for _ in range(8):
        scores = scores - logsumexp(scores, 1, keepdims=True)
        scores = scores - logsumexp(scores, 0, keepdims=True)
    return np.exp(scores)
