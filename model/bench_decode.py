"""Tokens a second of decoding: `python -m model.bench_decode [--torch PYTHON]`.

GLA against softmax attention after contexts of 128 to 32k tokens. A step costs what the shapes of
its state cost, so a context here is an empty state of the size it would have, and no prompt is
read. With `--torch`, a Python that has torch and transformers generates with a GPT-2 of the same
size between two measurements of GLA, prompt included on both sides.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import rich.table
import tyro

from model.gla import GLA
from model.lm import LM, fresh, init
from model.sample import decode, generate
from model.softmax import Cache, Softmax

MIXERS = {"GLA": GLA(heads=4), "softmax": Softmax(heads=8)}
CONTEXTS = (128, 1024, 8192, 32_768)
BATCHES = (1, 64)
ROOM = 2**31  # bytes of state; a larger one is named and not run
REPEATS = 3

# Arguments: B, tokens of the prompt, tokens said, W, D, layers, repeats. Prints seconds.
GPT2 = """
import sys, time, torch, transformers
B, P, N, W, D, layers, repeats = map(int, sys.argv[1:])
config = transformers.GPT2Config(
    vocab_size=W, n_embd=D, n_layer=layers, n_head=D // 64, n_positions=P + N,
    bos_token_id=0, eos_token_id=0, pad_token_id=0)
model = transformers.GPT2LMHeadModel(config).eval()
prompts = torch.randint(1, W, (B, P))
say = lambda n: model.generate(
    prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
    max_new_tokens=n, min_new_tokens=n)
say(2)
def seconds():
    start = time.perf_counter()
    assert say(N).shape == (B, P + N)
    return time.perf_counter() - start
print(min(seconds() for _ in range(repeats)))
"""


def main(
    torch: str | None = None,
    W: int = 8192,
    D: int = 512,
    layers: int = 6,
    prompt: int = 128,
    steps: int = 128,
) -> None:
    """Print the table, or the comparison.

    Args:
        torch: a Python with torch and transformers to compare with
        W: words of the vocabulary
        D: width of the models
        layers: their depth
        prompt: tokens of a prompt of the comparison
        steps: tokens said in a measurement, each by a step
    """
    models = {name: LM(W=W, D=D, layers=layers, mixer=mixer) for name, mixer in MIXERS.items()}
    if torch:
        return against(torch, models["GLA"], prompt, steps)
    table = rich.table.Table("B", "context", *(f"{name}, tokens/s" for name in models))
    for B in BATCHES:
        for context in CONTEXTS:
            found = (_speed(cfg, B, context, steps) for cfg in models.values())
            table.add_row(str(B), str(context), *found)
    rich.print(table)


def against(python: str, cfg: LM, prompt: int, steps: int, B: int = 64) -> None:
    """Print tokens a second of GPT-2, and of ours, the best of runs before and after it."""
    call = _generate(cfg, B, prompt, steps)
    before = _best(call)
    shape = (B, prompt, steps, cfg.W, cfg.D, cfg.layers, REPEATS)
    command = [python, "-c", GPT2, *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise ValueError(f"{python} cannot run GPT-2: {said.splitlines()[-1]}")
    ours, theirs = min(before, _best(call)), float(done.stdout)
    print(f"B={B}, prompt {prompt}, {steps} steps, D={cfg.D}, {cfg.layers} layers, W={cfg.W}")
    print(f"GPT-2 of transformers  {B * steps / theirs:9,.0f} tokens/s")
    print(f"GLA                    {B * steps / ours:9,.0f} tokens/s, {theirs / ours:.2f} times")


def _generate(cfg: LM, B: int, P: int, steps: int) -> Callable[[], jax.Array]:
    params = init(cfg, jax.random.key(0))
    prompts = jax.random.randint(jax.random.key(1), (B, P), 1, cfg.W)
    return lambda: generate(cfg, params, prompts, jnp.full(B, P), steps, stop=-1).tokens


def _speed(cfg: LM, B: int, context: int, steps: int) -> str:
    room = context + steps + 1  # the logits of the first token said are given: it takes no step
    states = jax.eval_shape(lambda: fresh(cfg, B, room))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(states))
    if size > ROOM:
        return f"(a state of {size / 2**30:.0f} GiB)"
    params = init(cfg, jax.random.key(0))
    state = tuple(
        s._replace(seen=jnp.int32(context)) if isinstance(s, Cache) else s
        for s in fresh(cfg, B, room)
    )
    run = jax.jit(lambda p, s: decode(cfg, p, jnp.zeros((B, cfg.W)), s, steps + 1, stop=-1).tokens)
    return f"{B * steps / _best(lambda: run(params, state)):,.0f}"


def _best(call: Callable[[], jax.Array]) -> float:
    """Seconds of the fastest of REPEATS calls, after one that compiles."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        call().block_until_ready()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


if __name__ == "__main__":
    try:
        tyro.cli(main, prog="python -m model.bench_decode")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
