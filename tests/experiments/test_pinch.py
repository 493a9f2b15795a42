"""A pinch of L2: the total is constant, the pinches nest, and the standard base is shared."""

import pytest

from experiments import flagship, pinch, run
from experiments.claim import decide
from tests.experiments import pretended
from train.store import identity

STAGES = pinch.stages(pinch.Settings(size="smoke", seeds=2))


@pytest.mark.parametrize("size", ["smoke", "toy"])
def test_arms_are_so_many_examples_of_one_total(size):
    stages = pinch.stages(pinch.Settings(size=size, seeds=1))[1:]
    (total,) = {each.corpus.total for each in stages}
    assert {each.recipe.steps * each.recipe.batch for each in stages} == {pinch.EPOCHS * total}
    arms = pinch.pinches(total)
    assert arms["0"] == 0 and arms["half"] == total // 2 and arms["all"] == total
    assert list(arms.values()) == sorted(set(arms.values()))
    assert "40" in arms or size == "smoke"


def test_a_set_holds_as_many_examples_in_l2_as_its_label_says_counted_from_the_rows():
    for each in STAGES[1:9]:
        label, total = dict(each.labels)["pinch"], each.corpus.total
        rows = each.corpus.rows(0, pinch.EPOCHS * total)
        assert (rows["language"] >= 0).all() and rows["language"].shape[1] == 1
        count = rows["language"].sum()
        assert count == pinch.EPOCHS * pinch.pinches(total)[label]
        assert (rows["weights"].sum(1) > 1).all()  # an answer and its end in every row


def test_seeds_are_paired_and_the_base_is_the_flagship_s():
    per_seed = [[row | {"seed": 0} for row in pretended.labels(STAGES) if row["seed"] == seed]
                for seed in (0, 1)]  # fmt: skip
    assert per_seed[0] == per_seed[1]
    base = flagship.stages(flagship.Settings(size="smoke", seeds=1))[0]
    assert identity(STAGES[0]) == identity(base)


def test_claims_cover_the_row_and_sections_draw():
    results = pretended.results(pinch)
    claims = decide(pinch.claims(results))
    assert {claim["row"] for claim in claims} == {*pinch.ROWS} and len(claims) == 6
    assert all(section.body for section in pinch.sections(results))


@pytest.mark.slow
def test_it_runs_from_the_command_line_to_the_page(tmp_path):
    words = ["pinch", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
