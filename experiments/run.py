"""Runs an experiment from spec to report: `python -m experiments.run NAME --size toy --seeds 3`.

An experiment is a file of this folder that reads as a method section and defines
  ROWS                 the questions it answers, each a letter and a number, as its claims name them
  COST                 what each size takes, in words
  Settings             frozen dataclass of its command-line options, `size` and `seeds` among them
  stages(settings)     the trainings in order, each with its measurements (experiments/stage.py)
  claims(results)      the contrasts it declares, with the rule that decides each
  sections(results)    the figures of its page
and, where these commands are to know it, preview() (data.preview), pretrain_spec() and tune_spec()
(train.pretrain, train.tune) and a last paragraph `Result` (experiments.report --record).
Finished stages are kept under their identity in the output folder and never run twice; an
interrupted one continues from its newest checkpoint. `python -m experiments.run all` runs every
experiment into one folder, where what several of them train is trained once. `--launch slurm`
trains ensembles as jobs of a cluster (experiments/launch.py) and gathers them into the same files.
"""

import dataclasses
import functools
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import jax
import pyarrow as pa
import pyarrow.compute as pc
import rich
import rich.box
import rich.console
import rich.markup
import rich.table
import tyro

from experiments import catalogue, launch, report, stage
from experiments.catalogue import find, names
from experiments.claim import interval
from experiments.display import Display
from train import store
from train.damage import differences
from train.lock import whole

ROOT = pathlib.Path(__file__).parent.parent


def protocol(module, settings) -> list:
    """What may not differ between two runs into one folder: all of the spec but its extent.

    How many seeds and which mixers are run adds stages and changes none, so a folder may grow.
    """
    small = {f.name: f.default for f in dataclasses.fields(settings) if f.metadata.get("extent")}
    return [store.describe(each) for each in module.stages(dataclasses.replace(settings, **small))]


def claim_folder(folder: pathlib.Path, module, settings) -> None:
    """Takes an output folder for this spec, or refuses with the difference to the one it holds."""
    spec = {
        "experiment": module.__name__.rpartition(".")[2],
        "settings": dataclasses.asdict(settings),
        "protocol": protocol(module, settings),
        "run": environment(),
    }
    path = folder / "spec.json"
    spec["run"]["seconds"] = 0
    if path.exists():
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            spec["run"]["seconds"] = held["run"].get("seconds", 0)  # of runs that came to an end
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{path} is none of an experiment (of train.pretrain, say); give another --out"
            ) from error
        fixed = lambda s: {key: s[key] for key in ("experiment", "protocol")}
        lines = differences(fixed(held), fixed(spec))
        if lines:
            more = [f"... and {len(lines) - 8} more"] if len(lines) > 8 else []
            raise ValueError(
                f"{folder} holds another spec; give another --out, or remove the folder. Held, "
                "not asked:\n  " + "\n  ".join(lines[:8] + more)
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write to {folder}: {error.strerror}; give an --out that is writable"
        ) from error
    whole(path, json.dumps(spec, indent=1, default=str))


def environment() -> dict[str, str]:
    """Commit, date, versions and machine of a run, for its record."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    kind = jax.devices()[0].device_kind
    # This process may have fewer than the machine; macOS does not say.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    changed = "+changes" if git("status", "--porcelain") else ""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": (git("rev-parse", "--short", "HEAD") or "unknown") + changed,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": f"{cores} CPU core{'s' if cores > 1 else ''}"
        if kind == "cpu"
        else f"{jax.device_count()} x {kind}",
    }


def gather(
    folder: pathlib.Path,
    kept: pathlib.Path,
    stages: Sequence[stage.Stage],
    seconds: float,
    lost: Mapping[stage.Stage, FloatingPointError],
) -> None:
    """Tables of all stages kept in `kept` into the files of `folder`; the record names the lost."""
    tables = {
        "items": _joined([stage.items(kept, each) for each in stages]),
        "curves": _joined([stage.curve(kept, each) for each in stages]),
        "ledger": _joined([stage.ledger(kept, each) for each in stages]),
    }
    tables["results"] = summarise(tables["items"])
    for name, value in tables.items():
        stage.write(value, folder / f"{name}.parquet")
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    spec["run"]["seconds"] += round(seconds)
    if lost:
        spec["run"]["lost"] = "; ".join(each.title for each in lost)
    whole(folder / "spec.json", json.dumps(spec, indent=1))


def _joined(tables: Sequence[pa.Table | None]) -> pa.Table:
    found = [each for each in tables if each is not None]
    return pa.concat_tables(found, promote_options="default") if found else pa.table({})


def summarise(items: pa.Table) -> pa.Table:
    """One row a (slice, seed, metric): the mean over items and how many there were.

    Every column is a slice but the metrics (floats) and what tells one item from another.
    """
    free = {"prompt", "gold", "answer", "item", "fact", "entity", "person"}
    numbers = {"normaliser"}  # floats that were asked with, and are slices
    rows = []
    floats = [f.name for f in items.schema if pa.types.is_floating(f.type)]
    metrics = [name for name in floats if name not in numbers]
    for measure in pc.unique(items["measure"]).to_pylist():
        part = items.filter(pc.equal(items["measure"], measure))
        part = part.drop_columns([c for c in part.column_names if part[c].null_count == len(part)])
        held = [m for m in metrics if m in part.column_names]
        by = [c for c in part.column_names if c not in free and c not in metrics]
        wanted = [(m, f) for m in held for f in ("mean", "count")]
        grouped = part.group_by(by).aggregate(wanted)
        for m in held:
            columns = {c: grouped[c] for c in by}
            columns["metric"] = pa.array([m] * len(grouped))
            columns["value"] = grouped[f"{m}_mean"]
            columns["items"] = grouped[f"{m}_count"]
            rows.append(pa.table(columns))
    return _joined(rows)


def show(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Prints the claims as a table and the path of the report."""
    claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for column in ("row", "claim", "estimate [95% interval]", "reference", "verdict"):
        grid.add_column(column)
    color = {"reproduced": "green", "opposite": "red", "inconclusive": "yellow"}
    for c in claims:
        reference = "–" if c["reference"] is None else f"{c['reference']:.2f}"
        verdict = f"[{color[c['verdict']]}]{c['verdict']}[/]"
        said = map(rich.markup.escape, (c["row"], c["claim"], interval(c)))
        grid.add_row(*said, reference, verdict)
    console = rich.console.Console()
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own
    console.print(grid)
    print(path)


def run(
    module,
    settings,
    folder: pathlib.Path,
    shared: pathlib.Path | None = None,
    cluster: launch.Cluster | None = None,
) -> pathlib.Path:
    """All stages, then the tables and the page; returns the path of report.html.

    Stages are kept in `shared`, where other experiments find them, or in the folder itself; they
    are trained here, or as jobs of a cluster.
    """
    stages, kept = module.stages(settings), shared or folder
    claim_folder(folder, module, settings)
    store.keep_compiled()
    start = time.monotonic()
    complete = _complete if cluster is None else functools.partial(launch.complete, cluster=cluster)
    lost = complete(stages, kept)
    paired = undisturbed(stages, lost)
    with rich.get_console().status("tables, intervals, page"):
        if paired:
            gather(folder, kept, paired, time.monotonic() - start, lost)
        path = report.write(folder) if paired else None
    if lost:
        kept = f"{path} is of the seeds that lost none" if path else "no seed is without a loss"
        raise FloatingPointError(
            f"{len(lost)} of {len(stages)} stages were lost, the others are complete and {kept}. "
            + "; ".join(dict.fromkeys(str(error) for error in lost.values()))
        )
    return path


def _complete(
    stages: Sequence[stage.Stage], folder: pathlib.Path
) -> dict[stage.Stage, FloatingPointError]:
    """All stages in this process; those that were lost, with the reason."""
    lost: dict[stage.Stage, FloatingPointError] = {}
    with Display(stages) as display:
        for group in stage.groups(stages, stage.room):
            ready = [each for each in group if lost.keys().isdisjoint(each.needs)]
            lost |= {each: lost[n] for each in group for n in each.needs if n in lost}
            lost |= stage.complete(ready, folder, display) if ready else {}
    return lost


def undisturbed(stages: Sequence[stage.Stage], lost: Collection[stage.Stage]) -> list[stage.Stage]:
    """The stages of the seeds that lost none: arms are compared on the same seeds, so a seed that
    lacks one is left out with all of its stages, whose own files stay."""
    seed = lambda each: dict(each.labels)["seed"]
    disturbed = {seed(each) for each in lost}
    return [each for each in stages if seed(each) not in disturbed]


def every(size: str, seeds: int | None, out: pathlib.Path) -> list[str]:
    """Runs all experiments at a size into the folders OUT/NAME, their stages into OUT/stages, and
    prints each one's claims; returns the names of those that failed. What is done is not run again.
    """
    failed = []
    for number, name in enumerate(names(), 1):
        module, folder = find(name), out / name
        given = {} if seeds is None else {"seeds": seeds}
        print(
            f"[{number}/{len(names())}] {name}: {module.__doc__.partition(chr(10))[0]}", flush=True
        )
        if "folder" in {field.name for field in dataclasses.fields(module.Settings)}:
            print(f"left out, it reads text of yours: python -m experiments.run {name} --folder")
            continue
        try:
            show(folder, run(module, module.Settings(size=size, **given), folder, shared=out))
        except (ValueError, NotImplementedError, FloatingPointError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed.append(name)
    print(report.index(out))
    return failed


def _launch_one(name: str, arguments: Sequence[str]) -> int:
    module = find(name)

    def start(
        settings: tyro.conf.OmitArgPrefixes[module.Settings],
        out: pathlib.Path | None = None,
        stages: pathlib.Path | None = None,
        launch: launch.Cluster | None = None,
    ):
        """Runs or resumes.

        Args:
            settings: what to run
            out: folder of the results; default runs/NAME-SIZE
            stages: folder whose stages/ holds what is trained, to share it; default OUT
            launch: train as jobs of a cluster, or as processes here ("local")
        """
        folder = out or pathlib.Path("runs") / f"{name}-{settings.size}"
        show(folder, run(module, settings, folder, stages, launch))

    prog = f"python -m experiments.run {name}"
    tyro.cli(start, args=list(arguments), prog=prog, description=module.__doc__)
    return 0


def _launch_all(arguments: Sequence[str]) -> int:
    def launch(
        size: Literal["smoke", "toy", "small"] = "toy",
        seeds: int | None = None,
        out: pathlib.Path | None = None,
    ) -> list[str]:
        """Runs or resumes every experiment that needs no text of yours.

        Args:
            size: of all of them
            seeds: of all of them; default what each declares
            out: folder of the results, a folder of it an experiment; default runs/all-SIZE
        """
        if seeds is not None:
            stage.seeds(seeds)  # refuses once what every experiment would
        return every(size, seeds, out or pathlib.Path("runs") / f"all-{size}")

    failed = tyro.cli(launch, args=list(arguments), prog="python -m experiments.run all")
    if failed:
        print(f"error: {', '.join(failed)} failed; see above", file=sys.stderr)
    return 2 if failed else 0


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        print("experiments:", ", ".join(names()), "   (--list says what each one asks)")
        return 0 if arguments else 2
    try:
        if arguments[0] == "--list":
            catalogue.overview(pathlib.Path("runs"))
            return 0
        if arguments[0] == "all":
            return _launch_all(arguments[1:])
        return _launch_one(arguments[0], arguments[1:])
    except (ValueError, NotImplementedError, FloatingPointError, OSError, launch.Failed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the same command continues from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    # Training saves first (train/loop.py); elsewhere every file is whole at any moment.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main(sys.argv[1:]))
