"""Whether a recurrent mixer's forms are one function: by chunks, by the recurrence, by steps."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float, Int

from data.stream import Documented
from experiments.measure.loss import UNSEEN
from model.collect import scale
from model.lm import LM, apply, fresh

STATE = ("blocks/*/mixer/state",)  # asked for, it makes the recurrence run in place of chunks
WRONG = {"blocks/*/mixer/gate": scale(1.01)}


@dataclasses.dataclass(frozen=True)
class Forms:
    """How far forms are apart on `rows` rows that no training has read, each as one document.

    The chunkwise form, in which training runs, against
      recurrence       S_t token by token within a layer, forward
      steps            a call of the model per token, the state carried between them: decoding
      gradient         backward through the recurrence
      gates 1% wrong   a control: chunks again, every log decay times 1.01
    under the gates of the trained model, which are log sigmoid over a normaliser of 16, and with
    the same weights under those of each smaller normaliser, which forget as much faster.

    One item per row, or per leaf of the parameters for `gradient`. Columns: `form`, `normaliser`,
    `item`; `loss`, nats a token of all rows by chunks, in every item the same; and the metric
      apart   root mean square over tokens of the difference in log p of the next token (nats); of a
              gradient, over its elements, relative to its root mean square
    """

    corpus: Documented
    rows: int = 16
    normalisers: tuple[float, ...] = (16.0, 1.0, 0.1)

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        tokens = jnp.asarray(self.corpus.rows(UNSEEN, UNSEEN + self.rows)["tokens"])
        found = []
        for normaliser in self.normalisers:
            mixer = dataclasses.replace(cfg.mixer, normaliser=normaliser)
            own = dataclasses.replace(cfg, mixer=mixer)
            said = _said(own, params, tokens)
            loss = -said.mean(1)
            forms = {
                "recurrence": _said(own, params, tokens, recurrence=True),
                "steps": _steps(own, params, tokens),
                "gates 1% wrong": _said(own, params, tokens, wrong=True),
            }
            apart = {name: _rms(other - said, axis=1) for name, other in forms.items()}
            apart["gradient"] = _gradients_apart(own, params, tokens)
            found += [
                pa.table({
                    "form": [name] * len(values),
                    "normaliser": np.full(len(values), normaliser),
                    "item": np.arange(len(values)),
                    "loss": np.full(len(values), loss.mean()),
                    "apart": np.asarray(values, np.float64),
                })
                for name, values in apart.items()
            ]  # fmt: skip
        return pa.concat_tables(found)


@functools.partial(jax.jit, static_argnames=("cfg", "recurrence", "wrong"))
def _said(
    cfg: LM, params: dict, tokens: Int[Array, "B T"], recurrence: bool = False, wrong: bool = False
) -> Float[Array, "B T-1"]:
    """log p of every token but the first."""
    at = jnp.zeros((len(tokens), 1), jnp.int32)  # one state is kept, all are made
    logits = apply(
        cfg, params, tokens,
        collect=STATE if recurrence else None, at=at if recurrence else None,
        edits=WRONG if wrong else None,
    )[0]  # fmt: skip
    return _picked(logits[:, :-1], tokens)


@functools.partial(jax.jit, static_argnums=0)
def _steps(cfg: LM, params: dict, tokens: Int[Array, "B T"]) -> Float[Array, "B T-1"]:
    def step(state, token):
        logits, state = apply(cfg, params, token[:, None], None, state)
        return state, logits[:, 0]

    B, T = tokens.shape
    logits = jax.lax.scan(step, fresh(cfg, B, T), tokens[:, :-1].T)[1]
    return _picked(jnp.moveaxis(logits, 0, 1), tokens)


def _picked(logits: Float[Array, "B T-1 W"], tokens: Int[Array, "B T"]) -> Float[Array, "B T-1"]:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], 2)[..., 0]


def _gradients_apart(cfg: LM, params: dict, tokens: Int[Array, "B T"]) -> list[float]:
    mean = lambda params, recurrence: _said(cfg, params, tokens, recurrence).mean()
    chunk, recurrence = (jax.tree.leaves(jax.grad(mean)(params, way)) for way in (False, True))
    return [float(_rms(a - b) / _rms(a)) for a, b in zip(chunk, recurrence, strict=True)]


def _rms(x: Array, axis: int | None = None) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=axis))
