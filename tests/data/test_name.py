"""Names of several words: shared as often as said, whole in every document and question."""

import collections

import numpy as np
import pytest

from data.contamination import contamination
from data.corpus import Corpus
from data.fact import facts
from data.feature import Case, Lexicon, Names, PossessorFirst, Script
from data.language import Pair
from data.ledger import ledger
from data.name import Naming
from data.speaker import speaker
from data.tokenizer import Character
from data.world import World

WORLD = World(pairs=16, cities=4, nouns=8)
FEATURES = (Lexicon(0.3), Names(0.5), PossessorFirst(), Case(4))
SHARED = Pair(FEATURES, naming=Naming(2, 4))
OWN = Pair((*FEATURES, Script("mapped")), naming=Naming(3))


@pytest.mark.parametrize("persons, words, multiplicity", [(160, 2, 10), (100, 3, 10), (90, 2, 4)])
def test_every_word_is_shared_by_so_many_names_and_every_name_is_one_persons(
    persons, words, multiplicity
):
    parts = Naming(words, multiplicity).parts(persons, seed=1)
    assert len(np.unique(parts, axis=0)) == persons
    uses = np.bincount(parts.ravel())
    assert uses.max() == multiplicity and uses.min() >= multiplicity - words
    if persons % multiplicity == 0:
        assert uses.min() == multiplicity


def test_persons_who_share_a_first_name_are_of_many_groups():
    parts = Naming(2, 10).parts(800, seed=0)
    groups = [len({int(i) % 8 for i in np.nonzero(parts[:, 0] == w)[0]}) for w in range(80)]
    assert np.mean(groups) > 4


def test_only_persons_have_names_of_several_words():
    both = speaker(SHARED, WORLD)
    for forms in both.form:
        for concept, form in forms.items():
            assert len(form.split()) == (2 if both.kind[concept] in "xy" else 1)
            assert all(w[0].isupper() for w in form.split() if both.kind[concept] in "xy")
    first = collections.Counter(form.split()[0] for c, form in both.form[0].items() if c[0] == "x")
    assert set(first.values()) == {4}


@pytest.mark.parametrize("pair", [SHARED, OWN], ids=["shared", "own"])
def test_documents_are_their_rendering_and_parse_to_their_meaning(pair):
    corpus, both = Corpus(WORLD, pair), speaker(pair, WORLD)
    for i in range(60):
        row = corpus.row(i)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            words = both.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1]
            assert tokens.tolist() == [0, *corpus.tokenizer.encode(" ".join(words))]
            assert both.parse(words, language) == meaning


def test_half_a_name_is_no_name():
    both = speaker(SHARED, WORLD)
    fact = next(m for _, m in Corpus(WORLD, SHARED).documents(0) if hasattr(m, "focus"))
    words = both.render(fact, 0)
    with pytest.raises(ValueError, match="is no document"):
        both.parse(tuple(w for w in words if w != both.form[0][fact.focus].split()[0]), 0)


@pytest.mark.parametrize("letters", [False, True])
def test_questions_end_before_a_whole_name_and_options_are_whole_names(letters):
    words = Corpus(WORLD, SHARED)
    alphabet = Character.of(" ".join(words.tables.words))
    corpus = Corpus(WORLD, SHARED, T=256, subword=alphabet) if letters else words
    questions = facts(corpus)
    for i in np.nonzero(questions.slices["relation"] == "parent")[0]:
        answer = [t for t in questions.answers[i].tolist() if t]
        assert len(corpus.tokenizer.decode(answer).split()) == 2
        gold = questions.options[i, questions.gold[i]]
        assert gold[gold > 0].tolist() == answer
    assert contamination(corpus, 0, 100).num_rows == 0
    found = contamination(corpus, 0, 50, WORLD.stated).num_rows
    assert found == sum(np.array(ledger(corpus, 0, 50)["exposures"]))


def test_more_persons_than_names_are_refused():
    with pytest.raises(ValueError, match="at most 4, or 100 persons"):
        Pair(naming=Naming(2, 10)).languages(WORLD)
    with pytest.raises(ValueError, match="names of 1 word share none"):
        Naming(1, 2)
