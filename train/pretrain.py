"""Pretrain one model: `python -m train.pretrain SPEC [--recipe.steps 2000] [--out DIR]`.

SPEC is an experiment that defines `pretrain_spec()`: a frozen dataclass with fields model, corpus
and recipe. What these and their parts are made of are options (`python -m train.pretrain SPEC
--help`); another kind of mixer, optimizer, schedule, objective or adapter is an edit of the
experiment. `--layout.*` spreads it over the devices there are (train/mesh.py) and is no part of
what is computed; nor are `--log tensorboard wandb trackio` and `--trace 100 110`, a profile of
these steps (train/log.py). The run continues where it was, in whatever layout, if DIR holds its
beginning. DIR/params is what a stage of `experiments.run` leaves: an ensemble of one.

A checkpoint is due `--every 200` steps, and at SIGTERM, which is answered between calls of
`--steps-per-call 20` steps: choose so few that a call and a save fit into the time that is given
before SIGKILL (SLURM's KillWait: 30 s). Neither changes a bit of the result.

Under SLURM, GKE and Cloud TPU the same command in every process is one run over all of their
devices; elsewhere tell each where the first one listens, how many there are, and which it is:
JAX_COORDINATOR_ADDRESS=host:port JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=0.
"""

import dataclasses
import difflib
import importlib
import json
import math
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import jax
import tyro
from jax.experimental import multihost_utils

from data.stream import stream
from model.lm import LM
from train.damage import differences
from train.lock import whole, writing
from train.log import Kind, Trace, writer
from train.loop import fit
from train.member import Member
from train.mesh import Layout
from train.recipe import Recipe
from train.step import result
from train.store import Store, describe, identity, keep_compiled, save_params

EXPERIMENTS = pathlib.Path(__file__).parent.parent / "experiments"


def main() -> None:
    peers()
    spec, options = launched("pretrain_spec", __doc__)
    train(spec, options.out or folder(spec), options)


def peers() -> None:
    """Join the other processes of this run, if there are any, before any computation."""
    own = os.environ.get("JAX_NUM_PROCESSES"), os.environ.get("JAX_PROCESS_ID")
    if None not in own:
        jax.distributed.initialize(num_processes=int(own[0]), process_id=int(own[1]))
    else:
        try:
            jax.distributed.initialize()
        except ValueError as error:
            if "coordinator_address should be defined" not in str(error):
                raise  # a cluster is there, and something about it is wrong
            return
    # Connected now: once they compile, one may come later to the other than gloo waits.
    multihost_utils.sync_global_devices("peers")


def launched(function: str, said: str, **folders: str) -> tuple[Any, Any]:
    """The spec of the experiment on the command line, with its overrides, and the other options.

    `function` of the experiment gives the spec, `said` is the launcher's docstring; `folders` are
    more options that hold a path or None, each with what --help says of it.
    """
    name, *rest = sys.argv[1:] or [""]
    spec = find(name, function)
    model = concrete(spec.model)
    fields = [
        ("model", type(model), model),
        ("corpus", type(spec.corpus), spec.corpus),
        ("recipe", Recipe, spec.recipe),
        ("layout", Layout, Layout()),
        ("log", option(tuple[Kind, ...], "where numbers go besides metrics.jsonl"), ()),
        ("trace", option(tuple[int, int] | None, "steps, first and last, to profile"), None),
        ("every", option(int, "steps from one checkpoint to the next"), 200),
        ("steps_per_call", option(int, "steps that SIGTERM may have to wait for"), 20),
        ("out", option(pathlib.Path | None, "folder of the run; default runs/<identity>"), None),
        *((name, option(pathlib.Path | None, own), None) for name, own in folders.items()),
    ]
    launch = dataclasses.make_dataclass(name, [(n, t) for n, t, _ in fields], frozen=True)
    found = tyro.cli(
        tyro.conf.AvoidSubcommands[launch],
        prog=f"python -m train.{function.removesuffix('_spec')} {name}",
        description=said.partition("\n")[0],
        default=launch(*(default for *_, default in fields)),
        args=rest,
    )
    model, words = exactly(found.model), found.corpus.tokenizer.size
    if words > model.W:
        raise ValueError(
            f"W={model.W} is less than the {words} words of this corpus; --model.W {words}"
        )
    return dataclasses.replace(spec, model=model, corpus=found.corpus, recipe=found.recipe), found


def option(kind: Any, said: str) -> Any:
    """The type of an option that --help explains."""
    return Annotated[kind, tyro.conf.arg(help=said)]


def folder(spec: Any) -> pathlib.Path:
    """Where a spec is trained unless told otherwise: named by its identity."""
    return pathlib.Path("runs") / identity(spec)


def find(name: str, function: str, also: tuple[str, ...] = ()) -> Any:
    """What `function` of experiments/NAME.py gives; ValueError lists those there are."""
    name, names = name.removeprefix("experiments."), specs(function)
    if name not in names:
        names += also
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"no experiment {name!r} to launch{hint} There are: {', '.join(names)}")
    return getattr(importlib.import_module(f"experiments.{name}"), function)()


def specs(function: str) -> list[str]:
    """The experiments that define it."""
    files = sorted(EXPERIMENTS.glob("*.py"))
    return [f.stem for f in files if f"\ndef {function}(" in f.read_text(encoding="utf-8")]


def train(spec: Any, out: pathlib.Path, options: Any, base: Any = None) -> None:
    """One member, from `base` (parameters of an ensemble of one) or from scratch."""
    # Nothing is lost outside of `fit`, which saves first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    devices = math.prod(options.layout.sizes)
    if jax.process_count() > 1 and devices != jax.device_count():
        raise ValueError(
            f"{jax.process_count()} processes with {jax.device_count()} devices, and a layout of "
            f"{devices}; spread it over all, as by --layout.data {jax.device_count()}"
        )
    claim(out, spec)
    print(f"{spec.recipe.steps} steps in {out}; the first compiles", flush=True)
    store = Store(out, every=options.every)
    first = jax.process_index() == 0  # one process speaks for all
    logs = [writer(kind, out, describe(spec)) for kind in options.log if first]
    trace = Trace(out, *options.trace, options.steps_per_call) if options.trace else None
    if trace is not None and not store.metrics():
        trace(0)

    def show(progress):
        (step,), loss, speed = progress.step, float(progress.loss[0]), progress.tokens_per_second
        if first:
            steps = f"step {step}/{spec.recipe.steps}"
            print(f"{steps}  loss {loss:.4f}  {speed:,.0f} tokens/s", flush=True)
        for write in logs:
            gradient = float(progress.gradient[0])
            write(step, {"loss": loss, "gradient": gradient, "tokens per second": speed})
        if trace is not None:
            trace(step)

    batches = stream(spec.corpus, spec.recipe.batch)
    member = Member(recipe=spec.recipe, batches=batches, name=str(out), store=store)
    state, lost = fit(
        spec.model, [member], params=base, layout=options.layout, on_step=show,
        steps_per_call=options.steps_per_call,
    )  # fmt: skip
    if trace is not None:
        trace.close()
    for error in lost.values():
        raise error
    store.close()
    save_params(out, result(spec.model, (spec.recipe,), state, base, options.layout.mesh()))
    print(f"parameters: {out / 'params'}")


def claim(out: pathlib.Path, spec: Any) -> None:
    """Write spec.json into the folder; ValueError shows the difference if it holds another spec."""
    path, new = out / "spec.json", describe(spec)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if not path.exists() and jax.process_index() == 0:
        whole(path, json.dumps(new, indent=1))
    if not path.exists():
        return  # the first process is about to write it
    wrong = differences(json.loads(path.read_text()), new)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{out} holds another run ({'; '.join(wrong[:3])}{more}); choose another --out"
        )


def concrete(model: LM) -> LM:
    """The model as a class that names its mixers' types, so that their fields become options."""
    mixer = model.mixer
    kind = tuple[tuple(map(type, mixer))] if isinstance(mixer, tuple) else type(mixer)
    own = dataclasses.make_dataclass(
        "LM", [("mixer", kind)], bases=(LM,), frozen=True, kw_only=True
    )
    return own(**{f.name: getattr(model, f.name) for f in dataclasses.fields(LM)})


def exactly(model: LM) -> LM:
    """The plain LM of one that `concrete` made."""
    return LM(**{f.name: getattr(model, f.name) for f in dataclasses.fields(LM)})


def run(main: Callable[[], None], function: str | None = None) -> None:
    """`main`, or what its module says of itself, if the first word asks for help, and which SPECs
    there are, that is experiments that define `function`.

    A user's mistake is one line and a status of 1, not a traceback.
    """
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(sys.modules[main.__module__].__doc__)
        return print(f"SPECs: {', '.join(specs(function))}") if function else None
    keep_compiled()
    try:
        main()
    except (ValueError, NotImplementedError, FloatingPointError, MemoryError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues")


if __name__ == "__main__":
    run(main, "pretrain_spec")
