"""Answers to what is typed, between the markers of a language."""

import io
import json

import jax
import jax.numpy as jnp
import pytest
import tokenizers

from model.chat import main, markers, reply
from model.gla import GLA
from model.hf import save, tokenizer
from model.lm import LM, init
from model.sample import Greedy, greedy

CFG = LM(W=7, D=16, layers=1, mixer=GLA(heads=2), F=16)
WORDS = ("<doc>", "a", "b", "c", "<u>", "<a>", "<v>")
KEY = jax.random.key(0)
CHAT = {"L1": {"user": "<u>", "assistant": "<a>"}, "L2": {"user": "<v>", "assistant": "<a>"}}


@pytest.fixture
def folder(tmp_path):
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<doc>")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    params = init(CFG, jax.random.key(0))
    save(tmp_path, CFG, params, ends=(0, 0), tokenizer=words.to_str(), chat=CHAT)
    return tmp_path


def test_an_answer_is_what_the_model_says_after_the_assistants_marker(folder):
    params = init(CFG, jax.random.key(0))
    found = reply(CFG, params, tokenizer(folder), ("<v>", "<a>"), "a c", 4, Greedy(), KEY)
    said = greedy(CFG, params, jnp.array([[0, 6, 1, 3, 5]]), jnp.array([5]), 4)[0]
    assert found == " ".join(WORDS[t] for t in said if t)


def test_every_line_is_answered_and_an_unknown_word_is_named(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("a b\n\nx\nc\n"))
    main(folder, language="L2", temperature=0.8, nucleus=0.9, steps=3)
    first, second, third = capsys.readouterr().out.splitlines()
    assert set((first + " " + third).split()) <= set(WORDS)
    assert second.startswith("('x' is none of the 7 words of this model")


def test_the_language_is_the_first_unless_named(folder, tmp_path_factory):
    assert markers(folder, None) == ("<u>", "<a>")
    assert markers(folder, "L2") == ("<v>", "<a>")
    assert markers(tmp_path_factory.mktemp("none"), None) == ("", "")
    with pytest.raises(ValueError, match=r"no language 'L3'; .* has L1, L2"):
        markers(folder, "L3")


def test_without_markers_a_line_is_continued_as_it_stands(folder):
    """Real text has no space before its first word, and may have two between words."""
    words = tokenizer(folder)
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    params = init(CFG, jax.random.key(0))
    found = reply(CFG, params, words, ("", ""), "abba", 4, Greedy(), KEY)
    said = greedy(CFG, params, jnp.array([[0, 1, 2, 2, 1]]), jnp.array([5]), 4)[0]
    assert found == " ".join(WORDS[t] for t in said if t)


def test_ctrl_c_ends_the_talk(folder, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    main(folder)
    assert capsys.readouterr().out == ""


def test_what_cannot_be_talked_to_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"holds no config.json"):
        main(tmp_path)
    with pytest.raises(ValueError, match=r"nucleus=0.5 has nothing to draw from"):
        main(tmp_path, nucleus=0.5)


def test_a_model_that_ends_its_texts_otherwise_is_not_talked_to(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 2}))
    with pytest.raises(ValueError, match=r"begins a text with id 0 and ends it with 2; model.chat"):
        main(folder)
