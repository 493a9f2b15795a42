"""Speed of the op: `python -m kernels.gla.bench [CASE ...] [--torch PYTHON] [--static]`.

A table of implementation x case, forward and forward+backward, medians in milliseconds, with the
ratio to `chunk` (above 1: slower than it). Beside it softmax attention with heads as wide as V,
causal, from jax.nn and, where an interpreter has torch (`--torch`, or this one), torch's; on CUDA
also flash-linear-attention's chunk_gla. On an accelerator each row has the floor, the time that the
fewest bytes and operations take at the chip's peak, and what was achieved. `--static` prints
instead what the TPU and Hopper compilers say of the Pallas kernels, on any machine.
"""

import argparse
import functools
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from kernels.gla import IMPLEMENTATIONS, gla, static
from kernels.gla.cases import BENCHMARKS, Case

# Dense bfloat16 TFLOP/s and GB/s of a chip, for the floor; from the makers' data sheets.
PEAKS = {
    "NVIDIA H200": (989, 4800),
    "NVIDIA H100 80GB HBM3": (989, 3350),
    "TPU v5 lite": (197, 820),
    "TPU v5": (459, 2765),
    "TPU v6 lite": (918, 1640),
    "TPU7x": (2307, 7380),
}
CHUNK = 64  # of the operation count: what the chunkwise form needs, whoever runs it


def flops(case: Case) -> tuple[int, int]:
    """Operations of forward, and of forward+backward, in the chunkwise form."""
    K, V = case.K, case.V
    forward = 2 * CHUNK * (K + V) + 4 * K * V
    return forward * case.tokens, (forward + CHUNK * (6 * K + 4 * V) + 10 * K * V) * case.tokens


def bytes_moved(case: Case, itemsize: int) -> tuple[int, int]:
    """Fewest bytes of forward, and of forward+backward: inputs read once, outputs written once."""
    forward, backward = 3 * case.K + 2 * case.V, 6 * case.K + 3 * case.V
    return forward * itemsize * case.tokens, (forward + backward) * itemsize * case.tokens


def rows(case: Case, torch: str | None) -> Iterator[tuple[str, float, float]]:
    """(implementation, forward ms, forward+backward ms) of everything that runs here."""
    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    x = {name: jnp.asarray(array) for name, array in case.inputs().items()}
    q, k, v, do = (x[name].astype(dtype) for name in ("q", "k", "v", "do"))
    for impl in IMPLEMENTATIONS:
        op = functools.partial(gla, segment_ids=x.get("segment_ids"), impl=impl)
        try:
            yield impl, *_timed(lambda *a, op=op: op(*a)[0], (q, k, v, x["g"].astype(dtype)), do)
        except NotImplementedError as reason:
            print(f"  {reason}", file=sys.stderr)
    attention = functools.partial(jax.nn.dot_product_attention, is_causal=True)
    yield "jax.nn attention", *_timed(attention, (do, do, v), do)
    if jax.default_backend() == "gpu":
        cudnn = functools.partial(attention, implementation="cudnn")
        yield "jax.nn attention, cudnn", *_timed(cudnn, (do, do, v), do)
    if torch is not None:
        yield from _torch_rows(case, torch)


def _timed(op: Callable, inputs: tuple, do: jax.Array) -> tuple[float, float]:
    def both(do, *inputs):
        o, vjp = jax.vjp(op, *inputs)
        return o, vjp(do)

    return _median(jax.jit(op), inputs), _median(jax.jit(both), (do, *inputs))


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


def _torch_rows(case: Case, python: str) -> Iterator[tuple[str, float, float]]:
    shape = json.dumps([case.B, case.T, case.H, case.K, case.V])
    child = subprocess.run([python, "-c", _TORCH, shape], capture_output=True, text=True)
    if child.returncode:
        print(f"  torch: {child.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    for line in child.stdout.splitlines():
        yield tuple(json.loads(line))


# In a process of its own: torch may live in another environment, and two thread pools fight.
_TORCH = """
import json, statistics, sys, time
import torch
B, T, H, K, V = json.loads(sys.argv[1])
cuda = torch.cuda.is_available()
device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
draw = lambda *s: torch.randn(*s, device=device, dtype=dtype, requires_grad=True)

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
    forward = milliseconds(lambda: op(*inputs))
    both = milliseconds(lambda: torch.autograd.grad(op(*inputs), inputs, do))
    print(json.dumps([name, forward, both]), flush=True)

sdpa = lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
report("torch attention", sdpa, [draw(B, H, T, V) for _ in range(3)], draw(B, H, T, V).detach())
try:
    from fla.ops.gla import chunk_gla
except ImportError:
    sys.exit()
gates = torch.nn.functional.logsigmoid(torch.randn(B, T, H, K, device=device)).clamp_min(-5)
gates = gates.to(dtype).requires_grad_()
inputs = [draw(B, T, H, K), draw(B, T, H, K), draw(B, T, H, V), gates]
op = lambda q, k, v, g: chunk_gla(q, k, v, g)[0]
report("fla chunk_gla", op, inputs, draw(B, T, H, V).detach())
"""


def _print_case(name: str, case: Case, torch: str | None) -> None:
    device = jax.devices()[0].device_kind
    sizes = f"B{case.B} T{case.T} H{case.H} K{case.K} V{case.V}, gate {case.gate_shape}"
    print(f"\n{name}: {sizes}, {device}")
    print(f"{'':26}{'forward':>9}{'ratio':>7}{'fwd+bwd':>10}{'ratio':>7}", end="")
    accelerated = device in PEAKS
    print(f"{'floor':>9}{'x floor':>9}{'GB/s':>7}{'TFLOP/s':>9}" if accelerated else "")
    table = list(rows(case, torch))
    base = next(row for row in table if row[0] == "chunk")
    for impl, forward, both in table:
        print(
            f"{impl:26}{forward:9.2f}{forward / base[1]:7.2f}{both:10.2f}{both / base[2]:7.2f}",
            end="",
        )
        if accelerated:
            peak, bandwidth = PEAKS[device]
            work, moved = flops(case)[1], bytes_moved(case, 2)[1]
            floor = 1e3 * max(work / peak / 1e12, moved / bandwidth / 1e9)
            rates = f"{moved / both / 1e6:7.0f}{work / both / 1e9:9.1f}"
            print(f"{floor:9.3f}{both / floor:9.1f}{rates}", end="")
        print(flush=True)
    memory = jax.devices()[0].memory_stats()
    if memory:
        print(f"peak memory {memory['peak_bytes_in_use'] / 2**20:.0f} MiB")


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
        return _print_static()
    if unknown := set(options.cases) - set(BENCHMARKS):
        parser.error(f"unknown case {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    torch = options.torch or (sys.executable if importlib.util.find_spec("torch") else None)
    small = jax.default_backend() == "cpu"
    named = options.cases or [name for name, case in BENCHMARKS.items() if small == (case.K < 64)]
    for name in named:
        _print_case(name, BENCHMARKS[name], torch)


if __name__ == "__main__":
    main()
