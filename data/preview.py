"""python -m data.preview NAME: what an experiment's corpus says, to be looked at before training.

NAME is a file in experiments/ with a function `preview() -> Corpus`; without it, a default corpus.
Prints documents of both languages side by side with their meaning, the vocabulary, distances
between the languages, the ledger, and the search for held-out statements.
"""

import itertools
import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data import spec
from data.bench import DEFAULT
from data.contamination import contamination
from data.corpus import Corpus
from data.distance import distances
from data.language import Leaf, inventory
from data.ledger import census, ledger
from data.meaning import Chat, Dictionary, Fact, Meaning, Quiz, Story
from data.speaker import Speaker, speaker
from data.template import REGISTERS
from data.world import DIRECTIONS

_SHOWN = 3  # documents of each register


def preview(corpus: Corpus, rows: int = 20_000, console: Console | None = None) -> None:
    """Prints all of it; `rows` are counted and searched."""
    # In a pipe there is no width to ask for, and 80 columns would break every line.
    wide = None if sys.stdout.isatty() else 120
    print_ = (console or Console(highlight=False, width=wide)).print
    world, size = corpus.world, corpus.tokenizer.size
    print_(
        f"[bold]{world.pairs} persons x and their parents y, {world.cities} cities, {world.nouns} "
        f"nouns;[/] {size} tokens of vocabulary, rows of {corpus.T}, seed {corpus.seed}"
    )
    for name, edits in zip(corpus.pair.names[1:], corpus.pair.twins, strict=True):
        features = ", ".join(map(str, edits)) or "none, it is a clone"
        print_(f"{name} differs from L1 by: {escape(features)}")
    print_()
    for table in (_documents(corpus), _vocabulary(corpus), _distances(corpus)):
        print_(table)
    print_(_shares(corpus, rows), _ledger(corpus, rows), _proof(corpus, rows))


def gloss(meaning: Meaning) -> str:
    """A meaning as a formula, e.g. parent(*x3) = y7 with a star on the entity mentioned first."""
    ask = lambda q: f"{q.task}({', '.join(q.args)})"
    match meaning:
        case Fact(relation, subject, object, focus):
            star = lambda entity: "*" * (entity == focus) + entity
            return f"{relation}({star(subject)}) = {star(object)}"
        case Story(question):
            return f"{ask(question)} told"
        case Chat(question):
            return f"{ask(question)} asked and answered"
        case Quiz(question, None):
            return f"{ask(question)}? answered"
        case Quiz(question, follow):
            return f"{ask(question)}? {ask(follow)}?"
        case Dictionary(concepts, _):
            return f"define {', '.join(concepts)}"
    raise TypeError(f"{meaning!r} is not a meaning")


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1))


def _documents(corpus: Corpus) -> Table:
    """Some documents of every register, each said in both languages."""
    both, shown = speaker(corpus.pair, corpus.world), {}
    said = itertools.chain.from_iterable(corpus.documents(i) for i in range(300))
    for language, meaning in said:
        shown.setdefault(type(meaning).__name__, {}).setdefault(gloss(meaning), (language, meaning))
    table = _table(
        "Documents (what is said in bold has been drawn; answers underlined)",
        "meaning (* mentioned first)",
        *corpus.pair.names,
    )
    for _, documents in sorted(shown.items()):
        for text, (language, meaning) in list(documents.items())[:_SHOWN]:
            cells = [
                _styled(both, meaning, i, drawn=i == language)
                for i in range(len(corpus.pair.names))
            ]
            table.add_row(text, *cells)
    return table


def _styled(both: Speaker, meaning: Meaning, language: int, drawn: bool) -> str:
    if isinstance(meaning, Dictionary):
        meaning = Dictionary(meaning.concepts, int(not language))
    style = lambda leaf: " ".join(["bold"] * drawn + ["underline"] * leaf.answer) or "not bold"
    word = lambda leaf: escape(both.word(leaf))
    leaves: list[Leaf] = both.leaves(meaning, language)
    return " ".join(f"[{style(leaf)}]{word(leaf)}[/]" for leaf in leaves)


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


def _distances(corpus: Corpus) -> Table:
    base, *twins = corpus.pair.names
    title = f"Distances from {base}, from documents said in both languages"
    table = _table(title, "", *twins)
    found = [distances(corpus, twin=i + 1) for i in range(len(twins))]
    for name in found[0]:
        table.add_row(name, *(f"{values[name]:.3f}" for values in found))
    return table


def _shares(corpus: Corpus, rows: int) -> Table:
    """Documents and tokens of each register and language."""
    said = census(corpus, 0, rows)
    documents, tokens = (
        said[k].to_numpy().reshape(len(REGISTERS), -1) for k in ("documents", "tokens")
    )
    title = f"Census of {rows:,} rows: documents, and their share of all tokens"
    table = _table(title, "register", *corpus.pair.names, "tokens")
    for name, count, length in zip(REGISTERS, documents, tokens, strict=True):
        share = length.sum() / tokens.sum()
        table.add_row(name, *(f"{c:,}" for c in count), f"{share:.1%}")
    padding = 1 - tokens.sum() / (rows * corpus.T)
    table.add_row("padding", *[""] * len(corpus.pair.names), f"{padding:.1%} of rows")
    return table


def _ledger(corpus: Corpus, rows: int) -> Table:
    """Mean exposures of a fact by group, language and direction; 0 in red is held out."""
    said = ledger(corpus, 0, rows)
    column = {name: said[name].to_numpy(zero_copy_only=False) for name in said.column_names}
    cells = list(itertools.product(corpus.pair.names, DIRECTIONS))
    names = [f"{language} {direction}" for language, direction in cells]
    title = f"Ledger of {rows:,} rows: exposures of a fact, mean (least to most)"
    table = _table(title, "relation", "group", *names)
    for relation, group in itertools.product(
        [r.name for r in corpus.world.relations], [group.name for group in corpus.world.groups]
    ):
        row = []
        for language, direction in cells:
            chosen = (column["relation"] == relation) & (column["group"] == group)
            chosen &= (column["language"] == language) & (column["direction"] == direction)
            n = column["exposures"][chosen]
            row.append(f"{n.mean():.1f} ({n.min()} to {n.max()})" if n.any() else "[red]0[/]")
        table.add_row(relation, group, *row)
    return table


def _proof(corpus: Corpus, rows: int) -> str:
    """What the search of the rendered tokens found."""
    held_out = ~corpus.stated
    hits = contamination(corpus, 0, rows, held_out)
    control = contamination(corpus, 0, min(rows, 1000), corpus.stated).num_rows
    said = ledger(corpus, 0, min(rows, 1000))["exposures"].to_numpy().sum()
    searched = (
        f"{held_out.sum():,} held-out statements searched in {rows * corpus.T:,} rendered tokens; "
        f"the same search finds {control:,} of the {said:,} statements that the ledger counts in "
        f"the first {min(rows, 1000):,} rows"
    )
    if not hits.num_rows:
        return f"[green]No held-out statement is in the corpus[/] ({searched})."
    first = hits.slice(0, 1).to_pylist()[0]
    relation, subject, *_ = corpus.world.fact(first["fact"])
    where = f"{relation} of {subject} in row {first['row']}"
    return (
        f"[red]{hits.num_rows:,} held-out statements in the corpus[/], first {where} ({searched})."
    )


def main(argv: list[str]) -> None:
    """Shows the corpus of the experiment that is named, or says in one line why it cannot."""
    try:
        preview(spec.corpus(argv[0]) if argv else DEFAULT)
    except ValueError as error:
        sys.exit(f"data.preview: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
