"""Checkpoints in the layouts of flash-linear-attention (GLA) and of transformers (LLaMA).

    folder/model.safetensors, config.json   what `from_pretrained` of either library reads
    folder/tokenizer.json                   of the `tokenizers` library, which AutoTokenizer reads
    folder/tokenizer_config.json            what its special tokens are called
    folder/chat.json                        {language: {"user": marker, "assistant": marker}}
    folder/README.md                        the model card

Nothing is computed on the way (model/layout.py): float32 comes back bit for bit. Tensors in
bfloat16, as others save them, become the float32 of the same value, and are saved as that.
"""

import difflib
import json
import pathlib
from typing import Any

import huggingface_hub
import jax
import numpy as np
import safetensors.flax
import safetensors.numpy
import tokenizers
from jaxtyping import Array

from model.layout import configuration, ours, read, theirs
from model.lm import LM, Params, bind, differences, shapes


def save(
    folder: str | pathlib.Path,
    cfg: LM,
    params: Params,
    *,
    ends: tuple[Any, Any],
    tokenizer: str | None = None,
    chat: dict[str, dict[str, str]] | None = None,
    card: str | None = None,
) -> None:
    """Write a model's folder; `tokenizer` is the JSON of a `tokenizers.Tokenizer`.

    `ends` are the ids that begin and end a text: (0, 0) in this project, of a model that was loaded
    those of `ends`. What the folder has of another model, and this call does not give, is removed.
    NotImplementedError says what of `cfg` the other library has no word for, ValueError what of
    `params` does not fit it, as the members of an ensemble.
    """
    folder, config = pathlib.Path(folder), configuration(cfg, ends)
    bind(cfg, params)
    tensors = theirs(cfg, params)
    folder.mkdir(parents=True, exist_ok=True)
    # Contiguous copies: safetensors 0.8.0 writes wrong values of transposed arrays without a word.
    found = {name: np.array(tensor, np.float32, order="C") for name, tensor in tensors.items()}
    path, held = folder / "model.safetensors", [*folder.glob("model*.safetensors")]
    safetensors.numpy.save_file(found, path, metadata={"format": "pt"})
    back = safetensors.numpy.load_file(path)
    wrong = [name for name in found if not np.array_equal(back[name], found[name], True)]
    assert not wrong, f"{path} does not hold what was written: {wrong}"
    files = {"config.json": _text(config), "tokenizer.json": tokenizer, "README.md": card}
    files["chat.json"] = None if chat is None else _text(chat)
    special = None if tokenizer is None else _text(_special(tokenizer, ends))
    files["tokenizer_config.json"] = special
    files |= {file.name: None for file in held if file != path}
    files["model.safetensors.index.json"] = None
    for name, text in files.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
        elif held:
            (folder / name).unlink(missing_ok=True)


def load(folder: str | pathlib.Path) -> tuple[LM, Params]:
    """The model of a folder, parameters in float32.

    ValueError names the first three tensors that are missing, unknown or of another shape;
    NotImplementedError a setting of the configuration that our model has not.
    """
    folder = pathlib.Path(folder)
    cfg, path = read(_config(folder)), folder / "model.safetensors"
    files = [path] if path.is_file() else sorted(folder.glob("model-*.safetensors"))
    tensors: dict[str, Array] = {}
    for file in files:
        tensors |= safetensors.flax.load_file(file)
    # Without fused kernels fla gives the same norm another name.
    tensors = {k.replace(".g_norm.", ".g_norm_swish_gate."): x for k, x in tensors.items()}
    expected = jax.eval_shape(lambda params: theirs(cfg, params), shapes(cfg))
    wrong = list(differences(expected, tensors))
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{folder} does not hold {cfg}: {'; '.join(wrong[:3])}{more}")
    return cfg, ours(cfg, tensors)


def ends(folder: str | pathlib.Path) -> tuple[Any, Any]:
    """The ids that begin and end a text, (0, 0) in the folders of this project.

    They are what config.json says, which may be None or, at the end, a list.
    """
    config = _config(pathlib.Path(folder))
    # Both libraries leave out what is their default.
    return config.get("bos_token_id", 1), config.get("eos_token_id", 2)


def tokenizer(folder: str | pathlib.Path) -> tokenizers.Tokenizer:
    """The tokenizer of a model's folder, whose id 0 begins and ends a text.

    ValueError where another id does. In this project's, 0 is <doc>, and what a closed vocabulary
    says for a word it has not; in an imported one it may be any token.
    """
    path = pathlib.Path(folder) / "tokenizer.json"
    if ends(folder) != (0, 0):
        begin, end = ends(folder)
        raise ValueError(
            f"{folder} begins a text with id {begin} and ends it with {end}; model.chat and "
            "model.harness know only models that do both with 0. Its logits are those of "
            "model.lm.apply(*model.hf.load(folder), tokens)"
        )
    if not path.is_file():
        raise ValueError(f"{folder} holds no tokenizer.json; save it with `tokenizer=`")
    return tokenizers.Tokenizer.from_file(str(path))


def encode(words: tokenizers.Tokenizer, text: str) -> list[int]:
    """Token ids; ValueError names the first word that a closed vocabulary has not, and the nearest.

    A closed vocabulary says 0, its unknown token, for it. Whatever else an imported tokenizer gives
    0 for is refused too: it would end the text.
    """
    found = words.encode(text, add_special_tokens=False)
    if 0 not in found.ids:
        return found.ids
    start, end = found.offsets[found.ids.index(0)]
    word, known = text[start:end], words.get_vocab()
    if word == words.id_to_token(0):
        raise ValueError(f"{word} is no word to say: it begins and ends a text")
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"{word!r} is none of the {len(known)} words of this model{hint}")


def card(
    title: str,
    *,
    spec: dict[str, Any] | None = None,
    ledger: dict[str, int] | None = None,
    claims: tuple[dict[str, Any], ...] = (),
) -> str:
    """A model card: what was trained, on how many exposures of what, and what was found."""
    head = huggingface_hub.ModelCardData(license="apache-2.0", tags=["diglossia"], model_name=title)
    parts = [f"---\n{head.to_yaml()}\n---\n", f"# {title}\n"]
    if claims:
        columns = ("row", "claim", "estimate", "ci_low", "ci_high", "unit", "seeds", "verdict")
        parts += ["## Claims of its run\n", _table(columns, claims)]
    if ledger:
        rows = [{"what was said": k, "exposures": f"{n:,}"} for k, n in ledger.items()]
        parts += ["## Exposures in its training\n", _table(("what was said", "exposures"), rows)]
    if spec:
        parts += ["## Specification\n", f"```json\n{_text(spec)}\n```\n"]
    return "\n".join(parts)


def _config(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file() or not any(folder.glob("model*.safetensors")):
        raise ValueError(
            f"{folder} holds no config.json with model.safetensors; `python -m experiments.export` "
            "and model.hf.save write them"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _special(tokenizer: str, ends: tuple[Any, Any]) -> dict[str, Any]:
    """tokenizer_config.json: without it AutoTokenizer knows no token that ends a text."""
    words = tokenizers.Tokenizer.from_str(tokenizer)
    begin, end = (words.id_to_token(i) if isinstance(i, int) else None for i in ends)
    unknown = getattr(words.model, "unk_token", None)
    named = {"bos_token": begin, "eos_token": end, "unk_token": unknown}
    named = {name: token for name, token in named.items() if token is not None}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    } | named


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *([row.get(c, "") for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
