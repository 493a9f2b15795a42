"""What can be read from a recurrent state by a linear map: the value of a key, by key."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from data.recall import MQAR
from experiments.measure.associative import ROWS
from experiments.measure.loss import UNSEEN
from model.lm import LM, apply

PLACES = {"state": "blocks/*/mixer/state", "residual": "blocks/*/residual"}
PENALTY = 0.1  # of ridge regression, in units of the mean squared length of a row of features


@dataclasses.dataclass(frozen=True)
class Readable:
    """Reads `rows` unseen rows up to the last pair, before anything is asked, and fits for every
    key a ridge regression from what the model holds there to the value of the key: on the rows
    that have the key, two thirds of them; the others are asked.

    Columns: `place`, "state" (S_t of all layers) or "residual" (the streams after all blocks);
    `labels`, "own" or "shuffled" (the values of other rows: what a probe makes of nothing); `item`;
    and the metrics
      read       1 if the value with the highest score is the key's
      chance     1 over the number of values
    """

    corpus: MQAR
    rows: int = 1024

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = self.corpus.rows(UNSEEN, UNSEEN + self.rows)
        last = 2 * self.corpus.pairs
        held = _held(cfg, params, rows["tokens"][:, :last])
        keys, values = rows["tokens"][:, 0:last:2], rows["tokens"][:, 1:last:2]
        half = self.corpus.vocabulary // 2
        rng = np.random.Generator(np.random.Philox(0))
        other = rng.permutation(self.rows)
        found = []
        for place, features in held.items():
            for labels, told in (("own", values), ("shuffled", values[other])):
                read = [probed(features[own], told[own, at] - half, half)
                        for own, at in _by_key(keys, half)]  # fmt: skip
                read = np.concatenate(read)
                found.append(pa.table({
                    "place": [place] * len(read),
                    "labels": [labels] * len(read),
                    "item": np.arange(len(read)),
                    "read": read,
                    "chance": np.full(len(read), 1 / half),
                }))  # fmt: skip
        return pa.concat_tables(found)


def _by_key(keys: Int[np.ndarray, "N P"], half: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every key that enough rows have: these rows, and the place of the key in them."""
    for key in range(1, half):
        own, at = np.nonzero(keys == key)
        if len(own) >= 6:
            yield own, at


def probed(
    features: Float[np.ndarray, "N D"], value: Int[np.ndarray, " N"], values: int
) -> np.ndarray:
    """1 or 0 of every third row: whether the regression on the others finds its value.

    >>> rng = np.random.default_rng(0)
    >>> value = rng.integers(4, size=90)
    >>> features = np.eye(4)[value] @ rng.normal(size=(4, 200)) + 0.1 * rng.normal(size=(90, 200))
    >>> float(probed(features, value, 4).mean())
    1.0
    """
    test = np.arange(len(features)) % 3 == 0
    x, y = features[~test], np.eye(values)[value[~test]]
    mean, base = x.mean(0), y.mean(0)
    x, asked = x - mean, features[test] - mean
    gram = x @ x.T  # rows are fewer than features, so the dual form
    penalty = PENALTY * np.trace(gram) / len(gram) + 1e-12
    scores = asked @ x.T @ np.linalg.solve(gram + penalty * np.eye(len(gram)), y - base) + base
    return (scores.argmax(1) == value[test]).astype(float)


def _held(cfg: LM, params: dict, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """(N, features) of every place, at the last of `tokens`, all layers side by side."""
    found = {place: [] for place in PLACES}
    for start in range(0, len(tokens), ROWS):
        seen = _seen(cfg, params, tokens[start : start + ROWS])
        for place, own in found.items():
            own.append(np.asarray(seen[place], np.float64))
    return {place: np.concatenate(own) for place, own in found.items()}


@functools.partial(jax.jit, static_argnums=0)
def _seen(cfg, params, tokens):
    last = jnp.full((len(tokens), 1), tokens.shape[1] - 1)
    seen = apply(cfg, params, tokens, collect=tuple(PLACES.values()), at=last)[2]
    flat = lambda end: [x.reshape(len(tokens), -1) for n, x in seen.items() if n.endswith(end)]
    return {place: jnp.concatenate(flat(end), 1)
            for place, end in (("state", "mixer/state"), ("residual", "/residual"))}  # fmt: skip
