"""Nouns that denote an entity for one document, and documents that begin with their language."""

import dataclasses

import numpy as np
import pytest

from data import fact
from data.contamination import contamination
from data.corpus import Corpus
from data.coverage import Statements
from data.draw import stretch
from data.feature import Agreement, Articles, Case, Lexicon, Names, Order, PossessorFirst
from data.filling import DRAWS
from data.language import Family, Pair
from data.ledger import ledger
from data.meaning import Alias, Fact
from data.mixture import Mixture
from data.name import Naming
from data.relation import CLASSES, RELATIONS
from data.speaker import speaker
from data.world import Vocabulary, World

WORLD = World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(aliases=True))
FEATURES = (Lexicon(0.3), Names(0.5), PossessorFirst())
RICH = (*FEATURES, Order("SOV"), Case(4), Agreement("gender x number"), Articles())
PAIRS = {
    "twin": Pair(FEATURES),
    "rich": Pair(RICH, naming=Naming(2, 4)),
    "tagged": Pair(FEATURES, tagged=True),
    "one tag": Pair(FEATURES, tagged="<any>"),
    "tagged family": Family((FEATURES, RICH), tagged=True),
}


def made(pair, T=128) -> Corpus:
    ratio = 0.5 if isinstance(pair, Pair) else (0.4, 0.3, 0.3)
    return Corpus(WORLD, pair, T=T, ratio=ratio, mixture=Mixture(statements=Statements(opaque=0.4)))


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] * ("family" in name)) for name in PAIRS]
)
def corpus(request) -> Corpus:
    return made(PAIRS[request.param])


def test_documents_are_their_rendering_and_parse_to_their_meaning(corpus):
    both, aliases, facts = speaker(corpus.pair, corpus.world), 0, 0
    for i in range(40):
        row = corpus.row(i)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            words = both.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1]
            assert tokens.tolist() == [0, *corpus.tokenizer.encode(" ".join(words))]
            assert both.parse(words, language) == meaning
            aliases += isinstance(meaning, Alias)
            facts += isinstance(meaning, Fact | Alias)
    assert abs(aliases / facts - 0.4) < 0.1


def test_an_alias_is_mentioned_after_its_entity_and_before_the_answer(corpus):
    """So that a statement has the direction it would have with the name."""
    both = speaker(corpus.pair, corpus.world)
    for language, meaning in (d for i in range(20) for d in corpus.documents(i)):
        if isinstance(meaning, Alias):
            said = [leaf.concept for leaf in both.leaves(meaning, language)]
            fact = meaning.fact
            other = fact.object if fact.focus == fact.subject else fact.subject
            assert said.count(fact.focus) == said.count(other) == 1
            assert said.count(meaning.noun) >= 2
            assert said.index(fact.focus) < said.index(other)


def test_a_noun_denotes_one_thing_here_and_another_there():
    said = [m for i in range(200) for _, m in made(PAIRS["twin"]).documents(i)]
    meant = {(m.noun, m.fact.focus) for m in said if isinstance(m, Alias)}
    assert len(meant) > 5 * len({noun for noun, _ in meant})


def test_every_fact_is_called_by_every_noun_alike():
    """One number drew the fact and the noun that it was never called by."""
    sampler = Corpus(
        WORLD, Pair(), mixture=Mixture(1, 0, 0, dictionary=0, statements=Statements(opaque=1.0))
    ).sampler
    u = stretch("corpus", 0, 0, 30_000, DRAWS).T
    shape = sampler.shape(u)
    noun = sampler.filling.slots(u, shape)[:, 2] - sampler.concept["noun0"]
    count = np.zeros((len(WORLD.facts.group), WORLD.nouns))
    np.add.at(count, (shape.fact, noun), 1)
    count = count[count.any(1)]
    expected = count.sum(1, keepdims=True) / WORLD.nouns
    assert expected.min() > 50 and (np.abs(count - expected) < 5 * np.sqrt(expected)).all()


def test_aliased_statements_are_exposures_in_a_template_of_their_own():
    corpus = made(PAIRS["twin"])
    table = ledger(corpus, 0, 300).to_pydict()
    aliased = np.array(["define" in name for name in table["template"]])
    exposures, stated = np.array(table["exposures"]), np.array(table["stated"])
    assert abs(exposures[aliased].sum() / exposures.sum() - 0.4) < 0.05
    assert not exposures[~stated].any() and contamination(corpus, 0, 300).num_rows == 0


def test_a_noun_stands_for_names_alone():
    """Were it to stand for a noun, the class told of that one could be its own: nowhere counted."""
    world = dataclasses.replace(WORLD, relations=(*RELATIONS, *CLASSES))
    corpus = dataclasses.replace(made(PAIRS["twin"]), world=world)
    said = [m for i in range(100) for _, m in corpus.documents(i)]
    assert {m.fact.relation for m in said if isinstance(m, Alias)} == {"parent", "home"}
    assert CLASSES[0].name in {m.relation for m in said if isinstance(m, Fact)}
    assert contamination(corpus, 0, 300).num_rows == 0


def test_every_document_begins_with_the_name_of_its_language():
    corpus = made(PAIRS["tagged"])
    rows = corpus.rows(0, 50)
    opening = np.diff(rows["segments"], axis=1, prepend=0) > 0
    tags = np.array(corpus.tokenizer.encode("<L1> <L2>"))
    for row in range(50):
        first = rows["tokens"][row][np.flatnonzero(opening[row]) + 1]
        language = rows["language"][row][: len(first)]
        np.testing.assert_array_equal(first, tags[language])
    questions = fact.facts(corpus)
    at = np.arange(len(questions.prompts)), questions.prompts.shape[1] - questions.lengths + 1
    tagged = tags[(questions.slices["language"] == "L2").astype(int)]
    np.testing.assert_array_equal(questions.prompts[at], tagged)


def test_every_document_begins_with_the_word_that_is_given():
    rows, told = (made(PAIRS[name]).rows(0, 50) for name in ("one tag", "tagged"))
    tag = made(PAIRS["one tag"]).tokenizer.encode("<any>")
    opening = np.diff(rows["segments"], axis=1, prepend=0) > 0
    assert {*rows["tokens"][np.roll(opening, 1, axis=1)].tolist()} == {*tag}
    for column in ("fact", "language", "segments"):
        np.testing.assert_array_equal(rows[column], told[column])


def test_aliases_without_their_vocabulary_are_refused():
    with pytest.raises(ValueError, match=r"choose World\(vocabulary=Vocabulary\(aliases=True\)\)"):
        Corpus(World(), Pair(), mixture=Mixture(statements=Statements(opaque=0.1)))
    with pytest.raises(ValueError, match=r"opaque=1\.5 is no share"):
        Statements(opaque=1.5)
