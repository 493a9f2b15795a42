"""A trained stage as a folder of safetensors: `python -m experiments.export RUN --to FOLDER`.

The folder has what transformers, fla, `model.chat` and `model.harness` read (model/hf.py), the
tokenizer, the chat markers of each language, and a card with the stage's spec, what its ledger
counts and the claims of its run. RUN is the --out of `experiments.run`.
"""

import json
import pathlib
import sys

import jax
import pyarrow.parquet as pq
import tokenizers
import tyro

from data.corpus import Corpus
from data.language import Leaf
from data.speaker import speaker
from data.tokenizer import BPE, DOC, Tokenizer, Word
from experiments.run import find
from experiments.stage import Stage, home
from model.hf import card, save
from model.lm import shapes
from train.store import describe, identity, load_params


def main(run: tyro.conf.Positional[pathlib.Path], to: pathlib.Path, stage: str = "") -> None:
    """Export one stage.

    Args:
        run: folder of a run
        to: folder to write
        stage: the first digits of its identity, the name of its folder; needed if there are several
    """
    export(run, chosen(run, stage), to)
    print(f"wrote {to}; talk to it: python -m model.chat {to}")


def chosen(run: pathlib.Path, begin: str = "") -> Stage:
    """The trained stage whose identity begins so; ValueError lists all if it is not one."""
    if not (run / "spec.json").is_file():
        raise ValueError(f"{run} holds no spec.json; give the --out of an experiments.run")
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))
    module = find(spec["experiment"])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in spec["settings"].items()}
    stages = {identity(s): s for s in module.stages(module.Settings(**values))}
    there = {name: s for name, s in stages.items() if (home(run, s) / "params").is_dir()}
    found = [s for name, s in there.items() if name.startswith(begin)]
    if len(found) == 1:
        return found[0]
    lines = "".join(f"\n  {name}  {s.title}" for name, s in there.items())
    raise ValueError(
        f"--stage {begin!r} is {len(found)} of the {len(there)} trained stages in {run}, it must "
        f"be one:{lines}"
    )


def export(run: pathlib.Path, stage: Stage, to: pathlib.Path) -> None:
    """Write the folder of a stage."""
    member = lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype)
    params = load_params(home(run, stage), jax.tree.map(member, shapes(stage.model)))
    claims = run / "claims.json"
    text = card(
        f"{run.name}, {stage.title}",
        spec=describe(stage),
        ledger=_said(home(run, stage) / "ledger.parquet"),
        claims=tuple(json.loads(claims.read_text(encoding="utf-8"))) if claims.exists() else (),
    )
    save(
        to,
        stage.model,
        jax.tree.map(lambda leaf: leaf[0], params),
        tokenizer=_json(stage.corpus.tokenizer),
        chat=_markers(stage.corpus) if isinstance(stage.corpus, Corpus) else None,
        card=text,
    )


def _said(ledger: pathlib.Path) -> dict[str, int]:
    """Exposures of facts, by register and language."""
    if not ledger.exists():
        return {}
    keys = ["register", "language"]
    table = pq.read_table(ledger, columns=[*keys, "exposures"]).group_by(keys)
    rows = table.aggregate([("exposures", "sum")]).sort_by([(key, "ascending") for key in keys])
    return {f"{r['register']}, {r['language']}": r["exposures_sum"] for r in rows.to_pylist()}


def _markers(corpus: Corpus) -> dict[str, dict[str, str]]:
    both, roles = speaker(corpus.pair, corpus.world), ("user", "assistant")
    own = lambda i: {role: both.word(Leaf(role, i)) for role in roles}
    return {name: own(i) for i, name in enumerate(corpus.pair.names)}


def _json(tokenizer: Tokenizer) -> str:
    """The same tokenizer in the format of the `tokenizers` library; <doc> is its unknown token."""
    if isinstance(tokenizer, BPE):
        return tokenizer.json
    word = isinstance(tokenizer, Word)
    closed = tokenizer.tokens if word else (DOC, *tokenizer.alphabet)
    ids = {token: i for i, token in enumerate(closed)}
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token=DOC))
    if word:
        found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    else:
        each = tokenizers.Regex(r"[\s\S]")
        found.pre_tokenizer = tokenizers.pre_tokenizers.Split(each, "isolated")
        found.decoder = tokenizers.decoders.Fuse()
    return found.to_str()


if __name__ == "__main__":
    try:
        tyro.cli(main, prog="python -m experiments.export")
    except (ValueError, NotImplementedError) as error:
        sys.exit(f"error: {error}")
