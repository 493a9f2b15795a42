"""Tokenizers give back what they were given, and count its bytes."""

import hypothesis
import pytest
from hypothesis import strategies as st

from data.tokenizer import BPE, Character, Word

TEXT = "two dogs und zwei Hündchen ¿ · <u> 犬"
TRAINED = BPE.train([TEXT] * 20, size=300)
TOKENIZERS = [Word(tuple(dict.fromkeys(TEXT.split()))), Character.of(TEXT), TRAINED]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: type(t).__name__)
def test_decoding_gives_back_the_text_and_zero_is_doc(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert min(ids) > 0 and max(ids) < tokenizer.size
    assert tokenizer.decode([0]) == "<doc>"
    assert len(tokenizer.bytes) == tokenizer.size and tokenizer.bytes[0] == 1


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: type(t).__name__)
def test_a_text_is_its_words_with_the_space_before_each(tokenizer):
    """What lets a corpus tokenize its vocabulary once."""
    words = [f" {word}" for word in TEXT.split()]
    whole = tokenizer.encode("".join(words))
    assert whole == [i for word in words for i in tokenizer.encode(word)]
    assert tokenizer.bytes[whole].sum() == len("".join(words).encode())


@hypothesis.given(st.text().filter(lambda text: "<doc>" not in text))
def test_byte_pairs_know_every_text(text):
    ids = TRAINED.encode(text)
    assert TRAINED.decode(ids) == text
    assert TRAINED.bytes[ids].sum() == len(text.encode())


def test_training_again_gives_an_equal_value():
    assert BPE.train([TEXT] * 20, size=300) == TRAINED
    assert hash(BPE.train([TEXT] * 20, size=300)) == hash(TRAINED)


def test_what_a_closed_vocabulary_does_not_hold_is_refused_by_name():
    with pytest.raises(ValueError, match="'cat' is not among the"):
        TOKENIZERS[0].encode("two cat")
    with pytest.raises(ValueError, match="'q' is not in the alphabet"):
        TOKENIZERS[1].encode("q")
    for twice in (("a", "a"), ("a", "<doc>")):
        with pytest.raises(ValueError, match="is there twice"):
            Word(twice)
    with pytest.raises(ValueError, match="'b' is there twice; make the alphabet with"):
        Character("abba"[1:])
    with pytest.raises(ValueError, match="token 0 is '<pad>' and not <doc>"):
        BPE(TRAINED.json.replace("<doc>", "<pad>"))
    with pytest.raises(ValueError, match="choose 257 or more"):
        BPE.train([TEXT], size=100)
