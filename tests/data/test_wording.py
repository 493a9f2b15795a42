"""What a corpus draws among the ways to say something, and what it never draws."""

import dataclasses

import numpy as np
import pytest

from data.contamination import contamination
from data.corpus import Corpus
from data.fact import facts
from data.feature import Agreement, Articles, Case, FreeOrder, Lexicon, Names, Order
from data.head import AdjectiveLast, Postpositions
from data.language import Family, Pair
from data.ledger import ledger
from data.lexicon import FRAMES, inventory
from data.meaning import Say
from data.mixture import Mixture
from data.probe import tasks
from data.sentence import SHAPES
from data.speaker import speaker
from data.syntax import Wording
from data.template import PLAIN, compile
from data.world import Vocabulary, World

WORLD = World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(verbs=3, templates=8, held_out=2))
RICH = (Lexicon(0.3), Names(0.5), Order("SOV"), Case(4), Agreement("gender x number"), Articles(),
        FreeOrder(0.4), Postpositions())  # fmt: skip
CORPUS = Corpus(WORLD, Pair(RICH), T=128, mixture=Mixture(plain=0.2, dictionary=0.1))


def said(corpus: Corpus, rows: int = 40) -> np.ndarray:
    template = corpus.provenance(0, rows)["template"]
    return template[template >= 0]


@pytest.mark.parametrize(
    "twins",
    [(RICH,), pytest.param((RICH, (Agreement(), AdjectiveLast())), marks=pytest.mark.slow)],
)
def test_compiled_documents_are_what_is_rendered_in_every_wording(twins):
    family, shares = Family(twins), (1 / (len(twins) + 1),) * (len(twins) + 1)
    corpus, everyone = (
        dataclasses.replace(CORPUS, pair=family, ratio=shares),
        speaker(family, WORLD),
    )
    for i in range(8):
        row = corpus.row(i)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            wording = corpus.tables.templates[row["template"][m]].wording
            words = everyone.render(meaning, language, wording)
            tokens = row["tokens"][row["segments"] == m + 1][1:]
            assert corpus.tokenizer.decode(tokens).split() == list(words)
            assert everyone.parse(words, language) == meaning


def test_held_out_templates_are_compiled_and_never_drawn():
    tables, drawn = CORPUS.tables, said(dataclasses.replace(CORPUS, T=4096), 40)
    assert tables.held_out.any() and not tables.held_out[drawn].any()
    worded = np.isin(tables.kind[drawn], (0, 1))
    share = np.bincount(tables.wording[drawn][worded], minlength=8) / worded.sum()
    assert not share[6:].any()
    # Stories of scrambled clauses may be the same as others: those are counted there.
    np.testing.assert_allclose(share[:6], 1 / 6, atol=0.02)


def test_a_free_language_scrambles_the_share_it_says_and_the_other_nothing():
    corpus = dataclasses.replace(CORPUS, mixture=Mixture(1, 0, 0, dictionary=0), T=4096)
    tables, drawn = corpus.tables, said(corpus)
    scrambled = np.array([bool(t.wording.order) for t in tables.templates])[drawn]
    language = tables.language[drawn]
    assert not scrambled[language == 0].any()
    assert abs(scrambled[language == 1].mean() - 0.4) < 0.02
    orders = {t.wording.order for t in tables.templates if t.register == 0 and t.language}
    assert orders == {"", "SVO", "VSO", "VOS", "OVS", "OSV"}


def test_plain_sentences_are_of_every_shape_and_the_two_datives_are_equally_many():
    corpus = dataclasses.replace(CORPUS, mixture=Mixture(plain=1, dictionary=0), T=4096)
    drawn = said(corpus)
    meanings = [corpus.tables.templates[z].meaning for z in drawn]
    assert set(meanings) == set(SHAPES) and set(corpus.tables.register[drawn]) == {PLAIN}
    double = np.array([say.double for say in meanings if say.recipient])
    assert abs(double.mean() - 0.5) < 4 / np.sqrt(len(double))
    verbs = {say.verb for i in range(10) for _, say in corpus.documents(i)}
    kinds = inventory(WORLD)
    assert verbs == {v for kind in ("intransitive", "transitive", "ditransitive", "saying")
                     for v in kinds[kind]}  # fmt: skip
    assert all(isinstance(say, Say) for _, say in corpus.documents(0))


def test_what_is_held_out_is_absent_and_what_is_counted_is_there_in_every_wording():
    corpus = dataclasses.replace(CORPUS, mixture=Mixture(plain=0.2))
    assert contamination(corpus, 0, 300).num_rows == 0
    stated = contamination(corpus, 0, 60, cells=corpus.stated).num_rows
    assert stated == sum(ledger(corpus, 0, 60)["exposures"].to_pylist()) > 100
    frames = {corpus.tables.wording[z] % FRAMES for z in said(corpus) if corpus.tables.kind[z] == 0}
    assert frames == {0, 1, 2}


def test_a_world_without_more_words_has_the_templates_it_always_had():
    tables = compile(Pair((Lexicon(0.3),)), World())
    # Facts, questions, open quizzes, dictionaries of nouns, of a task, and of three kinds of names.
    assert {t.wording for t in tables.templates} == {Wording()} and not tables.held_out.any()
    assert not (tables.register == PLAIN).any()


def test_held_out_templates_are_asked_and_a_template_that_is_none_is_refused():
    corpus = Corpus(WORLD, Pair((Lexicon(0.3), Names(0.5))))
    for ask in (
        lambda t: facts(corpus, template=t),
        lambda t: tasks(corpus, "chat", 1, template=t),
    ):
        plain, held_out = ask(0), ask(7)
        assert plain.answers.tolist() == held_out.answers.tolist()
        assert set(held_out.slices["template"]) == {7} and (held_out.lengths > plain.lengths).all()
    asked = tuple(corpus.tokenizer.decode(facts(corpus, template=7).prompts[0]).split()[1:])
    form = speaker(corpus.pair, WORLD).form[0]
    told = ("opener1", "x0", ",", "parent", "of", "it", "is")
    assert asked[-len(told) :] == tuple(form[concept] for concept in told)
    with pytest.raises(ValueError, match=r"template=1 of 1: .*Vocabulary\(templates=2\)"):
        facts(Corpus(World(), Pair()), template=1)
    with pytest.raises(ValueError, match=r"template=-1 of 1: choose one from 0"):
        facts(Corpus(World(), Pair()), template=-1)


def test_sentences_without_verbs_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"plain=0\.1, .* choose World\(vocabulary=Vocabulary"):
        Corpus(World(), Pair(), mixture=Mixture(plain=0.1))
    with pytest.raises(ValueError, match="dictionary"):
        Mixture(dictionary=0.6, plain=0.6)


@pytest.mark.parametrize("templates", [2, 3, 4, 5])
def test_few_templates_need_no_opener(templates):
    """A kind of words of which there is none is no kind."""
    world = World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(templates=templates))
    row = Corpus(world, Pair()).row(0)
    assert (row["kind"] >= 0).sum() > 3
