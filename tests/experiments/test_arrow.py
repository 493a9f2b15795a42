"""One corpus in two directions of reading, said in two twins of which one is the other's mirror."""

import json

import jax
import numpy as np
import pyarrow as pa
import pytest

from data.product import Product
from data.sentence import SHAPES
from data.speaker import speaker
from experiments import arrow, run
from experiments.measure import product
from experiments.measure.bits import nats
from experiments.measure.loss import UNSEEN, Loss
from experiments.standard import SIZES, pretrained
from model.lm import init

SMOKE = SIZES["smoke"]
TEXT = arrow.corpus(SMOKE, seed=0)


def documents(source, rows=30):
    """Kind, language and tokens of every document."""
    found = source.rows(0, rows)
    for b, d in np.argwhere(found["language"] >= 0):
        tokens = found["tokens"][b][found["segments"][b] == d + 1]
        yield found["register"][b, d], found["language"][b, d], tokens[1:]


def test_read_backward_every_document_is_the_same_from_its_end():
    pairs = zip(documents(TEXT), documents(arrow.read(TEXT, "backward")), strict=True)
    for (_, _, forward), (_, _, backward) in pairs:
        np.testing.assert_array_equal(forward[::-1], backward)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_plain_sentence_of_a_twin_is_one_of_the_other_read_backward(shape):
    """Word for word, with what each agrees with."""
    one, two = (speaker(TEXT.pair, TEXT.world).leaves(shape, language) for language in (1, 2))
    assert [leaf._replace(language=1) for leaf in reversed(two)] == one


def test_both_twins_are_spoken_and_the_base_is_not():
    said = [(register, language) for register, language, _ in documents(TEXT)]
    assert {language for _, language in said} == {1, 2}
    assert {TEXT.legend["register"][r] for r, _ in said} == {"story", "plain"}


def test_seeds_and_rows_are_paired_over_directions():
    stages = arrow.stages(arrow.Settings(size="smoke", seeds=2))
    assert len(stages) == 2 * 2 * 2
    for seed in (0, 1):
        own = [s for s in stages if dict(s.labels)["seed"] == seed]
        assert len({s.recipe for s in own}) == 1
        for said in ("sentences", "products"):
            assert len({s.model for s in own if dict(s.labels)["said"] == said}) == 1


def test_excess_is_what_is_lost_above_the_entropy():
    times = Product(limit=30, T=64)
    model = pretrained(SMOKE, "softmax", 0, times).model
    params = init(model, jax.random.key(0))
    items = product.Excess(times, rows=4)(model, params).to_pylist()
    rows = times.rows(UNSEEN, UNSEEN + 4)
    inside = ((rows["segments"] > 0) & (rows["tokens"] > 0)).astype(np.float32)
    spent = nats(model, params, rows["tokens"], inside, rows["segments"]).sum()
    assert len(items) == (rows["p"] >= 0).sum()
    assert np.sum([i["loss"] for i in items]) * 10 == pytest.approx(spent, rel=1e-5)
    best = np.log(len(times.factors)) / 10  # 4 digits of two factors, 4 of the product, × and =
    assert items[0]["loss"] - items[0]["excess"] == pytest.approx(best)


def test_an_arrow_is_taken_document_by_document():
    cell = {"mixer": "gla", "seed": 0, "said": "sentences", "language": "L2", "register": "plain"}
    losses = {"forward": [1.0, 2.0], "backward": [1.5, 1.0]}
    items = pa.Table.from_pylist([
        cell | {"read": way, "item": item, "loss": loss}
        for way, own in losses.items() for item, loss in enumerate(own)
    ])  # fmt: skip
    found = sorted(arrow.arrows(items).to_pylist(), key=lambda row: row["item"])
    assert [row["arrow"] for row in found] == [0.5, -1.0]


def test_the_same_documents_are_asked_in_both_directions():
    asked = lambda way: Loss(arrow.read(TEXT, way), rows=4)
    model = pretrained(SMOKE, "softmax", 0, TEXT).model
    params = init(model, jax.random.key(0))
    one, two = (asked(way)(model, params).drop_columns("loss") for way in arrow.READ)
    assert one.equals(two)


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["arrow", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(arrow.ROWS) and 3 <= len(claims) <= 8
    assert all(c["estimate"] is not None for c in claims)
