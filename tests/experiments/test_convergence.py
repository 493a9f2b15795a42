"""Convergence: cells join what was asked of a base with what was asked of its tuning."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest

from data.exam import Exams
from experiments import convergence, report, run
from experiments.claim import decide
from experiments.convergence import MIXES, TUNINGS, WAYS, WIDTHS, Settings, cells, stages
from experiments.standard import LANGUAGES, SIZES, corpus, pretrained
from train.store import identity

FOUND = stages(Settings(size="toy", seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def test_every_seed_has_every_width_and_mix_with_its_tunings():
    for seed in (0, 1):
        own = {(l["width"], l["mix"], l["tuned"]) for l in LABELS if l["seed"] == seed}
        assert own == set(itertools.product(WIDTHS["toy"], MIXES, ("none", *TUNINGS)))
    for stage, labels in zip(FOUND, LABELS, strict=True):
        assert labels["width"] == stage.model.D and stage.recipe.seed == labels["seed"]
        if labels["tuned"] != "none":
            base = dict(stage.base.labels)
            assert (base["width"], base["mix"]) == (labels["width"], labels["mix"])


def test_mixes_differ_in_the_share_of_the_second_language_alone():
    of = {l["mix"]: s.corpus for s, l in zip(FOUND, LABELS, strict=True) if l["tuned"] == "none"}
    rare = of["L2 rare"].base
    assert dataclasses.replace(rare, ratio=0.5) == of["standard"].base
    assert rare.ratio == 0.1


def test_bases_read_the_standard_corpus_and_exams_and_no_tuning_reads_these():
    size = SIZES["toy"]
    for stage, labels in zip(FOUND, LABELS, strict=True):
        assert isinstance(stage.corpus, Exams) == (labels["tuned"] == "none")
    widest = next(s for s, l in zip(FOUND, LABELS, strict=True) if l["width"] == size.D)
    alone = dataclasses.replace(widest, corpus=widest.corpus.base)
    assert identity(alone) == identity(pretrained(size, "gla", 0, corpus(size, 0)))


def items(shot, **losses):
    """Answers of three bases to three tasks: columns by `shot(width, task, language, tuned, shots,
    register)`, and the base's loss by language and width."""
    rows = []
    for D, language, seed in itertools.product(WIDTHS["toy"], LANGUAGES, range(8)):
        base = dict(mixer="gla", seed=seed, width=D, mix="standard", language=language)
        lost = dict(measure="loss", tuned="none", loss=losses[language](D), register="statement")
        rows.append(base | lost)
        ways = [*WAYS.values(), WAYS["tuning"] | {"tuned": "L1"}]
        for i, way in itertools.product(range(3), ways):
            log_odds, exact = shot(D, i, language, *way.values())
            found = dict(measure="shots", task=f"task{i}", log_odds=log_odds, exact=exact)
            rows.append(base | way | found)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


def claimed(table, words):
    """The estimate and the verdict of the claim with these words."""
    claims = decide(convergence.claims(report.Results({}, table, None, None, None)))
    (found,) = (claim for claim in claims if words in claim["claim"])
    return found["estimate"], found["verdict"]


FLAT = dict(L1=lambda D: 1.0, L2=lambda D: 1.0)


def test_a_cell_has_the_bases_score_after_examples_the_tuned_one_and_its_languages_loss():
    def shot(D, task, language, register, tuned, shots):
        shown = (register, tuned, shots) == ("quiz", "none", convergence.EXAMPLES)
        return 9.0, D if tuned == "both" else task if shown else 9.0

    lost = dict(L1=lambda D: 1 / D, L2=lambda D: float(D))
    found, *_ = cells(items(shot, **lost), "both")
    expected = [(task, D, lost[language](D)) for D, language, task in
                itertools.product(WIDTHS["toy"], LANGUAGES, range(3))]  # fmt: skip
    np.testing.assert_allclose(found, expected)


def test_h6_is_of_what_examples_bring_out_and_log_odds_are_asked_without_them():
    rng = np.random.default_rng(0)

    def shot(D, task, language, register, tuned, shots):
        known = D / 128 + task / 10 + (language == "L2") / 20
        return known if not shots else 0.0, known if shots or tuned != "none" else 0.0

    def silent(D, task, language, register, tuned, shots):
        known = D / 128 + task / 10 + (language == "L2") / 20
        return rng.normal(), known if tuned != "none" else rng.normal()

    said = "exact match after 2 examples", "in L2 after tuning in L1", "the log-odds without"
    for answers, verdict in ((shot, "reproduced"), (silent, "opposite")):
        table = items(answers, **FLAT)
        assert claimed(table, said[0])[1] == verdict
    assert [claimed(items(shot, **FLAT), words)[1] for words in said[1:]] == ["reproduced"] * 2


def test_what_emerges_untuned_is_asked_where_an_answer_is_due():
    """No base answers the quiz, which is left open."""

    def shot(D, task, language, register, tuned, shots):
        able = D / 128 if register == "story" or tuned != "none" else 0.0
        return D / 32, able

    found, verdict = claimed(items(shot, **FLAT), "nothing emerges in exact match, in stories")
    assert (found, verdict) == (pytest.approx(0.75), "opposite")


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["convergence", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
