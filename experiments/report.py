"""One self-contained page from stored results: `python -m experiments.report DIR... [--record]`.

Nothing is trained or measured here: claims, by their rules as they stand, tables and figures are
re-made from the files of each DIR, the --out of an experiment. `all [DIR]` in their place makes one
page of what `experiments.run all` left in DIR (default runs/all-toy). With --record, what was found
replaces what RESULTS.md and the docstrings of these experiments say (of two runs of one experiment
it is the last DIR's); what they say of others stays.
"""

import dataclasses
import html
import json
import pathlib
import sys
from collections.abc import Sequence

import pyarrow as pa

from experiments import catalogue, figure, stage, stats
from experiments.claim import decide, interval, where
from train.lock import whole

CSS = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1.5em;
       color: #1c1c1c; }
h1 { font-size: 1.7em; margin-bottom: .2em } h2 { font-size: 1.2em; margin-top: 2em;
     border-top: 1px solid #ddd; padding-top: .8em } p.note, figcaption { color: #555; }
figure { margin: 1em 0; overflow-x: auto } table { border-collapse: collapse; font-size: .88em }
th, td { padding: .25em .7em; text-align: left; border-bottom: 1px solid #e4e4e4;
         vertical-align: top }
th { background: #f6f6f6 } td.number { text-align: right; font-variant-numeric: tabular-nums }
.reproduced { color: #14746f; font-weight: 600 } .opposite { color: #b3392f; font-weight: 600 }
.inconclusive { color: #8a6d1a; font-weight: 600 } pre { background: #f6f6f6; padding: 1em;
overflow-x: auto; font-size: .85em } svg { max-width: 100%; height: auto }
path.reproduced, path.opposite { fill: currentColor; fill-opacity: .3 }
"""


NOTE = (
    "A claim's file says where its rule was revised after a run. Green is where a claim is "
    "reproduced, red where its opposite is; a tick is the reference. Intervals are 95%, "
    "bootstrapped over seeds and items; verdicts hold at 5% for all claims of an experiment "
    "together (Holm), also by Student's t over the seeds."
)


@dataclasses.dataclass(frozen=True)
class Results:
    """The stored files of one run: what a figure may be made of."""

    spec: dict
    items: pa.Table
    results: pa.Table
    curves: pa.Table
    ledger: pa.Table


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, a sentence on how to read what follows, and the figure or table itself."""

    title: str
    note: str
    body: str


def load(folder: pathlib.Path) -> Results:
    """Reads the result files of a run's folder; names the first one missing."""
    names = ("spec.json", *(f"{t}.parquet" for t in _TABLES))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} has no {missing[0]}; give the --out folder of a finished "
            "`python -m experiments.run`"
        )
    tables = {name: stage.read(folder / f"{name}.parquet") for name in _TABLES}
    return Results(spec=catalogue.specified(folder), **tables)


_TABLES = ("items", "results", "curves", "ledger")


def table(rows: Sequence[dict[str, object]], raw: Sequence[str] = ()) -> str:
    """Dicts as an HTML table. Columns in `raw` hold HTML already; floats show three digits."""
    if not rows:
        return "<p class='note'>nothing here</p>"

    def cell(column: str, value: object) -> str:
        if value is None:
            return "<td>–</td>"
        if isinstance(value, float | int) and not isinstance(value, bool):
            return f"<td class='number'>{value:,.3g}</td>"
        return f"<td>{value if column in raw else html.escape(str(value))}</td>"

    head = "".join(f"<th>{html.escape(column)}</th>" for column in rows[0])
    body = "".join(
        "<tr>" + "".join(cell(column, row.get(column)) for column in rows[0]) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def said(row: dict, right: str) -> dict[str, str]:
    """Prompt, the model's answer (ticked if the metric `right` holds), and the right answer."""
    tick = " ✓" if row[right] else ""
    return {
        "prompt": row["prompt"],
        "answer": (row["answer"] or "∅") + tick,
        "right would be": row["gold"],
    }


def examples(
    items: pa.Table,
    cells: Sequence[tuple[dict[str, object], dict[str, object]]],
    right: str,
    title: str,
    note: str,
) -> Section:
    """The first item of every (label, cell): what was asked, what was said, what would be right."""
    rows = []
    for label, cell in cells:
        row = stats.where(items, **cell).slice(0, 1).to_pylist()[0]
        rows.append(label | said(row, right))
    return Section(title, note, table(rows))


def losses(curves: pa.Table, line: Sequence[str] = ("mixer",), panel: str = "tier") -> Section:
    """Training loss: a panel a value of `panel`, a colour a value of `line`, a line a seed."""
    panels = {}
    for row in curves.to_pylist():
        name = " ".join(str(row[column]) for column in line if row.get(column) != "none")
        seeds = panels.setdefault(str(row.get(panel, "training")), {}).setdefault(name, {})
        seeds.setdefault(row["seed"], []).append((row["step"], row["loss"]))
    drawn = {
        title: {name: [tuple(zip(*seed, strict=True)) for seed in seeds.values()]
                for name, seeds in lines.items()}
        for title, lines in panels.items()
    }  # fmt: skip
    note = "Nats a token, one line a seed. Where the loss is on the response, it alone counts."
    return Section("Training loss", note, figure.curves(drawn))


def claims_table(claims: Sequence[dict]) -> str:
    rows = [
        {
            "row": c["row"],
            "claim": c["claim"],
            "estimate [95% interval]": interval(c),
            "reproduced if": drawn(c),
            "seeds": c["seeds"],
            "reference": "–" if c["reference"] is None else f"{c['reference']:.3g}",
            "source": c["reference_source"],
            "verdict": f"<span class='{c['verdict']}'>{c['verdict']}</span>",
        }
        for c in claims
    ]
    return table(rows, raw=("reproduced if", "verdict"))


def drawn(claim: dict) -> str:
    """The rule of a claim in words, below its estimate before the regions that decide it."""
    regions = {"reproduced": claim["reproduced_if"], "opposite": claim["opposite_if"]}
    found = claim["estimate"], claim["ci_low"], claim["ci_high"]
    picture = figure.decided(found, regions, claim["reference"])
    return f"{picture}<br>{html.escape(where(claim['reproduced_if']))}"


def page(
    title: str, method: str, spec: dict, claims: Sequence[dict], sections: Sequence[Section]
) -> str:
    """The whole page: claims first, then the sections, the method and the full spec."""
    run = spec["run"]
    facts = " · ".join(f"{key} {value}" for key, value in run.items())
    parts = [
        f"<h2>Claims</h2><p class='note'>{html.escape(NOTE)}</p>",
        claims_table(claims),
    ]
    for section in sections:
        parts.append(
            f"<h2>{html.escape(section.title)}</h2><figure>{section.body}"
            f"<figcaption>{html.escape(section.note)}</figcaption></figure>"
        )
    protocol = html.escape(json.dumps(spec["protocol"], indent=1))
    parts.append(f"<h2>Method</h2><pre>{html.escape(method.strip())}</pre>")
    parts.append(f"<details><summary>Full specification</summary><pre>{protocol}</pre></details>")
    return document(title, "".join(parts), note=facts)


def document(title: str, body: str, note: str = "") -> str:
    """A self-contained HTML page."""
    head = html.escape(title)
    below = f"<p class='note'>{html.escape(note)}</p>" if note else ""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{head}</title>"
        f"<style>{CSS}</style></head><body><h1>{head}</h1>{below}{body}</body></html>"
    )


def write(folder: pathlib.Path) -> pathlib.Path:
    """Decides the claims by the rules as they stand, and makes claims.json and report.html from the
    tables beside them; returns the path of the page."""
    results = load(folder)
    module = catalogue.find(results.spec["experiment"])
    claims = decide(module.claims(results))
    whole(folder / "claims.json", json.dumps(claims, indent=1))
    title, _, method = module.__doc__.partition("\n")
    path = folder / "report.html"
    text = page(title, method, results.spec, claims, module.sections(results))
    whole(path, text)
    return path


def index(out: pathlib.Path) -> pathlib.Path:
    """Makes OUT/index.html, a table of all claims that links to every page; returns its path."""
    found = catalogue.finished(out)
    if not found:
        raise ValueError(f"{out} has no finished experiment; run `python -m experiments.run all`")
    rows = []
    for name, (claims, _) in found.items():
        for claim in claims:
            row = dict(zip(catalogue.COLUMNS, catalogue.row(name, claim), strict=True))
            row["experiment"] = f"<a href='{name}/report.html'>{name}</a>"
            row["verdict"] = f"<span class='{claim['verdict']}'>{claim['verdict']}</span>"
            row["reproduced if"] = drawn(claim)
            rows.append(row)
    rows.sort(key=lambda row: catalogue.order(row["row"]))
    missing = [name for name in catalogue.names() if name not in found]
    note = NOTE + (f" Not there: {', '.join(missing)}." if missing else "")
    body = f"<p class='note'>{html.escape(note)}</p>"
    body += table(rows, raw=("experiment", "reproduced if", "verdict"))
    path = out / "index.html"
    whole(path, document("What was found", body))
    return path


def main(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    flags = [word for word in words if word.startswith("-")]
    folders = [word for word in words if word not in flags]
    try:
        if not folders or {*flags} - {"--record"} or (folders[0] == "all" and len(folders) > 2):
            raise ValueError(
                f"{' '.join(words)} is not understood; give: DIR... [--record], or all [DIR] "
                "[--record]"
            )
        found = _all(*folders[1:]) if folders[0] == "all" else _each(folders)
        if flags:
            print(catalogue.record(found))
        return 0
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _all(out: str = "runs/all-toy") -> dict[str, catalogue.Finished]:
    print(index(pathlib.Path(out)))
    return catalogue.finished(pathlib.Path(out))


def _each(folders: Sequence[str]) -> dict[str, catalogue.Finished]:
    found: dict[str, catalogue.Finished] = {}
    for folder in map(pathlib.Path, folders):
        print(write(folder))
        claims, spec = catalogue.read(folder)
        found[spec["experiment"]] = claims, spec
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
