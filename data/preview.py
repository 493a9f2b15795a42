"""python -m data.preview NAME [--html FILE]: what an experiment's corpus says, before any training.

NAME is a file in experiments/ with a function `preview() -> Corpus`; without it, a default corpus.
Prints documents of all languages side by side with their meaning, the vocabulary, distances between
the languages, the ledger, and the search for held-out statements; or writes them as one page, with
interlinear glosses and plots.
"""

import pathlib
import sys

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data import spec
from data.bench import DEFAULT
from data.corpus import Corpus
from data.gloss import begun, formula, interlinear
from data.lexicon import inventory
from data.meaning import Meaning
from data.outline import outline, sheet
from data.page import page
from data.speaker import Speaker, speaker
from data.survey import Survey, both_ways, chances, survey
from data.template import REGISTERS
from data.world import DIRECTIONS

_SHOWN = 3  # documents of each register
_STYLES = {"given": "blue", "relation": "green", "answer": "yellow underline", "function": "dim"}


def preview(corpus: Corpus, rows: int = 20_000, console: Console | None = None) -> None:
    """Prints all of it; `rows` are counted and searched. Of a corpus that does not say what its
    documents mean, prints documents and a tally."""
    # In a pipe there is no width to ask for, and 80 columns would break every line.
    wide = None if sys.stdout.isatty() else 120
    print_ = (console or Console(highlight=False, width=wide)).print
    if not hasattr(corpus, "documents"):
        return print_(*outline(corpus, rows))
    counted = ", ".join(f"{n} {kind}" for kind, n in corpus.world.kinds.items())
    related = ", ".join(f"{r.name}: {r.subject} → {r.object}" for r in corpus.world.relations)
    print_(
        f"[bold]A world of {counted}; {related}.[/] {corpus.tokenizer.size} tokens of vocabulary, "
        f"rows of {corpus.T}, seed {corpus.seed}"
    )
    for name, edits in zip(corpus.pair.names[1:], corpus.pair.twins, strict=True):
        features = ", ".join(map(str, edits)) or "none, it is a clone"
        print_(f"{name} differs from L1 by: {escape(features)}")
    seen = survey(corpus, rows)
    print_("", _documents(seen), _vocabulary(corpus), _distances(seen), _shares(seen))
    print_(_ledger(seen), both_ways(corpus), chances(corpus), _proof(seen), sep="\n")


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1))


def _documents(seen: Survey) -> Table:
    """Some documents of every register, each said in all languages."""
    names, both = seen.corpus.pair.names, speaker(seen.corpus.pair, seen.corpus.world)
    parts = ", ".join(f"[{style}]{role}[/]" for role, style in _STYLES.items())
    title = f"Documents ({parts}; in bold what has been drawn)"
    table = _table(title, "meaning (* mentioned first)", *names)
    for examples in seen.examples.values():
        for language, meaning in examples[:_SHOWN]:
            cells = [_styled(both, meaning, language, i) for i in range(len(names))]
            table.add_row(escape(formula(meaning)), *cells)
    return table


def _styled(both: Speaker, meaning: Meaning, drawn: int, language: int) -> str:
    style = lambda role: f"{'bold ' * (language == drawn)}{_STYLES[role]}"
    words = interlinear(both, begun(meaning, drawn, language), language)
    return " ".join(f"[{style(word.role)}]{escape(word.form)}[/]" for word in words)


def _vocabulary(corpus: Corpus) -> Table:
    """How many words of each kind there are, and the first of them."""
    both = speaker(corpus.pair, corpus.world)
    table = _table(
        "Vocabulary", "kind", "concepts", "same form in all", " / ".join(corpus.pair.names)
    )
    for kind, concepts in inventory(corpus.world).items():
        forms = [[form[c] for form in both.form] for c in concepts]
        same = sum(len(set(row)) == 1 for row in forms)
        some = ", ".join("/".join(row if len(set(row)) > 1 else row[:1]) for row in forms[:6])
        some += ", ..." * (len(forms) > 6)
        table.add_row(kind, str(len(forms)), f"{same} ({same / len(forms):.0%})", escape(some))
    return table


def _distances(seen: Survey) -> Table:
    base, *twins = seen.corpus.pair.names
    title = f"Distances from {base}, from documents said in both languages"
    table = _table(title, "", *twins)
    for name in seen.distances[0]:
        table.add_row(name, *(f"{values[name]:.3f}" for values in seen.distances))
    return table


def _shares(seen: Survey) -> Table:
    """Documents and tokens of each register and language."""
    documents, tokens = (
        seen.census[k].to_numpy().reshape(len(REGISTERS), -1) for k in ("documents", "tokens")
    )
    names, all_ = seen.corpus.pair.names, seen.rows * seen.corpus.T
    title = f"Census of {seen.rows:,} rows: documents, and their share of all tokens"
    table = _table(title, "register", *names, "tokens")
    for name, count, length in zip(REGISTERS, documents, tokens, strict=True):
        table.add_row(name, *(f"{c:,}" for c in count), f"{length.sum() / tokens.sum():.1%}")
    table.add_row("padding", *[""] * len(names), f"{1 - tokens.sum() / all_:.1%} of rows")
    return table


def _ledger(seen: Survey) -> Table:
    """Mean exposures of a fact by group, language and direction; what is held out in red."""
    columns = [f"{language} {way}" for language in seen.corpus.pair.names for way in DIRECTIONS]
    title = (
        f"Ledger of {seen.rows:,} rows: exposures of a fact, mean (least to most); "
        f"{seen.mates:.1%} follow another statement of the fact in their row"
    )
    table = _table(title, "relation", "group", *columns)
    for (relation, group), cells in seen.cells.items():
        said = (
            f"{c.mean:.1f} ({c.least} to {c.most})" if c.stated or c.most else "[red]0[/]"
            for c in cells
        )
        table.add_row(relation, group, *said)
    return table


def _proof(seen: Survey) -> str:
    """What the search of the rendered tokens found."""
    hits, held_out = seen.proof.hits, int((~seen.corpus.stated).sum())
    searched = (
        f"{held_out:,} held-out statements searched in {seen.rows * seen.corpus.T:,} rendered "
        f"tokens; the same search finds {seen.proof.statements:,} statements, and the ledger "
        f"counts {seen.exposures:,}"
    )
    if not len(seen.proof.places):
        return f"[green]No held-out statement is in the corpus[/] ({searched})."
    if not len(hits.row):
        row, token = seen.proof.places[0]
        asked = f"{len(seen.proof.places):,} held-out questions in the corpus"
        return f"[red]{asked}[/], first in row {row} at token {token} ({searched})."
    relation, subject, *_ = seen.corpus.world.fact(int(hits.fact[0]))
    where = f"{relation} of {subject} in row {hits.row[0]}"
    return (
        f"[red]{len(hits.row):,} held-out statements in the corpus[/], first {where} ({searched})."
    )


def main(
    name: tyro.conf.Positional[str] = "",
    html: pathlib.Path | None = None,
    tokens: float = 1e6,
) -> None:
    """Shows the corpus of an experiment.

    Args:
        name: an experiment, as in experiments/<name>.py; a default corpus without it
        html: write a page to this file, and print nothing
        tokens: how many tokens of it are counted and searched
    """
    try:
        corpus = spec.corpus(name) if name else DEFAULT
        rows = spec.rows(corpus, tokens)
        if html is None:
            return preview(corpus, rows)
        html.touch()  # a path that cannot be written is known before the survey
        title = f"{name or 'default'}: the corpus"
        meant = hasattr(corpus, "documents")
        html.write_text(page(survey(corpus, rows), title) if meant else sheet(corpus, rows, title))
        print(html)
    except (ValueError, OSError) as error:
        sys.exit(f"data.preview: {error}")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m data.preview")
