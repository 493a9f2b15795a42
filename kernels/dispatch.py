"""Which implementation of an op runs: the first of its table that can, or the one that is named.

A table has a line for each implementation, in order of preference: its name, which is its module in
the op's folder, and the platforms it runs on (None: all). A module is imported when its turn comes,
so the backend of another platform's kernels need not be installed. A module for only some chips of
its platform names them in `CHIPS`, a pattern of JAX's `device_kind`, and in `CHIP_NAMES`.
"""

import importlib
import re
from collections.abc import Mapping
from types import ModuleType

import jax

Table = Mapping[str, tuple[str, ...] | None]


def module(op: str, name: str) -> ModuleType:
    """The implementation `name` of the package `op`."""
    return importlib.import_module(f"{op}.{name}")


def choose(op: str, table: Table, impl: str | None, arguments: tuple) -> str:
    """`impl`, or the first name of `table` whose module runs `arguments` on this chip.

    ValueError: an `impl` that is not in the table. NotImplementedError: none runs, each with why.
    """
    if impl is not None and impl not in table:
        raise ValueError(f"impl={impl!r} is unknown; choose None or one of {', '.join(table)}")
    reasons = {}
    for name in table if impl is None else (impl,):
        reasons[name] = _not_here(op, table, name) or module(op, name).unsupported(*arguments)
        if reasons[name] is None:
            return name
    raise NotImplementedError("; ".join(f"impl={name!r}: {why}" for name, why in reasons.items()))


def device() -> jax.Device | jax.sharding.AbstractDevice:
    """What will be compiled for: the device of the mesh in use, else JAX's default or first."""
    default = jax.config.jax_default_device
    if isinstance(default, str):  # a platform
        default = jax.devices(default)[0]
    return jax.sharding.get_abstract_mesh().abstract_device or default or jax.devices()[0]


def _not_here(op: str, table: Table, name: str) -> str | None:
    """Why implementation `name` cannot run on this chip, or None."""
    platforms, here = table[name], device()
    if platforms is None:
        return None
    if here.platform not in platforms:
        return f"runs on {platforms[0]}, and this is {here.platform}"
    try:
        found = module(op, name)
    except ImportError as error:
        return f"does not import here ({error})"
    if not re.match(getattr(found, "CHIPS", ""), here.device_kind):
        return f"is written for {found.CHIP_NAMES}, and this is {here.device_kind}"
    return None
