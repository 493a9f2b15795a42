"""Whether what is read is what was saved: a checksum, names and shapes go with every checkpoint.

Orbax has no error of its own for damage, it raises any of four, by the byte, and reads a flipped
bit without a word. `verified` tells that from a good checkpoint of another run, and from one that
cannot be read or laid out here.
"""

import contextlib
import errno
import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from train.mesh import pathname


class _OtherShape(ValueError):
    """A good checkpoint, of another run."""


class Damaged(Exception):
    """A checkpoint whose files are not what was written."""


def noted(tree: Any) -> dict[str, Any]:
    """What is kept beside a tree, to know it by."""
    return {"fingerprint": _fingerprint(tree), "leaves": _leaves(tree)}


# What hinders reading and says nothing of what is in the files.
_UNREAD = tuple(map(os.strerror, (errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENOMEM)))


def verified(
    notes: Callable[[], dict], like: Any, load: Callable[[Any], Any], where: pathlib.Path
) -> Any:
    """What `load` gives for the shapes of `like`, if it is what was saved; Damaged if it is not.

    Errors of Orbax that are no damage to what was saved (a layout that does not fit, a limit of the
    machine, its own notes on shardings) look like those that are: the files are read once more,
    onto this host, and what is whole there is laid out by JAX, which says why where it cannot.
    """
    try:
        with quiet():
            held = _matching(notes(), like, where)
            return _equal(load(_target(like)), held)
    except _OtherShape:
        raise
    except Exception as error:
        why = _reason(error, where)
        tree = _plain(notes, like, load)
    if tree is None:
        raise Damaged(why)
    lay = lambda x, to: jax.make_array_from_callback(x.shape, to.sharding, lambda i: x[i])
    return jax.tree.map(lay, tree, _target(like))


def hindrance(error: Exception, where: pathlib.Path) -> None:
    """ValueError if an error says that something hindered reading, and so nothing of damage."""
    found = [reason for reason in _UNREAD if reason in str(error)]
    if found:
        raise ValueError(
            f"{where} cannot be read: {found[0]}; mend that, and the same command goes on"
        ) from error


def _reason(error: Exception, where: pathlib.Path) -> str:
    """The line at the root of an error that may be damage; any other is raised."""
    if not (type(error) is Exception or isinstance(error, KeyError | ValueError | OSError)):
        raise error
    hindrance(error, where)
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).split("\n")[0][:120]


def _plain(notes: Callable[[], dict], like: Any, load: Callable[[Any], Any]) -> Any | None:
    """The tree on this host, None where it is not what was saved."""
    try:
        with quiet():
            return _equal(load(jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)), notes())
    except Exception:
        return None


def _matching(notes: dict, like: Any, where: pathlib.Path) -> dict:
    if "fingerprint" not in notes:
        raise ValueError("its metadata are unreadable")
    wrong = differences(notes["leaves"], _leaves(like))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise _OtherShape(
            f"{where} holds other shapes than asked for ({'; '.join(wrong[:3])}{more}); choose "
            "another folder, or the spec that made it"
        )
    return notes


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two descriptions differ, one line each: "recipe.steps: 800, not 900"."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        parts = [(f"{path}.{k}".lstrip("."), one.get(k), other.get(k)) for k in keys]
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{path}: {len(one)} items, not {len(other)}"]
        parts = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [f"{path}: {json.dumps(one)}, not {json.dumps(other)}"]
    return [line for where, a, b in parts for line in differences(a, b, where)]


def _target(like: Any) -> Any:
    """`like` with a place for every array: a process reaches no other's devices, so what several of
    them are given without a place is whole on each."""
    devices = jax.devices()
    here = SingleDeviceSharding(devices[0])
    if jax.process_count() > 1:
        here = NamedSharding(Mesh(np.array(devices), "device"), PartitionSpec())
    place = lambda x: getattr(x, "sharding", None) or here
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)), like)


def _equal(tree: Any, notes: dict) -> Any:
    if _fingerprint(tree) != notes["fingerprint"]:
        raise ValueError("its contents are not what was saved")
    return tree


def _leaves(tree: Any) -> dict[str, str]:
    named = jax.tree_util.tree_leaves_with_path(tree)
    return {pathname(keys): f"{leaf.dtype}{list(leaf.shape)}" for keys, leaf in named}


@contextlib.contextmanager
def quiet():
    """Orbax logs hundreds of lines about one damaged file; ours says it in one."""
    asynchronous = logging.getLogger("asyncio")
    before = absl.logging.get_verbosity(), asynchronous.level
    absl.logging.set_verbosity(absl.logging.FATAL)
    asynchronous.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before[0])
        asynchronous.setLevel(before[1])


def _fingerprint(tree: Any) -> int:
    """A checksum that any changed bit changes; Orbax itself reads a flipped bit without a word."""
    return int(_checksum(jax.tree.leaves(tree)))


@jax.jit
def _checksum(leaves: list) -> jax.Array:
    total = jnp.uint32(0)
    for leaf in leaves:
        bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * leaf.dtype.itemsize}"))
        bits = bits.astype(jnp.uint32).ravel()
        # Odd weights: a single changed bit cannot vanish modulo 2^32, a swap of values shows.
        place = jnp.arange(bits.size, dtype=jnp.uint32) * jnp.uint32(2654435761) | jnp.uint32(1)
        total = total * jnp.uint32(31) + jnp.sum(bits * place)
    return total
