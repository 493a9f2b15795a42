"""Real text has the contract of a corpus, and bad text is refused in a line."""

import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data.text import Text, read
from data.tokenizer import BPE, Character

LETTERS = Character.of(" abcdefghijklmnopqrstuvwxyz0123456789ä")


@pytest.fixture
def aligned(tmp_path):
    """Forty lines of x's and their translations into y's."""
    for name in "xy":
        lines = [f"{name * (1 + j % 7)}{j}" for j in range(40)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return str(tmp_path / "x"), str(tmp_path / "y")


def said(corpus, start, stop):
    """(line, language, text) of every document in the rows."""
    rows, out = corpus.rows(start, stop), []
    for b in range(stop - start):
        for m in range(rows["segments"][b].max()):
            tokens = rows["tokens"][b][rows["segments"][b] == m + 1]
            assert tokens[0] == 0
            text = corpus.tokenizer.decode(tokens[1:])
            out.append((int(rows["line"][b, m]), int(rows["language"][b, m]), text))
    return out


def test_an_epoch_reads_every_line_once_in_one_language(aligned, tmp_path):
    corpus = Text(aligned, LETTERS, T=24, ratio=0.25)
    lines = [(tmp_path / name).read_text().split() for name in "xy"]
    epochs = [said(corpus, e * corpus.epoch, (e + 1) * corpus.epoch) for e in range(3)]
    for documents in epochs:
        assert sorted(line for line, _, _ in documents) == list(range(40))
        assert all(text == lines[language][line] for line, language, text in documents)
        assert sum(language for _, language, _ in documents) == 10
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1] != epochs[2], "epochs are shuffled"


def test_any_range_of_rows_is_its_rows_one_by_one(aligned):
    corpus = Text(aligned, LETTERS, T=24, ratio=0.5, seed=4)
    rows = corpus.rows(corpus.epoch - 3, 3 * corpus.epoch + 5)
    for i in (0, 2, 3, 4, corpus.epoch + 3, 2 * corpus.epoch + 7):
        row = corpus.row(corpus.epoch - 3 + i)
        for name in rows:
            np.testing.assert_array_equal(rows[name][i], row[name], err_msg=name)
    for i in (0, 5, corpus.epoch):
        assert all(c.shape == (0, *rows[k].shape[1:]) for k, c in corpus.rows(i, i).items())
    for start, stop in ((-1, 2), (5, 3)):
        with pytest.raises(ValueError, match=r"are no range; choose 0 <= start <= stop"):
            corpus.rows(start, stop)


def test_long_documents_are_cut_counted_and_their_cut_end_is_no_target(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abcdefgh\nab\n")
    corpus = Text((str(path),), LETTERS, T=6)
    rows = corpus.rows(0, 2)
    assert corpus.truncated == 1 and corpus.epoch == 2
    long, short = sorted(range(2), key=lambda i: -rows["segments"][i].sum())
    assert corpus.tokenizer.decode(rows["tokens"][long]) == "<doc>abcde"
    assert rows["weights"][long].tolist() == [0, 1, 1, 1, 1, 1]
    assert rows["weights"][short].tolist() == [0, 1, 1, 1, 0, 0]


def test_the_bytes_of_all_targets_are_the_bytes_of_the_file(aligned, tmp_path):
    """What bits per byte divides by: <doc> stands for the line break."""
    path = tmp_path / "umlaut.txt"
    path.write_text("ab ä\nbc\ncd äää\n")
    corpus = Text((str(path),), LETTERS, T=64)
    rows = corpus.rows(0, corpus.epoch)
    total = (corpus.tokenizer.bytes[rows["tokens"]] * rows["weights"]).sum()
    assert total == len(path.read_bytes())


def test_all_formats_say_the_same(tmp_path):
    texts = ["ab", "cd e", "f"]
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"ab\r\ncd e\nf"))
    (tmp_path / "windows.txt").write_bytes("\ufeffab\r\ncd e\r\nf\r\n".encode())
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    halves = [{"prompt": t[:1], "completion": t[1:]} for t in texts]
    (tmp_path / "b.jsonl").write_text("\n\n".join(map(json.dumps, halves)))
    pyarrow.parquet.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    names = ("a.txt", "a.txt.gz", "windows.txt", "a.jsonl", "b.jsonl", "a.parquet")
    assert len({Text((str(tmp_path / n),), LETTERS).content for n in names}) == 1
    assert read(tmp_path / "b.jsonl")[1] == ("c", "d e")


def test_the_identity_is_the_content_and_not_the_path(tmp_path):
    for name, text in (("a", "ab\n"), ("b", "ab\n"), ("c", "abc\n")):
        (tmp_path / name).write_text(text)
    content = [Text((str(tmp_path / n),), LETTERS).content for n in "abc"]
    assert content[0] == content[1] != content[2]


def _parquet(**columns) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x5A, data[place + 1] ^ 0x77]) + data[place + 2 :]


BAD = {
    "empty.txt": (b"", "empty"),
    "blank.txt": (b"\n \n", "no text in it"),
    "latin.txt": ("für".encode("latin-1"), "not UTF-8 at byte 1"),
    "fields.jsonl": (b'{"text": "a"}\n{"body": "b", "id": 1}\n', "line 2: has \\['body', 'id'\\]"),
    "number.jsonl": (b'{"text": 3}\n', "line 1: text must be strings"),
    "list.jsonl": (b"[1]\n", "line 1: has list"),
    "broken.jsonl": (b'{"text": "a"}\n{"text"\n', "line 2: not JSON"),
    "cut.txt.gz": (gzip.compress(b"abc" * 99)[:20], "not whole gzip"),
    "flipped.txt.gz": (_flipped(gzip.compress(b"abc" * 99), 12), "not whole gzip"),
    "no.parquet": (b"abc", "not whole parquet"),
    "flipped.parquet": (_flipped(_parquet(text=["ab" * 99] * 99), 10), "not whole parquet"),
    "body.parquet": (_parquet(body=["a"]), "has \\['body'\\], needs `text`"),
    "null.parquet": (_parquet(text=["a", None]), "row 1: text must be strings"),
    "number.parquet": (_parquet(text=[1]), "row 0: text must be strings"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    data, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        Text((str(path),), LETTERS)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_missing_or_of_different_length_are_refused(tmp_path, aligned):
    with pytest.raises(ValueError, match="no such file"):
        Text((str(tmp_path / "none"),), LETTERS)
    short = tmp_path / "short"
    short.write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"40 lines and .* 2:"):
        Text((aligned[0], str(short)), LETTERS)
    with pytest.raises(ValueError, match="give two files, or ratio=0"):
        Text(aligned[:1], LETTERS, ratio=0.5)
    with pytest.raises(ValueError, match="choose 2 or more"):
        Text(aligned, LETTERS, T=1)
    with pytest.raises(ValueError, match="not in the alphabet"):
        Text(aligned, Character.of("abc")).row(0)


def test_multi30k_is_read_as_english_and_german(corpora):
    paths = tuple(str(corpora / "multi30k" / f"val.{name}.gz") for name in ("en", "de"))
    tokenizer = BPE.train((text for path in paths for _, text in read(path)), 500)
    corpus = Text(paths, tokenizer, T=128, ratio=0.3)
    documents = said(corpus, 0, corpus.epoch)
    assert len(documents) == 1014
    assert sum(language for _, language, _ in documents) == round(0.3 * 1014)
    english, german = (" ".join(t for _, lang, t in documents if lang == i) for i in (0, 1))
    assert english.count(" the ") > 100 and german.count(" einem ") > 50
    assert english.count(" einem ") == german.count(" the ") == 0


def test_reversal_curse_sentences_are_read_as_prompt_and_completion(corpora):
    path = corpora / "reversal_curse" / "all_prompts_train.jsonl"
    records = read(path)
    assert len(records) == 3600 and all(p and c for p, c in records)
    corpus = Text((str(path),), BPE.train(map("".join, records), 600), T=128)
    sentences = {text for _, _, text in said(corpus, 0, corpus.epoch)}
    assert sentences == {p + c for p, c in records} or corpus.truncated
