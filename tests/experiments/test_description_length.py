"""How little must change: each arm trains what it says and as many numbers as it says."""

import jax
import numpy as np
import pytest

from experiments import description_length, run
from experiments.claim import decide
from model.lm import init
from tests.experiments import pretended

STAGES = description_length.stages(description_length.Settings(size="smoke", seeds=2))
ARMS = {(dict(s.labels)["tier"], dict(s.labels)["arm"]): s for s in reversed(STAGES)}


def test_the_numbers_trained_are_those_of_the_formulas():
    D, W = 32, ARMS["T1", "full"].model.W
    count = {key: dict(s.labels).get("numbers") for key, s in ARMS.items()}
    for tier, tags in (("T1", 1), ("T2", 2)):
        assert [count[tier, f"prompt {m}"] for m in (1, 4, 16)] == [D, 4 * D, 16 * D]
        assert count[tier, "tag"] == tags * D
        assert count[tier, "embeddings"] == W * D
        assert count[tier, "LoRA 8"] == 8 * count[tier, "LoRA 1"]
        params = init(ARMS[tier, "full"].model, jax.random.key(0))
        assert count[tier, "full"] == sum(np.size(leaf) for leaf in jax.tree.leaves(params))


def test_a_prompt_s_rows_are_trained_and_stand_before_every_example():
    for m in (1, 4, 16):
        each = ARMS["T2", f"prompt {m}"]
        ids = each.recipe.adapter.tokens
        assert len(ids) == m and max(ids) < each.model.W
        rows = each.corpus.rows(0, 8)
        assert (rows["tokens"][:, 1 : 1 + m] == np.array(ids)).all()
        (asked,) = each.measures
        assert asked.prompt.used == m
    base = ARMS["base", "none"].corpus.rows(0, 64)["tokens"]
    assert base.max() < ARMS["T2", "full"].model.W - 16  # pretraining says none of them


def test_arms_train_on_the_same_examples():
    plain = ARMS["T2", "full"].corpus.rows(0, 16)
    said = plain["tokens"][plain["weights"] > 0]
    for (tier, arm), each in ARMS.items():
        if tier == "T2" and arm != "full":
            rows = each.corpus.rows(0, 16)
            np.testing.assert_array_equal(rows["tokens"][rows["weights"] > 0], said)
            assert each.recipe.steps * each.recipe.batch == 4 * 10


def test_seeds_are_paired_and_the_ceiling_is_there():
    per_seed = [[row | {"seed": 0} for row in pretended.labels(STAGES) if row["seed"] == seed]
                for seed in (0, 1)]  # fmt: skip
    assert per_seed[0] == per_seed[1] and len(per_seed[0]) == 1 + 2 * 9
    assert sum(row.get("tuned") == "L2" for row in per_seed[0]) == 2


def test_claims_cover_the_row_and_sections_draw():
    results = pretended.results(description_length)
    claims = decide(description_length.claims(results))
    assert {claim["row"] for claim in claims} == {*description_length.ROWS} and len(claims) == 10
    assert all(section.body for section in description_length.sections(results))


def test_l2_is_compared_where_l1_is_right_as_often_and_not_after_as_many_steps():
    """The second arm is at .5 in L1 by the first step, and then loses what L2 it has."""
    slow = [0.0, 0.25, 0.5, 0.0, 0.1, 0.2]  # L1 along the steps, then L2
    fast = [0.0, 0.50, 0.7, 0.0, 0.4, 0.1]
    np.testing.assert_allclose(description_length._matched(np.array([slow + fast])), [-0.4])
    lost = [0.0, 0.25, 0.4, 0.0, 0.1, 0.2]  # never comes there
    assert np.isnan(description_length._matched(np.array([lost + fast]))).all()


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["description_length", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path / "o")]
    assert run.main(words) == 0
