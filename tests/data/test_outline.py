"""Any corpus that knows its documents can be looked at."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from data.bench import DEFAULT
from data.biography import Biography
from data.curriculum import Curriculum, Sequential
from data.exam import Exams
from data.joined import Joined
from data.ledger import census
from data.mixture import Mixture
from data.outline import _documents, sheet
from data.pairs import Pairs
from data.preview import preview
from data.product import Product
from data.recall import MQAR
from data.reorder import ReverseSegments
from data.rewrite import Rewrite
from data.silence import Silenced
from data.tally import tally
from data.transform import Transformed
from tests.data.test_page import Reader

CORPORA = (
    Transformed(DEFAULT, ReverseSegments(3), kinds=("fact",), room=16),
    Curriculum(replace(DEFAULT, mixture=Mixture(dictionary=0)), Sequential(20)),
    Biography(people=20, asked=0.5, T=128),
    Rewrite(rules=20, examples=100, ratio=0.5),
    MQAR(pairs=2, vocabulary=32, T=16),
    Product(),
    Pairs(),
)
EXAMS = Exams(DEFAULT, share=0.5)


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda c: type(c).__name__)
def test_a_preview_shows_documents_with_what_they_are_and_a_tally(corpus):
    out = io.StringIO()
    preview(corpus, 100, Console(file=out, width=1000))
    text = " ".join(out.getvalue().split())
    row = corpus.row(0)
    first = corpus.tokenizer.decode(row["tokens"][row["segments"] == 1])
    assert first in text or len(corpus.legend) > 1  # where there are kinds, some of each are shown
    assert all(name in text for name in corpus.provenance(0, 1))
    counts = tally(corpus, 0, 100).sort_by([("documents", "descending")]).to_pylist()
    for counted in counts[:20]:
        assert " ".join(_shown(value) for value in counted.values() if value is not None) in text


def _shown(value) -> str:
    return f"{value:,}" if isinstance(value, int) else value


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda c: type(c).__name__)
def test_any_corpus_has_a_page_that_fetches_nothing(corpus):
    reader = Reader(sheet(corpus, 100, "any"))
    seen, row = " ".join(reader.words), corpus.row(0)
    assert not reader.fetched and type(corpus).__name__ in seen
    assert corpus.tokenizer.decode(row["tokens"][row["segments"] == 1]) in seen
    assert all(name in seen for name in corpus.provenance(0, 1))
    assert ("Which facts are stated" in seen) == hasattr(corpus, "base")


def test_documents_that_see_one_another_are_shown_one_by_one():
    """A row of an exam is one segment, and not the first document of its row."""
    names, documents = _documents(EXAMS)
    exams = [d for d in documents if d[names.index("exam")] == "yes"]
    assert exams and all(d[0].count("<doc>") == 1 for d in documents)
    plain, joined = (census(corpus, 0, 50) for corpus in (DEFAULT, Joined(DEFAULT)))
    assert plain.equals(joined)
    silent = Silenced(replace(DEFAULT, mixture=Mixture(dictionary=0)), "L1")
    assert census(silent, 0, 50).equals(census(Joined(silent), 0, 50))


def test_the_page_of_a_transform_shows_what_it_says_of_held_out_cells():
    assert "class=wrong" in sheet(CORPORA[0], 100, "turned")
    assert "class=wrong" not in sheet(CORPORA[1], 100, "in turns")
