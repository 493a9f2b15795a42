"""The arms of the experiment on incidental bilingualism, what they say, and a run of it."""

import dataclasses
import json

import numpy as np
import pytest

from data.asking import questions
from experiments import incidental, run
from experiments.standard import SIZES, Settings

SMOKE = SIZES["smoke"]


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
    tuning = incidental.translating(text, incidental.shown(SMOKE))
    assert tuning.tokenizer == text.tokenizer
    said = {c for i in range(200) for _, m in tuning.documents(i) for c in m.question.concepts}
    nouns = {c for c in said if c.startswith("noun")}
    assert nouns == {f"noun{i}" for i in range(incidental.shown(SMOKE))}


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["incidental", "--size", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(incidental.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg") >= 3
