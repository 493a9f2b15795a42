"""A stage becomes a folder that holds the same model, the same tokenizer and its story."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
import tyro

from data.tokenizer import BPE, Character, Word
from experiments import bilingual_text, flagship
from experiments.export import _json, _markers, chosen, export, main
from experiments.stage import home
from model.chat import main as talk
from model.chat import markers
from model.hf import encode, load, tokenizer
from model.lm import init
from train.store import describe, identity, save_params

SETTINGS = flagship.Settings(size="smoke", seeds=1)
STAGES = flagship.stages(SETTINGS)


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


@pytest.fixture(scope="module")
def params():
    return init(STAGES[0].model, jax.random.key(0))


def left(params, run, out, stage=STAGES[0], name="flagship", settings=SETTINGS) -> pathlib.Path:
    """What a run leaves of one stage: its spec in `run`, its parameters below `out`."""
    run.mkdir(parents=True, exist_ok=True)
    spec = {"experiment": name, "settings": dataclasses.asdict(settings)}
    (run / "spec.json").write_text(json.dumps(spec, default=str))
    save_params(home(out, stage), jax.tree.map(lambda leaf: leaf[None], params))
    return home(out, stage)


def test_a_stage_is_written_whole(params, tmp_path):
    run, to, stage = tmp_path / "run", tmp_path / "to", STAGES[3]  # T2
    folder = left(params, run, run, stage)
    (run / "claims.json").write_text(json.dumps([{"row": "D1", "claim": "transfer"}]))
    said = {"register": ["fact", "fact", "chat"], "language": ["L1"] * 3, "exposures": [7, 1200, 5]}
    pq.write_table(pa.table(said), folder / "ledger.parquet")
    assert chosen(run) == (stage, folder, run)
    with pytest.raises(ValueError, match=f"'x' is 0 of the 1 trained .*\n  {identity(stage)}"):
        chosen(run, "x")
    export(chosen(run), to)
    cfg, again = load(to)
    assert (cfg.mixer, cfg.W) == (stage.model.mixer, stage.corpus.tokenizer.size)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    user, assistant = markers(to, "L2")
    line = f" {user} {assistant}"
    assert encode(tokenizer(to), line) == stage.corpus.tokenizer.encode(line)
    text = (to / "README.md").read_text()
    assert "| D1 | transfer |" in text and "## Exposures" in text
    assert "| chat, L1 | 5 |\n| fact, L1 | 1,207 |" in text


def test_only_who_has_read_chat_is_given_its_markers():
    base, quiz, _, chat, _ = STAGES
    assert _markers(base) is None and _markers(quiz) is None
    assert _markers(chat) and _markers(chat) == _markers(dataclasses.replace(quiz, base=chat))
    # What train.tune --base writes: of the base its parameters are known, and not its text.
    assert _markers(dataclasses.replace(quiz, base="parameters of fingerprint 0")) is None


def test_what_chat_says_of_parameters_alone_is_a_command_that_exports_them(params, tmp_path):
    """Of a run, of one of many in a folder, and of a training without an experiment."""
    own, every, one = (tmp_path / name for name in ("own", "all", "one"))
    (every / "anchors").mkdir(parents=True)
    stages = left(params, own, own), left(params, every / "flagship", every)
    one.mkdir()
    (one / "spec.json").write_text(json.dumps(describe(STAGES[0])))
    save_params(one, jax.tree.map(lambda leaf: leaf[None], params))
    for i, folder in enumerate((*stages, one)):
        with pytest.raises(ValueError) as error:
            talk(folder)
        _, command = str(error.value).split(": python -m experiments.export ")
        tyro.cli(main, args=command.replace("DIR", f"{tmp_path}/{i}").split())
        assert load(tmp_path / str(i))[0] == load(tmp_path / "0")[0]
    assert chosen(every / "flagship") == (STAGES[0], stages[1], every / "flagship")


def test_stages_that_were_kept_elsewhere_are_found_where_one_says(params, tmp_path):
    folder = left(params, tmp_path / "run", tmp_path / "shared" / "here")
    assert chosen(tmp_path / "run", stages=tmp_path / "shared" / "here").folder == folder
    with pytest.raises(ValueError, match=r"no run in .*/here says what .*; give RUN --stages"):
        chosen(folder)


def test_the_folder_of_real_text_is_a_path_again(params, tmp_path, monkeypatch):
    settings = bilingual_text.Settings(folder=tmp_path)
    monkeypatch.setattr(bilingual_text, "stages", lambda s: STAGES if s == settings else [])
    folder = left(params, tmp_path, tmp_path, name="bilingual_text", settings=settings)
    assert chosen(tmp_path).folder == folder


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no spec.json"):
        chosen(tmp_path)
