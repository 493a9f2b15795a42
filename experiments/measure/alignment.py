"""Alignment of two languages: words by their embeddings, sentences by their hidden states.

Rows x_i and y_i (N, D) say the same in the first language and in the second.

    CSLS(x, y)  = 2 cos(x, y) - mean cos(x, its K nearest y) - mean cos(y, its K nearest x)
                  (Conneau et al. 2018, 1710.04087, equation 1), so that a hub is no one's nearest
    Procrustes  W = U V^T of the singular value decomposition of X^T Y, the best rotation of x to y
    CKA         HSIC(XX^T, YY^T) over the root of both with themselves (Kornblith et al. 2019,
                1905.00414), each debiased (Song et al. 2012, equation 5): 0 for what is
                independent, also where there are more dimensions than rows
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Float

from data.corpus import Corpus
from data.probe import encode, tasks
from data.speaker import speaker
from model.lm import LM, apply

K = 10  # neighbours, as in Conneau et al.
FOLDS = 5  # of the words whose translations a rotation is fitted on and tested on


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Looks up the translation of every noun among those of the other language, both ways.

    Columns: space ("input", and "output" where the embeddings are not tied), language (of the word
    looked up), shared (both languages have one form, so nothing is to be found), prompt, gold,
    answer as words; and the metrics
      retrieved  1 if the translation is the nearest word by CSLS; chance 1 / nouns
      chance     that
      cosine     of the two words, minus the mean over other translations; chance 0
      mapped     1 if it is the nearest by cosine after a rotation fitted on other words
      residual   1 - cosine after that rotation: its squared residual over that of a random one, 1
    Words of a language are taken about their mean: what all of them share is no meaning. The last
    two need more nouns than there are dimensions: 24 of 30 nouns leave a rotation of 128 open.
    """

    corpus: Corpus

    def __post_init__(self):
        if self.corpus.subword is not None:
            raise NotImplementedError(
                "words of several tokens have no embedding of their own; choose a corpus without "
                "subword"
            )

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        forms = nouns(self.corpus)
        spaces = {"input": np.asarray(params["embedding"]["w"])}
        if not cfg.tied:
            spaces["output"] = np.asarray(params["head"]["w"]).T
        found = []
        for space, vectors in spaces.items():
            words = [vectors[[encode(self.corpus, [w])[0] for w in own]] for own in forms]
            for language, (own, other) in enumerate(((0, 1), (1, 0))):
                scores = looked_up(words[own], words[other])
                best = scores.pop("best")
                slices = {
                    "space": [space] * len(best),
                    "language": [self.corpus.pair.names[language]] * len(best),
                    "shared": ["yes" if a == b else "no" for a, b in zip(*forms, strict=True)],
                    "prompt": forms[own],
                    "gold": forms[other],
                    "answer": [forms[other][i] for i in best],
                }
                found.append(pa.table(slices | scores))
        return pa.concat_tables(found)


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Compares what a model holds before it answers the same `items` questions of every list task,
    told as stories, in two languages: the residual stream at the last word of the question.

    Columns: layer (1 is after the first block), task, item; and the metrics
      cosine     of the two states, minus the mean over other questions; chance 0
      retrieved  1 if the same question in the other language is the nearest by CSLS
      cka        debiased linear CKA of all questions, one number a layer, the same in all its rows
    A model that was never trained is their floor: measure it at step 0.
    """

    corpus: Corpus
    items: int = 16

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = tasks(self.corpus, "story", self.items)
        first, second = (
            np.flatnonzero(probe.slices["language"] == name) for name in self.corpus.pair.names[:2]
        )
        key = lambda rows: [(probe.slices["task"][i], probe.slices["item"][i]) for i in rows]
        assert key(first) == key(second), "the languages are asked different questions"
        states = np.asarray(residuals(cfg, params, probe.prompts, probe.lengths))
        found = []
        for layer, rows in enumerate(states, 1):
            scores = matched(centred(rows[first]), centred(rows[second]))
            columns = {name: probe.slices[name][first] for name in ("task", "item")}
            columns |= {"layer": np.full(len(first), layer)}
            right = scores["best"] == np.arange(len(first))
            columns |= {"retrieved": right.astype(float), "cosine": scores["cosine"]}
            columns |= {"cka": np.full(len(first), cka(rows[first], rows[second]))}
            found.append(pa.table(columns))
        return pa.concat_tables(found)


def nouns(corpus: Corpus) -> list[list[str]]:
    """The words of all nouns in the first language, and in the second."""
    form = speaker(corpus.pair, corpus.world).form
    return [[form[i][noun] for noun in corpus.world.entities("noun")] for i in (0, 1)]


def looked_up(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N D"]) -> dict[str, np.ndarray]:
    """Metrics (N) of `Alignment`, and `best`, the row of y found for every row of x."""
    near, turned = matched(centred(x), centred(y)), rotated(x, y)
    right = lambda best: (best == np.arange(len(x))).astype(float)
    return {
        "best": near["best"],
        "retrieved": right(near["best"]),
        "chance": np.full(len(x), 1 / len(x)),
        "cosine": near["cosine"],
        "mapped": right(turned.argmax(1)),
        "residual": 1 - np.diagonal(turned),
    }


def centred(x: Float[np.ndarray, "N D"], mean: np.ndarray | None = None) -> np.ndarray:
    """Rows about their mean, or another one, of length 1."""
    x = np.asarray(x, np.float64)
    x = x - (x.mean(0) if mean is None else mean)
    return x / np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-12)


def matched(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N D"]) -> dict[str, np.ndarray]:
    """Of rows of length 1: `best` (N), the row of y nearest to each of x by CSLS, and `cosine` (N),
    of x_i and y_i minus the mean of x_i and the others.

    >>> matched(np.eye(3), np.eye(3)[[1, 0, 2]])
    {'best': array([1, 0, 2]), 'cosine': array([-0.5, -0.5,  1. ])}
    """
    cosine, k = x @ y.T, min(K, len(x))
    near = lambda rows: np.sort(rows, 1)[:, -k:].mean(1)
    csls = 2 * cosine - near(cosine)[:, None] - near(cosine.T)[None]
    own = np.diagonal(cosine)
    return {
        "best": csls.argmax(1),
        "cosine": own - (cosine.sum(1) - own) / (len(x) - 1),
    }


def rotated(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N D"]) -> np.ndarray:
    """(N, N) cosines of x_i, turned by a rotation that fits the rows of other folds, and all of y.

    Means are those of the other folds too, and what no word of them spans is left out: with fewer
    rows than dimensions a rotation fitted on all of them would fit anything.
    """
    fold, cosine = np.arange(len(x)) % FOLDS, np.empty((len(x), len(x)))
    for f in range(min(FOLDS, len(x))):
        one, two = (centred(rows, rows[fold != f].mean(0)) for rows in (x, y))
        u, strength, v = np.linalg.svd(one[fold != f].T @ two[fold != f], full_matrices=False)
        spanned = strength > 1e-9 * strength[0]
        cosine[fold == f] = one[fold == f] @ u[:, spanned] @ v[spanned] @ two.T
    return cosine


def cka(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N E"]) -> float:
    """Debiased linear CKA; at least 4 rows. Independent rows have 0, also below zero by chance."""
    if len(x) < 4:
        raise ValueError(f"{len(x)} rows are too few for a debiased CKA; choose 4 or more")
    gram = [rows @ rows.T for rows in (np.asarray(x, np.float64), np.asarray(y, np.float64))]
    one, both, two = (_hsic(gram[i], gram[j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    return float(both / np.sqrt(one * two))


def _hsic(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of HSIC from Gram matrices, whose diagonals do not count."""
    n, a, b = len(a), a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    level = a.sum() * b.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * (a.sum(0) @ b.sum(0))
    return ((a * b).sum() + level) / n / (n - 3)


@functools.partial(jax.jit, static_argnums=0)
def residuals(cfg: LM, params: dict, prompts, lengths) -> jax.Array:
    """(layers, N, D) the residual stream after every block, at the last token of each prompt."""
    N, P = prompts.shape
    segments = (jnp.arange(P)[None] >= P - lengths[:, None]).astype(jnp.int32)
    see, last = ("blocks/*/residual",), jnp.full((N, 1), P - 1)
    seen = apply(cfg, params, prompts, segments, collect=see, at=last)[2]
    return jnp.stack([seen[f"blocks/{i}/residual"][:, 0] for i in range(cfg.layers)])
