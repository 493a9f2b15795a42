"""The op split over devices equals the op: 8 fake CPU devices, forward and every gradient."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from kernels.gla import context, gla
from kernels.gla.cases import Case
from tests.kernels.compare import assert_close, compiled, everything, slow_but

CASES = {
    "nearly no decay": Case(B=2, T=128, H=2, gate="zero", state=True),
    "resets": Case(B=2, T=128, H=2, gate="resets", state=True),
    "retention": Case(B=2, T=128, H=2, gate_shape="11H1", state=True),
    "segments": Case(B=2, T=128, H=2, segments=(5, 40, 3, 16, 32), state=True),
    "segments, one decay a head": Case(
        B=2, T=128, H=2, gate="/1", gate_shape="BTH1", segments=(5, 40, 3, 16, 32), state=True
    ),
}


def split(q, k, v, g, initial_state, segment_ids):
    time, whole = P(None, "time"), P()
    gate = whole if g.shape[1] == 1 else time
    specs = (time, time, time, gate, whole, None if segment_ids is None else time)
    run = lambda q, k, v, g, s, ids: context.gla(
        q, k, v, g, axis="time", initial_state=s, segment_ids=ids
    )
    mesh = Mesh(np.array(jax.devices()[:8]), ("time",))
    over = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
    arguments = q, k, v, g, initial_state, segment_ids
    return over(run, in_specs=specs, out_specs=(time, whole))(*arguments)


def whole(**inputs):
    return gla(**inputs, impl="reference")


@pytest.mark.parametrize("name", slow_but(("resets", "segments"), CASES))
def test_a_sequence_over_devices_equals_a_sequence_on_one(name: str):
    case = CASES[name]
    with jax.enable_x64(True):
        want = everything(whole, case, jnp.float64)
    assert_close(everything(split, case, jnp.float32), want, 3e-6)


def test_a_gate_of_a_piece_is_any_that_broadcasts():
    x = _inputs(Case(B=2, T=16, H=2))
    x.pop("g")
    mesh = Mesh(np.array(jax.devices()[:2]), ("time",))
    run = lambda x: context.gla(**x, g=-0.5, axis="time")[0]
    over = jax.shard_map(run, mesh=mesh, in_specs=P(None, "time"), out_specs=P(None, "time"))
    assert jax.eval_shape(over, x).shape == x["v"].shape
    with pytest.raises(ValueError, match="k of shape"):
        inspect.unwrap(context.gla)(**x | {"k": x["v"]}, g=-0.5, axis="time")


@pytest.mark.parametrize(
    "types",
    [
        pytest.param(None, id="default"),
        pytest.param((AxisType.Auto,) * 2, id="Auto", marks=pytest.mark.slow),
    ],
)
def test_on_a_mesh_the_op_runs_without_jit_and_is_compiled_once(types, caplog):
    """A plain `make_mesh` has Explicit axes: arguments are moved to where the op needs them."""
    case = Case(B=2, T=64, H=2, segments=(5, 40, 3, 16), state=True)
    x = _inputs(case)
    ids = x.pop("segment_ids")
    run = lambda x: dict(zip(("o", "state"), gla(**x, segment_ids=ids, impl="chunk"), strict=True))
    gradient = jax.grad(lambda x: sum(jnp.sum(jnp.sin(y)) for y in run(x).values()))
    want = run(x) | gradient(x)
    with jax.set_mesh(jax.make_mesh((2, 4), ("data", "sequence"), axis_types=types)):
        assert_close(run(x) | gradient(x), want, 3e-6)
        assert compiled(caplog, lambda: run(x)) == 0


def _inputs(case: Case) -> dict[str, jax.Array]:
    arrays = case.inputs().items()
    return {name: jnp.asarray(x) for name, x in arrays if name not in ("do", "dfinal")}
