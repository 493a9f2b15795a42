"""The bridge: checkpoints that fla's and transformers' own code wrote, and ours there and back.

tests/model/checkpoints/ holds small random models that make.py wrote with torch, and their logits.
"""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file, save_file

from model.gla import GLA
from model.hf import card, ends, load, save
from model.layout import read
from model.lm import LM, apply, init
from model.mamba import Mamba
from model.softmax import Softmax

FOLDER = pathlib.Path(__file__).parent / "checkpoints"
THEIRS = ("gla", "gla-grouped", "llama")
OURS = (
    LM(W=11, D=16, layers=2, F=24, mixer=GLA(heads=2, convolution=4)),
    LM(W=11, D=16, layers=1, F=24, mixer=GLA(heads=4, kv_heads=2, expand_k=1.0), tied=False),
    LM(W=11, D=16, layers=1, F=24, mixer=Softmax(heads=4, kv_heads=2, base=500_000.0)),
    LM(W=11, D=16, layers=1, F=24, mixer=Softmax(heads=2), dtype="bfloat16"),
)


@pytest.mark.parametrize("name", THEIRS)
def test_logits_are_those_of_their_own_code(name):
    cfg, params = load(FOLDER / name)
    sample = load_file(FOLDER / name / "sample.safetensors")
    logits, _ = jax.jit(apply, static_argnums=0)(cfg, params, sample["tokens"])
    # Two layers of float32 sums in another order; logits reach 3.
    np.testing.assert_allclose(logits, sample["logits"], atol=5e-6)


@pytest.mark.parametrize("name", THEIRS)
def test_their_tensors_come_back_bit_for_bit(name, tmp_path):
    save(tmp_path, *load(FOLDER / name), ends=ends(FOLDER / name))
    assert ends(tmp_path) == (1, 2)
    before, after = (load_file(p / "model.safetensors") for p in (FOLDER / name, tmp_path))
    before = {k.replace("g_norm.", "g_norm_swish_gate."): x for k, x in before.items()}
    assert before.keys() == after.keys()
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("cfg", OURS, ids=str)
def test_a_model_comes_back_bit_for_bit(cfg, tmp_path):
    params = init(cfg, jax.random.key(0))
    save(tmp_path, cfg, params, ends=(0, 0))
    found, again = load(tmp_path)
    assert found == cfg
    jax.tree.map(np.testing.assert_array_equal, params, again)


def test_a_folder_holds_nothing_of_the_model_before(tmp_path):
    cfg = OURS[-1]
    params, words = init(cfg, jax.random.key(0)), tokenizers.Tokenizer(tokenizers.models.BPE())
    (tmp_path / "README.md").write_text("no model's")
    save(tmp_path, cfg, params, ends=(0, 0))
    assert (tmp_path / "README.md").read_text() == "no model's"
    save(tmp_path, cfg, params, ends=(0, 0), tokenizer=words.to_str(), chat={}, card="one")
    assert len([*tmp_path.iterdir()]) == 6
    save(tmp_path, cfg, params, ends=(0, 0))
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    for name in ("model-00001-of-00001.safetensors", "model.safetensors.index.json", "chat.json"):
        (tmp_path / name).write_text("of a larger model")
    (tmp_path / "model.safetensors").unlink()
    save(tmp_path, cfg, params, ends=(0, 0))
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_a_model_in_several_files_is_read_and_a_whole_one_before_them(tmp_path):
    cfg = OURS[-1]
    params = init(cfg, jax.random.key(0))
    save(tmp_path, cfg, params, ends=(0, 0))
    whole = tmp_path / "model.safetensors"
    tensors = load_file(whole)
    for i, name in enumerate(tensors):
        save_file(
            {name: tensors[name]}, tmp_path / f"model-{i:05}-of-{len(tensors):05}.safetensors"
        )
    save_file({"spare": np.ones(1)}, tmp_path / "model.fp16.safetensors")
    whole.rename(tmp_path / "kept")
    jax.tree.map(np.testing.assert_array_equal, params, load(tmp_path)[1])
    (tmp_path / "kept").rename(whole)
    save_file({"spare": np.ones(1)}, tmp_path / "model-00000-of-00001.safetensors")
    jax.tree.map(np.testing.assert_array_equal, params, load(tmp_path)[1])


def test_parameters_of_another_model_are_not_saved(tmp_path):
    cfg = OURS[-1]
    ensemble = jax.tree.map(lambda x: np.stack([x, x]), init(cfg, jax.random.key(0)))
    with pytest.raises(ValueError, match=r"blocks/0/mixer/out/w has shape \(2, 16, 16\), not"):
        save(tmp_path / "new", cfg, ensemble, ends=(0, 0))
    assert not (tmp_path / "new").exists()


def test_a_configuration_without_its_sizes_is_refused():
    with pytest.raises(ValueError, match="of this gla lacks hidden_size, num_heads"):
        read({"model_type": "gla", "vocab_size": 11, "num_hidden_layers": 1})


def test_tensors_in_bfloat16_become_the_float32_of_the_same_value(tmp_path):
    shutil.copytree(FOLDER / "llama", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    rough = {name: x.astype(jnp.bfloat16) for name, x in load_file(path).items()}
    save_file(rough, path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    cfg, params = load(tmp_path)
    assert cfg.dtype == "bfloat16"
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    save(tmp_path / "again", cfg, params, ends=(1, 2))
    again = load_file(tmp_path / "again" / "model.safetensors")
    for name, x in rough.items():
        np.testing.assert_array_equal(again[name], x.astype(np.float32))
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert (config["dtype"], config["compute_dtype"]) == ("float32", "bfloat16")
    assert load(tmp_path / "again")[0] == cfg


def test_tensors_that_do_not_fit_are_named(tmp_path):
    shutil.copytree(FOLDER / "gla", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.attn.x_proj.weight"] = tensors.pop("model.layers.1.attn.q_proj.weight")
    tensors["model.norm.weight"] = np.ones(9, np.float32)
    save_file(tensors, path)
    with pytest.raises(ValueError) as error:
        load(tmp_path)
    assert "layers.1.attn.q_proj.weight is missing" in str(error.value)
    assert "layers.1.attn.x_proj.weight is not a parameter of this model" in str(error.value)
    assert "model.norm.weight has shape (9,), not (8,)" in str(error.value)


@pytest.mark.parametrize(
    "name, key, value",
    [
        ("gla", "norm_eps", 1e-5),
        ("gla", "feature_map", "relu"),
        ("llama", "attention_bias", True),
        ("llama", "rms_norm_eps", 1e-5),
    ],
)
def test_a_setting_that_our_model_has_not_is_refused(name, key, value, tmp_path):
    shutil.copytree(FOLDER / name, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(NotImplementedError, match=f"{key}={value!r}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "mixer, said",
    [
        (Mamba(), "export of Mamba"),
        (GLA(heads=2, rank=8), "rank is 16 in their layout"),
        (Softmax(heads=2, window=5), "window is None in their layout"),
    ],
)
def test_a_mixer_they_have_no_word_for_is_refused(mixer, said, tmp_path):
    with pytest.raises(NotImplementedError, match=said):
        save(tmp_path, LM(W=11, D=16, layers=1, mixer=mixer), {}, ends=(0, 0))


def test_a_card_says_what_was_claimed_and_how_often_what_was_said():
    claim = {"row": "B1", "claim": "reversal fails", "estimate": 0.02, "verdict": "reproduced"}
    text = card("toy", spec={"D": 16}, ledger={"facts": 1200}, claims=(claim,))
    assert "| B1 | reversal fails | 0.02 |" in text and "| facts | 1,200 |" in text
    assert text.startswith("---\n") and '"D": 16' in text
