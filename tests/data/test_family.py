"""Any number of languages: a base and its twins, each with features of its own."""

import dataclasses

import numpy as np
import pytest

from data import fact, probe
from data.contamination import contamination
from data.corpus import Corpus
from data.feature import Clone, Digits, Lexicon, Names, Order, PossessorFirst, Script
from data.language import Family, Pair
from data.ledger import census, ledger
from data.lexicon import NUMERALS, inventory
from data.meaning import Dictionary, Fact
from data.mixture import Mixture
from data.speaker import speaker
from data.task.form import Respond
from data.template import REGISTERS, compile
from data.world import FORWARD, REVERSE, Group, Vocabulary, World

GROUPS = (
    Group("all", tuple((i, d) for i in range(3) for d in (FORWARD, REVERSE))),
    Group("third", ((2, FORWARD),)),
)
WORLD = World(pairs=16, cities=4, nouns=8, groups=GROUPS)
THREE = Family(((Lexicon(0.5), Order("SOV")), (Clone(), PossessorFirst())))
CORPUS = Corpus(WORLD, THREE, mixture=Mixture(dictionary=0.2), ratio=(0.5, 0.2, 0.3))
CLONES = Family(((Clone(),),) * 9)


@pytest.mark.parametrize("features", [(), (Lexicon(0.3), Names(0.5), PossessorFirst()), (Clone(),)])
def test_a_pair_is_a_family_of_two(features):
    world = World(vocabulary=Vocabulary(numerals=True))
    assert Pair(features, 3).languages(world) == Family((features,), 3).languages(world)


def test_a_language_does_not_depend_on_how_many_come_after_it():
    assert CLONES.languages(WORLD)[:3] == Family(CLONES.twins[:2]).languages(WORLD)


def test_clones_share_no_form_and_all_grammar():
    base, *twins = CLONES.languages(World(vocabulary=Vocabulary(numerals=True)))
    forms = [form for language in (base, *twins) for form in language.forms]
    assert len(forms) == len(set(forms)) == 10 * len(base.forms)
    assert all(dataclasses.replace(twin, forms=base.forms) == base for twin in twins)


def test_every_document_of_three_languages_is_the_rendering_of_its_meaning():
    all_three, languages, targets = speaker(THREE, WORLD), set(), set()
    for i in range(80):
        row = CORPUS.row(i)
        for m, (language, meaning) in enumerate(CORPUS.documents(i)):
            words = all_three.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1][1:]
            assert CORPUS.tokenizer.decode(tokens).split() == list(words)
            assert all_three.parse(words, language) == meaning
            languages.add(language)
            targets |= {(language, m.target) for m in [meaning] if isinstance(m, Dictionary)}
    assert languages == {0, 1, 2}
    assert targets == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_shares_are_those_of_the_ratio():
    said = dataclasses.replace(CORPUS, T=4096).provenance(0, 32)
    facts = said["language"][said["kind"] == 0]
    others = said["language"][said["kind"] == 1]
    share = np.bincount(others) / len(others)
    np.testing.assert_allclose(share, CORPUS.shares, atol=4 / np.sqrt(len(others)))
    cells = CORPUS.stated.sum((0, 2)) * CORPUS.shares
    share = np.bincount(facts) / len(facts)
    np.testing.assert_allclose(share, cells / cells.sum(), atol=4 / np.sqrt(len(facts)))


def test_the_ledger_counts_and_the_search_proves_in_every_language():
    said = ledger(CORPUS, 0, 400).to_pydict()
    said = {name: np.array(column) for name, column in said.items()}
    assert set(said["language"]) == {"L1", "L2", "L3"}
    np.testing.assert_array_equal(said["stated"], said["exposures"] > 0)
    assert set(said["language"][(said["group"] == "third") & said["stated"]]) == {"L3"}
    assert contamination(CORPUS, 0, 400).num_rows == 0
    found = contamination(CORPUS, 0, 50, cells=CORPUS.stated)
    assert found.num_rows == sum(ledger(CORPUS, 0, 50)["exposures"].to_pylist())
    assert census(CORPUS, 0, 50).num_rows == 3 * len(REGISTERS)


def test_questions_are_asked_in_every_language_and_the_other_of_a_twin_is_the_base():
    facts, tasks = fact.facts(CORPUS), probe.tasks(CORPUS, "quiz", items=2)
    for questions in (facts, tasks):
        assert set(questions.slices["language"]) == {"L1", "L2", "L3"}
    both = speaker(THREE, WORLD)
    third = np.nonzero(facts.slices["language"] == "L3")[0][0]
    relation, subject, object, _ = WORLD.fact(facts.slices["fact"][third])
    assert both.parse(both.render(Fact(relation, subject, object, subject), 2), 2).object == object
    decode = lambda ids: CORPUS.tokenizer.decode(ids[ids > 0])
    assert decode(facts.answers[third]) == both.form[2][object]
    assert decode(facts.other[third]) == both.form[0][object]


def test_ten_clones_compile_to_ten_times_the_templates_of_one():
    one, ten = compile(Pair((Clone(),)), WORLD), compile(CLONES, World(pairs=16))
    plain = lambda tables: sum(t.kind != 2 for t in tables.templates)
    assert plain(ten) == 5 * plain(one)
    assert len(set(ten.language)) == 10


def test_numerals_have_words_where_the_world_has_numerals():
    world = dataclasses.replace(WORLD, vocabulary=Vocabulary(numerals=True))
    assert "numeral" not in inventory(WORLD) and inventory(world)["numeral"] == (*NUMERALS,)
    family = Family(((), (Digits(),), (Clone(),)))
    base, same, own, clone = speaker(family, world).form
    said = lambda form: "".join(form[c] for c in NUMERALS)
    assert said(base) == said(same) == "0123456789"
    assert said(own)[::2] == "٠١٢٣٤٥٦٧٨٩" and not set(own.values()) & set(said(clone))
    assert {c for c in base if base[c] != own[c]} == set(NUMERALS)
    mapped = speaker(Pair((Script("mapped"),)), world).form[1]
    assert said(mapped) == "0123456789"


def test_impossible_families_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose one tuple of features a twin"):
        Family(())
    with pytest.raises(ValueError, match="Clone contradicts Lexicon"):
        Family(((), (Clone(), Lexicon())))
    with pytest.raises(ValueError, match=r"there are 3; choose a tuple of 3 shares that sum to 1"):
        Corpus(WORLD, THREE)
    with pytest.raises(ValueError, match=r"here 2 that sum to 1; change them"):
        Corpus(WORLD, THREE, ratio=(0.5, 0.5))
    with pytest.raises(ValueError, match="groups speak of 3 languages and there are 2"):
        Corpus(WORLD, Pair())
    with pytest.raises(ValueError, match=r"Respond\(languages=3\) names 3 .* choose languages=2"):
        Corpus(World(tasks=(Respond(3),)), Pair())
    with pytest.raises(ValueError, match="choose syllables=3 or a smaller world"):
        CLONES.languages(World(pairs=400))
