"""The measure of translation: what it asks, what kinds of words there are, and its scores."""

import dataclasses

import jax
import numpy as np
import pytest

from data.feature import Cognates, FalseFriends, Lexicon
from data.language import Pair
from data.speaker import speaker
from data.task import LISTS
from data.task.translate import Translate
from data.tokenizer import BPE
from experiments.measure import translation
from experiments.measure.translation import Translation, kinds
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init

PLAIN = corpus(SIZES["smoke"], seed=0)
TEXT = dataclasses.replace(
    PLAIN,
    pair=Pair((Lexicon(0.2), Cognates(0.5), FalseFriends(0.25))),
    world=dataclasses.replace(PLAIN.world, nouns=20, tasks=(*LISTS, Translate())),
)


def test_kinds_of_words_are_those_of_the_features():
    word, (one, two) = kinds(TEXT), speaker(TEXT.pair, TEXT.world).form
    assert {kind: [*word.values()].count(kind) for kind in set(word.values())}.keys() == {
        "shared", "cognate", "false", "own"
    }  # fmt: skip
    for noun, kind in word.items():
        assert (one[noun] == two[noun]) == (kind == "shared")
        if kind == "cognate":
            assert one[noun].translate(Cognates(0.5).change) == two[noun]
        if kind == "false":
            assert one[noun] in two.values() or two[noun] in one.values()


def test_every_noun_is_asked_in_both_directions_and_answered_in_the_other_language():
    asked, (one, two) = Translation(TEXT, shown=5).asked(), speaker(TEXT.pair, TEXT.world).form
    assert len(asked.prompts) == 2 * TEXT.world.nouns
    for i, own in enumerate((one, two)):
        row = i * TEXT.world.nouns + 7
        said = TEXT.tokenizer.decode(asked.answers[row][asked.answers[row] != 0])
        assert said == (two, one)[i]["noun7"] and asked.slices["shown"].sum() == 10
        assert own["noun7"] in TEXT.tokenizer.decode(asked.prompts[row]).split()


def test_words_beside_the_asked_one_are_of_one_language_only():
    asked, word = Translation(TEXT, shown=5, beside=2).asked(), kinds(TEXT)
    own = speaker(TEXT.pair, TEXT.world).form[0]
    plain = {own[noun] for noun, kind in word.items() if kind == "own"}
    for prompt in asked.prompts[: TEXT.world.nouns]:
        said = TEXT.tokenizer.decode(prompt).split()
        assert {*said[-3:-1]} <= plain and said[-4] not in said[-3:-1]


def test_the_right_answer_is_exact_and_the_prompts_word_copied(monkeypatch):
    measure = Translation(TEXT, shown=5)
    asked = measure.asked()
    own = speaker(TEXT.pair, TEXT.world).form
    echo = [own[i // TEXT.world.nouns][f"noun{i % TEXT.world.nouns}"] for i in range(40)]
    said = np.array([[*TEXT.tokenizer.encode(f" {word}"), 0] for word in echo])
    said[:3, 0] = asked.answers[:3, 0]
    monkeypatch.setattr(translation, "decoded", lambda *_: said)
    monkeypatch.setattr(translation, "answer_logprobs", lambda c, p, x, n, a: -1.0 * a[:, 0])
    items = measure(None, None).to_pylist()
    word = [item["word"] for item in items]
    shared = [w == "shared" for w in word]
    assert [bool(item["exact"]) for item in items[3:]] == shared[3:]
    assert all(item["exact"] for item in items[:3])
    assert [bool(item["copied"]) for item in items[3:]] == [not flag for flag in shared[3:]]
    # The scores fall with the number of the token: rank and log-odds follow from these.
    second = items[25:40]  # of L2, not shown: answered in L1
    ids = np.array([TEXT.tokenizer.encode(f" {own[0][f'noun{i}']}")[0] for i in range(5, 20)])
    for i, item in enumerate(second):
        assert item["log_odds"] == pytest.approx((ids.sum() - ids[i]) / 14 - ids[i])
        assert item["rank"] == pytest.approx((ids < ids[i]).mean() * 15 / 14)


@pytest.mark.parametrize("shown", [1, 19, 21])
def test_a_word_that_has_no_other_to_be_compared_with_is_refused(shown):
    with pytest.raises(ValueError, match=f"shown={shown} of nouns=20: .* choose 0, 2 to 18, or 20"):
        Translation(TEXT, shown=shown)


def test_words_of_several_tokens_are_scored_whole():
    words = TEXT.tables.words[1:]
    bpe = BPE.train((f" {word}" for word in words), size=300)
    text = dataclasses.replace(TEXT, subword=bpe, T=128)
    cfg = pretrained(SIZES["smoke"], "softmax", 0, text).model
    items = Translation(text, shown=5)(cfg, init(cfg, jax.random.key(0)))
    assert abs(np.mean(items["log_odds"].to_numpy())) < 0.5  # untrained
    assert np.isfinite(items["log_odds"].to_numpy()).all() and len(items) == 40
