"""All experiments together: what there is, what was found, and the one page that says so.

A finished run of NAME leaves claims.json and spec.json in runs/NAME-SIZE, or in runs/all-SIZE/NAME.
`python -m experiments.report all` makes runs/all-SIZE/index.html of the latter. With --record,
experiments.report also writes what the runs it was given found into the repository: into RESULTS.md
and into the last paragraph of each experiment's docstring. Other experiments keep theirs.
"""

import collections
import difflib
import importlib
import json
import pathlib
import re
import textwrap
from collections.abc import Mapping

import rich.box
import rich.console
import rich.table

from experiments.claim import interval, where

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
VERDICTS = ("reproduced", "opposite", "inconclusive")
COLUMNS = (
    "row", "experiment", "claim", "estimate [95%]", "reproduced if", "reference", "verdict"
)  # fmt: skip
PARTS = ("ROWS", "COST", "Settings", "stages", "claims", "sections")  # of an experiment
Finished = tuple[list[dict], dict]  # claims and spec of a run


def names() -> list[str]:
    """The experiments there are: files of this folder that define `stages`."""
    files = sorted(HERE.glob("*.py"))
    return [file.stem for file in files if "\ndef stages(" in file.read_text(encoding="utf-8")]


def find(name: str):
    """The module of an experiment; an unknown name gets the list and the nearest, and a file that
    is none yet what it lacks."""
    if name in names():
        module = importlib.import_module(f"experiments.{name}")
        missing = [part for part in PARTS if not hasattr(module, part)]
        if missing:
            raise ValueError(
                f"experiments/{name}.py defines no {', '.join(missing)}; experiments/run.py says "
                "what an experiment has"
            )
        return module
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    hint = "; its name comes before the options." if name.startswith("-") else hint
    raise ValueError(f"no experiment {name!r}{hint} There are: {', '.join(names())}")


def overview(runs: pathlib.Path) -> None:
    """Prints the experiments, the rows they answer, what each size costs and the last verdicts."""
    columns = ("experiment", "question", "rows", "cost", "last verdicts")
    grid = rich.table.Table(*columns, box=rich.box.SIMPLE_HEAD)
    for name in names():
        module = find(name)
        cost = "\n".join(f"{size}: {text}" for size, text in module.COST.items())
        title = module.__doc__.partition("\n")[0]
        grid.add_row(name, title, ", ".join(module.ROWS), cost, last(name, runs))
    console = rich.console.Console()
    if not console.is_terminal:
        console.width = 200  # a log has no width of its own
    console.print(grid)


def last(name: str, runs: pathlib.Path) -> str:
    """Verdicts of the newest run of an experiment below `runs`, or of the one that is recorded."""
    found = [*runs.glob(f"{name}-*/claims.json"), *runs.glob(f"all-*/{name}/claims.json")]
    if found:
        newest = max(found, key=lambda path: path.stat().st_mtime)
        return _counted(json.loads(newest.read_text(encoding="utf-8")))
    cells = [_cells(line) for line in _recorded() if line.startswith("|")]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells if row[1] == name]
    return _counted(rows) or "not yet run"


def _counted(claims: list[dict]) -> str:
    """`D1: 3 reproduced, 1 opposite`, a line a row."""
    rows: dict[str, collections.Counter] = {}
    for claim in claims:
        rows.setdefault(claim["row"], collections.Counter())[claim["verdict"]] += 1
    say = lambda count: ", ".join(f"{count[v]} {v}" for v in VERDICTS if count[v])
    return "\n".join(
        f"{row}: {say(count)}" for row, count in sorted(rows.items(), key=lambda r: order(r[0]))
    )


def _recorded() -> list[str]:
    return RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(line: str) -> list[str]:
    """The cells of a `_line`."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def specified(folder: pathlib.Path) -> dict:
    """The spec.json of a run."""
    path = folder / "spec.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it, and the command of the run writes it again"
        ) from error


def read(folder: pathlib.Path) -> Finished:
    """Of the finished run in a folder."""
    return json.loads((folder / "claims.json").read_text("utf-8")), specified(folder)


def finished(out: pathlib.Path) -> dict[str, Finished]:
    """The runs in the folders OUT/NAME, by the name of their experiment."""
    return {name: read(out / name) for name in names() if (out / name / "claims.json").is_file()}


def row(name: str, claim: dict) -> tuple[str, ...]:
    """A claim by COLUMNS, as text."""
    reference = "–" if claim["reference"] is None else f"{claim['reference']:.3g}"
    what = (claim["row"], name, claim["claim"], interval(claim), where(claim["reproduced_if"]))
    return (*what, reference, claim["verdict"])


def order(row: str) -> tuple[str, int]:
    """B2 before B13 before C1."""
    letters = row.rstrip("0123456789")
    return letters, int(row[len(letters) :] or 0)


def record(found: Mapping[str, Finished]) -> pathlib.Path:
    """Writes what was found into RESULTS.md and into the docstrings of these experiments, and
    leaves what is there of all others as it is; returns the path of RESULTS.md."""
    kept, heads = _kept(), []
    for name, (claims, spec) in found.items():
        kept[name] = [row(name, claim) for claim in claims]
        _docstring(name, _told(claims, spec))
        heads.append(f"{name}: {_run(spec)}")
    old = [line[2:] for line in _recorded() if line.startswith("- ")]
    heads += [line for line in old if line.partition(":")[0] in kept.keys() - found.keys()]
    rows = sorted((row for rows in kept.values() for row in rows), key=lambda r: order(r[0]))
    verdicts = collections.Counter(row[-1] for row in rows)
    decided = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS)
    parts = [
        "# What was found",
        "",
        "Written by `python -m experiments.report DIR... --record` from stored runs. Every claim's",
        "rule stands in `claims()` of its experiment, whose docstring says where one was revised",
        "after a run; verdicts hold at 5% for all claims of an experiment together (Holm), by the",
        "bootstrap and by Student's t over the seeds. A toy result is a toy result.",
        "",
        f"{len(rows)} claims of {len(kept)} experiments: {decided}.",
        "",
        _line(COLUMNS),
        _line(("---",) * len(COLUMNS)),
        *map(_line, rows),
        "",
        "The runs:",
        "",
        *(f"- {head}" for head in sorted(heads)),
    ]
    RESULTS.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return RESULTS


def _kept() -> dict[str, list[tuple[str, ...]]]:
    kept: dict[str, list[tuple[str, ...]]] = {}
    for line in _recorded():
        if line.startswith("|") and (cells := _cells(line))[1] in names():
            kept.setdefault(cells[1], []).append(tuple(cells))
    return kept


def _run(spec: dict) -> str:
    """`2026-11-24, 8defb23, toy, 5 seeds, gla, 2 CPU cores, 1,200 s`."""
    settings, run = spec["settings"], spec["run"]
    parts = [run["date"].split()[0], run["commit"], settings["size"], f"{settings['seeds']} seeds"]
    parts += [settings["mixers"]] if "mixers" in settings else []
    return ", ".join((*parts, run["device"], f"{run['seconds']:,} s"))


def _told(claims: list[dict], spec: dict) -> list[str]:
    """The run, then its claims, a line each."""
    found = [f"{c['row']} {c['claim']}: {interval(c)}, {c['verdict']}." for c in claims]
    return [f"{_run(spec)}.", *found]


def _docstring(name: str, lines: list[str]) -> None:
    """Replaces the paragraph `Result` of an experiment's docstring."""
    path = HERE / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    if "\nResult " not in source:
        raise ValueError(f"{path.name} has no paragraph `Result` to write into; give it one")
    start = source.index("\nResult ") + 1
    stop = source.index('"""', start)
    indents = {"initial_indent": " " * 10, "subsequent_indent": " " * 12}
    filled = [textwrap.fill(line.replace("\\", "\\\\"), 100, **indents) for line in lines]
    shown = "\n".join(filled).replace(" " * 10, "Result    ", 1)
    path.write_text(f"{source[:start]}{shown}\n{source[stop:]}", encoding="utf-8")
