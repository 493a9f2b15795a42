"""Every implementation that runs here against the definition in float64, with all gradients."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from kernels.gla import IMPLEMENTATIONS, gla, gla_step, reference
from kernels.gla.cases import CASES, Case
from tests.kernels.compare import assert_close, everything

# Rounding to bfloat16 alone gives 1.6e-3; the bounds are flash-linear-attention's.
BFLOAT16 = {"o": 4e-3, "final_state": 4e-3}


@functools.cache
def wanted(case: Case) -> dict[str, np.ndarray]:
    with jax.enable_x64(True):
        return everything(functools.partial(gla, impl="reference"), case, jnp.float64)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_chunk_form_is_the_recurrence(case: Case):
    """Guards against an overflow, a clamp, a wrong state between chunks, a cancelling sum in dg."""
    got = everything(functools.partial(gla, impl="chunk"), case, jnp.float32)
    assert_close(got, wanted(case), 3e-6)


@pytest.mark.parametrize("name", ["long-1000", "gate-mixed", "segments", "retention"])
def test_the_reference_in_float32_is_the_reference_in_float64(name: str):
    got = everything(functools.partial(gla, impl="reference"), CASES[name], jnp.float32)
    assert_close(got, wanted(CASES[name]), 3e-6)


@pytest.mark.parametrize("name", ["long-1000", "ragged-200", "gate/0.1", "segments-hard"])
def test_bfloat16_stays_within_the_published_tolerances(name: str):
    case = _Rounded(**vars(CASES[name]))
    got = everything(functools.partial(gla, impl="chunk"), case, jnp.bfloat16)
    assert_close(got, wanted(case), {n: BFLOAT16.get(n, 5e-3) for n in got})


class _Rounded(Case):
    """A case whose inputs bfloat16 holds exactly: only the op's own rounding is measured."""

    def inputs(self):
        def rounded(x):
            return x if x.dtype == np.int32 else np.asarray(x.astype(jnp.bfloat16), np.float32)

        return {name: rounded(x) for name, x in super().inputs().items()}


def test_outputs_have_the_dtype_of_v_and_states_are_float32():
    x = _arrays(Case(T=20), jnp.bfloat16)
    for impl in ("chunk", "reference"):
        o, state = gla(**x, impl=impl)
        assert (o.dtype, state.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize("gate_shape", ["BTHK", "11H1", "1T1K"])
@pytest.mark.parametrize("over_gate", [True, False])
def test_vmap_is_a_loop_under_grad_too(gate_shape: str, over_gate: bool):
    """Seeds are mapped: gates of their own or one for all, hard in one member only."""
    case = Case(T=70, gate_shape=gate_shape, segments=(30, 20))
    members = [_arrays(case), _arrays(Case(**{**vars(case), "gate": "spikes", "seed": 1}))]
    ids = jnp.stack([members[0].pop("segment_ids"), members[1].pop("segment_ids")])
    if not over_gate:
        members[1]["g"] = members[0]["g"]

    def gradient(x, ids):
        loss = lambda x: jnp.sum(jnp.sin(gla(**x, segment_ids=ids, impl="chunk")[0]))
        return jax.grad(loss)(x)

    stacked = {name: jnp.stack([x[name] for x in members]) for name in members[0]}
    axes = {name: 0 if name != "g" or over_gate else None for name in stacked}
    if not over_gate:
        stacked["g"] = members[0]["g"]
    got = jax.jit(jax.vmap(gradient, in_axes=(axes, 0)))(stacked, ids)
    want = [jax.jit(gradient)(x, i) for x, i in zip(members, ids, strict=True)]
    assert_close(got, {name: jnp.stack([x[name] for x in want]) for name in got}, 1e-6)


def test_vmap_of_the_op_runs_one_way_only():
    """A batched predicate would turn the choice of fast and exact into both."""
    x = {name: a[None] for name, a in _arrays(Case(T=64)).items()}
    program = str(jax.make_jaxpr(jax.vmap(lambda x: gla(**x, impl="chunk")))(x))
    batched = [line for line in program.splitlines() if "while" in line and "bool[1]" in line]
    assert "while" in program and not batched


def test_jacobians_by_vmap_of_the_transpose():
    x = _arrays(Case(B=1, T=3, H=1, K=2, V=2))
    jacobian = lambda impl: jax.jacrev(lambda v: gla(**{**x, "v": v}, impl=impl)[0])(x["v"])
    assert_close({"v": jacobian("chunk")}, {"v": jacobian("reference")}, 1e-6)


def test_shard_map_over_batch_and_heads_is_the_op():
    x = _arrays(Case(B=4, T=70, H=2, state=True))
    x.pop("dfinal")
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("data", "heads"))
    tokens, states = P("data", None, "heads"), P("data", "heads")
    specs = {name: states if name == "initial_state" else tokens for name in x}
    run = lambda x: gla(**x, impl="chunk")
    over = jax.shard_map(
        run, mesh=mesh, in_specs=(specs,), out_specs=(tokens, states), check_vma=False
    )
    loss = lambda op: lambda x: sum(jnp.sum(jnp.sin(y)) for y in op(x))
    got, want = jax.jit(jax.grad(loss(over)))(x), jax.jit(jax.grad(loss(run)))(x)
    assert_close(got, want, 1e-6)


def test_results_are_deterministic():
    x = _arrays(CASES["long-1000"])
    x.pop("dfinal")
    run = jax.jit(jax.grad(lambda x: jnp.sum(gla(**x, impl="chunk")[0] ** 2)))
    first, second = run(x), run(x)
    assert all(np.array_equal(first[name], second[name]) for name in x)


def test_step_by_step_and_in_pieces_are_the_whole():
    """The three forms agree: recurrent, chunk, and prefill followed by decode steps."""
    x = _arrays(Case(T=70, state=True))
    x.pop("dfinal")
    whole, final = reference.recurrence(
        x["q"], x["k"], x["v"], x["g"], x["q"].shape[3] ** -0.5, x["initial_state"], None
    )
    tokens = lambda a, b: {name: y[:, a:b] for name, y in x.items() if name != "initial_state"}
    o, state = gla(**tokens(0, 66), initial_state=x["initial_state"], impl="chunk")
    outputs = [o]
    for t in range(66, 70):
        o, state = gla_step(**tokens(t, t + 1), state=state)
        outputs.append(o)
    got = {"o": jnp.concatenate(outputs, 1), "state": state}
    assert_close(got, {"o": whole, "state": final}, 1e-6)


def test_a_minus_infinite_gate_forgets_everything_before_it():
    """Exactly: what came before is scaled up until any leak would show."""
    x = _arrays(Case(T=100))
    x["g"] = x["g"].at[:, 37].set(-jnp.inf)
    louder = {**x, "v": x["v"].at[:, :37].multiply(1e6)}
    for impl in ("chunk", "reference"):
        o, loud = gla(**x, impl=impl)[0], gla(**louder, impl=impl)[0]
        np.testing.assert_array_equal(o[:, 37:], loud[:, 37:])


def test_a_segment_that_returns_is_a_new_one():
    x = _arrays(Case(T=60))
    ids = jnp.array([[1] * 20 + [2] * 20 + [1] * 20] * 2)
    renamed = jnp.array([[1] * 20 + [2] * 20 + [3] * 20] * 2)
    got, want = (gla(**x, segment_ids=i, impl="chunk")[0] for i in (ids, renamed))
    np.testing.assert_array_equal(got, want)


def test_no_gradient_flows_between_segments():
    x = _arrays(Case(T=100))
    ids = jnp.repeat(jnp.arange(4), 25)[None].repeat(2, 0)
    loss = lambda k: jnp.sum(gla(**{**x, "k": k}, segment_ids=ids, impl="chunk")[0][:, 25:50] ** 2)
    dk = np.asarray(jax.grad(loss)(x["k"]))
    assert np.all(dk[:, :25] == 0) and np.all(dk[:, 50:] == 0) and np.all(dk[:, 25:49] != 0)


def test_gates_may_be_numbers():
    x = _arrays(Case(T=10))
    x.pop("g")
    for g in (0, 0.0, np.zeros((2, 1))):
        np.testing.assert_array_equal(
            gla(**x, g=g, impl="chunk")[0], gla(**x, g=jnp.zeros((1, 1, 1, 1)), impl="chunk")[0]
        )


def test_scale_is_the_one_given():
    x = _arrays(Case(T=10))
    default, double = gla(**x)[0], gla(**x, scale=2 * 16**-0.5)[0]
    np.testing.assert_allclose(2 * default, double, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": (2, 10, 2, 8)}, "k of shape"),
        ({"v": (2, 9, 2, 8)}, "v of shape"),
        ({"g": (2, 10, 3, 16)}, "g of shape"),
        ({"g": (2, 2, 10, 2, 16)}, "g of shape"),
        ({"initial_state": (2, 2, 24, 16)}, "initial_state of shape"),
        ({"segment_ids": (2, 11)}, "segment_ids of shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict, message: str):
    x = _arrays(Case(T=10))
    for name, shape in change.items():
        x[name] = jnp.zeros(shape, jnp.int32 if name == "segment_ids" else jnp.float32)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(gla)(**x)  # users have no jaxtyping checks in front


def test_other_dtypes_are_refused():
    x = _arrays(Case(T=10))
    with pytest.raises(ValueError, match="differ; cast"):
        gla(**{**x, "q": x["q"].astype(jnp.bfloat16)})
    with pytest.raises(NotImplementedError, match="float16"):
        gla(**_arrays(Case(T=10), jnp.float16))


def test_a_named_implementation_runs_or_raises_with_the_reason():
    x = _arrays(Case(T=10))
    with pytest.raises(ValueError, match="choose None or one of pallas_tpu, pallas_gpu, chunk"):
        gla(**x, impl="triton")
    for name, platforms in IMPLEMENTATIONS.items():
        if platforms is not None:
            with pytest.raises(NotImplementedError, match="and this is cpu"):
                gla(**x, impl=name)


def _arrays(case: Case, dtype=jnp.float32) -> dict[str, jax.Array]:
    arrays = {name: jnp.asarray(x) for name, x in case.inputs().items() if name != "do"}
    return {n: x if x.dtype == jnp.int32 else x.astype(dtype) for n, x in arrays.items()}
