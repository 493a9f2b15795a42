"""How fast a step is, beside what this machine can do: `python -m train.bench [--mixer softmax]`.

For each size: tokens/s of the training step as `fit` runs it, and its share of the float32
matrix-product peak, measured in turns with it: the best of each counts. Operations of a step are

    tokens x (6 x parameters in matrices + 3 x mixer)

where the matrices are all parameters of two axes, the embedding counted once, as the output layer;
the mixer's forward operations a token are its own formula (`flops`), and a backward pass costs
twice a forward one. Norms, activations, the loss and the optimizer count as nothing.
"""

import time
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import rich.table
import tyro

from model.gla import GLA
from model.lm import LM, shapes
from model.softmax import Softmax
from train.recipe import Recipe
from train.step import Span, begin, chunk, constants, parameters

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
) -> None:
    """Print the table; several `members` train together as in an ensemble."""
    table = rich.table.Table(
        "size", "compile s", "ms a step", "tokens/s", "GFLOP/s", "peak", "share"
    )
    for name in sizes:
        W, D, layers, T, B = SIZES[name]
        cfg = LM(W=W, D=D, layers=layers, mixer=MIXERS[mixer])
        compiling, seconds, top = measure(cfg, T, B, members)
        done = flops(cfg, T, B) * members / seconds
        table.add_row(
            f"{name}: D={D} layers={layers} T={T} B={B}",
            f"{compiling:.1f}",
            f"{seconds * 1e3:.1f}",
            f"{members * B * T / seconds:,.0f}",
            f"{done / 1e9:.0f}",
            f"{top / 1e9:.0f}",
            f"{done / top:.0%}",
        )
    rich.print(f"{mixer}, {members} member(s), {jax.default_backend()}, jax {jax.__version__}")
    rich.print(table)


def flops(cfg: LM, T: int, B: int) -> float:
    """Floating point operations of one step, by the formula above."""
    leaves = jax.tree.leaves(shapes(cfg))
    matrices = sum(leaf.size for leaf in leaves if leaf.ndim == 2)
    if not cfg.tied:
        matrices -= cfg.W * cfg.D  # the lookup multiplies nothing
    mixers = sum(mixer.flops(cfg.D, T) for mixer in cfg.mixers)
    return B * T * (6 * matrices + 3 * mixers)


def measure(cfg: LM, T: int, B: int, members: int) -> tuple[float, float, float]:
    """(seconds of compiling, seconds a step, operations a second of a plain product)."""
    step, n = _step(cfg, T, B, members)
    started = time.perf_counter()
    step()
    compiling = time.perf_counter() - started
    a = jnp.ones((PEAK, PEAK))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    product(a).block_until_ready()
    bare = own = float("inf")
    for _ in range(ROUNDS):
        bare = min(bare, _best(lambda: product(a).block_until_ready()))
        own = min(own, _best(step))
    return compiling - own, own / n, 2 * PEAK**3 / bare


def _step(cfg: LM, T: int, B: int, members: int) -> tuple[Callable[[], None], int]:
    """What runs the next chunk of n steps on random tokens, and n."""
    n = 1 if cfg.D > 256 else 10
    recipe = Recipe(steps=1_000_000, batch=B)
    tokens = jax.random.randint(jax.random.key(0), (members, n, B, T), 0, cfg.W)
    batches = {
        "tokens": tokens,
        "weights": jnp.ones(tokens.shape),
        "segments": jnp.broadcast_to(1 + jnp.arange(T) // 16, tokens.shape),
    }
    run, own = chunk(cfg, recipe), constants((recipe,) * members)
    state, done = begin(recipe, parameters(cfg, tuple(range(members)))), 0
    rates = jnp.full((members, n), 1e-3)

    def steps() -> None:
        nonlocal state, done
        span = Span(batches, rates, jnp.full(members, done), jnp.full(members, n))
        state, metrics = run(state, {}, own, span)
        metrics.loss.block_until_ready()
        done += n

    return steps, n


def _best(function: Callable[[], None]) -> float:
    """The shortest of the runs that fit into the time: others share this machine."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    tyro.cli(main)
