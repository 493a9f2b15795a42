"""How flash-linear-attention lays out GLA, and transformers a LLaMA: tensor names, configurations.

Linear weights are (out, in) there and (in, out) here, where the projections of one input lie side
by side in one matrix. A convolution is (channels, 1, width) there, (width, channels) here.
"""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from model.gla import GLA
from model.lm import LM, Params
from model.softmax import Softmax

# What our model does and their configuration can say otherwise, with their defaults.
_GLA = {
    "feature_map": None,
    "use_output_gate": True,
    "clamp_min": None,
    "hidden_act": "swish",
    "elementwise_affine": True,
    "norm_eps": 1e-6,
    "use_gk": True,
    "use_gv": False,
    "attn": None,
    "attnres_block_size": None,
}
_LLAMA = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
}


def theirs(cfg: LM, params: Params) -> dict[str, Array]:
    """Our parameters as their tensors, by their names."""
    found = {}
    for path, parts in _names(cfg):
        leaf = params
        for key in path.split("/"):
            leaf = leaf[key]
        cuts = np.cumsum(list(parts.values()))[:-1].tolist()
        for name, part in zip(parts, jnp.split(leaf, cuts, axis=-1), strict=True):
            part = part if path == "embedding/w" else part.T
            found[name] = part[:, None] if "convolution" in path else part
    return found


def ours(cfg: LM, tensors: dict[str, Array]) -> Params:
    """Their tensors as our parameters, in float32: exactly, as it holds every bfloat16."""
    params: Params = {}
    for path, parts in _names(cfg):
        found = [tensors[name].astype(jnp.float32) for name in parts]
        if "convolution" in path:
            found = [part[:, 0] for part in found]
        leaf = found[0] if path == "embedding/w" else jnp.concatenate([x.T for x in found], -1)
        *outer, last = path.split("/")
        inner = params
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = leaf
    return params


def configuration(cfg: LM, ends: tuple[Any, Any] = (0, 0)) -> dict[str, Any]:
    """Their config.json; `ends` are the ids that begin and end a text.

    NotImplementedError says what of `cfg` it has no word for. `dtype` is theirs for the tensors;
    what layers compute in has a key of its own, which they carry and do not read.
    """
    mixer = cfg.mixers[0]
    if any(other != mixer for other in cfg.mixers) or not isinstance(mixer, GLA | Softmax):
        kinds = sorted({type(m).__name__ for m in cfg.mixers})
        raise NotImplementedError(
            f"export of {', '.join(kinds)}: the layouts are those of GLA and of LLaMA, one mixer "
            "for all layers"
        )
    common = {
        "vocab_size": cfg.W,
        "hidden_size": cfg.D,
        "intermediate_size": cfg.width,
        "num_hidden_layers": cfg.layers,
        "tie_word_embeddings": cfg.tied,
        "bos_token_id": ends[0],
        "eos_token_id": ends[1],
        "dtype": "float32",
        "compute_dtype": cfg.dtype,
    }
    if isinstance(mixer, GLA):
        _same(mixer, rank=16, normaliser=16.0, rotary=0.0)
        return common | _GLA | {
            "architectures": ["GLAForCausalLM"],
            "model_type": "gla",
            "num_heads": mixer.heads,
            "num_kv_heads": mixer.kv_heads,
            "expand_k": mixer.expand_k,
            "expand_v": mixer.expand_v,
            "use_short_conv": mixer.convolution > 0,
            "conv_size": mixer.convolution or 4,
        }  # fmt: skip
    _same(mixer, rotary=1.0, cope=0, window=None)
    return common | _LLAMA | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_attention_heads": mixer.heads,
        "num_key_value_heads": mixer.kv_heads or mixer.heads,
        "rope_parameters": {"rope_type": "default", "rope_theta": mixer.base},
        "rope_theta": mixer.base,
    }  # fmt: skip


def read(config: dict[str, Any]) -> LM:
    """The model of a config.json; NotImplementedError names a setting that ours has not.

    One such is LLaMA 2's and 3's rms_norm_eps=1e-5: norms here add 1e-6 (model/layer.py).
    """
    kind = config.get("model_type")
    if kind not in ("gla", "llama"):
        raise NotImplementedError(f"model_type={kind!r}: gla and llama can be imported")
    for key, value in (_GLA if kind == "gla" else _LLAMA).items():
        if config.get(key, value) != value:
            raise NotImplementedError(
                f"import of {kind} with {key}={config[key]!r}: this model has {value!r}"
            )
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers")
    sizes = (*sizes, "num_heads" if kind == "gla" else "num_attention_heads")
    missing = [name for name in sizes if config.get(name) is None]
    if missing:
        raise ValueError(f"the configuration of this {kind} lacks {', '.join(missing)}")
    D = config["hidden_size"]
    if kind == "gla":
        mixer = GLA(
            heads=config["num_heads"],
            kv_heads=config.get("num_kv_heads"),
            expand_k=config.get("expand_k", 0.5),
            expand_v=config.get("expand_v", 1.0),
            convolution=config.get("conv_size", 4) if config.get("use_short_conv") else 0,
        )
    else:
        heads, rope = config["num_attention_heads"], config.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default" or config.get("head_dim") not in (
            None,
            D // heads,
        ):
            raise NotImplementedError(
                f"import of llama with rope_parameters={rope}, head_dim={config.get('head_dim')}: "
                f"this model has plain rotary positions and heads of {D} / {heads}"
            )
        groups = config.get("num_key_value_heads")
        base = rope.get("rope_theta") or config.get("rope_theta", 10_000.0)
        mixer = Softmax(heads=heads, kv_heads=None if groups == heads else groups, base=base)
    F = config.get("intermediate_size")
    if F is None:  # fla: two thirds of the ratio, rounded up to a multiple of 256
        F = -(-int(D * (config.get("hidden_ratio") or 4) * 2 / 3) // 256) * 256
    names = ("compute_dtype", "dtype", "torch_dtype")  # ours, theirs, theirs of before 2025
    dtype = next((config[name] for name in names if config.get(name)), "float32")
    return LM(
        W=config["vocab_size"],
        D=D,
        layers=config["num_hidden_layers"],
        mixer=mixer,
        F=F,
        tied=config.get("tie_word_embeddings", False),
        dtype=dtype if dtype == "bfloat16" else "float32",
    )


def _names(cfg: LM) -> Iterator[tuple[str, dict[str, int]]]:
    """Each path of ours with their names of its parts and how many channels each has."""
    D, F, mixer = cfg.D, cfg.width, cfg.mixers[0]
    gla = isinstance(mixer, GLA)
    yield "embedding/w", {f"model.{'embeddings' if gla else 'embed_tokens'}.weight": D}
    for i in range(cfg.layers):
        layer = _gla(mixer, D) if gla else _llama(mixer, D)
        layer |= {"mlp/gate_up/w": {"mlp.gate_proj": F, "mlp.up_proj": F}}
        layer |= {"mlp/down/w": {"mlp.down_proj": D}}
        for path, parts in layer.items():
            end = "bias" if path.endswith("bias") else "weight"
            named = {f"model.layers.{i}.{name}.{end}": width for name, width in parts.items()}
            yield f"blocks/{i}/{path}", named
    yield "norm/gain", {"model.norm.weight": D}
    if not cfg.tied:
        yield "head/w", {"lm_head.weight": cfg.W}


def _gla(mixer: GLA, D: int) -> dict[str, dict[str, int]]:
    widths = dict(zip("qkvg", mixer.inputs(D), strict=True))
    projections = {f"attn.{x}_proj": width for x, width in widths.items()}
    found = {
        "mixer_norm/gain": {"attn_norm": D},
        "mixer/qkvur/w": projections | {"attn.gk_proj.0": mixer.rank},
        "mixer/gate/w": {"attn.gk_proj.1": widths["k"]},
        "mixer/bias": {"attn.gk_proj.1": widths["k"]},
        "mixer/norm/gain": {"attn.g_norm_swish_gate": mixer.widths(D)[1]},
        "mixer/out/w": {"attn.o_proj": D},
        "mlp_norm/gain": {"mlp_norm": D},
    }
    if mixer.convolution:
        found["mixer/convolution/w"] = {f"attn.{x}_conv1d": widths[x] for x in "qkv"}
    return found


def _llama(mixer: Softmax, D: int) -> dict[str, dict[str, int]]:
    GK = D // mixer.heads * (mixer.kv_heads or mixer.heads)
    widths = {"q": D, "k": GK, "v": GK}
    return {
        "mixer_norm/gain": {"input_layernorm": D},
        "mixer/qkv/w": {f"self_attn.{x}_proj": width for x, width in widths.items()},
        "mixer/out/w": {"self_attn.o_proj": D},
        "mlp_norm/gain": {"post_attention_layernorm": D},
    }


def _same(mixer: GLA | Softmax, **fixed: Any) -> None:
    for field, value in fixed.items():
        if getattr(mixer, field) != value:
            raise NotImplementedError(
                f"export of {mixer}: {field} is {value} in their layout, with no other choice"
            )
