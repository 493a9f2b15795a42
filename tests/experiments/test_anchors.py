"""Arms share what they say they share, and nothing else changes between them."""

import dataclasses
import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from data.probe import tasks
from experiments import anchors, run, stats
from experiments.anchors import ARMS, Settings, stages, text
from experiments.standard import SIZES

SMOKE = SIZES["smoke"]
STAGES = stages(Settings(size="smoke", seeds=2))
BASES = {(dict(s.labels)["arm"], s.recipe.seed): s for s in STAGES if s.base is None}


def test_every_arm_is_trained_and_tuned_in_both_languages_for_every_seed():
    assert set(BASES) == {(arm, seed) for arm in ARMS for seed in (0, 1)}
    tunings = [(dict(s.labels)["arm"], dict(s.labels)["tuned"], s.recipe.seed)
               for s in STAGES if s.base]  # fmt: skip
    assert set(tunings) == {(a, t, s) for a in ARMS for t in ("L1", "L2") for s in (0, 1)}
    assert len(tunings) == len(set(tunings))


def test_arms_differ_in_the_features_of_l2_alone():
    first = BASES["clone", 1].corpus
    for arm, features in ARMS.items():
        own = BASES[arm, 1].corpus
        assert own.pair.features == features
        assert dataclasses.replace(own, pair=first.pair) == first
        assert BASES[arm, 1].recipe == BASES["clone", 1].recipe


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_shares_the_words_and_the_order_that_it_says(arm):
    own = text(SMOKE, 0, arm)
    l1, l2 = own.pair.languages(own.world)
    pairs = zip(l1.concepts(own.world), l1.forms, l2.forms, strict=True)
    shared = {concept for concept, one, two in pairs if one == two}
    assert len(shared & {*own.world.entities("noun")}) == (2 if "30%" in arm else 0)  # of 8
    assert bool(shared & {*own.world.entities("x")}) == (arm != "clone")
    assert ("?" in shared) == (arm != "clone") == bool(shared)
    assert ((l1.order, l1.possessor_first) == (l2.order, l2.possessor_first)) == (
        "other order" not in arm
    )


def test_no_document_is_in_two_languages():
    rows = text(SMOKE, 0, "30%, same order").rows(0, 200)
    register = text(SMOKE, 0, "30%, same order").legend["register"]
    assert "dictionary" not in {register[r] for r in rows["register"][rows["register"] >= 0]}


ARM, OTHER = "30%, same order", "none, same order"


def _answers() -> pa.Table:
    """Three questions, asked in both languages in two arms: one whose answers coincide where nouns
    are shared, one that names a shared noun, and one that does not."""
    rows = []
    for arm, language, (item, prompt) in itertools.product(
        (ARM, OTHER), ("L1", "L2"), enumerate(("ask duja ?", "ask duja heni ?", "ask heni ?"))
    ):
        ambiguous = "yes" if (arm, item) == (ARM, 0) else "no"
        rows.append(dict(measure="following", arm=arm, language=language, seed=0, task="copy",
                         item=item, prompt=prompt, ambiguous=ambiguous))  # fmt: skip
    for arm, noun in itertools.product((ARM, OTHER), ("duja", "heni")):
        shared = "yes" if (arm, noun) == (ARM, "duja") else "no"
        rows.append(dict(measure="alignment", arm=arm, language="L1", seed=0, task=None, item=None,
                         prompt=noun, ambiguous=None, shared=shared))  # fmt: skip
    return pa.Table.from_pylist([{"shared": None} | row for row in rows])


def test_arms_are_compared_on_the_same_questions():
    """Those that coincide where nouns are shared are no easier or harder there: they are not asked
    anywhere."""
    for found, left in ((anchors.common, {1, 2}), (anchors.unshared, {2})):
        answers = found(_answers())
        for arm, language in itertools.product((ARM, OTHER), ("L1", "L2")):
            assert {*stats.where(answers, arm=arm, language=language)["item"].to_pylist()} == left


def test_questions_have_the_same_words_in_l1_in_every_arm():
    """So that one is known by its seed, task and item."""
    asked = []
    for arm in ARMS:
        corpus = BASES[arm, 1].corpus
        probe = tasks(corpus, "quiz", items=4)
        said = [corpus.tokenizer.decode(row[row > 0]) for row in probe.prompts]
        keys = (probe.slices[name].tolist() for name in ("language", "task", "item"))
        rows = zip(*keys, said, strict=True)
        asked.append({(task, i): text for own, task, i, text in rows if own == "L1"})
    assert asked[0] and all(each == asked[0] for each in asked)


def test_transfer_goes_with_alignment_by_its_share_of_the_ceiling():
    """Three arms that gain 1, 2 and 3 tenths of ceilings of 1, 5 and 10 tenths transfer less and
    less, whatever they gain."""
    gains = [(0.1, 0.0, 0.1), (0.2, 0.0, 0.5), (0.3, 0.0, 1.0)]
    means = np.array([[0.1, 0.2, 0.3, *sum(gains, ())], [0.3, 0.2, 0.1, *sum(gains, ())]])
    np.testing.assert_allclose(anchors.together(means), [-1, 1])
    means[0, 5] = 0.01  # a ceiling that gains nothing
    means[1, :3] /= 3  # an alignment that is chance in all arms
    assert np.isnan(anchors.together(means)).all()


def test_nouns_are_looked_up_that_no_arm_shares():
    rows = [
        dict(measure="alignment", seed=0, arm=arm, language=language, shared=shared) | words
        for arm, shared in (("none", "no"), ("30%", "yes"))
        for language, words in (
            ("L1", {"prompt": "tiba", "gold": "tiba" if shared == "yes" else "koru"}),
            ("L2", {"gold": "tiba", "prompt": "tiba" if shared == "yes" else "koru"}),
        )
    ]
    other = rows[0] | {"prompt": "koru", "gold": "tiba"}  # L1's word for something else
    assert anchors.apart(pa.Table.from_pylist([*rows, other])).to_pylist() == [other]


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["anchors", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B2"] * 7
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == len(ARMS) + 4
