"""Row i of every shipped corpus is what it was, on any machine, in any process, in any order.

tests/data/rows.json holds a hash of some rows of every corpus an experiment trains on, at every
size. Who changes rows on purpose makes it anew, and says so in the commit:

    python -m tests.data.test_rows
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import subprocess
import sys

from data.bench import DEFAULT, RICH

STORED = pathlib.Path(__file__).with_name("rows.json")
ROOT = pathlib.Path(__file__).parents[2]
ROWS = ((0, 4), (1000, 1003), (10**9, 10**9 + 1))


def corpora() -> dict[str, object]:
    """Every corpus of every experiment that needs no files of its user, at every size, one seed."""
    found = {"default": DEFAULT, "every feature": dataclasses.replace(DEFAULT, pair=RICH)}
    for file in sorted((ROOT / "experiments").glob("*.py")):
        if "\ndef stages(" not in file.read_text():
            continue
        module = importlib.import_module(f"experiments.{file.stem}")
        if "folder" in {field.name for field in dataclasses.fields(module.Settings)}:
            continue
        for size in module.SIZES:
            stages = module.stages(module.Settings(size=size, seeds=1))
            for k, corpus in enumerate(dict.fromkeys(stage.corpus for stage in stages)):
                found[f"{file.stem} {size} {k}"] = corpus
    return found


def digest(corpus, spans=ROWS) -> str:
    """Of names, types and values of all columns of some rows."""
    state = hashlib.sha256()
    for start, stop in spans:
        for i in range(start, stop):
            for name, value in sorted(corpus.row(i).items()):
                little = value.astype(value.dtype.newbyteorder("<"))
                state.update(f"{name} {little.dtype.str} {little.shape}".encode())
                state.update(little.tobytes())
    return state.hexdigest()[:16]


def hashes() -> dict[str, str]:
    return {name: digest(corpus) for name, corpus in corpora().items()}


def test_rows_are_those_of_every_release_before():
    stored, found = json.loads(STORED.read_text()), hashes()
    changed = [name for name in stored.keys() | found.keys() if stored.get(name) != found.get(name)]
    assert not changed, (
        f"rows of {', '.join(sorted(changed))} changed; if they were meant to, run "
        "`python -m tests.data.test_rows` and say in the commit what changed them"
    )


def test_another_process_with_another_hash_seed_makes_the_same_rows():
    """Guards against an order taken from a set: each process would have its own."""
    code = "import json; from tests.data import test_rows as t; print(json.dumps({"
    code += "n: t.digest(c) for n, c in t.corpora().items() if 'small' not in n}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found, stored = json.loads(done.stdout.splitlines()[-1]), json.loads(STORED.read_text())
    assert found == {name: stored[name] for name in found}


def test_rows_made_together_or_apart_in_any_order_are_the_same():
    for name in ("default", "every feature"):
        corpus = corpora()[name]
        together = corpus.rows(990, 1010)
        for i in (1009, 990, 1000):
            for column, value in corpus.row(i).items():
                assert (together[column][i - 990] == value).all(), (name, column)
        assert digest(corpus, ROWS[::-1]) != digest(corpus), "the digest sees the order"


if __name__ == "__main__":
    STORED.write_text(json.dumps(hashes(), indent=1) + "\n")
