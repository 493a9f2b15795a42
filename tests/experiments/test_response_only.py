"""Responses alone: nothing of an instruction is left, and ranking compares like with like."""

import jax
import numpy as np
import pytest

from data.stream import stream
from experiments import response_only, run
from experiments.claim import decide
from experiments.measure.ranking import Ranking
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init
from tests.experiments import pretended

STAGES = response_only.stages(response_only.Settings(size="smoke", seeds=2))
ARMS = {(dict(s.labels)["tier"], dict(s.labels)["tuned"]): s for s in reversed(STAGES)}


def test_an_emptied_instruction_leaves_its_wrapper_and_the_same_response():
    for tier, opening in (("T1", "<doc> {q} ?"), ("T2", "<doc> <u> <a>")):
        alone, whole = ARMS[tier, "alone"], ARMS[tier, "instructed"]
        assert alone.corpus == whole.corpus
        batch = stream(whole.corpus, 2)[0]
        rows = alone.recipe.objective.rows(batch, 0)
        decode = whole.corpus.tokenizer.decode
        q = decode(batch["tokens"][0, 1:2])
        for row, segments in zip(rows["tokens"], rows["segments"], strict=True):
            for d in range(1, segments.max() + 1):
                assert decode(row[segments == d]).startswith(opening.format(q=q) + " ")
        assert rows["weights"].sum() == batch["weights"].sum()
        said = lambda b: b["tokens"][(b["weights"] > 0) & (b["tokens"] > 0)]
        np.testing.assert_array_equal(said(rows), said(batch))


def test_seeds_are_paired_and_arms_of_a_tier_differ_in_objective_or_answers():
    per_seed = [[row | {"seed": 0} for row in pretended.labels(STAGES) if row["seed"] == seed]
                for seed in (0, 1)]  # fmt: skip
    assert per_seed[0] == per_seed[1] and len(per_seed[0]) == 1 + 2 * 4
    shuffled, whole = ARMS["T2", "shuffled"], ARMS["T2", "instructed"]
    assert shuffled.corpus.base == whole.corpus and shuffled.recipe == whole.recipe


def test_ranking_compares_responses_of_one_task_language_and_length():
    text = corpus(SIZES["smoke"], seed=0)
    model = pretrained(SIZES["smoke"], "softmax", 0, text).model
    rows = Ranking(text, "chat", items=4)(model, init(model, jax.random.key(0))).to_pylist()
    assert rows and {row["language"] for row in rows} == {"L1", "L2"}
    for row in rows:
        assert row["gold"] != row["answer"]
        assert len(row["gold"].split()) == len(row["answer"].split())
        assert row["ranked"] == float(row["log_odds"] > 0)
    share = np.mean([row["ranked"] for row in rows])
    assert 0.2 < share < 0.8  # a model that knows nothing is at chance


def test_claims_cover_the_row_and_sections_draw():
    results = pretended.results(response_only)
    claims = decide(response_only.claims(results))
    assert {claim["row"] for claim in claims} == {*response_only.ROWS} and len(claims) == 7
    assert all(section.body for section in response_only.sections(results))


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["response_only", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
