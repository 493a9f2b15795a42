"""What is minimised, and on which rows.

    objective.rows(batch, t) -> batch          on the host: what the program of step t reads (NumPy)
    objective(net, batch, layout, base) -> (sum, weight)          in the program: sum / weight is
                                               the loss, so that a batch may be worked off in parts

`base` is the model training started from, for objectives that are `relative` to it.

    NextToken           cross-entropy of the next token, weighted by token. Where the data weigh
                        the response alone (loss="response") this is response-only tuning; where
                        they weigh all (loss="all"), instructions are learnt with their responses
    ResponseAlone       the response without its instruction (Hewitt et al. 2024, 2409.14254)
    train/denoise.py    masked and prefix denoising, against the reversal curse
    train/preference.py direct preference optimisation, and the distance to the base
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from model.lm import Net
from train.mesh import Layout

PIECE = 2**24  # logits of one device that may stand at once: 64 MiB in float32
Rows = dict[str, Any]  # tokens, weights, segments (B,T)


@runtime_checkable
class Objective(Protocol):
    """A frozen dataclass with these. `rows` may change the batch's B and T, always to the same."""

    relative: bool

    def rows(self, batch: Rows, t: int) -> Rows: ...

    def __call__(
        self, net: Net, batch: Rows, layout: Layout, base: Net | None
    ) -> tuple[Array, Array]: ...


@dataclasses.dataclass(frozen=True)
class NextToken:
    """-log p(token | before) by the data's weights."""

    relative = False

    def rows(self, batch: Rows, t: int) -> Rows:
        return batch

    def __call__(self, net, batch, layout, base):
        return next_token(net, batch, layout)


@dataclasses.dataclass(frozen=True)
class ResponseAlone(NextToken):
    """Responses without what they answer: of each document its first token, the tokens that weigh
    something, and those of `keep` (chat markers) stay, and close up; padding fills the row.

    >>> batch = dict(
    ...     tokens=np.array([[0, 7, 8, 5, 0, 9]]), weights=np.array([[0, 0, 0, 1, 0, 1]]),
    ...     segments=np.array([[1, 1, 1, 1, 2, 2]]),
    ... )
    >>> ResponseAlone(keep=(8,)).rows(batch, 0)["tokens"]
    array([[0, 8, 5, 0, 9, 0]])
    """

    keep: tuple[int, ...] = ()

    def rows(self, batch: Rows, t: int) -> Rows:
        tokens, weights, segments = (
            np.asarray(batch[name]) for name in ("tokens", "weights", "segments")
        )
        # The end of a row's last document is scored at padding.
        stays = (weights > 0) | (segments != 0) & (np.isin(tokens, self.keep) | begins(segments))
        order = np.argsort(~stays, axis=1, kind="stable")
        left = np.sort(~stays, axis=1)  # what is left over lies behind
        close = lambda x: np.where(left, 0, np.take_along_axis(x, order, 1)).astype(x.dtype)
        return {"tokens": close(tokens), "weights": close(weights), "segments": close(segments)}


def begins(segments: np.ndarray) -> np.ndarray:
    """(B,T) whether a document begins at a token."""
    first = np.ones((len(segments), 1), bool)
    return np.concatenate([first, segments[:, 1:] != segments[:, :-1]], axis=1)


def next_token(
    net: Net, batch: dict[str, Array], layout: Layout = Layout()
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(sum of weight x -log p(token t | before) in nats, sum of weights): their ratio is the loss.

    Position t predicts token t + 1; the last predicts nothing and position 0 is nobody's target.
    """
    x, _ = net.trunk(batch["tokens"], batch["segments"], around=layout.around)
    counted = jnp.roll(batch["weights"], -1, axis=1).at[:, -1].set(0)
    nats = surprises(net, x, jnp.roll(batch["tokens"], -1, axis=1), layout.shared)
    return jnp.sum(nats * counted), jnp.sum(counted)


def surprises(
    net: Net, x: Float[Array, "B T D"], targets: Int[Array, "B T"], devices: int = 1
) -> Float[Array, "B T"]:
    """-log p(target) in nats, from the trunk's output.

    Logits of more than PIECE a device never stand in full: tokens go through the output layer in
    pieces, which the backward pass computes again (a fourth product beside its three).
    """
    logits = jax.eval_shape(net.unembed, x)
    n = pieces(logits.size // devices, x.shape[1])
    if n == 1:
        return surprise(net.unembed(x), targets)

    def cut(y):  # every n-th token, so that each device has its share of each piece
        return jnp.moveaxis(y.reshape(y.shape[0], -1, n, *y.shape[2:]), 2, 0)

    piece = jax.checkpoint(lambda both: surprise(net.unembed(both[0]), both[1]))
    found = jax.lax.map(piece, (cut(x), cut(targets)))
    return jnp.moveaxis(found, 0, 2).reshape(targets.shape)


def pieces(logits: int, T: int) -> int:
    """Into how many pieces of the T tokens so many logits are cut: the fewest that fit."""
    return next(n for n in range(1, T + 1) if T % n == 0 and (logits <= n * PIECE or n == T))


@jax.custom_vjp
def surprise(logits: Float[Array, "B T W"], targets: Int[Array, "B T"]) -> Float[Array, "B T"]:
    """-log softmax(logits)[target] in nats.

    The gradient is written out because autodiff would keep a second array of the logits' size and
    scatter into a third; this one reads the logits twice and writes their gradient once.
    """
    return _surprise(logits, targets)[0]


def _surprise(logits, targets):
    log_z = jax.nn.logsumexp(logits, axis=-1)
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return log_z - picked, (logits, targets, log_z)


def _gradient(residual, cotangent):
    logits, targets, log_z = residual
    p = jnp.exp(logits - log_z[..., None])
    hit = targets[..., None] == jnp.arange(logits.shape[-1])[None, None]
    return (p - hit) * cotangent[..., None], None


surprise.defvjp(_surprise, _gradient)
