"""A kernel of attention on a mesh: the axis `sequence` splits its heads, every other axis B.

Keys of one head are needed by all its queries and by no other head's, so a device that holds a
piece of the tokens of all heads gives it for all tokens of some heads (Ulysses: Jacobs et al. 2023,
arXiv 2309.14509, section 3). The compiler makes the all-to-all of it, and of its gradient.
"""

from collections.abc import Callable

from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from kernels import mesh


def over_mesh(
    run: Callable[..., Array],
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    segment_ids: Int[Array, "B T"] | None,
    window: int | None,
) -> Float[Array, "B T H K"]:
    """`run`, an implementation's `attention`, on the mesh in use.

    Rows, or the G key heads, that do not divide by their axes are computed whole on every device of
    these.
    """
    axes = mesh.free()
    rows = mesh.rows(axes, q.shape[0])
    pieces = axes.get("sequence", 1)
    heads = P(rows, None, "sequence" if pieces > 1 and k.shape[2] % pieces == 0 else None)
    ids = None if segment_ids is None else P(rows)
    local = lambda q, k, v, ids: run(q, k, v, ids, window)
    return mesh.spread(local, (heads, heads, heads, ids), heads)(q, k, v, segment_ids)
