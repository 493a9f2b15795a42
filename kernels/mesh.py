"""What a kernel must know of the mesh in use: over which of its axes it has to split itself.

The compiler splits XLA's own operations over devices; a custom call, as Mosaic's and cuDNN's
kernels are, it does not. These run in a `jax.shard_map` over every axis that is not yet manual.
"""

import math

import jax
from jax.sharding import AxisType


def free() -> dict[str, int]:
    """The axes that are left to the compiler, and how many devices each of them has."""
    mesh = jax.sharding.get_abstract_mesh()
    axes = zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types, strict=True)
    return {name: n for name, n, kind in axes if kind != AxisType.Manual}


def split() -> bool:
    """Whether the compiler would have to split a kernel: inside a shard_map over all axes, no."""
    return any(n > 1 for n in free().values())


def rows(axes: dict[str, int], B: int) -> tuple[str, ...] | None:
    """Which of `axes` split B rows: all but `sequence`, or None where they do not divide B."""
    names = tuple(name for name in axes if name != "sequence")
    return names if B % math.prod(axes[name] for name in names) == 0 else None
