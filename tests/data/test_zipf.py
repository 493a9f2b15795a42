"""Frequencies follow the law of Zipf where it is asked for, and are the same everywhere else."""

import collections
import dataclasses

import numpy as np
import pytest

from data.corpus import Corpus
from data.feature import Lexicon
from data.language import Pair
from data.lexicon import inventory
from data.meaning import Say, Story
from data.mixture import Mixture
from data.world import Vocabulary, World
from data.zipf import Zipf, distinct, drawn, weights

WORLD = World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(verbs=4))


def uses(kind: str, mixture: Mixture, law: Zipf) -> list[np.ndarray]:
    """By language how often the concepts of a kind are said first in a document, by number."""
    mixture = dataclasses.replace(mixture, zipf=law, dictionary=0)
    corpus = Corpus(WORLD, Pair((Lexicon(0),)), mixture=mixture, T=2048)
    found = [collections.Counter(), collections.Counter()]
    for i in range(12):
        for language, meaning in corpus.documents(i):
            match meaning:
                case Story(question):
                    said = question.args[0]
                case Say():
                    said = meaning.verb
            found[language][said] += 1
    concepts = inventory(WORLD)[kind]
    return [np.array([counter[concept] for concept in concepts]) for counter in found]


def share(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum()


@pytest.mark.parametrize(
    ("kind", "mixture", "law"),
    [
        ("noun", Mixture(0, 1, 0), Zipf(nouns=1)),
        ("transitive", Mixture(dictionary=0, plain=1), Zipf(words=1)),
    ],
)
def test_what_is_said_follows_the_law_and_permuted_ranks_are_of_one_language(kind, mixture, law):
    base, twin = uses(kind, mixture, law)
    expected = share(np.arange(1, len(base) + 1) ** -1.0)
    np.testing.assert_allclose(share(base), expected, atol=0.06)
    np.testing.assert_allclose(share(twin), expected, atol=0.06)
    other, permuted = uses(kind, mixture, dataclasses.replace(law, permuted=True))
    np.testing.assert_array_equal(other, base)
    assert permuted.tolist() != twin.tolist()
    np.testing.assert_allclose(np.sort(permuted), np.sort(twin), atol=0.08 * twin.sum())


def test_different_numbers_are_drawn_by_what_is_left():
    u = np.random.Generator(np.random.Philox(1)).integers(0, 2**32, (3, 100_000), np.uint32)
    weight = weights(5, 1.0)
    first, second, third = found = distinct(u, weight)
    assert all((a != b).all() for a, b in ((first, second), (first, third), (second, third)))
    p = weight / weight.sum()
    np.testing.assert_allclose(np.bincount(first) / 1e5, p, atol=0.01)
    again = np.array([p[k] * (p / (1 - p))[np.arange(5) != k].sum() for k in range(5)])
    np.testing.assert_allclose(np.bincount(second) / 1e5, again, atol=0.01)
    np.testing.assert_array_equal(drawn(u[0], weight), found[0])


def test_an_exponent_of_no_language_is_refused():
    with pytest.raises(ValueError, match="nouns=-1 is no exponent of a language; choose it from 0"):
        Zipf(nouns=-1)
