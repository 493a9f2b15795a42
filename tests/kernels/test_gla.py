"""Every implementation that runs here against the definition in float64, with all gradients."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from kernels import dispatch
from kernels.gla import IMPLEMENTATIONS, chunk_math, gla, gla_step, reference
from kernels.gla.cases import CASES, Case
from tests.kernels.compare import assert_close, compiled, error, everything, slow_but

# Rounding to bfloat16 alone gives 1.6e-3; the bounds are flash-linear-attention's.
BFLOAT16 = {"o": 4e-3, "final_state": 4e-3}
CHUNK, REFERENCE = (functools.partial(gla, impl=name) for name in ("chunk", "reference"))


@functools.cache
def wanted(case: Case) -> dict[str, np.ndarray]:
    with jax.enable_x64(True):
        return everything(REFERENCE, case, jnp.float64)


# Of the cases that are a compile of their own.
LESS = {"ragged-63", "one-chunk", "ragged-200", "channel-gate", "token-gate", "linear-attention",
        "head-gate", "retention", "gate-zero", "gate/1", "gate-all-40", "long-1000",
        "retention-hard", "head-gate-spikes"}  # fmt: skip


@pytest.mark.parametrize("name", slow_but(CASES.keys() - LESS, CASES))
def test_the_chunk_form_is_the_recurrence(name: str):
    """Guards against an overflow, a clamp, a wrong state between chunks, a cancelling sum in dg."""
    got = everything(CHUNK, CASES[name], jnp.float32)
    assert_close(got, wanted(CASES[name]), 3e-6)


@pytest.mark.parametrize(
    "name",
    slow_but(["gate-mixed", "segments"], ["long-1000", "gate-mixed", "segments", "retention"]),
)
def test_the_reference_in_float32_is_the_reference_in_float64(name: str):
    got = everything(REFERENCE, CASES[name], jnp.float32)
    assert_close(got, wanted(CASES[name]), 3e-6)


@pytest.mark.parametrize(
    "name", slow_but(["segments-hard"], ["long-1000", "ragged-200", "gate/0.1", "segments-hard"])
)
def test_bfloat16_stays_within_the_published_tolerances(name: str):
    case = _Rounded(**vars(CASES[name]))
    got = everything(CHUNK, case, jnp.bfloat16)
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


def test_an_initial_state_of_another_dtype_is_cast_first():
    """Kept, it would round the state at every chunk and token, or not fit the loop's carry."""
    x = _arrays(Case(T=70, state=True))
    x.pop("dfinal")
    half = x.pop("initial_state").astype(jnp.bfloat16)
    for impl in ("chunk", "reference"):
        got, want = (gla(**x, initial_state=s, impl=impl) for s in (half, half.astype(jnp.float32)))
        assert got[1].dtype == jnp.float32
        assert_close(dict(enumerate(got)), dict(enumerate(want)), 1e-7)
    token = {name: y[:, :1] for name, y in x.items()}
    assert gla_step(**token, state=half)[1].dtype == jnp.float32


def test_a_second_eager_call_compiles_nothing(caplog):
    x = _arrays(Case(B=3, T=20, segments=(9, 11)))
    members = {name: jnp.stack([y, y]) for name, y in x.items()}
    ids, of_members = x.pop("segment_ids"), members.pop("segment_ids")
    run = lambda x, ids: gla(**x, segment_ids=ids)[0]
    for call in (
        lambda: run(x, ids),
        lambda: jax.grad(lambda x: run(x, ids).sum())(x),
        lambda: jax.vmap(run)(members, of_members),
    ):
        assert compiled(caplog, call) > 0 and compiled(caplog, call) == 0


@pytest.mark.parametrize("gate_shape", slow_but(["11H1"], ["BTHK", "11H1", "1T1K"]))
@pytest.mark.parametrize("over_gate", slow_but([True], [True, False]))
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


def test_in_float64_a_gate_shared_by_rows_gets_a_float64_gradient_under_vmap_too():
    with jax.enable_x64(True):
        x = _arrays(Case(B=2, T=5, K=2, V=2, gate_shape="11H1"), jnp.float64)
        loss = lambda q, g: jnp.sum(gla(**{**x, "q": q, "g": g})[0] ** 2)
        (got,) = jax.vmap(jax.grad(loss, argnums=1), (0, None))(x["q"][None], x["g"])
        np.testing.assert_allclose(got, jax.grad(loss, argnums=1)(x["q"], x["g"]), rtol=1e-12)


@pytest.mark.parametrize(
    "impl, dtype",
    [("chunk", jnp.float32), ("pallas_tpu", jnp.float32), ("pallas_gpu", jnp.bfloat16)],
)
def test_where_jax_has_64_bits_narrower_inputs_are_computed_as_elsewhere(impl, dtype):
    """Under `jax_enable_x64` every array made inside without a dtype would be float64 or int64."""
    q = jax.ShapeDtypeStruct((1, 70, 2, 64), dtype)
    ids = jax.ShapeDtypeStruct((1, 70), jnp.int32)
    device = {"pallas_tpu": ("TPU v6 lite", "tpu"), "pallas_gpu": ("NVIDIA H200", "gpu")}
    run = lambda q, ids: gla(q, q, q, q, segment_ids=ids, impl=impl)
    step = lambda q, ids: jax.vjp(run, q, ids)[1](run(q, ids))[0]
    with jax.enable_x64(True), _pretended(*device.get(impl, ("cpu", "cpu"))):
        assert "f64[" not in str(jax.make_jaxpr(step)(q, ids))


def test_numpy_arrays_are_taken_in_jaxs_width_of_floats():
    """NumPy's float64 is JAX's float32, which the fast forms run: not a case for the reference."""
    x = {name: np.asarray(y, np.float64) for name, y in _arrays(Case(T=10)).items()}
    got = inspect.unwrap(gla)(**x, impl="chunk")[0]
    np.testing.assert_array_equal(got, gla(**_arrays(Case(T=10)))[0])


@pytest.mark.slow
def test_a_gradient_differentiates_forwards_and_the_op_does_not():
    """Hessian-vector products are forward over reverse."""
    x = _arrays(Case(B=1, T=3, H=1, K=2, V=2))
    loss = lambda impl: lambda v: jnp.sum(gla(**{**x, "v": v}, impl=impl)[0] ** 3)
    product = lambda impl: jax.jvp(jax.grad(loss(impl)), (x["v"],), (x["k"],))[1]
    direct = lambda v: jnp.sum(_recurrence(x | {"v": v})[0] ** 3)
    want = jax.jvp(jax.grad(direct), (x["v"],), (x["k"],))[1]
    assert_close({"chunk": product("chunk")}, {"chunk": want}, 1e-6)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss("chunk"), (x["v"],), (x["k"],))


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "kind, platform, kernel, count, local",
    [
        ("TPU v6 lite", "tpu", "custom_call @tpu_custom_call", 1, "tensor<2x128x128xbf16>"),
        ("NVIDIA H200", "gpu", "custom_call @mosaic_gpu", 2, "tensor<2x64x1x64xbf16>"),
    ],
)
def test_on_a_mesh_each_chip_runs_the_kernels_on_its_own_tokens(
    kind, platform, kernel, count, local
):
    """Lowered for four chips that are not here: B over two, T over two."""
    axes = (jax.sharding.AxisType.Auto,) * 2
    device = jax.sharding.AbstractDevice(kind, None, platform)
    mesh = jax.sharding.AbstractMesh((2, 2), ("data", "sequence"), axes, abstract_device=device)
    tokens = NamedSharding(mesh, P("data", "sequence"))
    x = jax.ShapeDtypeStruct((4, 128, 1, 64), jnp.bfloat16, sharding=tokens)
    with jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(functools.partial(gla, impl=f"pallas_{platform}")).trace(x, x, x, x)
        target = {"gpu": "cuda"}.get(platform, platform)
        program = traced.lower(lowering_platforms=(target,)).as_text()
    calls = [line for line in program.splitlines() if kernel in line]
    assert len(calls) == count and all(local in call for call in calls), calls


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
    whole, final = _recurrence(x)
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
        ({"q": (10, 2, 16)}, "q of shape"),
        ({"q": (2, 10, 2, 16, 1)}, "q of shape"),
        ({"k": (2, 10, 2, 8)}, "k of shape"),
        ({"v": (2, 9, 2, 8)}, "v of shape"),
        ({"v": (2, 10, 2)}, "v of shape"),
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


@pytest.mark.parametrize(
    "change, message",
    [
        ({"q": (2, 3, 2, 16), "k": (2, 3, 2, 16), "v": (2, 3, 2, 24)}, "has T=3 tokens"),
        ({"q": (2, 2, 16)}, "q of shape"),
        ({"k": (2, 1, 1, 16)}, "k of shape"),
        ({"g": (2, 1, 2, 8)}, "g of shape"),
        ({"state": (2, 2, 24, 16)}, "initial_state of shape"),
    ],
)
def test_a_step_is_of_one_token_and_names_what_does_not_fit(change: dict, message: str):
    shapes = {"q": (2, 1, 2, 16), "k": (2, 1, 2, 16), "v": (2, 1, 2, 24), "g": (1, 1, 2, 1)}
    shapes |= {"state": (2, 2, 16, 24)} | change
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(gla_step)(**{name: jnp.zeros(shape) for name, shape in shapes.items()})


def test_a_step_multiplies_in_full_where_the_default_is_less():
    """A GPU's or TPU's default rounds float32 operands to 10 or 7 bits, and the state with them."""
    x = [jnp.ones(shape) for shape in ((2, 1, 2, 16), (2, 1, 2, 16), (2, 1, 2, 24))]
    with jax.default_matmul_precision("default"):
        program = jax.jit(gla_step).lower(*x, -1.0, jnp.ones((2, 2, 16, 24))).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert products and all("HIGHEST" in line for line in products)


@pytest.mark.parametrize("g", [0.5, True, np.array([[-1.0], [2.0]]), np.full(16, 0.9)])
def test_a_decay_that_is_no_logarithm_is_refused_where_it_is_seen(g):
    """A gate in (0, 1) in place of its logarithm. Values of JAX's arrays are not looked at."""
    x = _arrays(Case(T=1))
    for op in (gla, functools.partial(gla_step, state=jnp.zeros((2, 2, 16, 24)))):
        with pytest.raises(ValueError, match=r"g reaches .* above 0"):
            op(**{**x, "g": g})


def test_other_dtypes_are_refused():
    x = _arrays(Case(T=10))
    with pytest.raises(ValueError, match="segment_ids of float32 should be integers"):
        inspect.unwrap(gla)(**x, segment_ids=jnp.ones((2, 10)))
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


# (device_kind, platform), dtype, K, what impl=None takes
PREFERRED = [
    ("TPU v5 lite", "tpu", jnp.bfloat16, 128, "pallas_tpu"),
    ("TPU v6 lite", "tpu", jnp.float32, 64, "pallas_tpu"),
    ("TPU7x", "tpu", jnp.bfloat16, 96, "chunk"),
    ("TPU v4", "tpu", jnp.bfloat16, 128, "chunk"),
    ("NVIDIA H100 80GB HBM3", "gpu", jnp.bfloat16, 128, "pallas_gpu"),
    ("NVIDIA H200", "gpu", jnp.float32, 128, "chunk"),
    ("NVIDIA A100-SXM4-40GB", "gpu", jnp.bfloat16, 128, "chunk"),
    ("cpu", "cpu", jnp.float32, 24, "chunk"),
    ("cpu", "cpu", jnp.float64, 24, "reference"),
]


@pytest.mark.parametrize("kind, platform, dtype, K, name", PREFERRED)
def test_the_first_implementation_that_runs_is_taken(kind, platform, dtype, K, name):
    with jax.enable_x64(dtype == jnp.float64), _pretended(kind, platform):
        assert _chosen(None, _abstract(K, dtype)) == name


@pytest.mark.parametrize(
    "kind, platform, dtype, K, name, reason",
    [
        (
            "TPU v4",
            "tpu",
            jnp.bfloat16,
            128,
            "pallas_tpu",
            "written for TPU v5e, .* this is TPU v4",
        ),
        ("TPU v6 lite", "tpu", jnp.bfloat16, 96, "pallas_tpu", "K=96"),
        ("TPU v6 lite", "tpu", jnp.float64, 64, "pallas_tpu", "float64"),
        ("NVIDIA A100", "gpu", jnp.bfloat16, 128, "pallas_gpu", "Hopper .* this is NVIDIA A100"),
        ("NVIDIA H200", "gpu", jnp.bfloat16, 96, "pallas_gpu", "K=96"),
        ("NVIDIA H200", "gpu", jnp.float32, 128, "pallas_gpu", "multiplies bfloat16"),
        ("cpu", "cpu", jnp.float64, 24, "chunk", "float64 is the reference's"),
    ],
)
def test_a_named_implementation_says_why_not(kind, platform, dtype, K, name, reason):
    x64 = jax.enable_x64(dtype == jnp.float64)
    refused = pytest.raises(NotImplementedError, match=f"impl='{name}': .*{reason}")
    with x64, _pretended(kind, platform), refused:
        _chosen(name, _abstract(K, dtype))


_chosen = functools.partial(dispatch.choose, "kernels.gla", IMPLEMENTATIONS)


def _pretended(kind: str, platform: str):
    device = jax.sharding.AbstractDevice(kind, None, platform)
    mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)
    return jax.sharding.use_abstract_mesh(mesh)


def _abstract(K: int, dtype) -> tuple:
    x = jax.ShapeDtypeStruct((1, 8, 1, K), dtype)
    v = jax.ShapeDtypeStruct((1, 8, 1, 64), dtype)
    return x, x, v, x, None, None


@pytest.mark.parametrize("impl", ["pallas_tpu", "pallas_gpu"])
def test_inference_writes_no_states(impl: str):
    """Without a gradient no kernel writes more than o and the states at the ends of segments."""
    q = jax.ShapeDtypeStruct((1, 4096, 1, 128), jnp.bfloat16)
    device = ("TPU v6 lite", "tpu") if impl == "pallas_tpu" else ("NVIDIA H200", "gpu")
    op = lambda x: gla(x, x, x, x, impl=impl)[0]
    with _pretended(*device):
        inference = str(jax.make_jaxpr(op)(q))
        training = str(jax.make_jaxpr(lambda x: jax.vjp(op, x)[0])(q))
    written = "bf16[1,1,4,128,128]" if impl == "pallas_tpu" else "bf16[1,1,64,128,128]"
    assert written not in inference
    assert (written in training) == (impl == "pallas_tpu")  # the GPU's backward sweeps again


class _Loud(Case):
    """Queries and keys of 300, decays just within what the fast way takes."""

    def inputs(self):
        x = super().inputs()
        loud = {"q": 300, "k": 300, "g": -1.2}
        return x | {name: np.full_like(x[name], value) for name, value in loud.items()}


def test_loud_queries_and_keys_leave_what_is_later_out():
    """q_i k_j exp(b_i - b_j) is infinite for j after i, and 0 times that were NaN."""
    case = _Loud(T=64, K=64)
    assert_close(everything(CHUNK, case, jnp.float32), wanted(case), 3e-6)


@pytest.mark.parametrize("shape", ["BTHK", "BTH1", "11H1", "1111", "11HK", "1T1K"])
def test_a_step_broadcasts_its_gate(shape: str):
    case = Case(T=1, gate="/1", gate_shape=shape, state=True)
    x = _arrays(case)
    x.pop("dfinal")
    state = x.pop("initial_state")
    got = gla_step(**x, state=state)
    want = gla(**x, initial_state=state, impl="reference")
    assert_close(dict(enumerate(got)), dict(enumerate(want)), 1e-6)


@pytest.mark.parametrize("impl", slow_but(["chunk"], ["chunk", "reference"]))
@pytest.mark.parametrize("shape", slow_but(["11H1"], ["BTH1", "11H1", "1111", "11HK"]))
def test_a_shared_gate_in_bfloat16_gets_a_gradient_of_full_accuracy(impl: str, shape: str):
    """Its sum over the tokens is taken in float32; only the last rounding is bfloat16's."""
    case = _Rounded(T=300, gate_shape=shape)
    x = {name: y.astype(jnp.bfloat16) for name, y in _arrays(case).items()}
    do = jnp.asarray(case.inputs()["do"], jnp.bfloat16)
    _, vjp = jax.vjp(lambda g: gla(**{**x, "g": g}, impl=impl)[0], x["g"])
    with jax.enable_x64(True):
        wide = {name: y.astype(jnp.float64) for name, y in x.items()}
        _, exact = jax.vjp(lambda g: gla(**{**wide, "g": g}, impl="reference")[0], wide["g"])
        want = exact(do.astype(jnp.float64))
    assert_close({"dg": vjp(do)[0]}, {"dg": want[0]}, 5e-3)


def test_only_the_hard_chunks_are_computed_exactly(monkeypatch):
    """With the exact way broken, its outputs lost, every chunk but the hard one stays right."""
    x = _arrays(Case(B=2, T=640))
    x["g"] = x["g"].at[1, 200].set(-50.0)
    want = gla(**x, impl="reference")[0]
    exact = chunk_math.exact
    broken = lambda q, k, v, g, at: (0 * v, exact(q, k, v, g, at)[1])
    monkeypatch.setattr(chunk_math, "exact", broken)
    o = gla(**x, impl="chunk")[0]
    easy = np.ones(640, bool)
    easy[192:256] = False
    # Row 0's first chunk fills up the pair that a batch of two computes at once.
    assert_close({0: o[0, 64:], 1: o[1, easy]}, {0: want[0, 64:], 1: want[1, easy]}, 1e-5)
    assert not error(o[1, ~easy], want[1, ~easy]) < 0.1


def _recurrence(x: dict):
    """The definition, with JAX's own derivatives."""
    q, v = x["q"], x["v"]
    nothing = jnp.zeros((q.shape[0], *q.shape[2:], v.shape[3]))
    state = x.get("initial_state", nothing)
    return reference.recurrence(q, x["k"], v, x["g"], q.shape[3] ** -0.5, state, None)


def _arrays(case: Case, dtype=jnp.float32) -> dict[str, jax.Array]:
    arrays = {name: jnp.asarray(x) for name, x in case.inputs().items() if name != "do"}
    return {n: x if x.dtype == jnp.int32 else x.astype(dtype) for n, x in arrays.items()}
