"""Objectives relative to the model that training started from.

DPO (Rafailov et al. 2023, 2305.18290, equation 7), with rows of chosen w and rejected l in turn:

    -log sigmoid(beta ((log p(w) - log p_base(w)) - (log p(l) - log p_base(l))))

Near tunes on text and pays for the distance to the base at every token that counts:

    -log p(token) + beta KL(p_base || p)
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from train.objective import NextToken, Rows, pieces, surprises


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPO(NextToken):
    """The data are pairs: tokens, weights and segments (B,2,T), the chosen response first, weights
    on the responses (data/preference.py). A batch is B pairs, 2B rows."""

    beta: float = 0.1

    relative = True

    def __post_init__(self):
        if not self.beta > 0:
            raise ValueError(f"beta={self.beta} must be above 0: at 0 no pair counts")

    def rows(self, batch: Rows, t: int) -> Rows:
        shape = np.shape(batch["tokens"])
        if len(shape) != 3 or shape[1] != 2:
            raise ValueError(
                f"DPO reads pairs, tokens of (B,2,T), and these are {shape}; give it a corpus of "
                "pairs (data/preference.py), or this corpus another objective"
            )
        flat = lambda x: np.asarray(x).reshape(-1, shape[-1])
        return {name: flat(batch[name]) for name in ("tokens", "weights", "segments")}

    def __call__(self, net, batch, layout, base):
        if layout.accumulate > 1:
            raise NotImplementedError("accumulate deals rows out one by one, and DPO needs pairs")
        counted = jnp.roll(batch["weights"], -1, axis=1).at[:, -1].set(0)
        targets = jnp.roll(batch["tokens"], -1, axis=1)

        def log_p(model):  # (2B) of each response
            x, _ = model.trunk(batch["tokens"], batch["segments"], around=layout.around)
            return -jnp.sum(surprises(model, x, targets, layout.shared) * counted, axis=1)

        gain = (log_p(net) - jax.lax.stop_gradient(log_p(base))).reshape(-1, 2)
        loss = -jax.nn.log_sigmoid(self.beta * (gain[:, 0] - gain[:, 1]))
        return jnp.sum(loss), jnp.float32(len(loss))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Near(NextToken):
    """The next token, and `beta` nats for every nat away from the base."""

    beta: float = 0.1

    relative = True

    def __post_init__(self):
        if not self.beta > 0:
            raise ValueError(f"beta={self.beta} must be above 0; without a price use NextToken")

    def __call__(self, net, batch, layout, base):
        counted = jnp.roll(batch["weights"], -1, axis=1).at[:, -1].set(0)

        def log_p(model):
            x, _ = model.trunk(batch["tokens"], batch["segments"], around=layout.around)
            size = jax.eval_shape(model.unembed, x).size // layout.shared
            if pieces(size, x.shape[1]) > 1:
                raise NotImplementedError(
                    f"the divergence holds two models' {size:,} logits a device in full, more than "
                    "train/objective.py allows; take a smaller batch or accumulate"
                )
            return jax.nn.log_softmax(model.unembed(x))

        q, p = jax.lax.stop_gradient(log_p(base)), log_p(net)
        targets = jnp.roll(batch["tokens"], -1, axis=1)
        nats = -jnp.take_along_axis(p, targets[..., None], axis=-1)[..., 0]
        away = jnp.sum(jnp.exp(q) * (q - p), axis=-1)
        return jnp.sum((nats + self.beta * away) * counted), jnp.sum(counted)
