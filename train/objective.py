"""What is minimised: cross-entropy of the next token, weighted by token.

Response-only tuning is the same function: the weights are zero outside the response.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def next_token(
    logits: Float[Array, "B T W"], tokens: Int[Array, "B T"], weights: Float[Array, "B T"]
) -> Float[Array, ""]:
    """Mean of -log p(token t | before) in nats, weighted by `weights` of the token as a target.

    Position t predicts token t + 1; the last predicts nothing and position 0 is nobody's target.
    A batch without any weight has loss 0.
    """
    nats = surprise(logits, jnp.roll(tokens, -1, axis=1))
    counted = jnp.roll(weights, -1, axis=1).at[:, -1].set(0)
    return jnp.sum(nats * counted) / jnp.maximum(jnp.sum(counted), 1e-9)


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
