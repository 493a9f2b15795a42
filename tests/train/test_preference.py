"""Objectives relative to a base, against their definitions and in training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.lm import LM, apply, bind, init
from model.softmax import Softmax
from train import objective
from train.adapter import LoRA
from train.loop import Member, fit
from train.mesh import Layout
from train.objective import NextToken
from train.preference import DPO, Near
from train.recipe import AdamW, Constant, Recipe
from train.step import parameters, result

CFG = LM(W=9, D=16, layers=1, mixer=Softmax(heads=2), F=32)
BASE, TUNED = (init(CFG, jax.random.key(s)) for s in (0, 1))


class Two:
    """Pairs of which the chosen ends in 1 and the rejected in 2."""

    def __getitem__(self, t):
        draw = np.random.Generator(np.random.Philox(key=[0, t]))
        tokens = np.repeat(draw.integers(3, 9, (4, 1, 6)), 2, axis=1).astype(np.int32)
        tokens[:, :, -1] = [1, 2]
        weights = np.zeros(tokens.shape, np.float32)
        weights[:, :, -1] = 1
        return {"tokens": tokens, "weights": weights, "segments": np.ones_like(tokens)}


def arrays(rows):
    return jax.tree.map(jnp.asarray, dict(rows))


def log_p(params, rows):
    """log p of every token given those before, (B,T); the first has none."""
    logits, _ = apply(CFG, params, rows["tokens"], rows["segments"])
    p = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(p[:, :-1], rows["tokens"][:, 1:, None], -1)[..., 0]
    return np.pad(picked, ((0, 0), (1, 0)))


def loss(own, rows, layout=Layout()):
    nats, weight = own(bind(CFG, TUNED), rows, layout, bind(CFG, BASE))
    return float(nats) / float(weight)


def test_dpo_is_equation_7():
    rows = arrays(DPO().rows(Two()[0], 0))
    assert rows["tokens"].shape == (8, 6)
    gain = ((log_p(TUNED, rows) - log_p(BASE, rows)) * rows["weights"]).sum(1)
    chosen, rejected = gain[::2], gain[1::2]
    expected = np.mean(np.log1p(np.exp(-0.7 * (chosen - rejected))))
    assert loss(DPO(beta=0.7), rows) == pytest.approx(expected, rel=1e-5)


def test_near_adds_the_divergence_from_the_base(copying):
    rows = arrays(copying(0)[0])
    nats, weight = NextToken()(bind(CFG, TUNED), rows, Layout(), None)
    p, q = (
        np.exp(jax.nn.log_softmax(apply(CFG, params, rows["tokens"], rows["segments"])[0]))
        for params in (TUNED, BASE)
    )
    away = (q * np.log(q / p)).sum(-1)[:, :-1] * rows["weights"][:, 1:]
    expected = float(nats / weight) + 0.3 * float(away.sum() / weight)
    assert loss(Near(beta=0.3), rows) == pytest.approx(expected, rel=1e-4)


def tune(own, stream, adapter, steps=20):
    recipe = Recipe(
        steps=steps, batch=4, optimizer=AdamW(lr=0.01, weight_decay=0.0), schedule=Constant(),
        objective=own, adapter=adapter,
    )  # fmt: skip
    base = parameters(CFG, (0,))
    state, lost = fit(CFG, [Member(recipe=recipe, batches=stream)], params=base)
    assert not lost
    return jax.tree.map(lambda x: x[0], (base, result(CFG, (recipe,), state, base)))


def test_dpo_prefers_the_chosen_response():
    rows = arrays(DPO().rows(Two()[99], 0))
    base, tuned = tune(DPO(), Two(), LoRA(rank=2, pattern=r"blocks/.*(out|down)/w"))
    margin = lambda params: (lambda p: p[::2, -1] - p[1::2, -1])(log_p(params, rows))
    assert (margin(tuned) > margin(base) + 0.2).all()


@pytest.mark.slow
def test_near_stays_nearer(copying):
    far, near = (tune(o, copying(0), LoRA())[1] for o in (NextToken(), Near(beta=30.0)))
    base = parameters(CFG, (0,))
    away = lambda params: sum(
        float(jnp.abs(a - b[0]).sum())
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(base), strict=True)
    )
    assert away(near) < 0.7 * away(far)


def test_what_makes_no_sense_is_refused(copying, monkeypatch):
    with pytest.raises(ValueError, match=r"DPO reads pairs, tokens of \(B,2,T\), and these are"):
        DPO().rows(copying(0)[0], 0)
    with pytest.raises(ValueError, match=r"beta=0\.0 must be above 0"):
        DPO(beta=0.0)
    for own in (DPO, Near):
        with pytest.raises(ValueError, match="beta=nan must be above 0"):
            own(beta=np.nan)
    rows = arrays(DPO().rows(Two()[0], 0))
    with pytest.raises(NotImplementedError, match="DPO needs pairs"):
        loss(DPO(), rows, dataclasses.replace(Layout(), accumulate=2))
    monkeypatch.setattr(objective, "PIECE", 100)
    with pytest.raises(NotImplementedError, match="logits a device in full"):
        loss(Near(), arrays(copying(0)[0]))
