"""How the tests of the op compare: RMS ratios, in NumPy (XLA's CPU maximum drops NaN)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.gla.cases import Case


def slow_but(quick, names) -> list:
    """`names` as parameters of a test, marked slow but for the `quick`."""
    slow = pytest.mark.slow
    return [pytest.param(x, marks=() if x in quick else slow, id=str(x)) for x in names]


def compiled(caplog, run) -> int:
    """How many programs XLA compiles, or finds in its cache on disk, for `run()`."""
    caplog.clear()
    with jax.log_compiles():
        run()
    return sum(record.message.startswith("Compiling") for record in caplog.records)


def error(got, want) -> float:
    """RMS of the difference over RMS of what is wanted; NaN if anything got is not finite."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if not np.isfinite(got).all():
        return float("nan")
    return float(np.sqrt(np.mean((got - want) ** 2)) / max(np.sqrt(np.mean(want**2)), 1e-30))


def assert_close(got: dict, want: dict, tolerance: float | dict[str, float]) -> None:
    """Every array within `tolerance`, by name or for all, of the one wanted, by `error`."""
    assert got.keys() == want.keys()
    errors = {name: error(got[name], want[name]) for name in want}
    limit = lambda name: tolerance[name] if isinstance(tolerance, dict) else tolerance
    wrong = {name: e for name, e in errors.items() if not e <= limit(name)}
    assert not wrong, f"relative errors {wrong}, tolerance {tolerance}; all {errors}"


def everything(op, case: Case, dtype) -> dict[str, np.ndarray]:
    """o, final_state and the gradients of all inputs of a case, by `op(**inputs)`.

    Compiled once for all cases of the same shapes where `op` is the same object.
    """
    x = {
        name: jnp.asarray(array, None if array.dtype == np.int32 else dtype)
        for name, array in case.inputs().items()
    }
    do, ids, dfinal = x.pop("do"), x.pop("segment_ids", None), x.pop("dfinal", None)
    state = jnp.promote_types(dtype, jnp.float32)
    x.update({name: x[name].astype(state) for name in ("initial_state", "g") if name in x})
    dfinal = None if dfinal is None else dfinal.astype(state)
    out = _everything(op, x, do, dfinal, ids)
    return {name: np.asarray(array, np.float64) for name, array in out.items()}


@functools.partial(jax.jit, static_argnums=0)
def _everything(op, x: dict, do, dfinal, ids) -> dict[str, jax.Array]:
    def call(x):
        o, final_state = op(**x, segment_ids=ids)
        return {"o": o} if dfinal is None else {"o": o, "final_state": final_state}

    out, vjp = jax.vjp(call, x)
    (dx,) = vjp({"o": do} if dfinal is None else {"o": do, "final_state": dfinal})
    return out | {f"d{name}": gradient for name, gradient in dx.items()}
