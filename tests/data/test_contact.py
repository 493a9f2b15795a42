"""What is said in two languages: whole, counted in both, and only where both may say it."""

import dataclasses
import itertools

import numpy as np
import pytest

from data.contact import SCOPE, Contact
from data.contamination import contamination
from data.corpus import Corpus
from data.feature import (
    Agreement,
    Articles,
    Case,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
)
from data.language import Family, Pair
from data.ledger import ledger
from data.meaning import Dictionary, Fact, Parallel, Quiz, Story
from data.mixture import Mixture
from data.name import Naming
from data.relation import CLASSES, RELATIONS
from data.search import statements
from data.speaker import speaker
from data.split import HeldOut
from data.task import Copy
from data.task.listing import Filter
from data.task.retrieval import Hop, askable
from data.template import REGISTERS
from data.tokenizer import Character
from data.world import World

SMALL = World(pairs=16, cities=4, nouns=8)
TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()), naming=Naming(2, 4))
FAR = Pair((Lexicon(0.3), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), Case(4),
            Agreement("gender x number"), Articles()))  # fmt: skip
THREE = Family(((Lexicon(0), Names(0)), (Lexicon(0), Names(0), Order("SOV"))))


def corpus(pair=TWIN, T=256, world=SMALL, **contact) -> Corpus:
    dictionary = contact.pop("dictionary", 0.04)
    mixture = Mixture(contact=Contact(**contact), dictionary=dictionary)
    ratio = 0.5 if isinstance(pair, Pair) else (0.4, 0.3, 0.3)
    return Corpus(world, pair, T=T, mixture=mixture, ratio=ratio)


LETTERS = Character.of(" ".join(corpus(FAR, parallel=0.5).tables.words))
CORPORA = {
    "joined": corpus(parallel=0.5, scope=SCOPE),
    "joined far": corpus(FAR, parallel=0.5, scope=SCOPE),
    "adjacent": corpus(parallel=0.5, scope=SCOPE, adjacent=True),
    "three": corpus(THREE, parallel=0.5, scope=SCOPE),
    "three adjacent": corpus(THREE, parallel=0.5, scope=SCOPE, adjacent=True),
    "letters": dataclasses.replace(corpus(FAR, 1024, parallel=0.5, scope=SCOPE, adjacent=True),
                                   subword=LETTERS),
    "names": corpus(scope=("names",), dictionary=0.5),
}  # fmt: skip
LONG = ("joined far", "three", "three adjacent")  # to parse
QUICK = [pytest.param(name, marks=pytest.mark.slow if name in LONG else []) for name in CORPORA]
SWITCHED = {
    "switched": corpus(switched=0.3),
    "switched far": corpus(FAR, switched=0.3),
    "switched three": corpus(THREE, switched=0.3, parallel=0.3, adjacent=True, scope=SCOPE),
    "switched letters": dataclasses.replace(corpus(FAR, 1024, switched=0.3), subword=LETTERS),
}


@pytest.mark.parametrize("name", [*CORPORA, *SWITCHED])
def test_any_range_of_rows_is_its_rows_one_by_one(name):
    made = (CORPORA | SWITCHED)[name]
    rows = made.rows(5, 25)
    for i in (19, 0, 7):
        row = made.row(5 + i)
        for column in rows:
            np.testing.assert_array_equal(rows[column][i], row[column], err_msg=column)
    assert (np.diff(rows["segments"], axis=1) <= 1).all()
    assert ((rows["kind"] >= 0).sum(1) == rows["segments"].max(1)).all()


@pytest.mark.parametrize("name", QUICK)
def test_documents_are_their_rendering_and_parse_to_their_meaning(name):
    made = CORPORA[name]
    both, encode = speaker(made.pair, made.world), made.tokenizer.encode
    for i in range(10):
        row = made.row(i)
        for m, (language, meaning) in enumerate(made.documents(i)):
            words = both.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1]
            assert tokens.tolist() == [0, *encode("".join(f" {w}" for w in words))]
            assert both.parse(words, language) == meaning
            said = meaning.meaning if isinstance(meaning, Parallel) else meaning
            assert (row["fact"][m] >= 0) == isinstance(said, Fact)
            if "also" in row:
                target = meaning.target if isinstance(meaning, Parallel) else -1
                assert row["also"][m] == target


@pytest.mark.parametrize("name", ["adjacent", "three adjacent", "letters"])
def test_adjacent_documents_say_the_same_one_after_the_other(name):
    made, pairs, documents = CORPORA[name], 0, 0
    for i in range(60):
        said = made.documents(i)
        for (a, one), (b, two) in itertools.pairwise(said):
            pairs += one == two and a != b and not isinstance(one, Dictionary)
        documents += len(said)
    assert 0.2 < pairs / documents < 0.4, "a third, of half of the draws and fewer of the facts"


@pytest.mark.parametrize("name", CORPORA)
def test_what_is_held_out_is_said_in_no_language(name):
    assert contamination(CORPORA[name], 0, 200).num_rows == 0


@pytest.mark.parametrize("name", [n for n in CORPORA if n != "names"] + [*SWITCHED])
def test_the_ledger_counts_every_statement_that_a_reader_finds(name):
    """A parallel document is two exposures, a code-switched statement none of these."""
    made = (CORPORA | SWITCHED)[name]
    found = statements(made, made.rows(0, 100)["tokens"])
    read = np.zeros(made.stated.shape, int)
    np.add.at(read, (found.fact, made.tables.language[found.template], found.direction), 1)
    table = ledger(made, 0, 100).to_pydict()
    language = [made.pair.names.index(name) for name in table["language"]]
    direction = np.array(table["direction"]) == "reverse"
    counted = np.zeros_like(read)
    np.add.at(counted, (table["fact"], language, direction.astype(int)), table["exposures"])
    np.testing.assert_array_equal(read, counted)
    assert counted.sum() > 200


@pytest.mark.parametrize("adjacent", [False, True])
def test_exposures_are_matched_with_parallel_documents_too(adjacent):
    made = corpus(parallel=0.4, adjacent=adjacent, scope=SCOPE, T=4096)
    made = dataclasses.replace(made, ratio=0.4)
    table = ledger(made, 0, 400).to_pydict()
    count = np.zeros(made.stated.shape)
    language = np.array([made.pair.names.index(name) for name in table["language"]])
    direction = (np.array(table["direction"]) == "reverse").astype(int)
    np.add.at(count, (table["fact"], language, direction), table["exposures"])
    for l in (0, 1):
        own = made.stated[:, l]
        mean = count[:, l][own].mean()
        assert mean > 500
        assert np.abs(count[:, l][own] - mean).max() < 5 * np.sqrt(mean)
    assert not count[~made.stated].any()


def test_facts_out_of_scope_are_said_once():
    made = corpus(parallel=0.9)
    said = made.provenance(0, 200)
    twice = said["also"] >= 0
    assert twice.any() and not (twice & (said["fact"] >= 0)).any()
    tasks = said["kind"] == 1
    share = (twice & tasks).sum() / tasks.sum()
    assert abs(share - 0.9) < 0.05


@pytest.mark.parametrize("name", SWITCHED)
def test_a_switched_word_is_the_bare_word_of_another_language_and_the_rest_is_untouched(name):
    made = SWITCHED[name]
    both, encode = speaker(made.pair, made.world), made.tokenizer.encode
    others, switched, documents = set(), 0, 0
    asked = {task.name for task in made.world.tasks}
    for i in range(25):
        row = made.row(i)
        for m, (language, meaning) in enumerate(made.documents(i)):
            said = made.tokenizer.decode(row["tokens"][row["segments"] == m + 1][1:]).split()
            differs = 0
            at = 0
            for leaf in both.leaves(meaning, language):
                plain = both.word(leaf).split()
                mine, at = said[at : at + len(plain)], at + len(plain)
                if mine != plain:
                    bare = [form[leaf.concept].split() for form in both.form]
                    assert mine in bare[:language] + bare[language + 1 :], (mine, plain)
                    others.add(both.kind[leaf.concept])
                    asks = isinstance(meaning, Story | Quiz) and leaf.concept in asked
                    assert not asks, "what is held out in another language would be asked there"
                    differs += sum(a != b for a, b in zip(mine, plain, strict=True))
            assert at == len(said) and row["switched"][m] == differs
            assert not (differs and isinstance(meaning, Dictionary))
            assert encode("".join(f" {w}" for w in said))
            switched, documents = switched + (differs > 0), documents + 1
    assert others == {"x", "y", "city", "noun", "relation"}
    assert 0.3 < switched / documents < 0.9


def test_dictionaries_explain_what_is_in_the_scope():
    kinds = {
        scope: {
            both.kind[concept]
            for i in range(60)
            for _, meaning in made.documents(i)
            if isinstance(meaning, Dictionary)
            for concept in meaning.concepts
        }
        for scope in (("nouns",), ("names",), ("nouns", "names"))
        if (made := corpus(scope=scope, dictionary=0.5)) and (both := speaker(TWIN, SMALL))
    }
    assert kinds[("nouns",)] == {"noun"} and kinds[("names",)] == {"x", "y", "city"}
    assert kinds[("nouns", "names")] == {"noun", "x", "y", "city"}


def test_what_may_not_be_asked_in_a_language_is_not_said_again_in_it():
    held_out = (HeldOut(register="story", language=1),)
    mixture = Mixture(contact=Contact(parallel=0.9), held_out=held_out)
    made = Corpus(SMALL, TWIN, T=256, mixture=mixture)
    said = made.provenance(0, 200)
    stories = said["register"] == REGISTERS.index("story")
    assert stories.any() and not (said["also"][stories] >= 0).any()
    assert (said["also"] >= 0).any()


BAD = {
    "no share": (lambda: Contact(parallel=1.5), "shares are from 0 to 1"),
    "no such scope": (lambda: Contact(scope=("verbs",)), "is any of"),
    "nothing to explain": (lambda: corpus(scope=("facts",)), "choose dictionary=0"),
    "apart": (lambda: dataclasses.replace(CORPORA["joined"], packing="apart"), "fact twice"),
    "no next one": (
        lambda: dataclasses.replace(CORPORA["adjacent"], packing="single"), "no place for the"),
    "answers first": (
        lambda: dataclasses.replace(CORPORA["joined"], loss="response"), "prompt after their"),
    "a clone": (
        lambda: corpus(Pair((Names(0),)), switched=0.1), "function words are the same"),
    "not matched": (
        lambda: dataclasses.replace(CORPORA["joined"], ratio=0.05), "exceeds the share"),
    "two too long": (
        lambda: corpus(parallel=0.5, adjacent=True, T=20), "shorter than the longest document"),
    "too long": (lambda: corpus(parallel=0.5, T=24), "shorter than the longest document"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_contact_that_cannot_be_is_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("adjacent", [False, True])
def test_answers_that_follow_from_facts_are_not_said_again_where_these_are_not_stated(adjacent):
    world = dataclasses.replace(SMALL, nouns=16, relations=(*RELATIONS, *CLASSES),
                                tasks=(Hop(), Filter(), Copy()))  # fmt: skip
    contact = Contact(parallel=1.0, scope=SCOPE, adjacent=adjacent)
    mixture = Mixture(0, 0.5, 0.5, answered=0.5, dictionary=0, contact=contact)
    said = Corpus(world, TWIN, T=256, mixture=mixture)
    open_, again = 0, 0
    for i in range(60):
        for language, meaning in said.documents(i):
            meaning = meaning.meaning if (twice := isinstance(meaning, Parallel)) else meaning
            (task,) = (task for task in world.tasks if task.takes(meaning.question))
            again += twice and not task.derived
            if getattr(meaning, "follow", None):
                open_ += twice and task.derived
                continue
            assert not (twice and task.derived)
            if task == Hop():
                assert int(meaning.question.args[0].args[0][1:]) in askable(
                    world, ("child", "home"), np.array([language]))[0]  # fmt: skip
    assert again + open_ > 100 or adjacent
