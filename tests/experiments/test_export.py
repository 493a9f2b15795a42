"""A stage becomes a folder that holds the same model, the same tokenizer and its story."""

import dataclasses
import json

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from data.tokenizer import BPE, Character, Word
from experiments import flagship
from experiments.export import _json, chosen, export
from experiments.stage import home
from model.chat import markers
from model.hf import encode, load, tokenizer
from model.lm import init
from train.store import identity, save_params

SETTINGS = flagship.Settings(size="smoke", seeds=1)


@pytest.mark.parametrize(
    "own",
    [
        Word(("sine", "muvu")),
        Character.of("sine muvu\n"),
        BPE.train([" sine muvu"] * 9, 262),
    ],
    ids=lambda own: type(own).__name__,
)
def test_a_tokenizer_cuts_the_same_in_the_format_of_the_library(own):
    theirs = tokenizers.Tokenizer.from_str(_json(own))
    assert theirs.get_vocab_size() == own.size
    ids = own.encode(" muvu sine")
    assert encode(theirs, " muvu sine") == ids
    assert theirs.decode(ids).strip() == "muvu sine"


def test_a_stage_is_written_whole(tmp_path):
    run, to = tmp_path / "run", tmp_path / "to"
    stage = flagship.stages(SETTINGS)[0]
    params = init(stage.model, jax.random.key(0))
    save_params(home(run, stage), jax.tree.map(lambda leaf: leaf[None], params))
    spec = {"experiment": "flagship", "settings": dataclasses.asdict(SETTINGS)}
    (run / "spec.json").write_text(json.dumps(spec))
    (run / "claims.json").write_text(json.dumps([{"row": "D1", "claim": "transfer"}]))
    said = {"register": ["fact", "fact", "chat"], "language": ["L1"] * 3, "exposures": [7, 1200, 5]}
    pq.write_table(pa.table(said), home(run, stage) / "ledger.parquet")
    assert chosen(run) == stage
    with pytest.raises(ValueError, match=f"'x' is 0 of the 1 trained .*\n  {identity(stage)}"):
        chosen(run, "x")
    export(run, stage, to)
    cfg, again = load(to)
    assert (cfg.mixer, cfg.W) == (stage.model.mixer, stage.corpus.tokenizer.size)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    user, assistant = markers(to, "L2")
    line = f" {user} {assistant}"
    assert encode(tokenizer(to), line) == stage.corpus.tokenizer.encode(line)
    text = (to / "README.md").read_text()
    assert "| D1 | transfer |" in text and "## Exposures" in text
    assert "| chat, L1 | 5 |\n| fact, L1 | 1,207 |" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no spec.json"):
        chosen(tmp_path)
