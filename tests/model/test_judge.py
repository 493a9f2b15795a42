"""The other libraries themselves, where they are installed: what they read is what we wrote.

Needs torch and transformers, for GLA fla too: neither is a dependency. Without them the samples
that tests/model/checkpoints/make.py stored stand for them (test_hf.py).
"""

import dataclasses
import importlib

import jax
import numpy as np
import pytest
import tokenizers

from model.gla import GLA
from model.hf import load, save
from model.lm import LM, apply
from model.softmax import Softmax
from tests.model.test_hf import FOLDER, THEIRS
from tests.model.toy import tokens, varied

OURS = {
    "llama": LM(W=11, D=16, layers=2, F=24, mixer=Softmax(heads=4, kv_heads=2, base=500.0)),
    "llama in bfloat16": LM(W=11, D=16, layers=1, mixer=Softmax(heads=2), dtype="bfloat16"),
    "gla": LM(W=11, D=16, layers=2, F=24, mixer=GLA(heads=2), tied=False),
    "gla with a convolution": LM(W=11, D=16, layers=1, F=24, mixer=GLA(heads=2, convolution=4)),
}
# What they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def judge(monkeypatch):
    """Their logits of the model in a folder; skips without the library that its kind needs."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for name in ("torch", "transformers"):
        pytest.importorskip(
            name, reason=f"{name} is not installed: no judge but its stored samples"
        )
    make = importlib.import_module("tests.model.checkpoints.make")

    def logits(folder, tokens):
        if "gla" in (folder / "config.json").read_text():
            pytest.importorskip("fla", reason="fla is not installed: no judge but its samples")
        return make.logits(folder, np.asarray(tokens, np.int64))

    return logits


@pytest.mark.parametrize("cfg", OURS.values(), ids=OURS)
def test_they_compute_what_we_do_of_what_we_saved(cfg, judge, tmp_path):
    params, text = varied(cfg), tokens(2, 9)
    save(tmp_path, cfg, params, ends=(0, 0))
    exact = dataclasses.replace(cfg, dtype="float32")  # as what is saved, and so as they compute
    wanted, _ = jax.jit(apply, static_argnums=0)(exact, params, text)
    np.testing.assert_allclose(judge(tmp_path, text), wanted, atol=2e-5)


@pytest.mark.parametrize("name", THEIRS)
def test_they_compute_what_we_do_of_what_they_saved(name, judge):
    cfg, params = load(FOLDER / name)
    text = tokens(2, 11, W=13)
    wanted, _ = jax.jit(apply, static_argnums=0)(cfg, params, text)
    np.testing.assert_allclose(judge(FOLDER / name, text), wanted, atol=2e-5)


def test_their_tokenizer_knows_what_ends_a_text(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<doc>": 0, "a": 1, "b": 2}, unk_token="<doc>")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    cfg = OURS["llama"]
    save(tmp_path, cfg, varied(cfg), ends=(0, 0), tokenizer=words.to_str())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id) == (0, 0, 0)
    assert theirs(" b a", add_special_tokens=False)["input_ids"] == words.encode(" b a").ids
