"""What proves an absence is seen to find a presence."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from data.asking import questions
from data.contamination import contamination, main, proof, trespasses
from data.corpus import Corpus
from data.feature import Lexicon, Names
from data.impossible import FullReverse
from data.language import Pair
from data.ledger import ledger
from data.meaning import Chat, Fact, Question, Quiz, Story
from data.mixture import Mixture
from data.preview import _proof
from data.prompt import Prompt
from data.relation import CLASSES, RELATIONS
from data.reorder import ReverseTokens
from data.sample import drawn_questions
from data.search import statements
from data.speaker import speaker
from data.survey import Survey
from data.syntax import Wording
from data.task import TASKS, held_out
from data.task.every import EVERY
from data.tokenizer import BPE
from data.transform import Transformed
from data.world import DIRECTIONS, Vocabulary, World
from tests.data.test_ledger import CORPORA, FAR, NAMES, PLAIN, cells, read


def test_held_out_statements_are_in_no_row():
    assert contamination(PLAIN, 0, 5000).num_rows == 0


@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_the_search_finds_every_statement_there_is(corpus):
    """What proves an absence must be seen to find a presence."""
    hits = contamination(corpus, 7, 107, cells=corpus.world.stated)
    counts = collections.Counter(
        zip(*(hits[k].to_pylist() for k in ("fact", "language", "direction")), strict=True)
    )
    assert counts == {k: n for k, n in read(corpus, 7, 107).items() if k[0] != "mates"}
    for hit in hits.to_pylist()[:20]:
        row = corpus.row(hit["row"])
        document = row["segments"][hit["position"]] - 1
        assert row["fact"][document] == hit["fact"]


def test_what_a_transform_says_of_held_out_cells_is_found():
    """To turn a statement round says what may be held out in that direction; what is held out in
    every language and direction is said by none."""
    turned = Transformed(PLAIN, ReverseTokens(), share=0.5)
    hits, said = contamination(turned, 0, 200), ledger(turned, 0, 200).to_pylist()
    assert hits.num_rows == sum(r["exposures"] for r in said if not r["stated"]) > 100
    never = ~PLAIN.stated.any((1, 2))
    assert never.any() and not never[hits["fact"].to_numpy()].any()
    letters = dataclasses.replace(CORPORA[2], T=256)
    with pytest.raises(NotImplementedError, match="ReverseTokens: words taken to pieces"):
        contamination(Transformed(letters, ReverseTokens()), 0, 10)


def test_a_clone_states_in_one_language_what_is_held_out_in_the_other():
    """Not a fault of the search: a clone's forms are the base's, and it says so."""
    hits = contamination(dataclasses.replace(PLAIN, pair=Pair()), 0, 50)
    assert hits.num_rows > 0


def test_pieces_hide_no_statement():
    text = [" ".join(speaker(FAR, PLAIN.world).form[i].values()) for i in (0, 1)]
    corpus = Corpus(PLAIN.world, FAR, T=128, subword=BPE.train(text, 400))
    assert contamination(corpus, 0, 300).num_rows == 0
    found = contamination(corpus, 0, 100, cells=corpus.world.stated).num_rows
    assert found == sum(np.array(ledger(corpus, 0, 100)["exposures"]))


@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_every_statement_the_grammar_can_say_is_found_when_planted(corpus):
    """All facts x languages x directions, said by the speaker at odd places of rows that hold other
    things: none is missed, whatever stands before and after it."""
    both, world = speaker(corpus.pair, corpus.world), corpus.world
    cells = [(f, l, d) for f in range(len(world.facts.group)) for l in (0, 1) for d in (0, 1)]
    rows = corpus.rows(0, len(cells))["tokens"]
    rows[:] = corpus.tokenizer.encode(" " + both.form[0]["noun0"])[0]
    for i, (fact, language, direction) in enumerate(cells):
        relation, *entities, _ = world.fact(fact)
        words = both.render(Fact(relation, *entities, focus=entities[direction]), language)
        tokens = corpus.tokenizer.encode("".join(f" {word}" for word in (*words, words[0])))
        begin = i % (corpus.T - len(tokens))
        rows[i, begin : begin + len(tokens)] = tokens
    said = statements(corpus, rows)
    language = corpus.tables.language[said.template]
    found = set(zip(said.row, said.fact, language, said.direction, strict=True))
    assert found >= {(i, *cell) for i, cell in enumerate(cells)}
    np.testing.assert_array_equal(said.direction, corpus.tables.direction[said.template])


def test_what_is_false_is_found_as_no_fact():
    """Also where it names a city that is nobody's home."""
    both, world = speaker(PLAIN.pair, PLAIN.world), PLAIN.world
    true = {world.fact(i)[:3] for i in range(len(world.facts.group))}
    homes = [("home", f"x{i}", f"city{c}") for i in range(16) for c in range(30)]
    said = [both.render(Fact(*home, focus=home[1]), 0) for home in homes]
    found = statements(PLAIN, np.array([PLAIN.tokenizer.encode(" ".join(s)) for s in said]))
    assert len(true & {*homes}) == 16
    assert [homes[i] for i in found.row] == [home for home in homes if home in true]


@pytest.mark.parametrize("corpus", CORPORA, ids=NAMES)
def test_every_item_of_a_list_task_is_found_and_none_is_held_out(corpus):
    rows = corpus.rows(0, 400)
    found, asked = questions(corpus, rows["tokens"]), 0
    for i in range(400):
        for _, said in corpus.documents(i):
            if isinstance(said, Story | Quiz | Chat):
                asked += 1 + (isinstance(said, Quiz) and said.follow is not None)
    assert len(found.row) == asked > 500 and not found.kept.any()


def test_a_held_out_item_is_found_when_planted():
    both, names = speaker(PLAIN.pair, PLAIN.world), [f"noun{i}" for i in range(6)]
    rows, planted = np.zeros((0, PLAIN.T), np.int32), []
    for args in itertools.permutations(names, 3):
        number = np.array([[names.index(a)] for a in args] + [[0]])
        held = held_out(np.array([0]), np.array([3]), number)[0]
        kinds = (Story, Quiz, Chat) if held else ()
        for kind, language in itertools.product(kinds, (0, 1)):
            words = both.render(kind(Question(TASKS[0], args)), language)
            row = PLAIN.row(len(rows))["tokens"].copy()
            said = [0, *PLAIN.tokenizer.encode(" ".join(words)), 0]
            row[5 : 5 + len(said)] = said
            rows, planted = np.vstack([rows, row]), [*planted, (len(rows), 6)]
    found = questions(PLAIN, rows)
    kept = zip(found.row[found.kept].tolist(), found.position[found.kept].tolist(), strict=True)
    assert len(planted) >= 6 and {*kept} == {*planted}


def test_a_soft_prompt_hides_no_question():
    prompted = Transformed(PLAIN, Prompt(2), share=1.0, room=PLAIN.T)
    assert proof(prompted, 50).questions == proof(PLAIN, 50).questions > 100
    assert trespasses(prompted, 3, 3).num_rows == 0


KEPT = Corpus(
    World(pairs=16, cities=4, nouns=8, vocabulary=Vocabulary(templates=6, held_out=2)),
    PLAIN.pair,
    T=96,
)


def planted(corpus: Corpus, meaning, language: int, template: int) -> np.ndarray:
    """A row of other things in which a document is said in the words of a template."""
    words = speaker(corpus.pair, corpus.world).render(meaning, language, Wording(template))
    row = corpus.row(0)["tokens"].copy()
    said = [0, *corpus.tokenizer.encode(" ".join(words)), 0]
    row[7 : 7 + len(said)] = said
    return row


class Planted:
    """Rows of tokens as a source that speaks of what KEPT does."""

    base, T, legend = KEPT, KEPT.T, KEPT.legend

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.tokens = np.stack(rows)

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        return {"tokens": self.tokens[start:stop]}


@pytest.mark.parametrize("template", range(6))
def test_a_statement_in_a_template_that_is_held_out_is_found_though_its_cell_is_not(template):
    """All of a group that may state everything, so that nothing but the template is held out."""
    facts = np.flatnonzero(KEPT.stated.all((1, 2)))
    ways = [*itertools.product(facts.tolist(), (0, 1), (0, 1))]
    rows = []
    for fact, language, direction in ways:
        relation, *ends, _ = KEPT.world.fact(fact)
        said = Fact(relation, *ends, focus=ends[direction])
        rows.append(planted(KEPT, said, language, template))
    hits, kept = contamination(Planted(rows), 0, len(rows)).to_pylist(), template >= 4
    assert len(hits) == kept * len(ways) and len(ways) == 8
    found = statements(KEPT, np.stack(rows))
    here = np.isin(found.position, (8, 9))
    assert sorted(found.row[here]) == [*range(8)], "each once, and not again behind its opener"
    named = dict(zip(KEPT.tables.names, KEPT.tables.wording.tolist(), strict=True))
    assert all(hit["position"] == 8 and named[hit["template"]] == template for hit in hits)
    found = [(hit["fact"], int(hit["language"] == "L2"), DIRECTIONS.index(hit["direction"]))
             for hit in sorted(hits, key=lambda hit: hit["row"])]  # fmt: skip
    assert found == ways * kept


@pytest.mark.parametrize("template", range(6))
def test_a_question_in_a_template_that_is_held_out_is_found(template):
    asked = Question("swap", ("noun1", "noun2"))
    kinds = (Story(asked), Quiz(asked), Quiz(asked, Question("dup", ("noun1", "noun2"))))
    rows = [planted(KEPT, m, l, template) for m in kinds for l in (0, 1)]
    found = proof(Planted(rows), len(rows))
    assert {*found.places[:, 0].tolist()} == ({*range(6)} if template >= 4 else set())
    assert not len(found.kept) and not len(found.asked)
    if template >= 4:
        assert "8 held-out questions in the corpus" in _proof(_seen(found))


def _seen(found):
    """As much of a survey as its proof."""
    none = dict.fromkeys(Survey._fields)
    return Survey(**none | dict(corpus=KEPT, rows=6, exposures=0, proof=found))


@pytest.mark.parametrize(
    "pair",
    [Pair(PLAIN.pair.features, tagged=True), Pair((Lexicon(0), Names(0.5), FullReverse()))],
    ids=["tagged", "reversed"],
)
def test_an_opener_hides_no_statement_where_it_does_not_come_first(pair):
    """Guards against taking what stands behind an opener for a document of its own."""
    world = dataclasses.replace(KEPT.world, vocabulary=Vocabulary(templates=6))
    told, read = cells(Corpus(world, pair, T=96), 500)
    np.testing.assert_array_equal(told, read)
    assert told.sum() > 500


WORLD = World(pairs=16, cities=6, nouns=8, relations=(*RELATIONS, *CLASSES), tasks=EVERY)
ASKED = Corpus(WORLD, PLAIN.pair, T=128, mixture=Mixture(0.1, 0.3, 0.4, 0.2, answered=0.5))


@pytest.mark.slow
def test_questions_of_every_family_are_found_and_none_is_held_out():
    found, asked = questions(ASKED, ASKED.rows(0, 100)["tokens"]), 0
    for i in range(100):
        for _, said in ASKED.documents(i):
            if isinstance(said, Story | Quiz | Chat):
                asked += 1 + (isinstance(said, Quiz) and said.follow is not None)
    assert len(found.row) == asked > 500 and not found.kept.any()
    assert found.of.any(0).all(), "there are some of every task"


@pytest.mark.parametrize("task", EVERY, ids=repr)
def test_a_held_out_item_of_any_task_is_found_when_planted(task):
    """The probes' own items, said as a document."""
    both = speaker(ASKED.pair, WORLD)
    drawn = drawn_questions(WORLD, task, 400, 0, seed=1)
    kept = [question for question, spared in drawn if spared][:3]
    if not kept:
        pytest.skip("of so few items none is held out")
    ways = [*itertools.product(kept, task.registers)]
    rows = np.zeros((len(ways), ASKED.T), np.int32)
    for row, (question, register) in zip(rows, ways, strict=True):
        said = {"story": Story, "quiz": Quiz, "chat": Chat}[register](question)
        tokens = ASKED.tokenizer.encode(" ".join(both.render(said, 0)))
        row[1 : 1 + len(tokens)] = tokens
    found = questions(ASKED, rows)
    here = found.kept & found.of[:, EVERY.index(task)]
    assert {*found.row[here].tolist()} == {*range(len(ways))}


def test_a_search_by_several_processes_finds_what_one_finds(monkeypatch):
    monkeypatch.setattr("data.contamination._SPAN", 64 * 300)
    clone = dataclasses.replace(PLAIN, pair=Pair())
    one, two = (proof(clone, 1000, processes) for processes in (1, 2))
    assert one.statements == two.statements > len(one.hits.row) > 0
    for a, b in zip(one.hits, two.hits, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_command_says_what_it_found(capsys):
    main("flagship", tokens=1e5, processes=1)
    assert "none of them held out" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no experiment 'flagshp'"):
        main("flagshp")
    with pytest.raises(SystemExit, match="choose 1 or more"):
        main("flagship", tokens=0)
