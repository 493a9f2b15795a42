"""What the device compilers say of the Pallas kernels, on a machine that has neither device.

TPU: libtpu compiles ahead of time for a topology and dumps the final schedule. A bundle is one VLIW
instruction; the count per token and head is the fast path's, outside every loop within a grid step,
without waits for memory. GPU: the CUDA plugin compiles for sm_90a; ptxas tells registers and
spills.

Both compilers read their options once, so each report is made by a child process: `tpu` and `gpu`
start one, give it the problems on stdin and read a JSON line per kernel.
"""

import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp

from kernels.gla.cases import Case
from kernels.gla.operation import hide, reveal

CHIPS = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2", "tpu7x": "tpu7x:2x2x1"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Shapes and dtypes to compile for; `chip` is a name of CHIPS, or "h200"."""

    chip: str
    case: Case
    dtype: str = "bfloat16"  # of q, k, v
    gate_dtype: str = "bfloat16"


def tpu(problems: Sequence[Problem]) -> list[dict]:
    """A row per problem and direction: bundles, per_token_head, slow, spills, fills, temporary
    bytes.

    RuntimeError with the compiler's message when a compile fails; ImportError without libtpu.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError("libtpu is not installed here; pip install libtpu==0.0.50.1")
    flags = "--xla_jf_dump_to={} --xla_jf_dump_llo_text=true"
    environment = {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    return _child(
        "tpu", problems, environment, lambda dump: {"LIBTPU_INIT_ARGS": flags.format(dump)}
    )


def gpu(problems: Sequence[Problem]) -> list[dict]:
    """A row per problem, direction and kernel: registers, spill_stores, spill_loads, shared bytes.

    RuntimeError with the compiler's message when a compile fails; ImportError without the CUDA
    plugin.
    """
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        raise ImportError(
            "the CUDA plugin is not installed here; pip install jax-cuda13-plugin jax-cuda13-pjrt"
        )
    environment = {"MOSAIC_GPU_DUMP_PTXAS": "1"}
    return _child("gpu", problems, environment, lambda dump: {"MOSAIC_GPU_DUMP_TO": dump})


def _child(
    kind: str, problems: Sequence[Problem], environment: dict, dumping: Callable
) -> list[dict]:
    with tempfile.TemporaryDirectory() as dump:
        child = subprocess.run(
            [sys.executable, "-m", "kernels.gla.static", kind, dump],
            input=json.dumps([asdict(problem) for problem in problems]),
            env={**os.environ, "JAX_PLATFORMS": "cpu", **environment, **dumping(dump)},
            cwd=pathlib.Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
    if child.returncode:
        raise RuntimeError(
            f"the {kind} compile failed:\n{child.stdout[-2000:]}\n{child.stderr[-4000:]}"
        )
    marked = (
        line.removeprefix(_MARK) for line in child.stdout.splitlines() if line.startswith(_MARK)
    )
    return [json.loads(line) for line in marked]


_MARK = "kernels.gla.static: "  # the compilers write to stdout too


def _main(kind: str, dump: pathlib.Path) -> None:
    for problem in json.load(sys.stdin):
        problem = Problem(**{**problem, "case": Case(**_tuples(problem["case"]))})
        for direction, function, arguments in _directions(kind, problem):
            for file in dump.iterdir():
                file.unlink()
            lowered, compiled = (_tpu_compile if kind == "tpu" else _gpu_compile)(
                function, arguments, problem.chip
            )
            for row in (_tpu_rows if kind == "tpu" else _gpu_rows)(dump, lowered, problem.case):
                memory = compiled.memory_analysis().temp_size_in_bytes
                name = {"chip": problem.chip, **asdict(problem.case), "dtype": problem.dtype}
                print(
                    _MARK + json.dumps({**name, "direction": direction, **row, "temporary": memory})
                )


def _tuples(fields: dict) -> dict:
    return {name: tuple(x) if isinstance(x, list) else x for name, x in fields.items()}


def _directions(kind: str, problem: Problem) -> Iterator[tuple[str, Callable, tuple]]:
    """Forward, and backward from an abstract residual: (name, function, abstract arguments)."""
    if kind == "tpu":
        from kernels.gla import pallas_tpu as module
    else:
        from kernels.gla import pallas_gpu as module
    case, shape = problem.case, jax.ShapeDtypeStruct
    sizes = {"B": case.B, "T": case.T, "H": case.H, "K": case.K, "1": 1}
    q = shape((case.B, case.T, case.H, case.K), jnp.dtype(problem.dtype))
    v = shape((case.B, case.T, case.H, case.V), jnp.dtype(problem.dtype))
    g = shape(tuple(sizes[letter] for letter in case.gate_shape), jnp.dtype(problem.gate_dtype))
    state = shape((case.B, case.H, case.K, case.V), jnp.float32)
    ids = shape((case.B, case.T), jnp.int32) if case.segments else None

    def forward(q, k, v, g, state, ids):
        out, residual = module.forward(q, k, v, g, case.K**-0.5, state, ids)
        return out, hide(residual)

    def backward(residual, do, dfinal):
        return module.backward(reveal(residual), do, dfinal)

    arguments = (q, q, v, g, state, ids)
    yield "forward", forward, arguments
    (o, final), residual = jax.eval_shape(forward, *arguments)
    yield "backward", backward, (residual, o, final)


# ---- TPU


def _tpu_compile(function: Callable, arguments: tuple, chip: str):
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    device = topologies.get_topology_desc(CHIPS[chip], platform="tpu").devices[0]
    placed = _placed(arguments, SingleDeviceSharding(device))
    traced = jax.jit(function).trace(*placed)
    return traced, traced.lower(lowering_platforms=("tpu",)).compile()


def _tpu_rows(dump: pathlib.Path, traced, case: Case) -> Iterator[dict]:
    """One row: the Pallas kernel of this program, told from XLA's own fusions as a custom call."""
    steps = _grid_steps(traced.jaxpr)
    schedules = {
        path: path.read_text() for path in dump.glob("*schedule-analysis_final_bundles.txt")
    }
    kernels = [path for path, text in schedules.items() if "(100.00%): custom-call" in text]
    assert len(kernels) == 1, f"{len(kernels)} kernels among {[path.name for path in schedules]}"
    operation = re.escape(re.sub(r"\d+-schedule-analysis.*", "", kernels[0].name))
    files = {re.sub(operation + r"\d+-", "", path.name): path for path in dump.iterdir()}
    listing, slots = (
        files["final_bundles.txt"],
        files["final_hlo-static-per-bundle-utilization.txt"],
    )
    depths = _loop_depths(listing.read_text())
    fills, spills = _memory_slots(slots.read_text(), depths)
    fast = sum(depth <= 1 for depth in depths)
    yield {
        "bundles": fast,
        "per_token_head": round(fast * steps / case.tokens, 3),
        "slow": len(depths) - fast,
        "fills": fills,
        "spills": spills,
    }


def _loop_depths(listing: str) -> list[int]:
    """In how many loops each bundle lies: 1 is the loop over the grid, more the slow path's."""
    bundles = re.findall(r"^ *(?:0x)?[0-9a-f]+ +(?:[A-Z]{2})? *: ?(>*)", listing, re.MULTILINE)
    return [len(marks) for marks in bundles]


def _memory_slots(table: str, depths: list[int]) -> tuple[int, int]:
    """Vector loads that fill and stores that spill, on the fast path."""
    head, rows = table.split("== UTILIZATION:")
    columns = [name.strip() for name in head.strip().splitlines()[1].split(",")]
    rows = [
        dict(zip(columns, map(int, row.split()), strict=True)) for row in rows.strip().splitlines()
    ]
    fast = [row for row, depth in zip(rows, depths, strict=False) if depth <= 1]
    return sum(row["VLOAD:FILL"] for row in fast), sum(row["VSTORE:SPILL"] for row in fast)


def _grid_steps(jaxpr) -> int:
    """Steps of the grid of the one pallas_call in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            return math.prod(equation.params["grid_mapping"].grid)
        for inner in equation.params.values():
            if hasattr(inner, "eqns") and (steps := _grid_steps(inner)):
                return steps
    return 0


# ---- GPU


def _gpu_compile(function: Callable, arguments: tuple, chip: str):
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    topology = topologies.get_topology_desc(platform="cuda", target_config=_H200, topology="1x1x1")
    mesh = Mesh(np.array(topology.devices[:1]), ("device",))
    placed = _placed(arguments, NamedSharding(mesh, PartitionSpec()))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        traced = jax.jit(function).trace(*placed)
        return traced, traced.lower().compile()


def _gpu_rows(dump: pathlib.Path, traced, case: Case) -> Iterator[dict]:
    """A row per kernel that this program is the first to compile. Lowering and compiling number
    their files apart: a kernel compiled before, for the forward pass, is only lowered again."""
    for name in sorted({_numbered(report)[0] for report in dump.glob("*.ptxas")}):
        reports, resources = (
            sorted(dump.glob(f"{name}_*{kind}"), key=_numbered)
            for kind in (".ptxas", ".resources.txt")
        )
        for report, resource in zip(reports, resources, strict=True):
            text = report.read_text()
            number = lambda pattern, text=text: int(re.search(pattern, text)[1])
            yield {
                "kernel": report.stem,
                "registers": number(r"Used (\d+) registers"),
                "spill_stores": number(r"(\d+) bytes spill stores"),
                "spill_loads": number(r"(\d+) bytes spill loads"),
                "shared": int(re.search(r"smem_scratch_bytes=(\d+)", resource.read_text())[1]),
            }


def _numbered(file: pathlib.Path) -> tuple[str, int]:
    name, _, number = file.name.split(".")[0].rpartition("_")
    return name, int(number)


# XLA's description of a target, enough to compile for an H200 that is not there.
_H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 151000000000
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  device_vendor: "NVIDIA Corporation" name: "NVIDIA H200"
  driver_version: "13.0.0" runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200"
"""


def _placed(arguments, sharding):
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    return jax.tree.map(place, arguments)


if __name__ == "__main__":
    _main(sys.argv[1], pathlib.Path(sys.argv[2]))
