"""Bits per byte of held-out text, for a model and for the counts it has to beat."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from data.text import Text
from model.lm import LM, apply

ROWS = 64  # rows a call


@dataclasses.dataclass(frozen=True)
class Bits:
    """Bits per byte of `held_out`, text of one `language`, for the model and for two baselines.

    A row is a document; its value is its bits over the mean bytes of a document, so that the mean
    over documents is the bits per byte of the whole text.
    The baselines are counts over one epoch of `seen`: `unigram` with one added to every count, and
    `bigram` interpolated with it by Witten-Bell weights. All three predict the same tokens, the
    document's end among them, and are divided by the same bytes.
    """

    held_out: Text
    seen: Text
    language: str

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        rows = self.held_out.rows(0, self.held_out.epoch)
        tokens, weights, segments = (rows[name] for name in ("tokens", "weights", "segments"))
        size = np.where(weights > 0, self.held_out.tokenizer.bytes[tokens], 0)
        unigram, bigram = baselines(self.seen)
        previous = np.roll(tokens, 1, 1)
        spent = {
            "bits": nats(cfg, params, tokens, weights, segments),
            "unigram": -np.log(unigram[tokens]) * weights,
            "bigram": -np.log(bigram[previous, tokens]) * weights,
        }
        # A token is scored with the document that predicts it: the end of one is the <doc> after.
        owner = np.pad(segments, ((0, 0), (1, 0)))[:, :-1]
        each = lambda values: by_document(values, owner, owner.max() + 1)
        sizes = each(size)
        keep = sizes > 0
        count, total = int(keep.sum()), sizes.sum() * np.log(2)
        bits = {name: each(values)[keep] * count / total for name, values in spent.items()}
        return pa.table({"language": [self.language] * count, "item": np.arange(count)} | bits)


def baselines(seen: Text) -> tuple[np.ndarray, np.ndarray]:
    """Unigram (W,) and bigram (W, W) probabilities from one epoch of a corpus."""
    rows, W = seen.rows(0, seen.epoch), seen.tokenizer.size
    tokens, scored = rows["tokens"], rows["weights"][:, 1:] > 0
    after, before = tokens[:, 1:][scored], tokens[:, :-1][scored]
    unigram = np.bincount(after, minlength=W) + 1.0
    unigram /= unigram.sum()
    pairs = np.zeros((W, W))
    np.add.at(pairs, (before, after), 1.0)
    total, kinds = pairs.sum(1, keepdims=True), (pairs > 0).sum(1, keepdims=True)
    # Witten & Bell 1991: the unseen share of a context grows with how many kinds followed it.
    bigram = (pairs + np.maximum(kinds, 1) * unigram) / (total + np.maximum(kinds, 1))
    return unigram, bigram


def by_document(values: np.ndarray, owner: np.ndarray, width: int) -> np.ndarray:
    """Sums (B * width) of (B,T) values over the documents of every row; 0 owns what is in none."""
    key = owner + np.arange(len(owner))[:, None] * width
    return np.bincount(key.ravel(), values.ravel(), minlength=len(owner) * width)


def nats(cfg: LM, params: dict, tokens, weights, segments) -> np.ndarray:
    """(B,T) weight x -log p(token | those before), at the place of the token predicted."""
    parts = []
    for start in range(0, len(tokens), ROWS):
        part = [a[start : start + ROWS] for a in (tokens, weights, segments)]
        short = ROWS - len(part[0])
        part = [np.pad(a, ((0, short), (0, 0))) for a in part]
        parts.append(np.asarray(_nats(cfg, params, *part))[: ROWS - short])
    return np.concatenate(parts)


@functools.partial(jax.jit, static_argnums=0)
def _nats(cfg, params, tokens, weights, segments):
    logits, _ = apply(cfg, params, tokens, segments)
    said = jax.nn.log_softmax(logits[:, :-1])
    picked = jnp.take_along_axis(said, tokens[:, 1:, None], 2)[..., 0]
    return jnp.pad(-picked * weights[:, 1:], ((0, 0), (1, 0)))
