"""How fast a step is, beside what this machine can do: `python -m train.bench [--mixer softmax]`.

For each size: tokens/s of the training step as `fit` runs it, and its share of the float32
matrix-product peak, measured in turns with it: the best of each counts. Operations of a step are

    tokens x (6 x parameters in matrices + 3 x mixer)

where the matrices are all parameters named w, the embedding counted once, as the output layer;
the mixer's forward operations a token are its own formula (`flops`), and a backward pass costs
twice a forward one. Norms, activations, the loss and the optimizer count as nothing. Memory is the
program's own: state, batches and what it needs besides. Input is the share of the step's time that
making its rows on one core takes.

`--torch PYTHON`, an interpreter that has torch and transformers, adds Hugging Face's GPT-2 with as
many parameters (its inner width makes up the difference), trained by fused AdamW on rows of the
same shape, in a process of its own that takes turns with ours.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import rich.console
import rich.table
import tyro

from data.bench import DEFAULT as CORPUS
from data.stream import stream
from model.gla import GLA
from model.lm import LM, shapes
from model.softmax import Softmax
from train.recipe import Recipe
from train.step import Span, begin, chunk, constants, divided, keys, parameters

SIZES = {  # W, D, layers, T, B
    "toy": (900, 128, 2, 64, 32),
    "medium": (8192, 512, 6, 256, 8),
}
MIXERS = {"gla": GLA(heads=4), "softmax": Softmax(heads=4)}
ROUNDS, SECONDS = 5, 2.0  # of the peak and of the step in turns, so many seconds each
PEAK = 2048  # rows and columns of the product that sets the peak


def main(
    sizes: tuple[Literal["toy", "medium"], ...] = ("toy", "medium"),
    mixer: Literal["gla", "softmax"] = "gla",
    members: int = 1,
    torch: str | None = None,
) -> None:
    """Time a training step beside what this machine can do, and print the table.

    Args:
        sizes: of the model and its batch, each a line of the table
        mixer: of every layer
        members: how many train together, as in an ensemble
        torch: an interpreter with torch and transformers, whose GPT-2 takes turns with ours
    """
    if members < 1:
        raise ValueError(f"members={members} must be at least 1")
    table = rich.table.Table(
        "size", "compile s", "ms a step", "tokens/s", "peak", "share", "memory", "input", "GPT-2"
    )
    for name in sizes:
        W, D, layers, T, B = SIZES[name]
        cfg = LM(W=W, D=D, layers=layers, mixer=MIXERS[mixer])
        found = measure(cfg, T, B, members, torch)
        speed, done = members * B * T / found.step, flops(cfg, T, B) * members
        rival = (
            found.rival and f"{B * T / found.rival:,.0f}; ours {speed * found.rival / B / T:.2f}x"
        )
        table.add_row(
            f"{name}: D={D} layers={layers} T={T} B={B}",
            f"{found.compiling:.1f}",
            f"{found.step * 1e3:.1f}",
            f"{speed:,.0f}",
            f"{found.peak / 1e9:.0f} GFLOP/s",
            f"{done / found.step / found.peak:.0%}",
            f"{found.memory / 2**20:,.0f} MiB",
            f"{members * found.rows / found.step:.1%}",
            rival or "not run",
        )
    rich.print(f"{mixer}, {members} member(s), {jax.default_backend()}, jax {jax.__version__}")
    console = rich.console.Console()
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own
    console.print(table)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Seconds, operations a second, bytes."""

    compiling: float
    step: float
    peak: float
    memory: int
    rows: float  # of making one batch
    rival: float | None  # a step of GPT-2


def flops(cfg: LM, T: int, B: int) -> float:
    """Floating point operations of one step, by the formula above."""
    leaves = jax.tree_util.tree_leaves_with_path(shapes(cfg))
    matrices = sum(leaf.size for path, leaf in leaves if path[-1].key == "w")
    if not cfg.tied:
        matrices -= cfg.W * cfg.D  # the lookup multiplies nothing
    mixers = sum(mixer.flops(cfg.D, T) for mixer in cfg.mixers)
    return B * T * (6 * matrices + 3 * mixers)


def measure(cfg: LM, T: int, B: int, members: int, torch: str | None = None) -> Found:
    """The step, the peak, the rows and the rival, in turns."""
    started = time.perf_counter()
    step, n, memory = _step(cfg, T, B, members)
    step()
    compiling = time.perf_counter() - started
    a = jnp.ones((PEAK, PEAK))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    product(a).block_until_ready()
    text = stream(dataclasses.replace(CORPUS, T=T), B)
    rows = lambda: text[0]
    bare = own = made = other = float("inf")
    with _rival(cfg, T, B, torch) as rival:
        for _ in range(ROUNDS):
            bare = min(bare, _best(lambda: product(a).block_until_ready()))
            own = min(own, _best(step))
            made = min(made, _best(rows, SECONDS / 10))
            other = min(other, rival())
    return Found(
        compiling=compiling - own, step=own / n, peak=2 * PEAK**3 / bare, memory=memory, rows=made,
        rival=None if torch is None else other,
    )  # fmt: skip


def _step(cfg: LM, T: int, B: int, members: int) -> tuple[Callable[[], None], int, int]:
    """What runs the next chunk of n steps on random tokens, n, and the bytes it needs."""
    n = 1 if cfg.D > 256 else 10
    recipe = Recipe(steps=1_000_000, batch=B)
    tokens = jax.random.randint(jax.random.key(0), (members, n, B, T), 0, cfg.W)
    batches = {
        "tokens": tokens,
        "weights": jnp.ones(tokens.shape),
        "segments": jnp.broadcast_to(1 + jnp.arange(T) // 16, tokens.shape),
    }
    own = constants((recipe,) * members)
    seeds = tuple(range(members))
    trained, still = divided(parameters(cfg, seeds), (recipe,) * members, keys(seeds))
    state, done = begin(recipe, trained), 0
    rates = jnp.full((members, n), 1e-3)
    span = lambda: Span(batches, rates, jnp.full(members, done), jnp.full(members, n))
    run = chunk(cfg, recipe).lower(state, still, own, span()).compile()
    m = run.memory_analysis()
    memory = m.argument_size_in_bytes + m.temp_size_in_bytes

    def steps() -> None:
        nonlocal state, done
        state, metrics = run(state, still, own, span())
        metrics.loss.block_until_ready()
        done += n

    return steps, n, memory


@contextlib.contextmanager
def _rival(cfg: LM, T: int, B: int, python: str | None) -> Iterator[Callable[[], float]]:
    """What runs GPT-2 for a while and gives the seconds of its best step."""
    if python is None:
        yield lambda: float("inf")
        return
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes(cfg)))
    problem = json.dumps([cfg.W, cfg.D, cfg.layers, T, B, size, SECONDS])
    pipe = subprocess.PIPE
    failed = ValueError(f"{python} cannot run GPT-2; it needs torch and transformers")
    try:
        child = subprocess.Popen(
            [python, "-c", _GPT2, problem], stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
    except OSError as error:
        raise failed from error

    def turn() -> float:
        try:
            child.stdin.write("go\n")
            return float(child.stdout.readline())
        except (OSError, ValueError) as error:  # it is dead, or dies of this turn
            raise failed from error

    try:
        yield turn
    finally:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        child.wait()


_GPT2 = """
import json, sys, time
import torch
from transformers import GPT2Config, GPT2LMHeadModel
W, D, layers, T, B, size, seconds = json.loads(sys.argv[1])
def gpt2(inner):
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=W, n_positions=T, n_embd=D, n_layer=layers, n_head=4, n_inner=inner,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0,
    ))
count = lambda model: sum(p.numel() for p in model.parameters())
inner = 4 * D + round((size - count(gpt2(4 * D))) / (layers * (2 * D + 1)))
model = gpt2(inner)
print(f"GPT-2: {count(model):,} parameters, ours {size:,}; inner width {inner}", file=sys.stderr)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
tokens = torch.randint(0, W, (B, T))
def step():
    loss = model(tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    loss.item()
step()
for _ in sys.stdin:
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    print(best, flush=True)
"""


def _best(function: Callable[[], Any], seconds: float = SECONDS) -> float:
    """The shortest of the runs that fit into the time: others share this machine."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    try:
        tyro.cli(main, prog="python -m train.bench")
    except ValueError as error:
        sys.exit(f"error: {error}")
