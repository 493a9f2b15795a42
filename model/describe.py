"""What a preset is made of and costs: `python -m model.describe gla-340M [--T 2048]`.

Operations a token are forward: two for each parameter of a matrix that multiplies, and the mixer's
own (`flops`) at length T. The state is what decoding carries for one sequence after T tokens.
Training holds parameters, their gradient and two moments, 16 bytes a parameter, and activations.
"""

import math
import sys
from typing import Annotated, Any

import jax
import rich.table
import tyro

from model.lm import LM, fresh, shapes
from model.preset import NAMES, preset


def main(
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=NAMES)], T: int = 2048
) -> None:
    """Print the table of a preset.

    Args:
        T: tokens of the sequence
    """
    cfg = preset(name)
    rows = parts(cfg, T)
    table = rich.table.Table("part", "parameters", "share", "MFLOP a token", f"state at T={T}")
    total = {
        key: sum(row[key] for row in rows.values()) for key in ("parameters", "flops", "state")
    }
    for part, row in (*rows.items(), ("all", total)):
        table.add_row(
            part,
            f"{row['parameters']:,}",
            f"{row['parameters'] / total['parameters']:.1%}",
            f"{row['flops'] / 1e6:,.2f}",
            size(row["state"]),
            end_section=part == list(rows)[-1],
        )
    rich.print(f"{name}: D={cfg.D} F={cfg.width} layers={cfg.layers} W={cfg.W} {cfg.dtype}")
    rich.print(table)
    n = total["parameters"]
    rich.print(f"float32 parameters {size(4 * n)}; training, without activations, {size(16 * n)}")


def parts(cfg: LM, T: int) -> dict[str, dict[str, int | float]]:
    """parameters, forward operations a token at length T, and bytes of state, by part."""
    if T < 1:
        raise ValueError(f"T={T} must be at least 1")
    tree = shapes(cfg)
    rows = {"embedding": _row(tree["embedding"])}
    for i, (mixer, state) in enumerate(zip(cfg.mixers, _states(cfg, T), strict=True)):
        block = tree["blocks"][str(i)]
        own = _row(block["mixer"], mixer.flops(cfg.D, T), state)
        for part, row in ((type(mixer).__name__, own), ("mlp", _row(block["mlp"]))):
            _add(rows.setdefault(part, dict.fromkeys(row, 0)), row)
        norms = rows.setdefault("norms", dict.fromkeys(own, 0))
        for norm in ("mixer_norm", "mlp_norm"):
            _add(norms, _row(block[norm]))
    _add(rows["norms"], _row(tree["norm"]))
    rows["embedding"]["flops"] = 0  # a lookup
    head = _row(tree.get("head", {}))
    head["flops"] = 2 * cfg.W * cfg.D
    return rows | {"output (tied)" if cfg.tied else "output": head}


def size(n: int | float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.4g} {unit}"
        n /= 1024
    return f"{n:.4g} GiB"


def _row(tree: Any, flops: float = 0.0, state: int = 0) -> dict[str, int | float]:
    """A part's count; each weight of a product (`w`) is one multiplication and one addition.

    Mamba's decays and contextual places have two axes too; what is done with them is the mixer's
    `flops`.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    weights = sum(leaf.size for path, leaf in leaves if path[-1].key == "w")
    return {
        "parameters": sum(leaf.size for _, leaf in leaves),
        "flops": 2 * weights + flops,
        "state": state,
    }


def _add(row: dict[str, int | float], other: dict[str, int | float]) -> None:
    for key, value in other.items():
        row[key] += value


def _states(cfg: LM, T: int) -> list[int]:
    """Bytes each layer carries for one sequence of T tokens."""
    state = jax.eval_shape(lambda: fresh(cfg, 1, T))
    nbytes = lambda leaf: math.prod(leaf.shape) * leaf.dtype.itemsize
    return [sum(map(nbytes, jax.tree.leaves(layer))) for layer in state]


if __name__ == "__main__":
    try:
        tyro.cli(main, prog="python -m model.describe")
    except ValueError as error:
        sys.exit(f"error: {error}")
