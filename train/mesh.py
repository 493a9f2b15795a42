"""Where a run lies: a mesh of devices, and which axis of it each array is split over.

    member      whole members of an ensemble; they never talk
    data        rows of a batch; parameters are copied
    fsdp        rows of a batch, and every matrix: gathered where it is used (ZeRO-3, Rajbhandari
                et al. 2020, arXiv 1910.02054)
    sequence    tokens of a row; the recurrence crosses by its state (kernels/gla/context.py)

A layout is how, not what: any of them gives the same losses to rounding, and a checkpoint does not
know which one wrote it.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("member", "data", "fsdp", "sequence")
ROWS = ("data", "fsdp")  # the axes a batch's rows are split over

# The path of a parameter, to the mesh axes of its own axes; the first of them is D_in or W. One
# rule for each (tests/train/test_mesh.py). What is not listed under a name has one axis or is thin.
RULES = (
    (r"(embedding|head)/w", P("fsdp")),
    (r"mlp/(gate_up|down)/w", P("fsdp")),
    (r"mixer/(?!convolution/)\w+/w", P("fsdp")),
    (r"mixer/convolution/w|mixer/places", P()),
    (r"(\w+/)*(gain|bias)|mixer/[abd]", P()),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Devices along each axis, and what is given for memory.

    Along `member` they share out whole members of an ensemble, along `data` the rows of a batch,
    along `fsdp` rows and every matrix, along `sequence` the tokens of a row.

    `accumulate` splits a batch into so many parts, one after the other: activations of one part
    stand at a time. `remat` keeps of each block what is named and computes the rest again in the
    backward pass: "all" is kept, "products" of the matrices (elementwise work is repeated: cheap),
    or "input" of the block alone (a third more operations, the least memory).
    """

    member: int = 1
    data: int = 1
    fsdp: int = 1
    sequence: int = 1
    accumulate: int = 1
    remat: Literal["all", "products", "input"] = "all"

    def __post_init__(self):
        for name in (*AXES, "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in AXES)

    @property
    def shared(self) -> int:
        """Devices that share the tokens of one member."""
        return self.data * self.fsdp * self.sequence

    def check(self, S: int, B: int, T: int) -> None:
        """ValueError unless S members and batches of (B, T) can be dealt out."""
        rows = self.data * self.fsdp * self.accumulate
        for what, size, by, axes in (
            ("S", S, self.member, "member"),
            ("B", B, rows, "data x fsdp x accumulate"),
            ("T", T, self.sequence, "sequence"),
        ):
            if size % by:
                raise ValueError(f"{what}={size} is not divisible by {axes}={by}; change either")

    def mesh(self, devices: Sequence[Any] | None = None) -> Mesh | None:
        """The mesh over `devices` (all there are); None if one device does it all."""
        need = math.prod(self.sizes)
        if need == 1 and devices is None:
            return None
        devices = jax.devices() if devices is None else list(devices)
        if len(devices) < need:
            raise ValueError(
                f"{self} needs {need} devices, and there are {len(devices)}; choose sizes whose "
                "product is no larger"
            )
        grid = np.array(devices[:need]).reshape(self.sizes)
        return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))

    def around(self, block: Callable) -> Callable:
        """A block that keeps for the backward pass what `remat` says."""
        if self.remat == "all":
            return block
        products = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
        return jax.checkpoint(block, policy=products if self.remat == "products" else None)

    def parts(self, batch: dict) -> dict:
        """(B,T) as (accumulate, B / accumulate, T); every device keeps its share of each part."""
        split = lambda x: x.reshape(-1, self.accumulate, *x.shape[1:]).swapaxes(0, 1)
        return {name: split(x) for name, x in batch.items()}


def pathname(keys: tuple) -> str:
    """Where a leaf stands in a tree, by its JAX keys: "blocks/0/mlp/down/w"."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def rule(path: str) -> P:
    """The one rule of a parameter, by its path in the model's dict."""
    own = re.sub(r"^blocks/\d+/", "", path)
    found = [spec for pattern, spec in RULES if re.fullmatch(pattern, own)]
    if len(found) != 1:
        raise ValueError(f"{path} is matched by {len(found)} rules of train/mesh.py, not by one")
    return found[0]


def placed(tree: Any, mesh: Mesh) -> Any:
    """Shardings for a tree of parameters, or a state of them, with a leading members' axis.

    The optimizer's copies of a parameter lie where it does: what counts is the end of the path.
    An axis that does not divide stays whole.
    """
    names = re.compile(r"(?:^|/)((?:blocks/\d+/|embedding/|head/|norm/).*)$")

    def place(keys, leaf):
        own = names.search(pathname(keys))
        axes = tuple(rule(own[1])) if own and leaf.ndim > 1 else ()
        spec = ("member", *axes)
        fits = [axis if n % mesh.shape[axis] == 0 else None for axis, n in zip(spec, leaf.shape)]  # noqa: B905
        return NamedSharding(mesh, P(*fits))

    return jax.tree_util.tree_map_with_path(place, tree)


def spread(span: Any, mesh: Mesh) -> Any:
    """Shardings for a Span: members, steps, rows, tokens."""
    rows = NamedSharding(mesh, P("member", None, ROWS, "sequence"))
    alone = NamedSharding(mesh, P("member"))
    return jax.tree.map(lambda x: rows if x.ndim == 4 else alone, span)


def moved(tree: Any, mesh: Mesh | None) -> Any:
    """Parameters that every process holds whole, where they lie on the mesh, if there is one."""
    return tree if mesh is None else put(tree, placed(tree, mesh))


def put(tree: Any, shardings: Any) -> Any:
    """Arrays that every process holds whole, as arrays of all processes together."""
    whole = lambda x, s: jax.make_array_from_callback(np.shape(x), s, lambda i: np.asarray(x)[i])
    return jax.tree.map(whole, tree, shardings)
