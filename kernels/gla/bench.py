"""Speed of the op: `python -m kernels.gla.bench [CASE ...] [--torch PYTHON] [--static]`.

A table of implementation x case, forward and forward+backward, medians in milliseconds, with the
ratio to `chunk` (above 1: slower than it). Beside it causal softmax attention with heads as wide as
V, jax.nn's and, where an interpreter has torch (`--torch`, or this one), torch's; on CUDA also
flash-linear-attention's chunk_gla, on the same numbers. On an accelerator of `PEAKS` each row has
its ratio to the floor of the chunkwise form at C=64, the time that its bytes or operations take at
the chip's peaks, and the bytes and operations a second that forward+backward achieved. `--static`
prints instead what the TPU and Hopper compilers say of the Pallas kernels, on any machine.
"""

import argparse
import functools
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from kernels.gla import IMPLEMENTATIONS, cases, gla, static
from kernels.gla.cases import BENCHMARKS, Case

# Dense bfloat16 TFLOP/s and GB/s of a device, for the floor; from the makers' data sheets. A TPU7x
# chip is two devices to JAX.
PEAKS = {
    "NVIDIA H200": (989, 4800),
    "NVIDIA H100 80GB HBM3": (989, 3350),
    "TPU v5 lite": (197, 820),
    "TPU v5": (459, 2765),
    "TPU v6 lite": (918, 1640),
    "TPU7x": (1153.5, 3690),
}
CHUNK = 64  # C of the operation count, whatever chunks an implementation takes


def flops(case: Case) -> tuple[int, int]:
    """Operations of forward, and of forward+backward, in the chunkwise form with whole squares of
    scores: half of each is masked, and shorter chunks have less of it."""
    K, V = case.K, case.V
    forward = 2 * CHUNK * (K + V) + 4 * K * V
    return forward * case.tokens, (forward + CHUNK * (6 * K + 4 * V) + 10 * K * V) * case.tokens


def bytes_moved(case: Case, itemsize: int) -> tuple[int, int]:
    """Fewest bytes of forward, and of forward+backward: inputs read once, outputs written once."""
    forward, backward = 3 * case.K + 2 * case.V, 6 * case.K + 3 * case.V
    return forward * itemsize * case.tokens, (forward + backward) * itemsize * case.tokens


def floor(case: Case, device: str, itemsize: int = 2) -> tuple[float, float]:
    """Milliseconds of forward, and of forward+backward, in the chunkwise form at C=64 by the bytes
    or by the operations, whichever take longer at the peaks of a device of PEAKS."""
    peak, bandwidth = PEAKS[device]
    pairs = zip(flops(case), bytes_moved(case, itemsize), strict=True)
    return tuple(max(work / peak / 1e9, moved / bandwidth / 1e6) for work, moved in pairs)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Milliseconds, and MiB that forward+backward holds by XLA's account (None: unknown)."""

    impl: str
    forward: float
    both: float
    memory: float | None = None


def rows(name: str, torch: str | None) -> Iterator[Row]:
    """Everything that runs here on a case of BENCHMARKS; the rest gives its reason to stderr."""
    case = BENCHMARKS[name]
    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    x = {name: jnp.asarray(array) for name, array in case.inputs().items()}
    q, k, v, g, do = (x[name].astype(dtype) for name in ("q", "k", "v", "g", "do"))
    attention = functools.partial(jax.nn.dot_product_attention, is_causal=True)
    gla_of = lambda impl: lambda *a: gla(*a, segment_ids=x.get("segment_ids"), impl=impl)[0]
    candidates = [(impl, gla_of(impl), (q, k, v, g)) for impl in IMPLEMENTATIONS]
    candidates.append(("jax.nn attention", attention, (do, do, v)))
    if jax.default_backend() == "gpu":
        cudnn = functools.partial(attention, implementation="cudnn")
        candidates.append(("jax.nn attention, cudnn", cudnn, (do, do, v)))
    for impl, op, inputs in candidates:
        try:
            yield _timed(impl, op, inputs, do)
        # What a library cannot run (a width, a chip, more memory than there is) ends its row only.
        except (NotImplementedError, ValueError, RuntimeError) as reason:
            print(f"  {impl}: {str(reason).splitlines()[0]}", file=sys.stderr)
    if torch is not None:
        yield from _torch_rows(name, torch)


def _timed(impl: str, op: Callable, inputs: tuple, do: jax.Array) -> Row:
    def both(do, *inputs):
        o, vjp = jax.vjp(op, *inputs)
        return o, vjp(do)

    forward = jax.jit(op).lower(*inputs).compile()
    both = jax.jit(both).lower(do, *inputs).compile()
    used = both.memory_analysis()
    held = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    times = _median(forward, inputs), _median(both, (do, *inputs))
    return Row(impl=impl, forward=times[0], both=times[1], memory=held / 2**20)


def _median(run: Callable, arguments: tuple, seconds: float = 2.0) -> float:
    """Milliseconds a call. An accelerator gets its calls in batches, over copies of the arguments
    that together do not fit its cache, so that neither dispatch nor reuse counts."""
    size = sum(x.nbytes for x in arguments)
    on_cpu = jax.default_backend() == "cpu"
    copies = (
        [arguments]
        if on_cpu
        else [jax.tree.map(jnp.copy, arguments) for _ in range(1 + 2**28 // size)]
    )
    jax.block_until_ready(run(*arguments))
    times, start = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < seconds and len(times) < 100):
        begin = time.perf_counter()
        jax.block_until_ready([run(*copy) for copy in copies])
        times.append((time.perf_counter() - begin) / len(copies))
    return 1e3 * statistics.median(times)


def _torch_rows(name: str, python: str) -> Iterator[Row]:
    command = [python, "-c", _TORCH, str(pathlib.Path(cases.__file__)), name]
    try:
        child = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        print(f"  torch: {python} does not run ({error})", file=sys.stderr)
        return
    if child.returncode:
        last = (child.stderr.strip() or f"exit status {child.returncode}").splitlines()[-1]
        print(f"  torch: {last}", file=sys.stderr)
    for line in child.stdout.splitlines():
        impl, forward, both, memory = json.loads(line)
        yield Row(impl=impl, forward=forward, both=both, memory=memory)


# In a process of its own: torch may live in another environment, and two thread pools fight.
_TORCH = """
import json, runpy, statistics, sys, time
import torch
case = runpy.run_path(sys.argv[1])["BENCHMARKS"][sys.argv[2]]
B, T = case.B, case.T
cuda = torch.cuda.is_available()
device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
arrays = case.inputs()  # the same numbers as in JAX
tensor = lambda name: torch.tensor(arrays[name], device=device, dtype=dtype)
q, k, v, g, do = map(tensor, ("q", "k", "v", "g", "do"))

def milliseconds(run):
    if cuda:
        from triton.testing import do_bench
        return do_bench(run, return_mode="median")
    run()
    times = []
    for _ in range(3 if B * T > 8192 else 20):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)

def report(name, op, inputs, do):
    inputs = [x.detach().requires_grad_() for x in inputs]
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    forward = milliseconds(lambda: op(*inputs))
    both = milliseconds(lambda: torch.autograd.grad(op(*inputs), inputs, do))
    memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
    print(json.dumps([name, forward, both, memory]), flush=True)

heads_first = lambda x: x.transpose(1, 2).contiguous()
sdpa = lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
report("torch attention", sdpa, [heads_first(x) for x in (do, do, v)], heads_first(do))
if cuda:
    try:
        from fla.ops.gla import chunk_gla
    except ImportError:
        sys.exit("flash-linear-attention is not installed beside torch")
    report("fla chunk_gla", lambda q, k, v, g: chunk_gla(q, k, v, g)[0], [q, k, v, g], do)
"""


def _print_case(name: str, device: str, found: list[Row]) -> None:
    """The table of one case; on a device of PEAKS with the floor and what was achieved."""
    case = BENCHMARKS[name]
    sizes = f"B{case.B} T{case.T} H{case.H} K{case.K} V{case.V}, gate {case.gate_shape}"
    print(f"\n{name}: {sizes}, {device}")
    print(f"{'':26}{'forward':>9}{'ratio':>7}{'fwd+bwd':>10}{'ratio':>7}{'MiB':>8}", end="")
    print(f"{'x floor':>9}{'x floor':>9}{'GB/s':>7}{'TFLOP/s':>9}" if device in PEAKS else "")
    base = next((row for row in found if row.impl == "chunk"), None)
    for row in found:
        ratios = "-", "-"
        if base is not None:
            ratios = f"{row.forward / base.forward:.2f}", f"{row.both / base.both:.2f}"
        print(f"{row.impl:26}{row.forward:9.2f}{ratios[0]:>7}", end="")
        print(f"{row.both:10.2f}{ratios[1]:>7}", end="")
        print(f"{'':8}" if row.memory is None else f"{row.memory:8.0f}", end="")
        if device in PEAKS:
            fastest, work, moved = floor(case, device), flops(case)[1], bytes_moved(case, 2)[1]
            print(f"{row.forward / fastest[0]:9.1f}{row.both / fastest[1]:9.1f}", end="")
            print(f"{moved / row.both / 1e6:7.0f}{work / row.both / 1e9:9.1f}", end="")
        print(flush=True)
    if device in PEAKS:
        forward, both = floor(case, device)
        print(f"floor of the chunkwise form at C=64, {device}: {forward:.3f}, {both:.3f} ms")


def _print_static() -> None:
    shapes = [(128, 256), (128, 128), (64, 64), (256, 512)]
    cases = [Case(B=2, T=4096, H=4, K=K, V=V) for K, V in shapes]
    for report, chips in ((static.tpu, static.CHIPS), (static.gpu, ["h200"])):
        problems = [static.Problem(chip=chip, case=case) for chip in chips for case in cases]
        try:
            table = report(problems)
        except ImportError as reason:
            print(reason, file=sys.stderr)
            continue
        for row in table:
            shown = {n: x for n, x in row.items() if n not in vars(Case()) or n in "KV"}
            print("  ".join(f"{name} {value}" for name, value in shown.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(BENCHMARKS))
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has torch")
    parser.add_argument("--static", action="store_true", help="the compilers' reports, no run")
    options = parser.parse_args()
    if options.static:
        if options.cases or options.torch:
            parser.error("--static has cases of its own, and runs nothing; give it alone")
        return _print_static()
    if unknown := set(options.cases) - set(BENCHMARKS):
        parser.error(f"unknown case {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    torch = options.torch or (sys.executable if importlib.util.find_spec("torch") else None)
    small = jax.default_backend() == "cpu"
    named = options.cases or [name for name, case in BENCHMARKS.items() if small == (case.K < 64)]
    for name in named:
        _print_case(name, jax.devices()[0].device_kind, list(rows(name, torch)))


if __name__ == "__main__":
    main()
