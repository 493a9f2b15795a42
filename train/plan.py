"""Does a run fit, before a machine is rented? `python -m train.plan SPEC --topology v5e:4x8`.

SPEC is a preset of model/preset.py (50M, 340M, softmax-1.3B), trained on half a million tokens a
step, or an experiment that defines `pretrain_spec()`; fields of its model, its recipe and of the
layout are options (`--recipe.batch 128 --layout.remat input`). The step as `fit` runs it is
compiled ahead of time for real devices, of which none need be here, by what `make compilers`
installs: libtpu for v5e:AxB, v6e:AxB, v5p:AxBxC and tpu7x:AxBxC, the CUDA plugin for h100:N and
h200:N. The table says what one device must hold, which collectives a step has, and whether it fits.
Unless told otherwise the layout is fsdp over all devices.

All layers are compiled, which takes minutes: what one and two of them need foretells too little of
24, by up to two fifths (LOG.md, 28 November).
"""

import dataclasses
import math
import os
import re
import sys
import time

import jax
import jax.numpy as jnp
import rich
import rich.box
import rich.console
import rich.table
import tyro
from jax.sharding import Mesh

from model.lm import LM, shapes
from model.preset import SIZES, preset
from train.mesh import Layout, placed, spread
from train.objective import PIECE
from train.pretrain import concrete, exactly, find, option, run
from train.recipe import Recipe, numbers
from train.step import Span, abstract, chunk

GIB = 2**30
# Memory of one device, as JAX counts devices: a TPU7x chip is two of them. Makers' data sheets, but
# for v5e and v6e what XLA lets a program have of their 16 and 32 GiB.
HBM = {
    "TPU v5 lite": 63 * GIB // 4,
    "TPU v5": 95 * GIB,
    "TPU v6 lite": 125 * GIB // 4,
    "TPU7x": 96 * GIB,
    "NVIDIA H100": 80_000_000_000,
    "NVIDIA H200": 141_000_000_000,
}
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
STEPS = 20  # of one call, as `fit` makes them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compiled."""

    model: LM
    T: int
    recipe: Recipe


TOPOLOGIES = "what to compile for, each v5e:AxB, v6e:AxB, v5p:AxBxC, tpu7x:AxBxC, h100:N or h200:N"
LENGTH, RECIPE = 2048, Recipe(steps=30_000, batch=256)  # of a preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one device holds, in bytes, and the collectives in the program's text."""

    topology: str
    devices: int
    kind: str
    state: int  # parameters, moments, batches
    total: int
    collectives: dict[str, int] | None  # None where no program fits
    seconds: float

    @property
    def fits(self) -> bool:
        return self.total <= HBM[self.kind]


def main() -> None:
    name, *rest = sys.argv[1:] or [""]
    if name.rpartition("-")[2] in SIZES:
        spec = Plan(model=preset(name), T=LENGTH, recipe=RECIPE)
    else:
        found = find(name, "pretrain_spec", also=tuple(SIZES))
        spec = Plan(model=found.model, T=found.corpus.T, recipe=found.recipe)
    model = concrete(spec.model)
    fields = [
        ("model", type(model), model),
        ("T", option(int, "tokens of a row"), spec.T),
        ("recipe", Recipe, spec.recipe),
        ("layout", Layout, Layout()),
        ("topology", option(tuple[str, ...], TOPOLOGIES), ("v5e:4x8",)),
        ("members", option(int, "how many train together, as in an ensemble"), 1),
    ]
    launch = dataclasses.make_dataclass(name, fields, frozen=True)
    asked = tyro.cli(
        tyro.conf.AvoidSubcommands[launch], prog=f"python -m train.plan {name}",
        description=__doc__.partition("\n")[0], args=rest,
    )  # fmt: skip
    plan = Plan(model=exactly(asked.model), T=asked.T, recipe=asked.recipe)
    rows = []
    for topology in asked.topology:  # minutes each: what is known is shown at once
        rows.append(compiled(plan, topology, asked.layout, asked.members))
        show(plan, rows)


def show(plan: Plan, rows: list[Row]) -> None:
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes(plan.model)))
    print(f"{size / 1e6:,.0f}M parameters, batches of {plan.recipe.batch} x {plan.T} tokens")
    grid = rich.table.Table(
        "topology", "devices", "state", "in all", "of", "fits", "collectives", "compiled in",
        box=rich.box.SIMPLE_HEAD,
    )  # fmt: skip
    for row in rows:
        gib = lambda n: f"{n / GIB:.2f} GiB"
        found = ", ".join(f"{n} {name}" for name, n in (row.collectives or {}).items())
        fits = "yes" if row.fits else "no: more devices, --layout.remat input, --layout.accumulate"
        grid.add_row(
            row.topology, f"{row.devices} x {row.kind}", gib(row.state), gib(row.total),
            gib(HBM[row.kind]), fits,
            "unknown" if row.collectives is None else found or "none", f"{row.seconds:.0f} s",
        )  # fmt: skip
    console = rich.console.Console()
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own
    console.print(grid)


def compiled(plan: Plan, topology: str, layout: Layout = Layout(), members: int = 1) -> Row:
    """The step compiled for a topology; Layout() stands for fsdp over all of its devices.

    ValueError: an unknown topology, no compiler for it, or a layout that does not divide.
    """
    devices = _devices(topology)
    if layout.sizes == Layout().sizes:
        layout = dataclasses.replace(layout, fsdp=len(devices))
    layout.check(members, plan.recipe.batch, plan.T)
    mesh, started = layout.mesh(devices), time.perf_counter()
    named = devices[0].device_kind
    kind = next((kind for kind in HBM if named.startswith(kind)), None)
    if kind is None:
        raise ValueError(f"what a {named} holds is not in HBM of train/plan.py; add it there")
    print(f"{topology}: compiling {plan.model.layers} layers", file=sys.stderr, flush=True)
    needs = _needs(plan, layout, mesh, members)
    state, total = needs.pop("state"), needs.pop("total")
    return Row(
        topology=topology, devices=mesh.size, kind=kind, state=state, total=total,
        collectives={name: n for name, n in sorted(needs.items()) if n} if needs else None,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def _needs(plan: Plan, layout: Layout, mesh: Mesh, members: int) -> dict[str, int]:
    """Bytes of a device as `state` and `total`, and how often each collective is in the program.

    TPU compilers refuse what does not fit: then the program is not there, but its size is.
    """
    step = chunk(plan.model, plan.recipe, layout, mesh)
    given = arguments(plan, members, mesh)
    parts = [(leaf.sharding.shard_shape(leaf.shape), leaf.dtype) for leaf in jax.tree.leaves(given)]
    state = sum(math.prod(shape) * dtype.itemsize for shape, dtype in parts)
    with jax.set_mesh(mesh):
        lowered = step.lower(*given)
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        whole = re.search(r"Used ([\d.]+)([GM]) of [\d.]+[GM] hbm", str(error))
        more = re.search(r"HLO temporaries \(([\d.]+)([GM])\) exceeds", str(error))
        if not (used := whole or more):
            raise
        total = int(float(used[1]) * {"G": GIB, "M": 2**20}[used[2]]) + (0 if whole else state)
        return {"state": state, "total": total}
    m = program.memory_analysis()
    total = m.argument_size_in_bytes + m.temp_size_in_bytes + m.output_size_in_bytes
    calls = re.findall(rf" ({'|'.join(COLLECTIVES)})(?:-start)?\(", program.as_text())
    own = {"state": state, "total": total - m.alias_size_in_bytes}
    return own | {name: calls.count(name) for name in COLLECTIVES}


def arguments(plan: Plan, members: int, mesh: Mesh | None) -> tuple:
    """Abstract arguments of the step, each where it lies."""
    state, frozen = abstract(plan.model, plan.recipe, members)
    S, B, T = members, plan.recipe.batch, plan.T
    array = lambda shape, dtype="float32": jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    rows = (S, STEPS, B, T)
    batches = {"tokens": array(rows, "int32"), "weights": array(rows)}
    batches["segments"] = array(rows, "int32")
    span = Span(batches, array((S, STEPS)), array((S,), "int32"), array((S,), "int32"))
    constants = {name: array((S,)) for name in numbers(plan.recipe.optimizer)}
    if mesh is None:
        return state, frozen, constants, span
    lay = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    place = lambda tree: jax.tree.map(lay, tree, placed(tree, mesh))
    span = jax.tree.map(lay, span, spread(span, mesh))
    return place(state), place(frozen), place(constants), span


def _devices(topology: str) -> list:
    """The devices of a topology that need not be here."""
    from jax.experimental import topologies

    kind, _, shape = topology.partition(":")
    try:
        if kind in _GPUS:
            config = _GPU.format(name=_GPUS[kind], memory=HBM[_GPUS[kind]])
            found = topologies.get_topology_desc(
                platform="cuda", target_config=config, topology=f"1x1x{int(shape or 1)}"
            )
        else:
            # The machine is no TPU's host: libtpu must not look for one, nor lock others out.
            os.environ |= {
                "TPU_SKIP_MDS_QUERY": "1",
                "TPU_ACCELERATOR_TYPE": "v5litepod-4",
                "TPU_WORKER_HOSTNAMES": "localhost",
                "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            }
            found = topologies.get_topology_desc(topology, platform="tpu")
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        raise ValueError(
            f"no topology {topology!r}: v5e:4x8, v6e:2x2, v5p:2x2x1, tpu7x:2x2x1, h100:8 and "
            f"h200:1 are some ({str(error).splitlines()[0][:120]})"
        ) from error
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(f"no compiler for {topology} here: make compilers") from error
    return list(found.devices)


def memory(cfg: LM, B: int, T: int) -> tuple[int, int]:
    """Bytes of one member, estimated from shapes: (held all the time, used within a step).

    Held are parameters and two moments; used are the gradient and the updated copy, and what the
    backward pass needs of each token: per block about 24 D + 4 F values, and logits twice.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes(cfg)))
    width = {"float32": 4, "bfloat16": 2}[cfg.dtype]
    logits = min(2 * cfg.W * B * T * 4, 2 * 4 * PIECE)
    block = (24 * cfg.D + 4 * cfg.width) * width
    return 12 * size, 8 * size + B * T * cfg.layers * block + logits


_GPUS = {"h100": "NVIDIA H100", "h200": "NVIDIA H200"}
# XLA's description of a target, enough to compile for a Hopper that is not there.
_GPU = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: 3350000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  device_vendor: "NVIDIA Corporation" name: "{name}"
  driver_version: "13.0.0" runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}"
"""


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    run(main, "pretrain_spec")
