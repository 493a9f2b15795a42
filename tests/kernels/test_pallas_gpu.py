"""The GPU kernels in Pallas's interpreter (it simulates TMA, barriers and wgmma) against float64.

Kernels are called one after another, not under one jit: there XLA would run independent ones at
once, and the interpreter's threads can wait for each other for ever.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu, reference
from kernels.gla.cases import CASES, GATES, Case
from kernels.gla.operation import differentiable
from tests.kernels.compare import error

# Root mean squares relative to the recurrence's, in bfloat16, normal inputs.
TOLERANCE = {"o": 4e-3, "final_state": 5e-3} | dict.fromkeys(("dq", "dk", "dv", "dg", "dS"), 5e-3)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Each kernel under a jit of its own, which compiles it once for all cases of its shapes."""
    static = {
        "prepare": ("scale", "interpret"),
        "sweep": ("length", "reverse", "outputs", "states", "interpret"),
        "chunk_gradients": ("scale", "gate_dtype", "interpret"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, fixed in static.items():
            kernel = jax.jit(getattr(pallas_gpu, name), static_argnames=fixed)
            patch.setattr(pallas_gpu, name, kernel)
        yield


def small(**changes) -> Case:
    return Case(**({"B": 1, "H": 1, "K": 64, "V": 64, "state": True} | changes))


def arguments(case: Case, gate_dtype=jnp.bfloat16) -> dict:
    """Inputs and cotangents of a case, as the kernels take them."""
    x = {name: jnp.asarray(array) for name, array in case.inputs().items()}
    x |= {name: x[name].astype(jnp.bfloat16) for name in ("q", "k", "v", "do")}
    nothing = jnp.zeros((case.B, case.H, case.K, case.V), jnp.float32)
    x |= {name: x.get(name, nothing) for name in ("initial_state", "dfinal")}
    return x | {"g": x["g"].astype(gate_dtype), "segment_ids": x.get("segment_ids")}


def run(module, x: dict, **options) -> dict[str, np.ndarray]:
    return {n: np.asarray(y, np.float64) for n, y in everything(module, x, **options).items()}


def everything(module, x: dict, **options) -> dict[str, jax.Array]:
    """What an implementation's forward and backward give."""
    names = ("q", "k", "v", "g")
    scale = x["q"].shape[-1] ** -0.5
    (o, final), residual = module.forward(
        *(x[name] for name in names), scale, x["initial_state"], x["segment_ids"], **options
    )
    gradients = module.backward(residual, x["do"], x["dfinal"], **options)
    return dict(zip(TOLERANCE, (o, final, *gradients), strict=True))


def expected(x: dict) -> dict[str, np.ndarray]:
    with jax.enable_x64(True):
        wide = lambda y: y if y is None or y.dtype == np.int32 else y.astype(np.float64)
        given = {name: wide(y if y is None else np.asarray(y)) for name, y in x.items()}
        return run(reference, jax.tree.map(jnp.asarray, given))


def check(case: Case, gate_dtype=jnp.bfloat16, races=False) -> None:
    x = arguments(case, gate_dtype)
    got = run(pallas_gpu, x, interpret=plgpu.InterpretGPUParams(detect_races=races))
    want = expected(x)
    errors = {name: error(got[name], want[name]) for name in want}
    assert all(errors[name] <= TOLERANCE[name] for name in want), errors


@pytest.mark.parametrize("gate_shape", ["BTHK", "BTH1"])
def test_every_row_of_totals_begins_where_tma_may_write(gate_shape):
    """Multiples of 128 bytes of shared memory: a card faults, the interpreter does not see it."""
    x = arguments(small(T=130, K=128, gate_shape=gate_shape))
    _, totals = pallas_gpu._gates(x["q"], x["g"], None, 192)
    assert totals.shape[-1] * totals.dtype.itemsize % 128 == 0


@pytest.mark.slow
def test_two_chunks_and_two_segments_of_the_sequence_equal_the_recurrence():
    check(small(T=65))


def test_resets_and_documents_equal_the_recurrence_on_the_exact_path():
    check(small(T=100, gate="resets", segments=(40, 1, 30)))


@pytest.mark.slow
def test_two_warpgroups_equal_the_recurrence_and_do_not_race(monkeypatch):
    monkeypatch.setattr(pallas_gpu, "PROCESSORS", 2)  # segments of several chunks
    check(small(T=200, K=128, V=128), races=True)


@pytest.mark.slow
def test_one_decay_a_head_equals_the_recurrence_and_does_not_race():
    """Hard gates and easy ones go one way, by a matrix of decays; -40 everywhere leaves dg tiny."""
    check(small(T=130, gate="resets", gate_shape="BTH1", segments=(40, 1, 30)), jnp.float32, True)


@pytest.mark.slow
@pytest.mark.parametrize("gate", GATES)
def test_one_decay_a_head_equals_the_recurrence_for_any_gate(gate, monkeypatch):
    monkeypatch.setattr(pallas_gpu, "PROCESSORS", 2)
    check(small(T=130, K=128, V=128, gate=gate, gate_shape="BTH1"), jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long-1000", "gate-mixed", "retention", "segments-hard"])
def test_the_named_cases_equal_the_recurrence(name):
    check(replace(CASES[name], B=1, H=1, K=64, V=128))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["BTH1", "11H1", "11HK"])
def test_a_shared_gate_in_bfloat16_gets_a_gradient_summed_in_float32(shape):
    check(small(T=130, B=2, H=2, gate_shape=shape))


@pytest.mark.slow
@pytest.mark.parametrize("T", [1, 63, 64, 200])
def test_any_number_of_tokens_equals_the_recurrence(T):
    check(small(T=T))


@pytest.mark.slow
@pytest.mark.parametrize("gate", GATES)
def test_any_gate_equals_the_recurrence(gate):
    check(small(T=130, gate=gate, H=2))


@pytest.mark.slow
@pytest.mark.parametrize("K, V", [(64, 128), (128, 64), (128, 256), (256, 64), (64, 512)])
def test_any_width_equals_the_recurrence(K, V):
    check(small(T=130, K=K, V=V))


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["/16", "mixed"])
def test_float32_gates_equal_the_recurrence(gate):
    check(small(T=130, K=128, V=128, gate=gate, segments=(40, 1, 30)), gate_dtype=jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["BTH1", "11H1", "1111", "11HK"])
def test_a_broadcast_gate_gets_the_sum_of_its_gradients(shape):
    check(small(T=130, B=2, H=2, gate_shape=shape), gate_dtype=jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("K, gate", [(64, "mixed"), (128, "mixed"), (256, "/16")])
def test_no_kernel_races_on_either_path(K, gate, monkeypatch):
    monkeypatch.setattr(pallas_gpu, "PROCESSORS", 2)
    check(small(T=200, K=K, V=128, gate=gate), races=True)


@pytest.mark.slow
def test_vmap_is_a_loop_under_grad_too():
    """Seeds are mapped. What the mapped batch does on several devices at once this interpreter
    cannot show, its memory is one for all: tests/kernels/test_gla.py compiles that instead."""
    x, interpret = arguments(small(B=2, T=64)), plgpu.InterpretGPUParams()
    op = differentiable(
        functools.partial(pallas_gpu.forward, interpret=interpret),
        functools.partial(pallas_gpu.backward, interpret=interpret),
    )

    def gradients(q, k, v, g, do):
        _, vjp = jax.vjp(lambda *x: op(*x, 0.125, None, None)[0], q, k, v, g)
        return vjp(do)

    given = [x[name] for name in ("q", "k", "v", "g", "do")]
    got = jax.vmap(gradients)(*(y[:, None] for y in given))  # two members, each a batch of one
    for mapped, batched in zip(got, gradients(*given), strict=True):
        np.testing.assert_array_equal(mapped[:, 0], batched)


def test_the_backward_pass_cuts_the_sequence_as_the_forward_pass_did(monkeypatch):
    """The cut depends on B, and a `vmap` over cotangents alone gives the backward pass a larger
    one: with a cut of its own it would start segments from the states of other tokens."""
    cuts, sweep = [], pallas_gpu.sweep

    def recorded(*arrays, gamma, start, length, **options):
        cuts.append((gamma.shape[1], start.shape[2], length))
        return sweep(*arrays, gamma=gamma, start=start, length=length, **options)

    monkeypatch.setattr(pallas_gpu, "sweep", recorded)
    op = differentiable(pallas_gpu.forward, pallas_gpu.backward)

    def gradients(q, g, do):
        _, vjp = jax.vjp(lambda q: op(q, q, q, g, 0.125, None, None)[0], q)
        return jax.vmap(vjp)(do)

    token = jax.ShapeDtypeStruct((1, 64 * 132, 1, 64), jnp.bfloat16)
    jax.eval_shape(gradients, token, token, jax.ShapeDtypeStruct((4, *token.shape), jnp.bfloat16))
    chunks, P, _ = cuts[-1]
    assert P > 1 and {cut for cut in cuts if cut[1] == P} == {(chunks, P, chunks // P)}


@pytest.mark.slow
def test_a_repeated_run_gives_the_same_bits():
    x = arguments(small(T=65, K=128))
    options = {"interpret": plgpu.InterpretGPUParams()}
    first, second = (run(pallas_gpu, x, **options) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"q": jnp.float32}, "q, k, v are float32"),
        ({"g": jnp.float16}, "g is float16"),
        ({"K": 96}, "K=96"),
        ({"V": 100}, "V=100"),
    ],
)
def test_what_the_kernels_cannot_run_is_refused_with_the_reason(changes, reason):
    K, V = changes.get("K", 64), changes.get("V", 64)
    shape = lambda name, D: jax.ShapeDtypeStruct((1, 8, 1, D), changes.get(name, jnp.bfloat16))
    q, k, v, g = (shape(name, D) for name, D in zip("qkvg", (K, K, V, K), strict=True))
    assert reason in pallas_gpu.unsupported(q, k, v, g, None, None)


def test_target_shapes_are_supported():
    shape = lambda D: jax.ShapeDtypeStruct((8, 2048, 4, D), jnp.bfloat16)
    for K, V in ((128, 256), (128, 128), (64, 64), (256, 512)):
        assert pallas_gpu.unsupported(shape(K), shape(K), shape(V), shape(K), None, None) is None
