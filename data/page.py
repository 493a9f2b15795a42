"""A survey as one HTML page: nothing is fetched, and it reads in light and in dark."""

import html
import itertools
import re
import string
from collections.abc import Iterable, Sequence

import numpy as np

from data import plot
from data.gloss import Word, begun, interlinear, translation
from data.lexicon import inventory
from data.meaning import Meaning
from data.speaker import Speaker, speaker
from data.survey import Cell, Survey, both_ways, chances
from data.task import HELD_OUT_ONE_IN
from data.template import REGISTERS
from data.world import DIRECTIONS

_EXAMPLES = 3  # documents of each register
_SAID = {
    "statement": "A fact is stated. The first entity mentioned is what a reader is given; whoever "
    "comes second has to be known.",
    "story": "A task is told with its result.",
    "quiz": "A task is asked; sometimes an answer follows, sometimes another question.",
    "chat": "A task is asked and answered between the markers of a chat.",
    "dictionary": "Words are explained by those of another language.",
}


def page(seen: Survey, title: str) -> str:
    """The page, of some hundred kilobytes."""
    told = heat(seen.corpus.pair.names, seen.cells, seen.mates) + "".join(
        f"<p>{html.escape(line)}</p>" for line in (both_ways(seen.corpus), chances(seen.corpus))
    )
    sections = (
        ("The languages", _languages(seen)),
        ("What documents say", _documents(seen)),
        ("What is said how often, and what never", told),
        ("Is anything said that must not be?", _proof(seen)),
        ("How far apart the languages are", _distances(seen)),
        ("The corpus in numbers", _numbers(seen)),
        ("Words", _vocabulary(seen)),
    )
    return frame(title, _summary(seen), sections)


def frame(title: str, summary: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page of sections, each a heading and what is under it."""
    body = "".join(f"<section><h2>{name}</h2>{inner}</section>" for name, inner in sections)
    return string.Template(_PAGE).substitute(
        title=html.escape(title), style=_STYLE, summary=summary, body=body
    )


def _summary(seen: Survey) -> str:
    corpus, world = seen.corpus, seen.corpus.world
    base, *twins = corpus.pair.names
    counted = ", ".join(f"{n} <i>{kind}</i>" for kind, n in world.kinds.items())
    related = ", ".join(
        f"every <i>{r.subject}</i> has its <b>{r.name}</b> among the <i>{r.object}</i>"
        for r in world.relations
    )
    return (
        f"<p class=lead>A made-up world of {counted}, where {related}. It is spoken of in made-up "
        f"languages: {base}, and {', '.join(twins)}: {base} with changes. Every word is generated, "
        "every fact has been counted.</p><div class=tiles>"
        + _tile(f"{len(world.facts.relation):,}", "facts")
        + _tile(f"{corpus.tokenizer.size:,}", "tokens in the vocabulary")
        + _tile(f"{corpus.T}", "tokens in a row")
        + _tile(f"{seen.rows * corpus.T / 1e6:.1f}M", f"tokens looked at ({seen.rows:,} rows)")
        + _tile(f"{seen.exposures:,}", "statements of facts in them")
        + "</div>"
    )


def _tile(number: str, what: str) -> str:
    return f"<div class=tile><b>{number}</b><span>{what}</span></div>"


def _languages(seen: Survey) -> str:
    base, *names = seen.corpus.pair.names
    order = speaker(seen.corpus.pair, seen.corpus.world).languages[0].order
    rows = [f"<tr><th>{base}<td>the base, drawn at random; its clauses are {order}"]
    for name, features in zip(names, seen.corpus.pair.twins, strict=True):
        what = [f"<li><code>{html.escape(str(f))}</code> {described(f)}" for f in features]
        told = (
            f"{base} with {len(features)} change{'s' * (len(features) > 1)}<ul>{''.join(what)}</ul>"
        )
        rows.append(f"<tr><th>{name}<td>{told if features else f'an exact copy of {base}'}")
    return f"<table class=plain>{''.join(rows)}</table>"


def described(feature: object) -> str:
    """The first sentence of what a feature's class says of itself."""
    text = " ".join((type(feature).__doc__ or "").split())
    said = html.escape(re.split(r"(?<!e\.g)\. |; ", text)[0].strip().rstrip("."))
    return re.sub("`(.*?)`", r"<code>\1</code>", said)


def _documents(seen: Survey) -> str:
    both, names = speaker(seen.corpus.pair, seen.corpus.world), seen.corpus.pair.names
    legend = "".join(
        f"<span class={role}>{text}</span>"
        for role, text in (
            ("given", "given: what is known beforehand"),
            ("relation", "relation or task"),
            ("answer", "answer: what has to be said"),
            ("function", "function words"),
        )
    )
    parts = [
        "<p>Each document is said here in every language, though the corpus says it in one, marked "
        "<mark>drawn</mark>. Under every word is its gloss: <i>x3</i> is one person, whatever a "
        "language calls them, and categories are abbreviated as linguists do (ACC, GEN, DAT, "
        "OBL cases; SG, PL number; I, II gender; DEF article). Point at a word to find it in the "
        f"other languages.</p><p class=legend>{legend}</p>"
    ]
    for register, examples in seen.examples.items():
        parts.append(f"<h3>{register}</h3><p>{_SAID.get(register, '')}</p>")
        parts += [_document(both, names, *example) for example in examples[:_EXAMPLES]]
    return "".join(parts)


def _document(both: Speaker, names: Sequence[str], drawn: int, meaning: Meaning) -> str:
    cells = []
    for i, name in enumerate(names):
        mark = " <mark>drawn</mark>" if i == drawn else ""
        words = "".join(map(_word, interlinear(both, begun(meaning, drawn, i), i)))
        cells.append(f"<div class=line><b>{name}{mark}</b><div class=words>{words}</div></div>")
    free = html.escape(translation(both, meaning))
    return f"<div class=document>{''.join(cells)}<p class=free>‘{free}’</p></div>"


def _word(word: Word) -> str:
    concept, form, gloss = map(html.escape, (word.concept, word.form, word.gloss))
    small = "".join(f"<small>{part}</small>" if part.isupper() else part for part in _split(gloss))
    kind = f"class='word {word.role}' data-c='{concept}'"
    return f"<span {kind}><i>{form}</i><span>{small}</span></span>"


def _split(gloss: str) -> Iterable[str]:
    """Runs of characters of categories (capitals) and of all else."""
    upper = lambda c: c.isupper() or c == "."
    return ("".join(run) for _, run in itertools.groupby(gloss, upper))


def heat(names: Sequence[str], cells: dict[tuple[str, str], list[Cell]], mates: float) -> str:
    """The ledger as a map: a row for the facts of a relation and a group, and how many of the
    exposures have a mate."""
    most = max(cell.mean for row in cells.values() for cell in row) or 1
    head = "".join(f"<th colspan={len(DIRECTIONS)}>{name}" for name in names)
    ways = "".join(f"<th>{way}" for _ in names for way in DIRECTIONS)
    rows, last = [], ""
    for (relation, group), row in cells.items():
        first = f"<th class=relation>{html.escape(relation)}" if relation != last else "<th>"
        rows.append(f"<tr>{first}<th>{group}{''.join(_cell(c, most) for c in row)}")
        last = relation
    wrong = any(cell.most and not cell.stated for row in cells.values() for cell in row)
    told = " Outlined in red is what the groups do not state and the tokens do." if wrong else ""
    return (
        "<p>Facts are dealt to groups, and a group's facts are stated only in some languages and "
        "directions. <b>Forward</b> mentions the subject first, <b>reverse</b> the object. The "
        "number is how often one fact is stated, on average over the group's facts (pointed at, it "
        "shows the least and the most). <span class='held key'>held out</span> cells are never "
        "stated: what a model can say there it has carried over from elsewhere."
        f"{told}</p>"
        f"<div class=wide><table class=heat><thead><tr><th rowspan=2>relation<th rowspan=2>group"
        f"{head}<tr>{ways}<tbody>{''.join(rows)}</table></div>"
        f"<p>{mates:.1%} of the statements come after another statement of the same fact in "
        "their row; a model that sees other documents of its row could copy from it.</p>"
    )


def _cell(cell: Cell, most: float) -> str:
    if not cell.stated and not cell.most:
        return "<td class=held title='never stated'>held out"
    share = f"{100 * cell.mean / most:.0f}%"
    wrong = "" if cell.stated else " class=wrong"
    range_ = f"from {cell.least} to {cell.most} exposures a fact"
    return f"<td{wrong} style='--share:{share}' title='{range_}'>{cell.mean:.1f}"


def _proof(seen: Survey) -> str:
    hits, held_out = len(seen.proof.hits.row), int((~seen.corpus.stated).sum())
    searched = f"{seen.rows * seen.corpus.T:,} rendered tokens"
    control = (
        f"The search reads the tokens alone, in every language and template. It finds "
        f"{seen.proof.statements:,} statements of facts where the ledger counts "
        f"{seen.exposures:,}."
    )
    control += (
        f" Of {seen.proof.questions:,} questions {len(seen.proof.kept):,} are items kept for "
        f"evaluation, which are one in {HELD_OUT_ONE_IN} of every task; {len(seen.proof.asked):,} "
        f"ask what the mixture never asks, {len(seen.proof.worded):,} in a template held out."
    )
    for cell in seen.corpus.mixture.held_out:
        control += f" Never said: <code>{html.escape(str(cell))}</code>."
    if not len(seen.proof.places):
        found = f"None of the {held_out:,} held-out statements is in {searched}."
        return f"<p class='verdict good'>✓ {found}</p><p>{control}</p>"
    row, token = seen.proof.places[0]
    found = (
        f"{hits:,} held-out statements are in {searched}; what is held out is first said in row "
        f"{row} at token {token}."
    )
    why = "Where two languages share all their words, one says what is held out in the other."
    return f"<p class='verdict bad'>✗ {found}</p><p>{control} {why}</p>"


_DISTANCES = {
    "overlap of types": "share of word forms that both have",
    "overlap of tokens": "share of the words in texts that both have",
    "overlap of stems": "the same, before words are inflected",
    "edit distance": "letters to change to get from a word to its translation, of 1",
    "order (Kendall tau)": "1: concepts come in the same order, -1: in the reverse",
    "inflection (bits)": "what a form tells beyond its concept, more than in the base",
}


def _distances(seen: Survey) -> str:
    base, *names = seen.corpus.pair.names
    head = "".join(f"<th>{name} from {base}" for name in names)
    rows = []
    for what in seen.distances[0] if seen.distances else ():
        values = "".join(map(_bar, (found[what] for found in seen.distances)))
        rows.append(f"<tr><th>{what}{values}<td class=note>{_DISTANCES.get(what, '')}")
    return (
        "<p>Measured on documents said in both languages, and not read from the changes above.</p>"
        f"<div class=wide><table><thead><tr><th>{head}<th><tbody>{''.join(rows)}</table></div>"
    )


def _bar(value: float) -> str:
    if np.isnan(value):
        return "<td class=held>not said"
    return f"<td class=bar style='--share:{100 * min(abs(value), 1):.0f}%'>{value:.2f}"


def _numbers(seen: Survey) -> str:
    names, rows = seen.corpus.pair.names, []
    said = {(r["register"], r["language"]): r for r in seen.census.to_pylist()}
    total = sum(r["tokens"] for r in said.values()) or 1
    for register in REGISTERS:
        each = [said[register, name] for name in names]
        share = sum(r["tokens"] for r in each) / total
        counts = "".join(f"<td>{r['documents']:,}" for r in each)
        bar = f"<td class=bar style='--share:{share:.1%}'>{share:.1%}"
        rows.append(f"<tr><th>{register}{counts}{bar}")
    padding = 1 - total / (seen.rows * seen.corpus.T)
    head = "".join(f"<th>documents, {name}" for name in names)
    zipf = plot.zipf(dict(zip(names, seen.words, strict=True)))
    return (
        f"<table><thead><tr><th>register{head}<th>share of tokens<tbody>{''.join(rows)}</table>"
        f"<p>{padding:.1%} of the rows is padding after the last document that fits.</p>"
        f"<div class=plots><figure>{zipf}<figcaption>How often each token is used, by rank (Zipf). "
        "Steps are kinds of words: function words, nouns, names.</figcaption></figure>"
        f"<figure>{plot.lengths(seen.lengths)}<figcaption>How long documents are, with their "
        "&lt;doc&gt;.</figcaption></figure></div>"
    )


def _vocabulary(seen: Survey) -> str:
    both, names, rows = speaker(seen.corpus.pair, seen.corpus.world), seen.corpus.pair.names, []
    for kind, concepts in inventory(seen.corpus.world).items():
        forms = [[form[c] for form in both.form] for c in concepts]
        same = sum(len(set(row)) == 1 for row in forms)
        some = ", ".join("/".join(dict.fromkeys(row)) for row in forms[:6]) + ", …" * (
            len(forms) > 6
        )
        rows.append(
            f"<tr><th>{kind}<td>{len(forms)}<td>{same / len(forms):.0%}<td>{html.escape(some)}"
        )
    return (
        "<div class=wide><table><thead><tr><th>kind<th>concepts<th>same form in all<th>some, "
        f"{' / '.join(names)}<tbody>{''.join(rows)}</table></div>"
    )


_STYLE = """
:root { color-scheme: light dark;
  --paper: light-dark(#fff, #16181c); --ink: light-dark(#1c1e21, #e4e6ea);
  --soft: light-dark(#5c6370, #9aa3b0); --line: light-dark(#e3e5e9, #33373e);
  --tint: light-dark(#f6f7f9, #1e2126);
  --given: light-dark(#1f5fae, #7db4f5); --answer: light-dark(#b4540a, #f5a65b);
  --relation: light-dark(#12766a, #5cc8b8); --function: var(--soft);
  --heat: light-dark(#5b9bd5, #2f6db3); --good: light-dark(#12766a, #5cc8b8);
  --bad: light-dark(#b3261e, #ff8a80);
  --c0: light-dark(#2f6db3, #7db4f5); --c1: light-dark(#d8822a, #f5a65b);
  --c2: light-dark(#2a9d8f, #5cc8b8); --c3: light-dark(#8c5fa8, #c9a2e0);
  --c4: light-dark(#b34b5b, #f0909c); --c5: light-dark(#7a7f87, #a6adb8); }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.2rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .6rem } h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.6rem 0 0; text-transform: capitalize }
h3 + p { margin: .1rem 0 .6rem; color: var(--soft) } .lead { font-size: 1.1rem }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem } .wide { overflow-x: auto }
.tile { background: var(--tint); border: 1px solid var(--line); border-radius: 8px;
  padding: .5rem .9rem } .tile b { display: block; font-size: 1.3rem }
.tile span, .note, figcaption { color: var(--soft); font-size: .85rem }
table { border-collapse: collapse; font-size: .92rem } ul { margin: .3rem 0; padding-left: 1.2rem }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top } th:first-child, .plain th, .plain td, td:last-child {
  text-align: left }
thead th { border-bottom: 2px solid var(--line); font-weight: 600 } th { font-weight: 500 }
code { background: var(--tint); padding: .05rem .3rem; border-radius: 4px; font-size: .88em }
mark { background: var(--c0); color: var(--paper); border-radius: 4px; padding: 0 .35rem;
  font-size: .75rem; font-weight: 600 }
.document { background: var(--tint); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .9rem; margin: .5rem 0 } .free { margin: .4rem 0 0; font-style: italic }
.line { display: grid; grid-template-columns: 6.2rem 1fr; align-items: start; padding: .25rem 0 }
.line b { padding-top: .15rem } .words { display: flex; flex-wrap: wrap; gap: .15rem .9rem }
.word { display: inline-flex; flex-direction: column; border-radius: 4px; padding: .1rem .2rem }
.word i { font-style: normal; font-weight: 600 } .word > span { font-size: .8rem; opacity: .85 }
.word small { font-size: .85em; letter-spacing: .03em } .word.lit { background: var(--line) }
.given { color: var(--given) } .answer { color: var(--answer) } .answer i { text-decoration:
  underline } .relation { color: var(--relation) } .function { color: var(--function) }
.legend span { margin-right: 1.2rem; font-weight: 600; font-size: .9rem }
.heat td { text-align: center; min-width: 4.6rem; border: 2px solid var(--paper);
  background: color-mix(in srgb, var(--heat) var(--share, 0%), var(--tint)) }
.heat th { text-align: center } .heat th.relation { color: inherit; text-align: left }
.held { border: 1px dashed var(--soft); background: none !important; color: var(--soft);
  font-size: .8rem } .heat td.held { border: 2px solid var(--paper);
  outline: 1px dashed var(--line); outline-offset: -4px }
.key { padding: 0 .4rem; border-radius: 4px }
.wrong { outline: 2px solid var(--bad); outline-offset: -3px }
.bar { min-width: 7rem; background: linear-gradient(to right, color-mix(in srgb, var(--heat) 35%,
  transparent) var(--share), transparent var(--share)) }
.verdict { font-size: 1.1rem; font-weight: 600; padding: .6rem .9rem; border-radius: 8px;
  border: 2px solid } .good { color: var(--good) } .bad { color: var(--bad) }
.row { background: var(--tint); padding: .6rem .9rem; border-radius: 8px }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem } figure { margin: 0; flex: 1 1 24rem }
figure svg { width: 100%; height: auto } footer { margin-top: 3rem; color: var(--soft) }
"""

_PAGE = """<!doctype html><html lang=en><head><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>$title</title><style>$style</style></head><body><h1>$title</h1>$summary$body
<footer>Made by <code>python -m data.preview</code>.</footer>
<script>
const words = document.querySelectorAll(".word");
words.forEach(w => { const same = [...w.closest(".document").querySelectorAll(".word")]
  .filter(o => o.dataset.c === w.dataset.c);
  w.onmouseenter = () => same.forEach(o => o.classList.add("lit"));
  w.onmouseleave = () => same.forEach(o => o.classList.remove("lit")); });
</script></body></html>
"""
