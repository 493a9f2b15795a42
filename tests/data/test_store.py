"""Rows come back from disk as the corpus makes them, or not at all."""

import dataclasses
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from data import store
from data.bench import DEFAULT
from data.store import Stored, materialise
from data.stream import stream
from data.task.translate import Translate
from data.text import Text
from data.tokenizer import BPE, Character, Word
from data.world import World

WORDS = dataclasses.replace(DEFAULT, world=World(pairs=16, cities=4, nouns=8))
LETTERS = dataclasses.replace(
    WORDS, T=160, subword=Character.of(" ".join(WORDS.tables.words)), loss="response"
)
PIECES = dataclasses.replace(WORDS, T=96, subword=BPE.train([" ".join(WORDS.tables.words)], 300))
CORPORA = {"words": WORDS, "letters": LETTERS, "pieces": PIECES}
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Sixteen rows of 64 tokens a shard, four an inner chunk, five drawn together."""
    for name, rows in (("INNER", 4), ("SHARD", 16), ("_BLOCK", 5)):
        monkeypatch.setattr(store, name, rows * 64)


def same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, column in one.items():
        np.testing.assert_array_equal(column, other[name], err_msg=name)
        assert column.dtype == other[name].dtype, name


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("zstd", [0, 3])
def test_what_is_read_is_what_was_written(tmp_path, name, zstd):
    corpus = CORPORA[name]
    written = materialise(corpus, tmp_path, 70, zstd=zstd)
    assert len(written) == 70 and (written.T, written.tokenizer) == (corpus.T, corpus.tokenizer)
    for start, stop in ((0, 70), (15, 17), (3, 3), (69, 70)):
        same(written.rows(start, stop), corpus.rows(start, stop))
    same(written.row(33), corpus.row(33))
    assert written.legend == corpus.legend
    written.verify()


def test_real_text_is_stored_by_the_same_contract_and_streams(tmp_path):
    (tmp_path / "text").write_text("a b\nb b a\nb\n" * 9)
    text = Text((str(tmp_path / "text"),), Word(("a", "b")), T=16)
    written = materialise(text, tmp_path / "store", 40)
    same(written.rows(0, 40), text.rows(0, 40))
    same(stream(written, 4)[7], stream(text, 4)[7])


def test_the_identity_of_a_store_is_its_content(tmp_path):
    one, two = (materialise(WORDS, tmp_path / place, 20) for place in ("a", "b"))
    other = materialise(dataclasses.replace(WORDS, seed=1), tmp_path / "c", 20)
    assert one.content == two.content != other.content


def killed(folder: pathlib.Path, row: int) -> None:
    """A process that writes 70 rows and is killed by the system when it is asked for `row`."""
    script = f"""
import os, signal
from dataclasses import replace
from data import store
from data.bench import DEFAULT
from data.world import World
WORDS = replace(DEFAULT, world=World(pairs=16, cities=4, nouns=8))
store.INNER, store.SHARD, store._BLOCK = {store.INNER}, {store.SHARD}, {store._BLOCK}
class Killed(type(WORDS)):
    def rows(self, start, stop):
        if start >= {row}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().rows(start, stop)
Killed.__qualname__ = type(WORDS).__qualname__
fields = {{name: getattr(WORDS, name) for name in WORDS.__dataclass_fields__}}
store.materialise(Killed(**fields), {str(folder)!r}, 70)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_killed_writing_goes_on_where_it_was(tmp_path, monkeypatch):
    killed(tmp_path, 40)
    with pytest.raises(ValueError, match=r"3 shards are not written yet; run materialise again"):
        Stored(str(tmp_path))
    (tmp_path / "rows" / "c" / "2").mkdir(exist_ok=True)
    (tmp_path / "rows" / "c" / "2" / "0").write_bytes(b"some of a shard, and not whole")
    times = {f: f.stat().st_mtime_ns for f in tmp_path.glob("rows/c/[01]/0")}
    assert len(times) == 2, "a file a shard"
    made, draw = [], store._drawn
    monkeypatch.setattr(store, "_drawn", lambda s, a, b, y: made.append(a) or draw(s, a, b, y))
    written = materialise(WORDS, tmp_path, 70)
    assert made == [32, 48, 64]
    assert all(f.stat().st_mtime_ns == times[f] for f in times), "finished shards stay"
    same(written.rows(0, 70), WORDS.rows(0, 70))


def test_a_truncated_or_missing_shard_is_named_in_one_line_and_made_anew(tmp_path):
    materialise(WORDS, tmp_path, 70)
    shard = tmp_path / "rows" / "c" / "2" / "0"
    whole = shard.read_bytes()
    for spoil, what in (
        (lambda: shard.write_bytes(whole[:-9]), "bytes"),
        (shard.unlink, "missing"),
    ):
        spoil()
        with pytest.raises(ValueError, match=what) as caught:
            Stored(str(tmp_path))
        assert str(shard) in str(caught.value) and "\n" not in str(caught.value)
        same(materialise(WORDS, tmp_path, 70).rows(0, 70), WORDS.rows(0, 70))
        assert shard.read_bytes() == whole


@pytest.mark.parametrize("zstd", [0, 3])
def test_a_flipped_bit_is_named_in_one_line_when_it_is_read(tmp_path, zstd):
    written = materialise(WORDS, tmp_path, 70, zstd=zstd)
    shard = tmp_path / "rows" / "c" / "1" / "0"
    spoiled = bytearray(shard.read_bytes())
    spoiled[20] ^= 4
    shard.write_bytes(spoiled)
    with pytest.raises(ValueError, match="SHA-256") as caught:
        written.verify()
    assert str(shard) in str(caught.value)
    again = Stored(str(tmp_path))
    same(again.rows(0, 16), WORDS.rows(0, 16))
    with pytest.raises(ValueError, match="damaged shard, its crc32c does not fit") as caught:
        again.rows(0, 70)
    assert str(shard) in str(caught.value) and "\n" not in str(caught.value)
    same(materialise(WORDS, tmp_path, 70, zstd=zstd).rows(0, 70), WORDS.rows(0, 70))


def test_a_folder_of_other_rows_and_rows_beyond_the_last_are_refused(tmp_path):
    written = materialise(WORDS, tmp_path, 20)
    with pytest.raises(ValueError, match="holds rows of another source; choose an empty folder"):
        materialise(dataclasses.replace(WORDS, seed=1), tmp_path, 20)
    with pytest.raises(ValueError, match="holds rows of another rows, zstd"):
        materialise(WORDS, tmp_path, 30, zstd=1)
    with pytest.raises(ValueError, match=r"rows 19\.\.21 of a store of 20"):
        written.rows(19, 21)
    with pytest.raises(ValueError, match="no manifest"):
        Stored(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="a level from 0 to 22"):
        materialise(WORDS, tmp_path / "new", 20, zstd=23)


def test_a_folder_is_its_sources_before_the_first_shard_is_written(tmp_path, monkeypatch):
    def stopped(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "_drawn", stopped)
        materialise(WORDS, tmp_path, 70)
    with pytest.raises(ValueError, match="5 shards are not written yet; run materialise again"):
        Stored(str(tmp_path))
    with pytest.raises(ValueError, match="holds rows of another source, T, record; choose an"):
        materialise(dataclasses.replace(WORDS, T=32), tmp_path, 70)


def test_a_field_that_a_repr_leaves_out_tells_sources_apart(tmp_path):
    told = lambda nouns: dataclasses.replace(
        WORDS, world=dataclasses.replace(WORDS.world, tasks=(Translate(nouns=nouns),))
    )
    one, two = told(3), told(None)
    assert repr(one) == repr(two)
    materialise(one, tmp_path, 20)
    with pytest.raises(ValueError, match="holds rows of another source"):
        materialise(two, tmp_path, 20)
