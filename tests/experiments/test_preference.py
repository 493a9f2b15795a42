"""Preference across languages: bases differ in alignment alone, pairs are of one language alone."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest

from data.mixture import Contact
from data.task.style import Marked
from experiments import preference, report, run
from experiments.claim import decide
from experiments.measure.preferred import words
from experiments.preference import (
    ALIGNMENTS,
    CONTROLLED,
    TUNINGS,
    Settings,
    beyond,
    reduction,
    share,
    stages,
    text,
)
from experiments.standard import SIZES

SIZE = SIZES["smoke"]
FOUND = stages(Settings(size="smoke", seeds=2))
LABELS = [dict(stage.labels) for stage in FOUND]


def corpus_of(tuned):
    """What a tuning of the standard base reads."""
    return next(s.corpus for s, l in zip(FOUND, LABELS, strict=True)
                if (l["alignment"], l["tuned"]) == (CONTROLLED, tuned))  # fmt: skip


def test_every_seed_has_every_alignment_with_its_tunings():
    for seed in (0, 1):
        own = {(l["alignment"], l["tuned"]) for l in LABELS if l["seed"] == seed}
        assert own == {(a, t) for a in ALIGNMENTS for t in ("none", "DPO L1")} | {
            (CONTROLLED, t) for t in TUNINGS
        }
    for stage, labels in zip(FOUND, LABELS, strict=True):
        assert stage.recipe.seed == labels["seed"]
        if labels["tuned"] != "none":
            assert dict(stage.base.labels)["alignment"] == labels["alignment"]


def test_alignments_differ_in_what_they_are_named_for():
    dictionary, parallel, apart = (text(SIZE, 0, a) for a in ("dictionary", "parallel", "apart"))
    mixture = dataclasses.replace(dictionary.mixture, contact=parallel.mixture.contact)
    assert dataclasses.replace(dictionary, mixture=mixture) == parallel
    mixture = dataclasses.replace(dictionary.mixture, dictionary=0.0)
    assert dataclasses.replace(dictionary, mixture=mixture) == apart
    mixture = dataclasses.replace(dictionary.mixture, contact=Contact(parallel=0.2))
    assert dataclasses.replace(dictionary, mixture=mixture) == text(SIZE, 0, "mirrored")


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_no_word_that_is_tuned_in_l1_is_a_word_of_l2(alignment):
    for l1, l2 in words(text(SIZES["toy"], 0, alignment)):
        assert not {*l1} & {*l2}


def test_one_in_seven_answers_is_marked_in_pretraining_and_pairs_are_of_one_language():
    corpus = text(SIZE, 0, CONTROLLED)
    assert corpus.world.tasks.count(Marked()) == 1 and len(corpus.world.tasks) == 7
    _, marked = words(corpus)
    for language in (0, 1):
        rows = corpus_of(TUNINGS[language]).rows(0, 64)
        answered = rows["weights"] > 0
        said = [np.isin(rows["tokens"][:, side][answered[:, side]], marked[language])
                for side in (0, 1)]  # fmt: skip
        assert not said[0].any() and said[1].any()
        assert not np.isin(rows["tokens"], marked[1 - language]).any()


def test_the_control_is_told_marked_answers_as_often_as_the_base():
    corpus = corpus_of("instructions")
    _, marked = words(corpus)
    rows = corpus.rows(0, 200)
    says = np.isin(rows["tokens"], marked[0]) & (rows["weights"] > 0)
    assert says.any() and not np.isin(rows["tokens"], marked[1]).any()


def test_reductions_are_shares_of_what_was_there():
    means = np.array([[0.4, 0.1, 0.0], [0.01, 0.0, 0.0]])
    np.testing.assert_allclose(reduction(means[:, :2]), [0.75, 1.0])
    found = share(means)
    assert found[0] == pytest.approx(0.75) and np.isnan(found[1])
    np.testing.assert_allclose(beyond(np.array([[0.4, 0.1, 0.3]])), [0.5])


def test_what_any_tuning_does_is_not_taken_for_the_preference():
    """A seventh is marked; both tunings leave two thirds of it, less than 0.05 of rate below."""
    rows, rng = [], np.random.default_rng(0)
    for seed, alignment, tuned, step in itertools.product(range(3), ALIGNMENTS, TUNINGS, (0, 9)):
        cell = dict(mixer="gla", seed=seed, alignment=alignment, tuned=tuned, step=step)
        rate = 2 / 21 if step and tuned != "DPO L2" else 0.0 if step else 1 / 7
        for language, i in itertools.product(("L1", "L2"), range(20)):
            own = cell | dict(language=language)
            rows += [
                own | dict(measure="preferred", marked=rate * (1 + (i % 2 - 0.5) / 10)),
                own | dict(measure="loss", register="statement", loss=1.0),
                own | dict(measure="alignment", space="input", retrieved=rng.uniform()),
            ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    items = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    found = decide(preference.claims(report.Results({}, items, None, None, None)))
    verdict = lambda part: next(c["verdict"] for c in found if part in c["claim"])
    assert verdict("DPO in L1 lowers the rate") == "reproduced"
    assert verdict("by as good as nothing") == "opposite"
    assert verdict("by more than they do") == "opposite"


@pytest.mark.slow
def test_it_runs_from_spec_to_page(tmp_path):
    assert run.main(["preference", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 0
