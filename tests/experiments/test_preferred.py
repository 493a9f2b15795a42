"""Marked words are counted as marked, in the language of the question."""

import dataclasses

import jax
import numpy as np
import pytest

from data.probe import tasks
from data.task import LISTS
from data.task.style import Marked
from experiments import standard
from experiments.measure import preferred
from experiments.measure.preferred import Preferred, in_marked_words, words
from experiments.standard import SIZES, corpus
from model.lm import LM, init
from model.softmax import Softmax

SIZE = SIZES["smoke"]
WORLD = dataclasses.replace(SIZE.world, tasks=(*LISTS, Marked()))
TEXT = corpus(dataclasses.replace(SIZE, world=WORLD), seed=0)


def test_no_word_is_plain_and_marked_or_marked_in_two_languages():
    plain, marked = words(TEXT)
    assert not set(plain.ravel()) & set(marked.ravel())
    assert len(set(marked.ravel())) == marked.size == 2 * WORLD.nouns


def test_answers_in_marked_words_are_those_the_corpus_gives():
    probe = tasks(TEXT, "quiz", items=4)
    plain, marked = words(TEXT)
    changed = in_marked_words(TEXT, probe.answers, probe.slices["language"])
    listed = probe.slices["task"] != "Marked()"
    for row, other, name in zip(probe.answers, changed, probe.slices["language"], strict=True):
        own = TEXT.pair.names.index(name)
        for before, after in zip(row, other, strict=True):
            nouns = np.flatnonzero(plain[own] == before)
            assert after == (marked[own][nouns[0]] if len(nouns) else 0)
    assert listed.sum() == 4 * len(LISTS) * 2


def test_the_share_of_marked_words_is_of_the_mass_on_the_questions_language(monkeypatch):
    cfg = LM(W=TEXT.tokenizer.size, D=16, layers=1, mixer=Softmax(heads=2))
    plain, marked = words(TEXT)
    p = np.full(TEXT.tokenizer.size, 1e-30)
    own = next(i for i in range(WORLD.nouns) if plain[0, i] not in plain[1])
    p[plain[0, own]], p[marked[0, 0]], p[plain[1, own]], p[marked[1, 3]] = 0.45, 0.15, 0.03, 0.02
    monkeypatch.setattr(
        preferred, "next_logprobs", lambda cfg, params, prompts, n: np.tile(np.log(p), (len(n), 1))
    )
    items = Preferred(TEXT, items=2)(cfg, init(cfg, jax.random.key(0))).to_pydict()
    first = np.array(items["language"]) == "L1"
    np.testing.assert_allclose(items["marked"], np.where(first, 0.25, 0.4), rtol=1e-6)
    np.testing.assert_allclose(items["mode"], np.where(first, 0.6, 0.05), rtol=1e-6)
    assert set(items["task"]) == {task.name for task in LISTS}
    assert len(items["task"]) == 2 * len(LISTS) * 2


def test_a_world_without_marked_words_is_refused_at_construction():
    with pytest.raises(ValueError, match="Marked"):
        Preferred(standard.corpus(SIZE, seed=0))
