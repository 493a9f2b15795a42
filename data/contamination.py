"""The search for what must not be said, in the rendered tokens: statements and items that are held
out, and tasks in registers and languages that a mixture holds out.

    python -m data.contamination NAME --tokens 1e8

searches the corpus of the experiment NAME with every core. It trusts neither the generator nor its
provenance: data/search.py reads the tokens. Held out are cells of facts, items and tasks, and the
templates that `Vocabulary.held_out` leaves to evaluation, whatever is stated or asked in them.
"""

import functools
import os
import sys
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import tyro

from data import search, spec
from data.asking import Questions, questions
from data.ledger import blocks, made_of, named, over, speakers, spoken
from data.reorder import ReverseSegments, ReverseTokens, Shuffle
from data.sample import label
from data.split import ASKING, allowed
from data.stream import Documented
from data.template import REGISTERS
from data.world import DIRECTIONS

_BLOCK = 2**18  # tokens searched together
_SPAN = 2**22  # tokens a process searches before it reports


def contamination(
    source: Documented, start: int, stop: int, cells: np.ndarray | None = None
) -> pa.Table:
    """Every place in the tokens of rows start..stop where a held-out cell is stated, or any cell in
    a template that is held out; none if all is well. `cells` (facts, languages, directions) bool is
    by default what the groups do not state.

    In a corpus of transformed documents a statement may have its words in any order.

    Columns: row, position (where the statement begins), fact, language, direction, template."""
    found = _search(source, (start, stop), cells, asked=False).hits
    tables, languages = spoken(source).tables, source.legend["language"]
    return pa.table(
        dict(
            row=found.row,
            position=found.position,
            fact=found.fact,
            language=named(languages, tables.language[found.template]),
            direction=named(DIRECTIONS, found.direction),
            template=named(tables.names, found.template),
        )
    )


def trespasses(source: Documented, start: int, stop: int) -> pa.Table:
    """Every place in the tokens of rows start..stop where a task is asked in a register and a
    language that the mixture holds out, none if all is well: answered rightly or not, or left open
    before or after another question.

    A question that an allowed task asks in the same words is none of a task that is held out.

    Columns: row, position (where it begins), task, register, language."""
    parts = []
    for first, last in list(blocks(source, start, stop, _BLOCK)) or [(start, start)]:
        asked = questions(spoken(source), source.rows(first, last)["tokens"])
        parts.append(asked._replace(row=asked.row + first))
    asked = Questions(*map(np.concatenate, zip(*parts, strict=True)))
    found, t = np.nonzero(asked.of & _forbidden(source, asked)[:, None])
    return pa.table(
        dict(
            row=asked.row[found],
            position=asked.position[found],
            task=named(map(label, spoken(source).world.tasks), t),
            register=named(REGISTERS, asked.register[found]),
            language=named(source.legend["language"], asked.language[found]),
        )
    )


class Proof(NamedTuple):
    """What a search found: statements of held-out cells or in held-out templates, and how many
    statements in all; the places (n, 2), as row and position, of items that are kept for
    evaluation, of tasks that the mixture holds out and of questions in held-out templates, and how
    many questions in all."""

    hits: search.Statements
    statements: int
    kept: np.ndarray
    asked: np.ndarray
    worded: np.ndarray
    questions: int

    @property
    def places(self) -> np.ndarray:
        """(n, 2) all places where something is that is held out."""
        hits = np.stack([self.hits.row, self.hits.position], 1)
        return np.concatenate([hits, self.kept, self.asked, self.worded])


def proof(source: Documented, rows: int, processes: int = 1) -> Proof:
    """The search of rows 0..rows, with a bar of its progress on stderr."""
    if rows < 1 or processes < 1:
        raise ValueError(f"rows={rows}, processes={processes}: choose 1 or more of either")
    spans = list(blocks(source, 0, rows, _SPAN))
    step = functools.partial(_search, cells=None, asked=True)
    return _joined(list(over(source, spans, step, processes, "Searching")))


def _search(
    source: Documented, span: tuple[int, int], cells: np.ndarray | None, asked: bool
) -> Proof:
    corpus, parts = spoken(source), []
    cells = ~corpus.stated if cells is None else cells
    for first, last in blocks(source, *span, _BLOCK):
        tokens = source.rows(first, last)["tokens"]
        said, none = _statements(source, tokens), np.zeros((0, 2), np.int64)
        kept, forbidden, worded, count = none, none, none, 0
        if asked:
            found = questions(corpus, tokens)
            place, count = np.stack([found.row + first, found.position], 1), len(found.row)
            kept, worded = place[found.kept], place[found.worded]
            forbidden = place[_forbidden(source, found)]
        language = corpus.tables.language[said.template]
        chosen = cells[said.fact, language, said.direction] | corpus.tables.held_out[said.template]
        hits = search.Statements(*(column[chosen] for column in said))
        hits = hits._replace(row=hits.row + first)
        parts.append(Proof(hits, len(said.fact), kept, forbidden, worded, count))
    return _joined(parts)


def _statements(source: Documented, tokens: np.ndarray) -> search.Statements:
    """Those in the order of the grammar, and in other documents those in any order if there is a
    transform."""
    corpus = spoken(source)
    said = search.statements(corpus, tokens)
    if "transform" not in source.legend:
        return said
    if corpus.subword and (broken := _broken(source)):
        raise NotImplementedError(
            f"{', '.join(broken)}: words taken to pieces are not read back; search the same corpus "
            "with subword=None"
        )
    more = search.scattered(corpus, tokens)
    document, languages = np.cumsum(tokens.ravel() == 0).reshape(tokens.shape), len(corpus.shares)
    # Of a parallel document one half may be in the order of the grammar and the other not.
    halves = bool((corpus.tables.also >= 0).any())

    def of(found: search.Statements) -> np.ndarray:
        cell = found.fact * languages + corpus.tables.language[found.template]
        return document[found.row, found.position] * corpus.stated.size + halves * cell

    new = ~np.isin(of(more), of(said))
    return search.Statements(
        *(np.concatenate([a, b[new]]) for a, b in zip(said, more, strict=True))
    )


def _broken(source: Documented) -> list[str]:
    """The transforms of a source that do not leave words of several tokens whole."""
    own = getattr(source, "transform", None)
    found = (
        [type(own).__name__] if isinstance(own, ReverseTokens | ReverseSegments | Shuffle) else []
    )
    return [*found, *(name for part in made_of(source) for name in _broken(part))]


def _forbidden(source: Documented, asked: Questions) -> np.ndarray:
    """Which questions (N) are of no task that may be asked there."""
    may = np.zeros((len(REGISTERS), len(source.legend["language"]), asked.of.shape[1]), bool)
    for corpus in speakers(source):
        said = allowed(corpus.world, corpus.mixture.held_out, may.shape[1])
        may[[*map(REGISTERS.index, ASKING)]] |= said
    return ~(asked.of & may[asked.register, asked.language]).any(1)


def _joined(parts: list[Proof]) -> Proof:
    none = np.zeros(0, np.int64)
    hits = [np.concatenate([none, *c]) for c in zip(*(p.hits for p in parts), strict=True)]
    places = lambda name: np.concatenate(
        [np.zeros((0, 2), np.int64), *(getattr(part, name) for part in parts)]
    )
    return Proof(
        hits=search.Statements(*hits or [none] * 5),
        statements=sum(part.statements for part in parts),
        kept=places("kept"),
        asked=places("asked"),
        worded=places("worded"),
        questions=sum(part.questions for part in parts),
    )


def main(
    name: tyro.conf.Positional[str], tokens: float = 1e8, processes: int = os.cpu_count() or 1
) -> None:
    """Searches the tokens of an experiment's corpus for statements, items, tasks and templates that
    are held out; exits with 1 if there are any.

    Args:
        name: an experiment, as in experiments/<name>.py
        tokens: how many tokens of the corpus
        processes: how many search at once
    """
    try:
        corpus = spec.corpus(name)
        found = proof(corpus, spec.rows(corpus, tokens), processes)
    except (ValueError, NotImplementedError) as error:
        sys.exit(f"data.contamination: {error}")
    said = f"{found.statements:,} statements, {found.questions:,} questions in {tokens:,.0f} tokens"
    if len(wrong := found.places):
        row, token = wrong[0]
        sys.exit(f"{said}, {len(wrong):,} of them held out, the first in row {row}, token {token}")
    print(f"{said}, none of them held out")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m data.contamination")
