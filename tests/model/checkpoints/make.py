"""Small random checkpoints of fla's GLA and transformers' LLaMA, with logits of their own code.

    TRITON_INTERPRET=1 python tests/model/checkpoints/make.py FOLDER

Needs torch, transformers and flash-linear-attention; runs on a CPU. The recurrence is fla's naive
one; all else is fla's model code as it is, under Triton's interpreter. `logits` asks the same code
about any folder (tests/model/test_judge.py).
"""

import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers

SIZE = {"vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 12}


def fla():
    """fla's GLAConfig and GLAForCausalLM, made to run without a GPU."""
    import fla.layers.gla as layer
    import triton.runtime.autotuner
    from fla.models.gla.configuration_gla import GLAConfig
    from fla.models.gla.modeling_gla import GLAForCausalLM
    from fla.ops.gla.naive import naive_recurrent_gla

    def naive(q, k, v, gk, initial_state, output_final_state, **_):
        return naive_recurrent_gla(q, k, v, gk, initial_state, output_final_state)

    layer.fused_recurrent_gla = naive
    # The interpreter has no clock: the first configuration is as good as any.
    triton.runtime.autotuner.Autotuner._bench = lambda *_, **__: [0.0]
    return GLAConfig, GLAForCausalLM


def logits(folder, tokens):
    """What their code makes of tokens (B,T) by the model of a folder: float32 (B,T,W) in NumPy."""
    kind = json.loads((pathlib.Path(folder) / "config.json").read_text())["model_type"]
    theirs = fla()[1] if kind == "gla" else transformers.LlamaForCausalLM
    model, found = theirs.from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), f"{folder} does not hold what their model has: {found}"
    with torch.no_grad():
        return model.eval()(torch.tensor(tokens), use_cache=False).logits.float().numpy()


def models():
    config, model = fla()
    gla = {"norm_eps": 1e-6, "num_heads": 2}
    yield "gla", model(config(**SIZE, **gla, tie_word_embeddings=True))
    grouped = {"num_kv_heads": 1, "use_short_conv": True, "expand_k": 1.0, "fuse_norm": False}
    yield "gla-grouped", model(config(**SIZE, **gla, **grouped))
    llama = {"num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-6}
    config = transformers.LlamaConfig(**SIZE, **llama, max_position_embeddings=64)
    yield "llama", transformers.LlamaForCausalLM(config)


def main(folder):
    torch.manual_seed(0)
    for name, model in models():
        with torch.no_grad():
            for weights in model.parameters():  # none at 0 or 1, where a mistake would not show
                weights.add_(0.3 * torch.randn_like(weights))
        model.save_pretrained(folder / name)
        tokens = torch.randint(0, 13, (2, 11))
        with torch.no_grad():
            logits = model.eval()(tokens, use_cache=False).logits
        found = {"tokens": tokens.int(), "logits": logits.float().contiguous()}
        safetensors.torch.save_file(found, folder / name / "sample.safetensors")
        print(name, logits.std())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
