"""The identity of a stage covers what changes results and nothing else.

Every field of a stage, a model or a training is in a list: a new one is in neither and fails here
until somebody says whether it changes results. Of data only what does not is listed, since nearly
all of it does: a new field of data is in the identity, and one that is marked as no part of it
fails here.
"""

import dataclasses
import importlib
import pathlib
import typing

from experiments.stage import Stage
from train.objective import NextToken

ROOT = pathlib.Path(__file__).parent.parent.parent

# What may not change results, anywhere. Measures, their steps and a stage beside ask and do not
# train; labels are words of a table; where a corpus lies is not what it says (its content is in the
# identity).
HOW = {
    "experiments.stage.Stage": {"measures", "at", "labels", "beside"},
    "data.store.Stored": {"folder", "cache"},
    "data.text.Text": {"paths"},
}

# What does, of stages, models and training. (Of data, all but the above: there is no how in them.)
WHAT = {
    "experiments.stage.Stage": {"model", "corpus", "recipe", "base"},
    "model.lm.LM": {"W", "D", "layers", "mixer", "F", "tied", "dtype"},
    "model.gla.GLA": {
        "heads", "kv_heads", "expand_k", "expand_v", "convolution", "rotary", "rank", "normaliser",
    },
    "model.linear.LinearAttention": {
        "heads", "kv_heads", "expand_k", "expand_v", "convolution", "rotary",
    },
    "model.retnet.RetNet": {"heads", "kv_heads", "expand_k", "expand_v", "convolution", "rotary"},
    "model.simple.SimpleGLA": {
        "heads", "kv_heads", "expand_k", "expand_v", "convolution", "rotary", "normaliser",
    },
    "model.transnormer.TransNormer": {
        "heads", "kv_heads", "expand_k", "expand_v", "convolution", "rotary", "depth",
    },
    "model.mamba.Mamba": {"state", "expand", "convolution", "rank"},
    "model.mamba2.Mamba2": {"state", "width", "expand", "convolution"},
    "model.softmax.Softmax": {"heads", "kv_heads", "rotary", "base", "cope", "window"},
    "train.recipe.Recipe": {
        "steps", "batch", "optimizer", "schedule", "objective", "adapter", "seed",
    },
    "train.recipe.AdamW": {"lr", "b1", "b2", "weight_decay", "clip"},
    "train.recipe.Muon": {"lr", "momentum", "weight_decay", "clip"},
    "train.recipe.Cosine": {"warmup", "final"},
    "train.recipe.WSD": {"warmup", "decay", "final"},
    "train.recipe.Constant": set(),
    "train.adapter.Full": set(),
    "train.adapter.Only": {"pattern"},
    "train.adapter.Masked": {"pattern"},
    "train.adapter.LoRA": {"rank", "scale", "pattern"},
    "train.adapter.Embeddings": {"tokens"},
    "train.objective.NextToken": set(),
    "train.objective.ResponseAlone": {"keep"},
    "train.denoise.MLMU": {"mask", "seed"},
    "train.denoise.PrefixLM": {"mask", "seed"},
    "train.preference.DPO": {"beta"},
    "train.preference.Near": {"beta"},
}  # fmt: skip


def everywhere():
    """Every dataclass of the packages, imported."""
    for folder in ("data", "model", "train"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.stem != "__init__":
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                module = importlib.import_module(name)
                yield from (
                    value
                    for value in vars(module).values()
                    if isinstance(value, type)
                    and dataclasses.is_dataclass(value)
                    and value.__module__ == name
                )


def reachable(cls, classes, found):
    """The dataclasses a spec may hold, by annotation; a protocol is whoever has its methods."""
    if cls in found or not isinstance(cls, type):
        return found
    if getattr(cls, "_is_protocol", False):
        methods = [method for method in vars(cls) if not method.startswith("_")]
        for one in classes:
            if methods and all(hasattr(one, method) for method in methods):
                reachable(one, classes, found)
    elif dataclasses.is_dataclass(cls):
        found.add(cls)
        for sub in cls.__subclasses__():
            reachable(sub, classes, found)
        for hint in typing.get_type_hints(cls).values():
            for part in parts(hint):
                reachable(part, classes, found)
    return found


def parts(hint):
    yield hint
    for inner in typing.get_args(hint):
        yield from parts(inner)


def name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def test_every_field_of_every_spec_is_said_to_change_results_or_not():
    classes = list(everywhere())
    found = {name(cls): cls for cls in reachable(Stage, classes, set())}
    found |= {name(cls): cls for cls in classes if cls.__module__.startswith("data.")}
    assert found.keys() >= WHAT.keys(), f"gone: {WHAT.keys() - found.keys()}"
    for path, cls in found.items():
        own = {
            field.name: field.metadata.get("identity", True) for field in dataclasses.fields(cls)
        }
        how = {field for field, counts in own.items() if not counts}
        assert how == HOW.get(path, set()), f"{path}: fields outside of the identity"
        public = not cls.__name__.startswith("_") and cls not in ABSTRACT
        if path.split(".")[0] != "data" and public:
            assert path in WHAT, f"{path} is in no list of tests/train/test_identity.py"
            assert own.keys() - how == WHAT[path], f"{path}: a field is in neither list"


ABSTRACT = {cls for cls in everywhere() if cls.__subclasses__() and cls is not NextToken}
