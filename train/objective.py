"""What is minimised: cross-entropy of the next token, weighted by token.

Response-only tuning is the same function: the weights are zero outside the response.

An objective gives a sum and the weight it is to be divided by, so that a batch may be worked off in
parts (gradient accumulation) and still have the gradient of the whole.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from model.lm import Net
from train.mesh import Layout

PIECE = 2**24  # logits of one device that may stand at once: 64 MiB in float32


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
