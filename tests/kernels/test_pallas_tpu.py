"""The TPU kernels in interpret mode against the definition in float64, with all gradients."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from kernels.gla import gla, pallas_tpu, pallas_tpu_chunk
from kernels.gla.cases import CASES, Case
from kernels.gla.operation import differentiable
from tests.kernels.compare import assert_close, everything, slow_but

WIDE = {"B": 2, "H": 1, "K": 128, "V": 128}
NARROW = {"B": 1, "H": 3, "K": 64, "V": 64}  # two heads a block, and a head of padding
# The shared cases, at widths the kernels take.
EVERY = {name: replace(case, **WIDE) for name, case in CASES.items() if name != "selective-scan"}
EVERY |= {f"narrow-{name}": replace(CASES[name], **NARROW) for name in ("segments", "head-gate")}
EVERY["narrow-values"] = Case(B=1, T=130, H=2, K=128, V=64, gate="mixed", state=True)
EVERY["several-steps"] = Case(B=1, T=1100, H=1, K=128, V=256, gate="zero", state=True)
EVERY["wide"] = Case(B=1, T=300, H=1, K=256, V=512, gate="/1", state=True, segments=(7, 190))
EVERY["widest-head-gate"] = Case(B=1, T=140, H=1, K=512, V=256, gate_shape="BTH1", state=True)

ROUNDED = {"o": 4e-3, "final_state": 4e-3}  # flash-linear-attention's; its gradients: 5e-3


@functools.cache
def kernels(interpret=True):
    """The op as `kernels.gla.gla` makes it of the kernels, interpreted."""
    run = differentiable(
        functools.partial(pallas_tpu.forward, interpret=interpret),
        functools.partial(pallas_tpu.backward, interpret=interpret),
    )

    def op(q, k, v, g, initial_state=None, segment_ids=None):
        return run(q, k, v, g, q.shape[-1] ** -0.5, initial_state, segment_ids)

    return op


REFERENCE = functools.partial(gla, impl="reference")


def wanted(case: Case) -> dict[str, np.ndarray]:
    with jax.enable_x64(True):
        return everything(REFERENCE, case, jnp.float64)


class Rounded(Case):
    """A case whose inputs bfloat16 holds exactly: only the kernels' own rounding is measured."""

    def inputs(self):
        inputs = super().inputs()
        exact = lambda x: x.astype(jnp.bfloat16).astype(np.float32)
        return {name: x if x.dtype == np.int32 else exact(x) for name, x in inputs.items()}


@pytest.mark.parametrize("name", slow_but(["segments-hard", "head-gate-resets"], EVERY))
def test_in_float32_the_kernels_are_the_recurrence(name: str):
    """Guards against a wrong state between chunks or steps, a clamp, an overflow, a lost term."""
    assert_close(everything(kernels(), EVERY[name], jnp.float32), wanted(EVERY[name]), 1e-5)


@pytest.mark.parametrize(
    "name", slow_but(["segments"], ["gate-mixed", "segments", "head-gate", "several-steps"])
)
def test_in_bfloat16_the_kernels_stay_within_the_published_tolerances(name: str):
    case = Rounded(**vars(EVERY[name]))
    got = everything(kernels(), case, jnp.bfloat16)
    assert_close(got, wanted(case), {name: ROUNDED.get(name, 5e-3) for name in got})


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["BTHK", "BTH1", "11HK"])
def test_a_gate_in_bfloat16_gets_a_gradient_summed_in_float32(shape: str):
    case = Rounded(**WIDE, T=200, gate_shape=shape)
    op = lambda q, k, v, g, segment_ids: kernels()(q, k, v, g.astype(jnp.bfloat16))
    got, want = everything(op, case, jnp.bfloat16), wanted(case)
    assert_close({"dg": got["dg"]}, {"dg": want["dg"]}, 5e-3)


@pytest.mark.parametrize("gate_shape", slow_but(["BTHK"], ["BTHK", "BTH1"]))
def test_the_exact_way_is_taken_only_where_it_must_be(monkeypatch, gate_shape: str):
    """Were the slow way taken always, every other test would pass and the kernel crawl; never, and
    decays beyond LIMIT would be wrong. With the slow way broken, ordinary gates must not notice."""
    broken = lambda self: 0 * self.cut.pairs.astype(jnp.float32)
    for way in (pallas_tpu_chunk.Tree, pallas_tpu_chunk.Scalar):
        monkeypatch.setattr(way, "scores", broken)
    op = lambda **x: kernels()(**x)  # compiled anew
    case = Case(**WIDE, T=130, gate="/16", gate_shape=gate_shape)
    assert_close(everything(op, case, jnp.float32), wanted(case), 1e-5)
    spiked = replace(case, gate="spikes")
    with pytest.raises(AssertionError):
        assert_close(everything(op, spiked, jnp.float32), wanted(spiked), 1e-1)


@pytest.mark.parametrize("case", [Case(B=1, T=130, H=1, K=128, V=128, gate="mixed", state=True)])
def test_no_race_and_no_uninitialised_memory(case: Case):
    """The interpreter that simulates the TPU's memories: NaN where nothing was written, races."""
    params = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    got = everything(kernels(params), case, jnp.float32)
    assert_close(got, wanted(case), 1e-5)


@pytest.mark.slow
def test_vmap_is_a_loop():
    q, k, v, g = (jnp.stack([x, 2 * x]) for x in _arrays(Case(B=1, T=70, H=1, K=128, V=128)))
    op = lambda *x: kernels()(*x)[0]
    got, want = jax.jit(jax.vmap(op))(q, k, v, g), [op(*x) for x in zip(q, k, v, g, strict=True)]
    np.testing.assert_allclose(got, np.stack(want), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_shard_map_over_batch_and_heads_is_the_op():
    x = _arrays(Case(B=2, T=70, H=2, K=128, V=128))
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "heads"))
    tokens, states = P("data", None, "heads"), P("data", "heads")
    over = jax.shard_map(
        kernels(), mesh=mesh, in_specs=tokens, out_specs=(tokens, states), check_vma=False
    )
    loss = lambda op: lambda x: sum(jnp.sum(jnp.sin(y)) for y in op(*x))
    got, want = (jax.jit(jax.grad(loss(op)))(x) for op in (over, kernels()))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_without_a_gradient_no_states_are_written():
    x = _arrays(Case(B=1, T=130, H=1, K=128, V=128))
    state = jnp.zeros((1, 1, 128, 128))
    run = lambda save: jax.jit(
        lambda *x: pallas_tpu.forward(*x, 1.0, state, None, save=save, interpret=True)
    )
    (o, final), (*_, saved) = run(False)(*x)
    (o_, final_), (*_, saved_) = run(True)(*x)
    assert saved == [] and saved_[0].shape == (1, 1, 1, 128, 128)
    np.testing.assert_array_equal(o, o_)
    np.testing.assert_array_equal(final, final_)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"q": (jnp.float32, 96)}, "K=96"),
        ({"v": (jnp.float32, 100)}, "V=100"),
        ({"v": (jnp.bfloat16, 128)}, "must be all bfloat16|all float32"),
        ({"g": (jnp.float16, 128)}, "g is float16"),
    ],
)
def test_outside_its_domain_the_reason_is_given(change: dict, reason: str):
    widths = {name: (jnp.float32, 128) for name in "qkvg"} | change
    x = {n: jax.ShapeDtypeStruct((1, 8, 1, D), dtype) for n, (dtype, D) in widths.items()}
    why = pallas_tpu.unsupported(**x, initial_state=None, segment_ids=None)
    assert any(part in why for part in reason.split("|"))


def _arrays(case: Case) -> list[jax.Array]:
    inputs = case.inputs()
    return [jnp.asarray(inputs[name]) for name in ("q", "k", "v", "g")]
