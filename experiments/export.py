"""A trained stage as a folder of safetensors: `python -m experiments.export RUN --to FOLDER`.

The folder has what transformers, fla, `model.chat` and `model.harness` read (model/hf.py), the
tokenizer, the chat markers of each language if the stage has read any, and a card with the stage's
spec, what its ledger counts and the claims of its run. RUN is the --out of `experiments.run`, of
`train.pretrain` or of `train.tune`, the folder OUT/NAME of `experiments.run all`, or that of one
stage.
"""

import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import pyarrow.parquet as pq
import tokenizers
import tyro
from safetensors import SafetensorError

from data.language import Leaf
from data.ledger import speakers
from data.speaker import speaker
from data.tokenizer import BPE, DOC, Tokenizer, Word
from experiments.catalogue import find, specified
from experiments.stage import Stage, home
from model.hf import card, save
from train.lock import writing
from train.step import stacked
from train.store import describe, identity, load_params, rebuild


class Trained(NamedTuple):
    """A stage, the folder with its parameters, and that of the run which trained it."""

    stage: Stage
    folder: pathlib.Path
    run: pathlib.Path


def main(
    run: tyro.conf.Positional[pathlib.Path],
    to: pathlib.Path,
    stage: str = "",
    stages: pathlib.Path | None = None,
) -> None:
    """Export one stage.

    Args:
        run: folder of a run, or of one stage of it
        to: folder to write
        stage: the first digits of its identity, the name of its folder; needed if there are several
        stages: the --stages of the run; default RUN, or where `experiments.run all` has them
    """
    export(chosen(run, stage, stages), to)
    print(f"wrote {to}; talk to it: python -m model.chat {to}")


def chosen(run: pathlib.Path, begin: str = "", stages: pathlib.Path | None = None) -> Trained:
    """The trained stage whose identity begins so; ValueError lists all if it is not one."""
    if run.absolute().parent.name == "stages" and not (run / "spec.json").exists():
        return _beside(run.absolute())
    there = trained(run, stages)
    found = [each for name, each in there.items() if name.startswith(begin)]
    if len(found) == 1:
        return found[0]
    lines = "".join(f"\n  {name}  {each.stage.title}" for name, each in there.items())
    raise ValueError(
        f"--stage {begin!r} is {len(found)} of the {len(there)} trained stages of {run}, it must "
        f"be one:{lines}"
    )


def _beside(folder: pathlib.Path) -> Trained:
    """The stage of a folder OUT/stages/ID, by the run in OUT that trained it."""
    out, name = folder.parents[1], folder.name
    for run in (out, *sorted(out.iterdir())):
        if (run / "spec.json").is_file() and name in (there := trained(run, out)):
            return there[name]
    raise ValueError(f"no run in {out} says what {name} is; give RUN --stages {out} --stage {name}")


def trained(run: pathlib.Path, stages: pathlib.Path | None = None) -> dict[str, Trained]:
    """The stages of a run whose parameters are there, by identity."""
    if not (run / "spec.json").is_file():
        raise ValueError(
            f"{run} holds no spec.json; give the --out of experiments.run, train.pretrain or "
            "train.tune, or what lies below that of `experiments.run all`: NAME, or stages/ID"
        )
    spec = specified(run)
    if "is" in spec:
        found = [(rebuild(spec), run)]
    else:
        out = stages or (run if (run / "stages").is_dir() else run.absolute().parent)
        module, values = find(spec["experiment"]), spec["settings"]
        settings = module.Settings(**{name: _value(name, v) for name, v in values.items()})
        found = [(stage, home(out, stage)) for stage in module.stages(settings)]
    each = (Trained(*pair, run) for pair in found if (pair[1] / "params").is_dir())
    return {identity(one.stage): one for one in each}


def export(trained: Trained, to: pathlib.Path) -> None:
    """Write the folder of a stage."""
    stage, folder, run = trained
    params = load_params(folder, stacked(stage.model))
    claims = run / "claims.json"
    text = card(
        ", ".join(filter(None, (run.absolute().name, stage.title))),
        spec=describe(stage),
        ledger=_said(folder / "ledger.parquet"),
        claims=tuple(json.loads(claims.read_text(encoding="utf-8"))) if claims.exists() else (),
    )
    with writing(to):
        try:
            save(
                to,
                stage.model,
                jax.tree.map(lambda leaf: leaf[0], params),
                ends=(0, 0),
                tokenizer=_json(stage.corpus.tokenizer),
                chat=_markers(stage),
                card=text,
            )
        except SafetensorError as error:  # what it says to a full disk
            raise OSError(str(error)) from error


def _value(name: str, value: Any) -> Any:
    """A setting as it was before it was JSON, which has no tuples and no paths."""
    if name == "folder":
        return pathlib.Path(value)
    return tuple(value) if isinstance(value, list) else value


def _said(ledger: pathlib.Path) -> dict[str, int]:
    """Exposures of facts, by register and language."""
    if not ledger.exists():
        return {}
    keys = ["register", "language"]
    table = pq.read_table(ledger, columns=[*keys, "exposures"]).group_by(keys)
    rows = table.aggregate([("exposures", "sum")]).sort_by([(key, "ascending") for key in keys])
    return {f"{r['register']}, {r['language']}": r["exposures_sum"] for r in rows.to_pylist()}


def _markers(stage: Stage) -> dict[str, dict[str, str]] | None:
    """Of each language; None if neither the stage nor what it began from, as far as its spec is
    known (a --base of `train.tune` is a fingerprint), has read any."""
    read = [*speakers(stage.corpus)]
    if not any(corpus.mixture.chat for corpus in read):
        return _markers(stage.base) if isinstance(stage.base, Stage) else None
    both, roles = speaker(read[0].pair, read[0].world), ("user", "assistant")
    own = lambda i: {role: both.word(Leaf(role, i)) for role in roles}
    return {name: own(i) for i, name in enumerate(read[0].pair.names)}


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
