"""The arms of the experiment on cognates, what words they have, and a run of it."""

import collections
import dataclasses
import json

import pytest

from experiments import cognates, run
from experiments.incidental import shown
from experiments.measure.translation import kinds
from experiments.standard import SIZES, Settings

SMOKE = SIZES["smoke"]


def test_arms_differ_in_the_tokenizer_and_the_rows_it_needs():
    letters, words = (cognates.arm(SMOKE, 0, name) for name in ("letters", "words"))
    assert dataclasses.replace(letters, subword=None, T=words.T) == words
    assert letters.tokenizer.size < 60 < words.tokenizer.size
    assert letters.tokenizer.decode(letters.tokenizer.encode(" gïmä")) == " gïmä"


@pytest.mark.parametrize("size", ["smoke", "toy"])
def test_every_kind_of_word_is_among_those_that_tuning_shows_and_does_not(size):
    text = cognates.arm(SIZES[size], 0, "words")
    found, count = [*kinds(text).values()], shown(cognates.larger(SIZES[size], False))
    for some in (found[:count], found[count:]):
        assert set(collections.Counter(some)) == set(cognates.KINDS)


def test_seeds_pair_the_arms():
    stages = cognates.stages(Settings("smoke", 2))
    labels = [(dict(s.labels)["seed"], dict(s.labels)["arm"]) for s in stages[::2]]
    assert labels == [(seed, arm) for seed in (0, 1) for arm in cognates.ARMS]
    for base, after in zip(stages[::2], stages[1::2], strict=True):
        assert after.base == base and after.corpus.tokenizer == base.corpus.tokenizer


@pytest.mark.slow
def test_it_runs_from_command_line_to_claims(tmp_path):
    words = ["cognates", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {claim["row"] for claim in claims} == set(cognates.ROWS)
    assert 3 <= len(claims) <= 8
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") >= 4
