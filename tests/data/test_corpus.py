"""Rows are a function of (spec, i), lay whole documents out, and say what they claim."""

import dataclasses
import hashlib

import numpy as np
import pytest

from data.corpus import Corpus
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    Cognates,
    FalseFriends,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
    Script,
)
from data.language import Pair
from data.meaning import Quiz, Slot, Story
from data.mixture import Mixture
from data.pack import fit
from data.speaker import speaker
from data.task import held_out
from data.template import KINDS, REGISTERS
from data.tokenizer import BPE, Character
from data.world import World

TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
ALIEN = Pair(
    (Lexicon(0), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), ChatMarkers()), seed=5
)
RICH = Pair((Lexicon(0.3), Names(0.5), Order("SOV"), Cognates(), FalseFriends(0.3),
             Script("mapped"), Case(4), Agreement("gender x number"), Articles()))  # fmt: skip
SMALL = World(pairs=16, cities=4, nouns=8)
PLAIN = Corpus(World(), TWIN)


def text(corpus: Corpus, rows: int = 40) -> list[str]:
    both = speaker(corpus.pair, corpus.world)
    said = [d for i in range(rows) for d in corpus.documents(i)]
    return ["".join(f" {w}" for w in both.render(meaning, lang)) for lang, meaning in said]


WORDS = Corpus(SMALL, ALIEN)
EVERY = "".join(f" {w}" for pair in (TWIN, ALIEN, RICH) for w in Corpus(SMALL, pair).tables.words)
CORPORA = {
    "words": PLAIN,
    "unequal": dataclasses.replace(PLAIN, ratio=0.1, seed=3),
    "characters": Corpus(SMALL, ALIEN, T=192, subword=Character.of(EVERY)),
    "inflected": Corpus(SMALL, RICH, ratio=0.8),
    "object first": Corpus(SMALL, dataclasses.replace(RICH, features=(
        *RICH.features[3:], Order("OVS"), PossessorFirst())), ratio=0.8),
    "inflected letters": Corpus(SMALL, RICH, T=256, subword=Character.of(EVERY)),
    "pieces": Corpus(SMALL, ALIEN, T=128, subword=BPE.train(text(WORDS), 300)),
    "tuning": Corpus(SMALL, ALIEN, mixture=Mixture(0, 0, 0, chat=1, dictionary=0), ratio=0,
                     loss="response"),
    "answers": Corpus(SMALL, TWIN, mixture=Mixture(0, 0, 1, answered=0.5, dictionary=0), ratio=1,
                      loss="response", subword=Character.of(EVERY), T=192),
}  # fmt: skip


@pytest.fixture(params=CORPORA)
def corpus(request) -> Corpus:
    return CORPORA[request.param]


def test_any_range_of_rows_is_its_rows_one_by_one(corpus):
    rows = corpus.rows(5, 25)
    for i in (19, 0, 7):
        row = corpus.row(5 + i)
        assert rows.keys() == row.keys()
        for name in rows:
            np.testing.assert_array_equal(rows[name][i], row[name], err_msg=name)


def test_a_spec_has_the_same_rows_on_every_machine_and_release():
    """The hash is of what rows have been since they were first published: change it knowingly."""
    rows = PLAIN.rows(1000, 1256)
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "2954df4e5b3328d1"


def test_other_seeds_give_other_rows_and_row_numbers_have_no_small_limit():
    other = dataclasses.replace(PLAIN, seed=1)
    assert (PLAIN.rows(0, 64)["tokens"] != other.rows(0, 64)["tokens"]).mean() > 0.5
    assert PLAIN.rows(10**12, 10**12 + 4)["tokens"].any()
    with pytest.raises(ValueError, match="choose 0 <= start <= stop"):
        PLAIN.rows(3, 2)


def test_compiled_documents_are_the_rendering_of_their_meaning(corpus):
    both, encode = speaker(corpus.pair, corpus.world), corpus.tokenizer.encode
    for i in range(60):
        row = corpus.row(i)
        said = corpus.documents(i)
        assert row["segments"].max() == len(said)
        for m, (language, meaning) in enumerate(said):
            words = both.render(meaning, language)
            tokens = row["tokens"][row["segments"] == m + 1]
            assert tokens.tolist() == [0, *encode("".join(f" {w}" for w in words))]
            assert both.parse(words, language) == meaning


def test_every_token_knows_its_word_and_the_slot_it_says(corpus):
    rows, spans = corpus.rows(0, 30), corpus.spans(0, 30)
    both = speaker(corpus.pair, corpus.world)
    encode = lambda words: corpus.tokenizer.encode("".join(f" {w}" for w in words))
    for i in range(30):
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            chosen = rows["segments"][i] == m + 1
            tokens, word, slot = rows["tokens"][i, chosen], *(s[i, chosen] for s in spans.values())
            words = both.render(meaning, language)
            assert [encode([w]) for w in words] == [
                tokens[word == j + 1].tolist() for j in range(len(words))
            ]
            template = corpus.tables.templates[rows["template"][i, m]]
            said = both.leaves(template.meaning, language)
            places = [leaf.concept.index if isinstance(leaf.concept, Slot) else -1 for leaf in said]
            for j, place in enumerate(places):
                assert set(slot[word == j + 1]) == {place}
    assert (spans["word"][rows["segments"] == 0] == -1).all()


def test_rows_hold_whole_documents_and_then_padding(corpus):
    rows = corpus.rows(0, 100)
    tokens, weights, segments = (rows[k] for k in ("tokens", "weights", "segments"))
    assert tokens.dtype == segments.dtype == np.int32 and weights.dtype == np.float32
    assert tokens.shape == weights.shape == segments.shape == (100, corpus.T)
    assert tokens.min() == 0 and tokens.max() < corpus.tokenizer.size
    filled = segments > 0
    opening = np.diff(segments, axis=1, prepend=0) > 0
    assert (np.diff(segments, axis=1) <= 1).all() and filled[:, 0].all()
    assert (np.diff(filled.astype(int), axis=1) <= 0).all(), "padding is at the end alone"
    np.testing.assert_array_equal(tokens == 0, opening | ~filled)
    assert not weights[:, 0].any()
    assert ((rows["kind"] >= 0).sum(1) == segments.max(1)).all()


def test_a_row_is_filled_until_the_next_document_does_not_fit():
    np.testing.assert_array_equal(
        fit(np.array([[3, 3, 1], [3, 4, 1], [6, 0, 0]]), 6), [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    )
    total = (PLAIN.rows(0, 500)["segments"] > 0).sum(1)
    longest = PLAIN.tables.length.max()
    assert total.max() == PLAIN.T and total.min() > PLAIN.T - longest


def test_every_token_but_the_first_is_a_target_and_so_is_the_end_of_the_last_document():
    rows = PLAIN.rows(0, 100)
    total = (rows["segments"] > 0).sum(1, keepdims=True)
    place = np.arange(PLAIN.T)
    np.testing.assert_array_equal(rows["weights"], (place > 0) & (place <= total))


@pytest.mark.parametrize("name", ["tuning", "answers"])
def test_the_response_is_the_answer_and_the_doc_that_ends_it(name):
    corpus = CORPORA[name]
    both, encode = speaker(corpus.pair, corpus.world), corpus.tokenizer.encode
    for i in range(40):
        row, expected = corpus.row(i), np.zeros(corpus.T + 1)
        for m, (language, meaning) in enumerate(corpus.documents(i)):
            leaves = both.leaves(meaning, language)
            answer = [both.word(x) for x in leaves if x.answer]
            end = np.nonzero(row["segments"] == m + 1)[0][-1] + 1
            if answer:
                expected[end - len(encode("".join(f" {w}" for w in answer))) : end + 1] = 1
        np.testing.assert_array_equal(row["weights"], expected[:-1])


def test_shares_are_those_of_the_mixture():
    """Of documents as drawn; T is long, so that a row's end hardly favours short ones."""
    said = dataclasses.replace(PLAIN, T=4096).provenance(0, 64)
    kind, register, language = (
        said[k][said["kind"] >= 0] for k in ("kind", "register", "language")
    )
    n = len(kind)
    assert n > 20_000
    share = lambda mask: mask.mean()
    expected = dict(dictionary=0.04, statement=0.96 * 0.40, story=0.96 * 0.35, quiz=0.96 * 0.25)
    for name, p in expected.items():
        assert abs(share(register == REGISTERS.index(name)) - p) < 4 * np.sqrt(p / n) + 0.003, name
    assert not (register == REGISTERS.index("chat")).any()
    task = kind == KINDS.index("task")
    assert abs(share(language[task]) - 0.5) < 0.02
    cells = PLAIN.world.stated.sum((0, 2))
    assert abs(share(language[kind == 0]) - cells[1] / cells.sum()) < 0.02


def test_a_fifth_of_quiz_documents_is_answered_and_the_rest_goes_on_asking():
    corpus = Corpus(World(), TWIN, mixture=Mixture(0, 0, 1, dictionary=0), T=4096)
    said = [m for i in range(20) for _, m in corpus.documents(i)]
    assert all(isinstance(m, Quiz) for m in said)
    assert abs(np.mean([m.follow is None for m in said]) - 0.2) < 0.02


def test_items_kept_for_evaluation_are_never_said_and_are_a_sixteenth():
    world = World(nouns=8)
    corpus = Corpus(world, TWIN, T=2048)
    tasks = {task: i for i, task in enumerate(("copy", "reverse", "first", "last", "dup", "swap"))}
    kept, said = set(), set()
    for task in range(6):
        for args in np.ndindex(8, 8, 8):
            if len(set(args)) == 3 and held_out(
                np.array([task]), np.array([3]), np.array([[*args, 0]]).T
            ):
                kept.add((task, args))
    assert abs(len(kept) / (6 * 8 * 7 * 6) - 1 / 16) < 0.02
    for i in range(60):
        for _, meaning in corpus.documents(i):
            questions = []
            if isinstance(meaning, Story):
                questions = [meaning.question]
            elif isinstance(meaning, Quiz):
                questions = [q for q in (meaning.question, meaning.follow) if q]
            for q in questions:
                args = tuple(int(a[4:]) for a in q.args)
                assert len(set(args)) == len(args), "arguments are different nouns"
                said.add((tasks[q.task], args))
    assert not kept & said
    triples = {s for s in said if len(s[1]) == 3}
    assert len(triples) > 0.8 * (6 * 8 * 7 * 6 - len(kept)), "nothing else is left out"


def test_impossible_corpora_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="shorter than the longest document, 16 tokens"):
        Corpus(World(), TWIN, T=15)
    Corpus(World(), TWIN, T=16).rows(0, 3)
    with pytest.raises(ValueError, match=r"ratio=1\.5"):
        Corpus(World(), TWIN, ratio=1.5)
    with pytest.raises(ValueError, match="choose 'all' or 'response'"):
        Corpus(World(), TWIN, loss="some")
    with pytest.raises(ValueError, match=r"facts \+ stories"):
        Mixture(facts=0.5)
    with pytest.raises(ValueError, match="choose a positive multiple of 8"):
        World(pairs=100)
    with pytest.raises(ValueError, match="seed=-1"):
        Corpus(World(), TWIN, seed=-1)
    one_sided = World(groups=(World().groups[2],))
    with pytest.raises(ValueError, match="no group states a fact"):
        Corpus(one_sided, TWIN, ratio=1.0)
