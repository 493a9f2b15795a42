"""Loss by language and register, against the same numbers taken by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measure.loss import UNSEEN, Loss
from experiments.standard import SIZES, corpus, pretrained
from model.lm import apply, init

TEXT = corpus(SIZES["smoke"], seed=0)
MODEL = pretrained(SIZES["smoke"], "softmax", 0, TEXT).model


def test_the_mean_over_documents_of_a_kind_is_their_nats_a_token():
    params = init(MODEL, jax.random.key(0))
    items = Loss(TEXT, rows=8)(MODEL, params).to_pylist()
    rows = TEXT.rows(UNSEEN, UNSEEN + 8)
    logits, _ = apply(MODEL, params, *(jnp.asarray(rows[k]) for k in ("tokens", "segments")))
    said = np.asarray(jax.nn.log_softmax(logits))
    spent: dict[tuple[str, str], list[float]] = {}
    for b, t in np.argwhere(rows["segments"] > 0):
        document = rows["segments"][b, t] - 1
        kind = tuple(TEXT.legend[k][rows[k][b, document]] for k in ("language", "register"))
        if t + 1 < TEXT.T:
            spent.setdefault(kind, []).append(-said[b, t, rows["tokens"][b, t + 1]])
    found: dict[tuple[str, str], list[float]] = {}
    for item in items:
        found.setdefault((item["language"], item["register"]), []).append(item["loss"])
    assert set(found) == set(spent) and len(found) >= 6
    for kind, values in spent.items():
        np.testing.assert_allclose(np.mean(found[kind]), np.mean(values), rtol=1e-5)
    assert len(items) == (rows["language"] >= 0).sum()
