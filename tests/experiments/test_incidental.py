"""The arms of the experiment on incidental bilingualism, what they say, and a run of it."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from data.asking import questions
from data.fact import facts
from experiments import incidental, run
from experiments.standard import SIZES, Settings

SMOKE = SIZES["smoke"]
NOUNS = incidental.shown(incidental.enlarged(SMOKE))


def test_arms_differ_in_contact_alone_and_seeds_pair_them():
    stages = incidental.stages(Settings("smoke", 2))
    assert len(stages) == 2 * 2 * len(incidental.ARMS)
    control = incidental.arm(SMOKE, 0, "none")
    for name, contact in incidental.ARMS.items():
        text = incidental.arm(SMOKE, 0, name)
        mixture = dataclasses.replace(control.mixture, contact=contact)
        assert text == dataclasses.replace(control, mixture=mixture)
    for base, after in zip(stages[::2], stages[1::2], strict=True):
        assert after.base == base and dict(base.labels)["arm"] == dict(after.labels)["arm"]


def test_no_document_of_the_control_is_in_two_languages_and_none_asks_for_translation():
    for name, contact in incidental.ARMS.items():
        text = incidental.arm(SMOKE, 0, name)
        rows = text.rows(0, 400)
        kinds = {text.legend["kind"][k] for k in np.unique(rows["kind"][rows["kind"] >= 0])}
        assert "dictionary" not in kinds
        assert ("also" in rows) == bool(contact.parallel)
        asked = questions(text, rows["tokens"])
        assert not asked.of[:, -1].any(), text.world.tasks[-1]


def test_tuning_translates_the_nouns_it_shows_and_no_others():
    text = incidental.arm(SMOKE, 0, "none")
    tuning = incidental.translating(text, NOUNS)
    assert tuning.tokenizer == text.tokenizer
    said = {c for i in range(200) for _, m in tuning.documents(i) for c in m.question.concepts}
    nouns = {c for c in said if c.startswith("noun")}
    assert nouns == {f"noun{i}" for i in range(NOUNS)}


def test_a_seed_asks_for_enough_words_that_tuning_did_not_show():
    text = incidental.arm(SIZES["toy"], 0, "none")
    asked = incidental.Translation(
        text, incidental.shown(incidental.enlarged(SIZES["toy"]))
    ).asked()
    assert ((asked.slices["word"] == "own") & ~asked.slices["shown"]).sum() == 28


@pytest.mark.parametrize("name", ["none", "parallel .05"])
def test_answers_with_own_names_are_never_said_so_only_shared_names_can_change(name):
    text = incidental.arm(SMOKE, 0, name)
    said = {*np.unique(text.rows(0, 3000)["tokens"]).tolist()}
    asked = facts(text, groups=("G2",))
    across = (asked.slices["relation"] == "parent") & (asked.slices["language"] == "L2")
    across &= asked.slices["direction"] == "forward"
    for names, known in (("own", False), ("shared", True)):
        answers = asked.answers[across & (asked.slices["names"] == names)].ravel().tolist()
        assert answers and all((answer in said) == known for answer in answers)
    assert incidental.ACROSS["names"] == "shared"


def _items(shown: float, known: float) -> pa.Table:
    """As if the control translated what was shown, and knew facts across languages, so well."""
    rows, dice = [], np.random.default_rng(0)
    for seed, arm, _ in np.ndindex(3, len(incidental.ARMS), 20):
        label = {"seed": seed, "arm": [*incidental.ARMS][arm], "step": 4, "mixer": "softmax"}
        for flag in ("yes", "no"):
            exact = dice.uniform() < (shown if flag == "yes" else 0.2)
            rows.append(label | incidental.UNSHOWN | {"shown": flag, "exact": float(exact)})
        rows.append(label | incidental.ACROSS | {"log_odds": known + 0.01 * dice.normal()})
    return pa.Table.from_pylist(
        [{key: row.get(key) for key in {**rows[0], **rows[-1]}} for row in rows]
    )


def test_differences_from_the_control_are_defined_where_it_is_above_its_floor():
    learned, crossed = "words that tuning did not show", "the same facts"
    for shown, known in ((1.0, 3.0), (0.0, 3.0), (1.0, 0.0)):
        found = incidental._claims(_items(shown, known), "softmax")
        value = lambda text, found=found: next(c for c in found if text in c.claim).estimate.value
        assert np.isfinite(value(learned)) == (shown == 1.0)
        assert np.isfinite(value(crossed)) == (known == 3.0)


def test_a_fall_in_bleu_is_no_reference_of_a_difference_in_exact_match():
    found = incidental._claims(_items(1.0, 3.0), "softmax")
    assert all(claim.reference is None for claim in found)


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["incidental", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(incidental.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") >= 3
