"""Row i of every shipped corpus is what it was, on any machine, in any process, in any order.

tests/data/rows.json holds a hash of some rows of every kind of corpus of data/, and of every one
that an experiment trains on at toy size. Who changes rows on purpose makes it anew, and says so
in the commit:

    python -m tests.data.test_rows
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from data.bench import DEFAULT, RICH
from data.biography import Biography
from data.contact import SCOPE, Contact
from data.corpus import Corpus
from data.coverage import Statements
from data.curriculum import Alternating, Curriculum, Ramp, Sequential
from data.exam import Exams
from data.feature import FreeOrder
from data.language import Pair
from data.mixture import Mixture
from data.name import Naming
from data.pairs import Pairs
from data.product import Product
from data.recall import MQAR
from data.reorder import (
    Permute,
    ReverseEntities,
    ReverseSegments,
    ReverseTokens,
    ReverseWords,
    Shuffle,
)
from data.replay import Replay
from data.restate import Bridge, Swap
from data.rewrite import Rewrite
from data.transform import Transformed
from data.world import Vocabulary, World
from data.zipf import Zipf
from experiments import catalogue

STORED = pathlib.Path(__file__).with_name("rows.json")
ROOT = pathlib.Path(__file__).parents[2]
ROWS = ((0, 4), (1000, 1003), (10**9, 10**9 + 1))


BASE = dataclasses.replace(
    DEFAULT,
    world=World(pairs=16, cities=4, nouns=8),
    pair=dataclasses.replace(DEFAULT.pair, naming=Naming(2, 4)),
)
MOST = Corpus(
    World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(True, 4, 6, 1, aliases=True)),
    Pair((*RICH.features, FreeOrder(0.2)), naming=Naming(2, 4)),
    T=192,
    mixture=Mixture(
        *(0.3, 0.3, 0.2, 0.2),
        plain=0.1,
        statements=Statements(opaque=0.1),
        zipf=Zipf(nouns=1.0, words=1.0, permuted=True),
        contact=Contact(parallel=0.2, adjacent=True, scope=SCOPE, switched=0.1),
    ),
)
TRANSFORMS = (ReverseTokens(), ReverseWords(), ReverseEntities(), ReverseSegments(3), Permute(),
              Shuffle(), Swap(), Bridge())  # fmt: skip
CHAT = Mixture(0, 0, 0, chat=1, dictionary=0)
APART = (Sequential(1001), Sequential(2, then=0.5), Alternating(2))  # have phases of one language
RAMP = Ramp(rows=2000, steps=5)


def shipped() -> dict[str, object]:
    """Corpora of every kind that data/ makes."""
    said = {"default": DEFAULT, "every feature": dataclasses.replace(DEFAULT, pair=RICH)}
    said["most knobs"] = MOST
    apart = dataclasses.replace(BASE, mixture=Mixture(dictionary=0))
    said |= {type(t).__name__: Transformed(BASE, t, room=16) for t in TRANSFORMS}
    said |= {repr(order): Curriculum(apart, order) for order in APART}
    said[repr(RAMP)] = Curriculum(BASE, RAMP)
    return said | {
        "doubled": Transformed(BASE, ReverseWords(), doubled=True, marker="<rev>", room=8),
        "replay": Replay(dataclasses.replace(BASE, loss="response", mixture=CHAT), BASE, share=0.5,
                         registers=("statement", "story", "quiz", "dictionary")),
        "biography": Biography(people=20, translated=0.5, asked=0.5, T=128),
        "rewrite": Rewrite(rules=20, examples=100, ratio=0.5),
        "MQAR": MQAR(pairs=2, vocabulary=32, T=16),
        "product": Product(),
        "pairs": Pairs(),
        "exams": Exams(BASE, share=0.5),
    }  # fmt: skip


def trained(sizes: tuple[str, ...], *names: str) -> dict[str, object]:
    """What the experiments of these names train on, all of them without one, at some sizes, one
    seed; but not those that need files of their user."""
    found = {}
    for name in names or catalogue.names():
        module = catalogue.find(name)
        if "folder" not in {field.name for field in dataclasses.fields(module.Settings)}:
            for size in sizes:
                stages = module.stages(module.Settings(size=size, seeds=1))
                for k, corpus in enumerate(dict.fromkeys(stage.corpus for stage in stages)):
                    found[f"{name} {size} {k}"] = corpus
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


def hashes(corpora: dict[str, object]) -> dict[str, str]:
    return {name: digest(corpus) for name, corpus in corpora.items()}


def check(found: dict[str, str]) -> None:
    stored = json.loads(STORED.read_text())
    changed = [name for name in found if stored.get(name) != found[name]]
    assert not changed, (
        f"rows of {', '.join(sorted(changed))} changed; if they were meant to, run "
        "`python -m tests.data.test_rows` and say in the commit what changed them"
    )


def test_rows_are_those_of_every_release_before():
    check(hashes(shipped() | trained(("smoke", "toy", "small"), "flagship")))


@pytest.mark.slow
def test_so_are_those_of_every_experiment():
    found = hashes(trained(("toy",)))
    check(found)
    missing = {name for name in json.loads(STORED.read_text()) if " toy " in name} - found.keys()
    assert not missing, f"{missing} are trained on no longer"


def test_another_process_with_another_hash_seed_makes_the_same_rows():
    """Guards against an order taken from a set: each process would have its own."""
    code = "import json; from tests.data import test_rows as t; print(json.dumps({"
    code += "n: t.digest(c) for n, c in (t.shipped() | t.trained(('toy',), 'flagship')).items()}))"
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
        corpus = shipped()[name]
        together = corpus.rows(990, 1010)
        for i in (1009, 990, 1000):
            for column, value in corpus.row(i).items():
                assert (together[column][i - 990] == value).all(), (name, column)
        assert digest(corpus, ROWS[::-1]) != digest(corpus), "the digest sees the order"


if __name__ == "__main__":
    every = shipped() | trained(("smoke", "toy", "small"), "flagship") | trained(("toy",))
    STORED.write_text(json.dumps(hashes(every), indent=1) + "\n")
