"""Counts equal what a reader of the tokens counts, and what is held out is nowhere."""

import collections
import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.contact import SCOPE, Contact
from data.contamination import contamination, proof
from data.corpus import Corpus
from data.coverage import Statements
from data.curriculum import Curriculum, Sequential
from data.exam import Exams
from data.feature import (
    Agreement,
    Articles,
    Case,
    ChatMarkers,
    FreeOrder,
    Lexicon,
    Names,
    Order,
    PossessorFirst,
    Punctuation,
)
from data.language import Pair
from data.ledger import census, ledger, main, spoken, write
from data.meaning import Fact
from data.mixture import Mixture
from data.name import Naming
from data.product import Product
from data.relation import CLASSES, RELATIONS, SPOUSE
from data.reorder import Permute, ReverseEntities, ReverseSegments, ReverseTokens, ReverseWords
from data.replay import Replay
from data.restate import Bridge, Swap
from data.search import fact_templates, statements
from data.speaker import speaker
from data.task import LISTS
from data.task.retrieval import Choose, Retrieve
from data.tokenizer import Character
from data.transform import Transformed
from data.world import DIRECTIONS, FORWARD, GROUPS, REVERSE, Vocabulary, World

TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
PLAIN = Corpus(World(pairs=16), TWIN)
FAR = Pair(
    (Lexicon(0), Names(0), Order("SOV"), PossessorFirst(), Punctuation(), ChatMarkers()), seed=2
)
NAMES = ["words", "unequal", "characters", "inflected"]
_LETTERS = Character.of(" ".join(Corpus(World(pairs=16), FAR).tables.words))
CORPORA = [
    PLAIN,
    dataclasses.replace(PLAIN, ratio=0.1),
    Corpus(World(pairs=16), FAR, T=192, subword=_LETTERS),
    Corpus(
        World(pairs=16), Pair((*TWIN.features, Case(4), Agreement("gender x number"), Articles()))
    ),
]


def read(corpus: Corpus, start: int, stop: int) -> collections.Counter:
    """The brute force: every document's tokens, decoded, split into words, parsed. Counts cells,
    and under "mates" those that come after another statement of their fact in a row."""
    both, counts = speaker(corpus.pair, corpus.world), collections.Counter()
    number = {corpus.world.fact(i)[:3]: i for i in range(len(corpus.world.facts.group))}
    for i in range(start, stop):
        row, seen = corpus.row(i), set()
        for m in range(row["segments"].max()):
            tokens = row["tokens"][row["segments"] == m + 1][1:]
            words = tuple(corpus.tokenizer.decode(tokens).split())
            for language in (0, 1):
                try:
                    said = both.parse(words, language)
                except ValueError:
                    continue
                if isinstance(said, Fact):
                    direction = FORWARD if said.focus == said.subject else REVERSE
                    fact = number[said.relation, said.subject, said.object]
                    cell = fact, f"L{language + 1}", DIRECTIONS[direction]
                    counts[cell] += 1
                    counts["mates", *cell] += fact in seen
                    seen.add(fact)
    return +counts


def counted(table: list[dict]) -> dict:
    """A ledger as `read` counts."""
    cell = lambda r: (r["fact"], r["language"], r["direction"])
    counts = {cell(r): r["exposures"] for r in table}
    assert len(counts) == len(table), "one template a cell: no cell appears twice"
    return +collections.Counter(counts | {("mates", *cell(r)): r["mates"] for r in table})


@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_the_ledger_counts_what_a_reader_of_the_tokens_counts(corpus):
    table = ledger(corpus, 3, 203).to_pylist()
    assert counted(table) == read(corpus, 3, 203)
    assert sum(r["mates"] for r in table) > 0
    assert all(r["stated"] for r in table if r["exposures"])


def scanned(corpus: Corpus, rows: int, step: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """The other brute force, of many tokens: every statement that is found in them, as fact and
    template, and whether it is the row's first of its fact."""
    Z, counts = len(corpus.tables.templates), 0
    for start in range(0, rows, step):
        tokens = corpus.rows(start, min(start + step, rows))["tokens"]
        said = statements(corpus, tokens)
        seen = np.lexsort((said.position, said.fact, said.row))
        row, fact, template = (c[seen] for c in (said.row, said.fact, said.template))
        later = np.append(False, (row[1:] == row[:-1]) & (fact[1:] == fact[:-1]))
        size = len(corpus.world.facts.group) * Z
        both = [np.bincount((fact * Z + template)[x], minlength=size) for x in (slice(None), later)]
        counts = counts + np.stack(both)
    return counts.reshape(2, -1, Z)


def halves(corpus: Corpus) -> list[tuple[int, int]]:
    """The rows of the ledger that a fact of its relation has, in their order: the template, and
    the one that a reader finds, which of a parallel template is either half."""
    meeting, joined = corpus.sampler.meeting, {}
    for first, second in np.argwhere(meeting.joined >= 0):
        joined[meeting.joined[first, second]] = first, meeting.twin[first, second]
    return [(z, half) for z in fact_templates(corpus.tables) for half in joined.get(z, (z,))]


def agree(corpus: Corpus, rows: int) -> None:
    table, found = ledger(corpus, 0, rows), scanned(corpus, rows)
    template, half = np.array(halves(corpus)).T
    relation = np.array([t.relation for t in corpus.tables.templates])[template]
    own = corpus.world.facts.relation[:, None] == relation
    for name, scan in zip(("exposures", "mates"), found, strict=True):
        told, each = np.zeros_like(scan), np.zeros(own.shape, int)
        each[own] = np.array(table[name])
        np.add.at(told, (slice(None), half), each)
        np.testing.assert_array_equal(told, scan)
    assert table.num_rows == own.sum() and found[0].sum() > rows


@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_the_ledger_counts_every_statement_that_a_scan_of_the_tokens_finds(corpus):
    agree(corpus, 1500)


def test_facts_in_answers_and_of_many_relations_are_counted_and_found():
    """Whoever asks for a fact and answers states it; names of several words hide nothing."""
    world = World(
        pairs=32,
        relations=(*RELATIONS, SPOUSE, *CLASSES),
        tasks=(*LISTS, Retrieve("parent", strangers=4), Retrieve("child"), Choose()),
    )
    pair = Pair(TWIN.features, naming=Naming(words=2, multiplicity=2))
    mixture = Mixture(facts=0.3, stories=0.1, quiz=0.3, chat=0.3, answered=0.9)
    corpus = Corpus(world, pair, T=96, mixture=mixture)
    agree(corpus, 2000)
    said = ledger(corpus, 0, 2000)
    asked = said.filter(pc.is_in(said["register"], pa.array(["quiz", "chat"])))
    assert sum(asked["exposures"].to_pylist()) > 1000
    assert proof(corpus, 500).hits.row.size == 0


@pytest.mark.parametrize("packing", ["packed", "single"])
def test_what_is_said_again_in_its_document_has_a_mate_there(packing):
    mixture = Mixture(1, 0, 0, dictionary=0, contact=Contact(parallel=0.5, scope=SCOPE))
    corpus = Corpus(World(pairs=16), TWIN, mixture=mixture, packing=packing)
    agree(corpus, 1500)
    begins = dict(zip(corpus.tables.names, corpus.tables.language, strict=True))
    said = [r for r in ledger(corpus, 0, 1500).to_pylist() if " / " in r["template"]]
    second = [r for r in said if r["language"] != corpus.pair.names[begins[r["template"]]]]
    assert len(second) == len(said) / 2 and all(r["mates"] == r["exposures"] for r in second)
    if packing == "single":  # no document stands before another one's
        assert sum(r["mates"] for r in said) == sum(r["exposures"] for r in second) > 100


WORDED = World(
    pairs=16,
    tasks=(*LISTS, Retrieve("parent"), Retrieve("child")),
    vocabulary=Vocabulary(templates=6, aliases=True),
)
ASKED = Mixture(facts=0.6, stories=0.1, quiz=0.3, answered=0.9)
MIXED = dataclasses.replace(ASKED, statements=Statements(opaque=0.1))
FULL = Corpus(
    WORDED,
    Pair((Lexicon(0), Names(0.5), FreeOrder(0.3), Order("SOV"), Punctuation())),
    T=96,
    mixture=dataclasses.replace(
        MIXED, contact=Contact(parallel=0.3, adjacent=True, scope=SCOPE, switched=0.1)
    ),
)
FREE = dataclasses.replace(PLAIN, pair=Pair((*TWIN.features, FreeOrder(0.5))))
STRANGE = {
    "everything": FULL,
    "reversed": Transformed(PLAIN, ReverseTokens(), share=0.5),
    "entities": Transformed(PLAIN, ReverseEntities(), share=0.5, marker="<rev>", room=16),
    "segments": Transformed(PLAIN, ReverseSegments(3), share=0.5, room=32),
    "permuted": Transformed(PLAIN, Permute(), share=0.7),
    "swapped": Transformed(PLAIN, Swap(), share=0.5),
    "bridged": Transformed(PLAIN, Bridge(), share=0.5),
    "answers": Transformed(
        Corpus(dataclasses.replace(WORDED, vocabulary=Vocabulary()), TWIN, T=96, mixture=ASKED),
        ReverseWords(),
        share=0.5,
    ),
    "twice": Transformed(Transformed(PLAIN, Swap(), share=0.5), Permute(), share=0.5, seed=1),
    "free": Transformed(FREE, ReverseWords(), share=0.5),
    "curriculum": Curriculum(
        dataclasses.replace(PLAIN, mixture=Mixture(dictionary=0)), Sequential(150, then=0.7)
    ),
    "replay": Replay(
        dataclasses.replace(PLAIN, ratio=0.0),
        PLAIN,
        share=0.3,
        registers=("statement", "story", "quiz", "dictionary"),
    ),
    "exams": Exams(PLAIN, share=0.3),
}


def cells(source, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(facts, languages, directions) exposures: of the ledger, and as the tokens are read."""
    everywhere = np.ones(spoken(source).stated.shape, bool)
    told, read = ledger(source, 0, rows), contamination(source, 0, rows, everywhere)
    names = {name: k for k, name in enumerate(source.legend["language"])}
    counts = np.zeros((2, *everywhere.shape), int)
    for count, table in zip(counts, (told, read), strict=True):
        language = [names[name] for name in table["language"].to_pylist()]
        direction = [DIRECTIONS.index(name) for name in table["direction"].to_pylist()]
        times = table["exposures"].to_numpy() if "exposures" in table.column_names else 1
        np.add.at(count, (table["fact"].to_numpy(), language, direction), times)
    return counts


@pytest.mark.parametrize("name", STRANGE)
def test_the_ledger_of_whatever_knows_its_documents_is_what_a_scan_of_the_tokens_finds(name):
    told, read = cells(STRANGE[name], 400)
    np.testing.assert_array_equal(told, read)
    assert told.sum() > 400


def test_neither_half_of_a_permuted_document_hides_the_other():
    """By chance one half is in the order of the grammar and the other in none."""
    contact = Contact(parallel=0.5, scope=SCOPE)
    base = dataclasses.replace(PLAIN, mixture=Mixture(1, 0, 0, dictionary=0, contact=contact))
    told, read = cells(Transformed(base, Permute(), share=0.9), 300)
    np.testing.assert_array_equal(told.sum(2), read.sum(2))


def test_a_ledger_tells_what_was_transformed_and_in_which_phase():
    reversed_ = ledger(STRANGE["reversed"], 0, 400).to_pylist()
    assert {r["transform"] for r in reversed_} == {"none", "ReverseTokens"}
    turned = [r for r in reversed_ if r["transform"] == "ReverseTokens"]
    assert all((r["template"] == "parent of x is y") == (r["direction"] == "reverse")
               for r in turned if r["relation"] == "parent" and r["language"] == "L1")  # fmt: skip
    phases = ledger(STRANGE["curriculum"], 0, 400).to_pylist()
    first = [r for r in phases if r["phase"] == "ratio 0" and r["exposures"]]
    assert {r["language"] for r in first} == {"L1"}
    assert {r["phase"] for r in phases} == {"ratio 0", "ratio 0.7"}


def test_a_corpus_without_facts_of_a_world_has_no_ledger():
    with pytest.raises(ValueError, match=r"Product states no facts .* data\.tally"):
        ledger(Product(), 0, 10)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_the_ledger_of_ten_million_tokens_is_what_a_scan_finds(corpus):
    agree(corpus, 10_000_000 // corpus.T)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGE)
def test_the_ledger_of_ten_million_strange_tokens_is_what_a_scan_finds(name):
    np.testing.assert_array_equal(*cells(STRANGE[name], 10_000_000 // STRANGE[name].T))


def test_a_ledger_on_disk_is_the_same_for_any_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("data.ledger._SPAN", 64 * 300)
    monkeypatch.setattr("data.ledger._GROUP", 10)  # facts of a row group
    for processes in (1, 2):
        write(PLAIN, 1000, tmp_path / f"{processes}.parquet", processes)
    one, two = ((tmp_path / f"{n}.parquet").read_bytes() for n in (1, 2))
    assert one == two
    assert pq.ParquetFile(tmp_path / "1.parquet").num_row_groups == 4
    assert pq.read_table(tmp_path / "1.parquet").equals(ledger(PLAIN, 0, 1000))


def test_a_ledger_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def broken(corpus, span):
        raise RuntimeError("a process died")

    monkeypatch.setattr("data.ledger._count", broken)
    with pytest.raises(RuntimeError):
        write(PLAIN, 10, tmp_path / "ledger.parquet")
    assert not list(tmp_path.iterdir())


def test_bad_arguments_of_a_ledger_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="rows=0, processes=1: choose 1 or more"):
        write(PLAIN, 0, tmp_path / "ledger.parquet")
    with pytest.raises(SystemExit, match=r"data\.ledger: no experiment 'flagshp' .* did you mean"):
        main("flagshp", tmp_path / "ledger.parquet", 1000)
    with pytest.raises(SystemExit, match=r"nowhere is no folder; make it, or choose another file"):
        main("flagship", tmp_path / "nowhere" / "ledger.parquet", 1000)
    with pytest.raises(ValueError, match="is a folder; choose a file"):
        write(PLAIN, 10, tmp_path)
    (tmp_path / "full.part").mkdir()
    with pytest.raises(SystemExit, match=r"data\.ledger: .*full\.part"):
        main("flagship", tmp_path / "full", 1000, processes=1)


def test_ledgers_of_parts_add_up_to_the_ledger_of_the_whole(monkeypatch):
    monkeypatch.setattr("data.ledger._BLOCK", 1000)
    small = np.array(ledger(PLAIN, 0, 100)["exposures"])
    monkeypatch.undo()
    halves = [np.array(ledger(PLAIN, *r)["exposures"]) for r in ((0, 40), (40, 100))]
    np.testing.assert_array_equal(small, np.array(ledger(PLAIN, 0, 100)["exposures"]))
    np.testing.assert_array_equal(small, sum(halves))


def test_every_stated_cell_has_the_same_expected_exposures_whatever_its_group():
    table = ledger(PLAIN, 0, 20_000)
    stated = table.filter(pc.equal(table["stated"], True))
    counts = np.array(stated["exposures"])
    mean = counts.mean()
    assert mean > 500
    assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)
    for group in GROUPS[:-1]:
        own = counts[np.array(stated["group"]) == group.name]
        assert abs(own.mean() - mean) < 4 * np.sqrt(mean / len(own)), group
    assert "G7" not in stated["group"].to_pylist()


def test_the_census_adds_up():
    table = census(PLAIN, 0, 200)
    rows = PLAIN.rows(0, 200)
    assert sum(table["documents"].to_pylist()) == (rows["kind"] >= 0).sum()
    assert sum(table["tokens"].to_pylist()) == (rows["segments"] > 0).sum()
