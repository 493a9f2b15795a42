"""What a kernel must know of the mesh in use: over which of its axes it has to split itself.

The compiler splits XLA's own operations over devices, but no custom calls, which Mosaic's and
cuDNN's kernels are. These run in a `jax.shard_map` over every axis that is not yet manual.
"""

import math
from collections.abc import Callable

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P


def free() -> dict[str, int]:
    """The axes that are left to the compiler, and how many devices each of them has."""
    mesh = jax.sharding.get_abstract_mesh()
    axes = zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types, strict=True)
    return {name: n for name, n, kind in axes if kind != AxisType.Manual}


def split() -> bool:
    """Whether the compiler would have to split a kernel; not inside a shard_map over all axes."""
    return any(n > 1 for n in free().values())


def explicit() -> tuple[str, ...]:
    """The axes along which the compiler moves nothing by itself: types say where arrays lie."""
    return jax.sharding.get_abstract_mesh().explicit_axes


def rows(axes: dict[str, int], B: int) -> tuple[str, ...] | None:
    """Which of `axes` split B rows: all but `sequence`, or None where they do not divide B."""
    names = tuple(name for name in axes if name != "sequence")
    return names if B % math.prod(axes[name] for name in names) == 0 else None


def spread(run: Callable, in_specs: tuple, out_specs) -> Callable:
    """`run` of each device's part of the arguments: a `jax.shard_map` over the axes of `free`.

    Along Auto axes the compiler moves arguments to where `in_specs` want them; along Explicit ones,
    those of a plain `jax.make_mesh`, shard_map takes no argument that is not there already.
    """
    mapped = jax.shard_map(
        run, in_specs=in_specs, out_specs=out_specs, axis_names=set(free()), check_vma=False
    )
    return lambda *args: mapped(*map(_placed, args, in_specs))


def _placed(x: jax.Array | None, spec: P | None) -> jax.Array | None:
    """x moved along the Explicit axes to where `spec` says."""
    axes = explicit()
    if x is None or not axes:
        return x

    def of_axis(names):
        names = names if isinstance(names, tuple) else (names,)
        return tuple(name for name in names if name in axes) or None

    return jax.sharding.reshard(x, P(*map(of_axis, spec)))
