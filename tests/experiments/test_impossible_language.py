"""Each perturbation beside a control with the same words, and nothing else changed."""

import collections
import dataclasses
import doctest
import json

import jax
import numpy as np
import pytest

from data.impossible import HOP, PLURAL, SINGULAR
from data.reorder import Shuffle
from data.silence import Silenced
from data.speaker import speaker
from experiments import impossible_language, run, stats
from experiments.impossible_language import (
    ARMS,
    ASKED,
    FAMILIES,
    WITHOUT,
    Settings,
    checkpoints,
    corpus,
    sized,
    stages,
)
from experiments.measure.loss import UNSEEN
from experiments.measure.marker import Marker
from experiments.measure.recall import Recall
from model.lm import init

STAGES = stages(Settings(size="smoke", seeds=2))
LABELS = {(d["arm"], d["beside"], d["seed"]): s for s in STAGES for d in [dict(s.labels)]}


def test_every_language_is_learned_beside_l1_and_two_of_them_alone():
    expected = {(arm, "L1") for arm in ARMS} | {(arm, "none") for arm in WITHOUT}
    assert set(LABELS) == {(*key, seed) for key in expected for seed in (0, 1)}


def test_arms_differ_in_the_perturbation_alone_within_a_family():
    for family in FAMILIES.values():
        first = LABELS[next(iter(family)), "L1", 1]
        for arm, change in family.items():
            own = LABELS[arm, "L1", 1]
            text = own.corpus
            if arm == "nondeterministic":
                assert isinstance(text.transform, Shuffle) and text.languages == (1,)
                text = text.base
            assert text.pair.features[-1] == change and own.recipe == first.recipe
            assert text.pair.features[:-1] == first.corpus.pair.features[:-1]
            assert dataclasses.replace(text, pair=first.corpus.pair) == first.corpus


def test_every_hop_is_complete_lies_within_most_documents_and_its_number_varies():
    text, near = (corpus(sized("toy"), 0, arm) for arm in ("word hop", "no hop"))
    say = lambda text, m: [x.concept for x in speaker(text.pair, text.world).leaves(m, 1)]
    said = [m for i in range(60) for language, m in text.documents(i) if language == 1]
    inside = collections.Counter()
    for meaning in said:
        words, control = say(text, meaning), say(near, meaning)
        (at,) = [i for i, word in enumerate(words) if word in (SINGULAR, PLURAL)]
        assert at - words.index("is") - 1 == HOP
        assert control.index(words[at]) == control.index("is") + 1
        assert words[at] == (PLURAL if len(meaning.question.args) > 3 else SINGULAR)
        inside[words[at], at + 1 < len(words)] += 1
    assert min(inside[SINGULAR, True], inside[PLURAL, True]) > len(said) / 5
    assert not inside[PLURAL, False]


def test_a_marker_is_an_item_and_those_of_a_hop_and_its_control_are_of_the_same_documents():
    found = []
    for arm in FAMILIES["hop"]:
        stage = LABELS[arm, "L1", 0]
        ask = Marker(stage.corpus, rows=8)
        assert stage.measures[1] == Marker(stage.corpus)
        found.append(ask(stage.model, init(stage.model, jax.random.key(0))))
        documents = stage.corpus.provenance(UNSEEN, UNSEEN + 8)["language"]
        assert len(found[-1]) == (documents == 1).sum()
        level = np.log(stage.model.W)
        assert np.mean(found[-1]["surprisal"].to_numpy()) == pytest.approx(level, rel=0.3)
    assert found[0]["marker"] == found[1]["marker"]
    assert len({*found[0]["marker"].to_pylist()}) == 2


@pytest.mark.parametrize("arm", ASKED)
def test_what_is_asked_in_l2_is_the_name_alone(arm):
    text = corpus(sized("toy"), 0, arm)
    probe = Recall(text).probe
    own = (probe.slices["language"] == "L2") & (probe.slices["relation"] == "parent")
    assert ((probe.answers[own] != 0).sum(1) == 1).all()


def test_a_language_without_l1_reads_the_same_l2():
    for arm in WITHOUT:
        both, alone = LABELS[arm, "L1", 0], LABELS[arm, "none", 0]
        assert alone.corpus == Silenced(both.corpus, "L1") and alone.recipe == both.recipe
        assert alone.measures[0] == both.measures[0]


def documents(text, count: int) -> list[tuple[str, str, list[str]]]:
    """Language, register and words of the documents of some rows."""
    rows, found = text.rows(0, count), []
    for i, m in zip(*np.nonzero(rows["language"] >= 0), strict=True):
        said = text.tokenizer.decode(rows["tokens"][i][rows["segments"][i] == m + 1]).split()[1:]
        name = lambda column, at=(i, m): text.legend[column][rows[column][at]]
        found.append((name("language"), name("register"), said))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_perturbation_says_the_words_of_its_control_in_another_order(family):
    control, *others = (documents(corpus(sized("smoke"), 0, arm), 20) for arm in FAMILIES[family])
    for other in others:
        moved = []
        for (language, register, plain), (*_, changed) in zip(control, other, strict=True):
            assert len(plain) == len(changed)
            # Whoever is in focus is first also when words move: "parent" may become "child".
            if register != "statement":
                assert collections.Counter(plain) == collections.Counter(changed)
            if language == "L1":
                assert plain == changed
            else:
                moved.append(plain != changed)
        assert np.mean(moved) > 0.3


def test_the_nondeterministic_shuffle_is_drawn_anew_for_every_document():
    plain, fixed, drawn = (
        [said for of, register, said in found if (of, register) == ("L2", "statement")]
        for arm in ("no shuffle", "deterministic", "nondeterministic")
        for found in [documents(corpus(sized("toy"), 0, arm), 60)]
    )
    (verb,) = {said[3] for said in plain}
    assert len({said.index(verb) for said in fixed}) == 1
    assert len({said.index(verb) for said in drawn}) == len(plain[0]) == 5


def test_where_no_fact_crosses_into_a_natural_l2_there_is_no_transfer_that_survives():
    assert doctest.testmod(impossible_language).failed == 0
    floor = [(np.full(9, -0.03), np.zeros(9))]
    assert np.isnan(stats.bootstrap(floor, impossible_language.surviving, alike=(0, 0)).value)


def test_checkpoints_double_up_to_the_end():
    assert checkpoints(400) == (50, 100, 200, 400)


@pytest.mark.slow
def test_the_experiment_runs_from_command_line_to_claims(tmp_path):
    words = ["impossible_language", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert [c["row"] for c in claims] == ["B7"] * len(claims) and len(claims) == 11
    assert (tmp_path / "report.html").read_text().count("<svg xmlns") == 4
