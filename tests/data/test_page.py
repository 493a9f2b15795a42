"""A page needs nothing else to be read, and what is on it is true of the corpus."""

import dataclasses
import html.parser
import io
import itertools

import numpy as np
import pytest
from rich.console import Console

from data.bench import DEFAULT, RICH
from data.contact import SCOPE, Contact
from data.coverage import Statements
from data.feature import Case, Lexicon, Names, Order
from data.gloss import ROLES, interlinear
from data.impossible import FullReverse
from data.language import Family, Pair
from data.ledger import census, ledger
from data.mixture import Mixture
from data.name import Naming
from data.page import page
from data.preview import main, preview
from data.relation import RELATIONS
from data.speaker import speaker
from data.survey import both_ways, survey
from data.world import GROUPS, Vocabulary, World

SMALL = dataclasses.replace(DEFAULT, world=World(pairs=16, cities=4, nouns=8))
THREE = dataclasses.replace(
    SMALL, pair=Family((RICH.twins[0], (Lexicon(0), Names(1), Order("VSO")))), ratio=(0.5, 0.3, 0.2)
)
CORPORA = {
    "default": SMALL,
    "three": THREE,
    "clone": dataclasses.replace(SMALL, pair=Pair()),
    "names": dataclasses.replace(SMALL, pair=Pair((Case(2),), naming=Naming(words=2))),
    "parallel": dataclasses.replace(
        SMALL, mixture=Mixture(contact=Contact(parallel=0.5, scope=SCOPE))
    ),
    "opaque": dataclasses.replace(
        SMALL,
        world=dataclasses.replace(SMALL.world, vocabulary=Vocabulary(aliases=True)),
        mixture=Mixture(statements=Statements(opaque=0.5)),
    ),
    "impossible": dataclasses.replace(SMALL, pair=Pair((FullReverse(),))),
}


# Pages take seconds each: the others are asked among the slow tests.
QUICK = [pytest.param(name, marks=[] if name == "three" else pytest.mark.slow)
         for name in CORPORA]  # fmt: skip


class Reader(html.parser.HTMLParser):
    """What is fetched, what is open at the end, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        names = {"src", "href", "data", "srcset"}
        found = (value for name, value in attributes if name in names)
        self.fetched += [f"{tag} {value}" for value in found if not value.startswith("#")]
        self.fetched += [tag] * (tag in ("link", "iframe", "img"))

    def handle_data(self, data):
        self.words += data.split()


@pytest.mark.parametrize("name", QUICK)
def test_a_page_is_self_contained_and_shows_every_language(name):
    corpus = CORPORA[name]
    text = page(survey(corpus, 300), name)
    reader = Reader(text)
    assert not reader.fetched and "url(http" not in text and "@import" not in text
    assert text.count("<svg") == 2
    seen, both = " ".join(reader.words), speaker(corpus.pair, corpus.world)
    meaning = survey(corpus, 300).examples["statement"][0][1]
    for i, own in enumerate(corpus.pair.names):
        forms = [word.form for word in interlinear(both, meaning, i)]
        assert own in seen and all(form in seen for form in forms)
    assert ("✓ None of the" in seen) == (name != "clone")


def test_a_page_and_a_preview_say_what_a_reverse_question_is_worth():
    text, out = page(survey(SMALL, 20), "small"), io.StringIO()
    preview(SMALL, 20, Console(file=out, width=400))
    lines = ["both directions: parent in L1, L2. Where none is",
             "parent 6.25% forward, 6.25% reverse; home 25.00% forward."]  # fmt: skip
    for line in lines:
        assert line in text and line in out.getvalue()
    forward = dataclasses.replace(SMALL.world, groups=GROUPS[1:2])
    assert "parent in no language." in both_ways(dataclasses.replace(SMALL, world=forward))
    reverse_in_one = dataclasses.replace(SMALL.world, groups=(GROUPS[3], GROUPS[4]))
    assert "parent in L1." in both_ways(dataclasses.replace(SMALL, world=reverse_in_one))
    assert "parent in L1." in both_ways(dataclasses.replace(SMALL, ratio=0.0))
    homes = dataclasses.replace(SMALL.world, relations=RELATIONS[1:])
    assert both_ways(dataclasses.replace(SMALL, world=homes)) == (
        "No relation is asked in both directions."
    )


@pytest.mark.parametrize("name", CORPORA)
def test_a_gloss_says_the_words_of_a_document_and_nothing_else(name):
    corpus = CORPORA[name]
    both = speaker(corpus.pair, corpus.world)
    for i in range(20):
        for language, meaning in corpus.documents(i):
            words = interlinear(both, meaning, language)
            said = " ".join(w.form.replace("-", "") for w in words)
            assert tuple(said.split()) == both.render(meaning, language)
            assert all(w.form.count("-") == w.gloss.count("-") for w in words)
            assert {w.role for w in words} <= set(ROLES)
            pairs = itertools.pairwise(words)
            assert all(a.role == noun.role for a, noun in pairs if a.gloss.startswith("DEF"))


def test_a_survey_counts_what_the_ledger_and_the_census_count():
    seen, said = survey(THREE, 500), ledger(THREE, 0, 500)
    assert seen.exposures == said["exposures"].to_numpy().sum() == seen.proof.statements
    facts = len(THREE.world.facts.relation) // len(seen.cells)
    total = facts * sum(cell.mean for cells in seen.cells.values() for cell in cells)
    assert abs(total - seen.exposures) < 1e-6 * total
    documents = sum(census(THREE, 0, 500)["documents"].to_pylist())
    assert sum(counts.sum() for counts in seen.lengths.values()) == documents
    tokens = THREE.rows(0, 500)["tokens"]
    assert sum(words.sum() for words in seen.words) == np.count_nonzero(tokens)
    held = [c for cells in seen.cells.values() for c in cells if not c.stated]
    assert held and not any(c.most for c in held)


def test_the_command_writes_a_page(tmp_path, capsys):
    main(html=tmp_path / "page.html", tokens=1e4)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    with pytest.raises(SystemExit, match=r"data\.preview: .*No such file"):
        main(html=tmp_path / "nowhere" / "page.html", tokens=100)
    with pytest.raises(SystemExit, match=r"data\.preview: tokens=0: choose 1 or more"):
        main(tokens=0)
