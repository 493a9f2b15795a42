"""A world of a hundred thousand entities: the same rules, no loop over entities in the way."""

import numpy as np
import pytest

from data.corpus import Corpus
from data.fact import facts
from data.feature import Lexicon, Names, PossessorFirst
from data.language import Pair
from data.lexicon import Phonology
from data.name import Naming
from data.speaker import speaker
from data.world import World

WORLD = World(pairs=50_000, cities=200, nouns=300)
PAIR = Pair(
    (Lexicon(0.3), Names(0.5), PossessorFirst()),
    phonology=Phonology(syllables=4),
    naming=Naming(2, 10),
)


def test_rows_of_a_large_world_are_its_documents():
    corpus, both = Corpus(WORLD, PAIR, T=128), speaker(PAIR, WORLD)
    for i in range(10):
        row = corpus.row(i)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            words = both.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1]
            assert tokens.tolist() == [0, *corpus.tokenizer.encode(" ".join(words))]
            assert both.parse(words, language) == meaning
    facts = corpus.provenance(0, 2000)["fact"]
    said = facts[facts >= 0]
    # Drawn from all stated facts alike: few are met twice, and all parts of the world are.
    assert len(np.unique(said)) > 0.9 * len(said) > 3000
    assert np.histogram(said, 10, (0, 100_000))[0].min() > 0.08 * len(said)


def test_some_facts_of_every_group_of_a_large_world_are_asked_the_others_not():
    corpus, seen = Corpus(WORLD, PAIR, T=128), []
    for seed in (0, 1):
        slices = facts(corpus, most=3, seed=seed).slices
        cells = zip(*(slices[name] for name in ("relation", "group", "fact")), strict=True)
        count = np.unique(
            [f"{relation} {group}" for relation, group, _ in {*cells}], return_counts=True
        )
        assert count[1].tolist() == [3] * 16
        seen.append(set(slices["fact"].tolist()))
    assert len(seen[0] | seen[1]) > 80
    every = World(pairs=16, cities=4, nouns=8)
    assert len(np.unique(facts(Corpus(every, Pair())).slices["fact"])) == 32
    with pytest.raises(ValueError, match="most=0 facts of a group"):
        facts(corpus, most=0)


def test_words_of_a_large_inventory_are_different_and_the_first_ones_stay():
    phonology = Phonology(syllables=4)
    words = phonology.words(200_000, seed=3)
    assert len(set(words)) == 200_000 and {len(w) for w in words} == {8}
    assert phonology.words(1000, seed=3) == words[:1000]
    assert phonology.words(1000, seed=4) != words[:1000]


def test_a_world_of_more_than_there_are_words_is_refused():
    with pytest.raises(ValueError, match=r"do not fit an inventory of 6400 .* choose syllables=3"):
        Pair().languages(World(pairs=4000))
