"""Every implementation of softmax attention against the definition, values and gradients."""

import functools
import importlib.util
import inspect
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from kernels import dispatch
from kernels.attention import (
    IMPLEMENTATIONS,
    attend,
    attention,
    blocks,
    causal,
    context,
    cudnn,
    splash,
)
from tests.kernels.compare import assert_close, compiled, slow_but
from train.mesh import AXES, ROWS, Layout

# B, T, H, G, K, documents, window
CASES = {
    "plain": (2, 24, 2, 2, 8, False, None),
    "one token": (1, 1, 2, 2, 8, True, None),
    "grouped": (2, 24, 4, 2, 8, False, None),
    "documents": (2, 40, 2, 1, 8, True, None),
    "window": (2, 40, 2, 2, 8, False, 7),
    "window and documents": (2, 41, 4, 2, 8, True, 9),
    "a window of one": (1, 20, 2, 2, 8, False, 1),
    "a window longer than all": (1, 20, 2, 2, 8, True, 100),
}


def results(function, case, dtype=jnp.float32):
    """o and its gradients, by name."""
    B, T, H, G, K, documents, window = case
    shapes = {"q": (B, T, H, K), "k": (B, T, G, K), "v": (B, T, G, K), "do": (B, T, H, K)}
    keys = jax.random.split(jax.random.key(T), 4)
    x = {
        name: jax.random.normal(key, shape).astype(dtype)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    ids = None
    if documents:
        ids = jnp.cumsum(
            jax.random.bernoulli(jax.random.key(3), 0.2, (B, T)), axis=1, dtype=jnp.int32
        )
    run = lambda q, k, v: function(q, k, v, segment_ids=ids, window=window)
    o, vjp = jax.vjp(jax.jit(run), x["q"], x["k"], x["v"])
    return {"o": o} | dict(zip(("dq", "dk", "dv"), vjp(x["do"]), strict=True))


reference = functools.partial(attention, impl="reference")


@pytest.mark.parametrize("name", slow_but(CASES.keys() - {"plain", "window"}, CASES))
def test_blocks_are_the_definition(name, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 8)
    got = results(blocks.attention, CASES[name])
    assert_close(got, results(reference, CASES[name]), 2e-6)


@pytest.mark.parametrize("name", slow_but(("one token", "window and documents"), CASES))
def test_bfloat16_blocks_are_near_the_definition(name):
    # Weights and outputs rounded to 8 bits: relative errors of 2^-9 each, a few of them.
    got = results(attention, CASES[name], jnp.bfloat16)
    assert_close(got, results(reference, CASES[name]), 2e-2)


@pytest.mark.parametrize("name", ["documents", "window and documents", "grouped"])
def test_the_cache_form_is_the_definition(name):
    B, T, *_ = CASES[name]

    def by_mask(q, k, v, segment_ids, window):
        ids = jnp.zeros((B, T), jnp.int32) if segment_ids is None else segment_ids
        return attend(q, k, v, causal(ids, window))

    assert_close(results(by_mask, CASES[name]), results(reference, CASES[name]), 2e-6)


@pytest.mark.parametrize("name", slow_but(("window and documents",), CASES))
def test_splash_attention_is_the_definition_when_interpreted(name):
    def interpreted(q, k, v, segment_ids, window):
        return splash.attention(q, k, v, segment_ids, window, interpret=True)

    got, want = results(interpreted, CASES[name]), results(reference, CASES[name])
    for name in [name for name in want if not want[name].any()]:
        # What sees itself alone has no gradient; the kernel subtracts two equal sums for it.
        assert abs(got.pop(name)).max() < 1e-6 and want.pop(name) is not None
    assert_close(got, want, 1e-5)


@pytest.mark.parametrize(
    "sizes", slow_but([(1, 2, 1, 2)], [(1, 4, 1, 1), (1, 2, 1, 2), (1, 1, 2, 4)])
)
@pytest.mark.parametrize("name", ["grouped", "window and documents"])
def test_a_kernel_over_devices_is_the_kernel_on_one(name, sizes):
    """Rows that divide and rows that do not, heads too: 2 rows, 2 key heads."""
    mesh = jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 4)
    want = results(reference, CASES[name])
    with jax.set_mesh(mesh):
        got = results(functools.partial(context.over_mesh, blocks.attention), CASES[name])
    assert_close(got, want, 2e-6)


def test_documents_on_a_gpu_are_the_definition_alone_and_as_members(monkeypatch):
    """With XLA in the place of cuDNN: the gradient that is made again, and members as a batch."""
    xla = functools.partial(cudnn._cudnn, implementation="xla")
    monkeypatch.setattr(cudnn, "_cudnn", xla)
    case = CASES["window and documents"]

    def members(q, k, v, segment_ids, window):
        run = lambda q: cudnn.attention(q, k, v, segment_ids, window)
        return jax.vmap(run)(jnp.stack([0 * q, q]))[1]

    want = results(reference, case)
    for run in (cudnn.attention, members):
        assert_close(results(run, case), want, 2e-6)


def test_no_square_of_scores_is_made(monkeypatch):
    """Each block's scores reach to its last query and no further back than the window."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    x = jax.ShapeDtypeStruct((1, 512, 1, 8), jnp.float32)
    for window, widest in ((None, 512), (32, 95)):
        run = functools.partial(blocks.attention, segment_ids=None, window=window)
        text = str(jax.make_jaxpr(run)(x, x, x))
        assert "512,512" not in text
        assert f"64,{widest}]" in text and (widest == 512 or f"64,{widest + 1}]" not in text)


def test_a_named_implementation_runs_or_says_why_not():
    x = jnp.ones((1, 4, 1, 8))
    for name, platforms in IMPLEMENTATIONS.items():
        if platforms is None:
            attention(x, x, x, impl=name)
        else:
            with pytest.raises(NotImplementedError, match=f"runs on {platforms[0]}"):
                attention(x, x, x, impl=name)
    with pytest.raises(ValueError, match="impl='flash' is unknown"):
        attention(x, x, x, impl="flash")
    with pytest.raises(ValueError, match="window=0"):
        attention(x, x, x, window=0)


# (device_kind, platform), dtype, K, what impl=None takes; JAX is asked for cuDNN apart from this
PREFERRED = [
    ("TPU v6 lite", "tpu", jnp.bfloat16, 64, "splash"),
    ("TPU v6 lite", "tpu", jnp.float16, 64, "blocks"),
    ("NVIDIA A100-SXM4-40GB", "gpu", jnp.bfloat16, 128, "cudnn"),
    ("NVIDIA A100-SXM4-40GB", "gpu", jnp.bfloat16, 256, "blocks"),
    ("NVIDIA L4", "gpu", jnp.float16, 64, "cudnn"),
    ("NVIDIA GeForce RTX 4090", "gpu", jnp.bfloat16, 64, "cudnn"),
    ("NVIDIA H100 80GB HBM3", "gpu", jnp.bfloat16, 256, "cudnn"),
    ("NVIDIA GH200 480GB", "cuda", jnp.bfloat16, 256, "cudnn"),
    ("NVIDIA H200", "gpu", jnp.bfloat16, 264, "blocks"),
    ("NVIDIA H200", "gpu", jnp.bfloat16, 36, "blocks"),
    ("NVIDIA H200", "gpu", jnp.float32, 64, "blocks"),
    ("NVIDIA B200", "gpu", jnp.bfloat16, 128, "cudnn"),
    ("NVIDIA GB200", "gpu", jnp.bfloat16, 256, "blocks"),
    ("Tesla V100-SXM2-16GB", "gpu", jnp.bfloat16, 64, "blocks"),
    ("NVIDIA GeForce RTX 2080 Ti", "gpu", jnp.float16, 64, "blocks"),
    ("AMD Instinct MI300X", "gpu", jnp.bfloat16, 64, "blocks"),
    ("cpu", "cpu", jnp.float32, 64, "blocks"),
]


@pytest.mark.parametrize("kind, platform, dtype, K, name", PREFERRED)
def test_the_first_implementation_that_runs_is_taken(kind, platform, dtype, K, name, monkeypatch):
    monkeypatch.setattr(cudnn, "_refused", lambda K: None)
    with _pretended(kind, platform):
        assert _chosen(None, K, dtype) == name


def test_where_jax_finds_no_cudnn_it_is_not_taken(monkeypatch):
    """Asked of JAX itself, which then would raise inside the model."""
    library = "jax._src.cudnn.fused_attention_stablehlo.cuda_versions"
    monkeypatch.setattr(library, None)
    cudnn._refused.cache_clear()
    with _pretended("NVIDIA H200", "gpu"):
        assert _chosen(None, 64, jnp.bfloat16) == "blocks"
        with pytest.raises(NotImplementedError, match="impl='cudnn': cuDNN is not detected"):
            _chosen("cudnn", 64, jnp.bfloat16)
    cudnn._refused.cache_clear()


def _pretended(kind: str, platform: str):
    device = jax.sharding.AbstractDevice(kind, None, platform)
    mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)
    return jax.sharding.use_abstract_mesh(mesh)


def _chosen(impl: str | None, K: int, dtype) -> str:
    x = jax.ShapeDtypeStruct((1, 8, 1, K), dtype)
    return dispatch.choose("kernels.attention", IMPLEMENTATIONS, impl, (x, x, x, None, None))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"q": (10, 4, 8)}, "q of shape"),
        ({"k": (2, 10, 8)}, "k of shape"),
        ({"k": (2, 9, 2, 8)}, "k of shape"),
        ({"k": (2, 10, 2, 16)}, "k of shape"),
        ({"v": (2, 10, 4, 8)}, "v of shape"),
        ({"k": (2, 10, 3, 8), "v": (2, 10, 3, 8)}, "H=4 heads are not divisible by k's G=3"),
        ({"segment_ids": (2, 11)}, "segment_ids of shape"),
        ({"segment_ids": (10,)}, "segment_ids of shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict, message: str):
    shapes = {"q": (2, 10, 4, 8), "k": (2, 10, 2, 8), "v": (2, 10, 2, 8), "segment_ids": (2, 10)}
    x = {
        name: jnp.zeros(shape, jnp.int32 if name == "segment_ids" else jnp.float32)
        for name, shape in (shapes | change).items()
    }
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(attention)(**x)  # users have no jaxtyping checks in front


@pytest.mark.parametrize("impl", ["blocks", "reference"])
@pytest.mark.parametrize(
    "change, message",
    [
        ({"q": jnp.bfloat16}, "q bfloat16, k float32 and v float32 differ"),
        (dict.fromkeys("qkv", jnp.int32), "q, k and v of int32 should be floating"),
        ({"segment_ids": jnp.float32}, "segment_ids of float32 should be integers"),
        ({"window": 2.5}, "window=2.5"),
    ],
)
def test_dtypes_that_do_not_fit_are_named(change: dict, message: str, impl: str):
    x = {name: jnp.ones((1, 4, 1, 8), change.get(name, jnp.float32)) for name in "qkv"}
    x["segment_ids"] = jnp.zeros((1, 4), change.get("segment_ids", jnp.int32))
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(attention)(**x, window=change.get("window"), impl=impl)


def test_float16_runs_on_a_cpu_too():
    """Where XLA has no product of it: the blocks say so, and the definition is next."""
    x = jax.random.normal(jax.random.key(0), (1, 20, 2, 8), jnp.float16)
    assert blocks.unsupported(x, x, x, None, None) is not None
    assert_close({0: attention(x, x, x)}, {0: reference(*[x.astype(jnp.float32)] * 3)}, 2e-3)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_second_eager_call_compiles_nothing(devices, caplog, monkeypatch):
    """Though the gradient is made for the call, and on a mesh the shard_map: with XLA for cuDNN."""
    monkeypatch.setitem(IMPLEMENTATIONS, "cudnn", ("cpu",))
    monkeypatch.setattr(cudnn, "CHIPS", "")
    monkeypatch.setattr(cudnn, "_refused", lambda K: None)
    monkeypatch.setattr(cudnn, "_cudnn", functools.partial(cudnn._cudnn, implementation="xla"))
    x, ids = jnp.ones((4, 22, 2, 8), jnp.bfloat16), jnp.zeros((4, 22), jnp.int32)
    run = lambda x: attention(x, x, x, segment_ids=ids, window=5, impl="cudnn")
    with jax.set_mesh(jax.make_mesh((devices,), ("data",))):
        for call in (lambda: run(x), lambda: jax.grad(lambda x: run(x).sum())(x)):
            assert compiled(caplog, call) > 0 and compiled(caplog, call) == 0


def test_on_a_mesh_as_jax_makes_it_kernels_and_xla_are_the_definition():
    """Its axes are Explicit, and tokens lie along one: what is needed elsewhere has to be moved."""
    x = jax.random.normal(jax.random.key(0), (4, 24, 2, 8))
    kernel = lambda x: context.over_mesh(blocks.attention, x, x, x, None, 9)
    xla, definition = (
        lambda x, impl=impl: attention(x, x, x, window=9, impl=impl)
        for impl in ("blocks", "reference")
    )
    both = lambda run: lambda x: {"o": run(x), "dx": jax.grad(lambda x: jnp.sin(run(x)).sum())(x)}
    want = both(definition)(x)
    with jax.set_mesh(jax.make_mesh((2, 4), ("data", "sequence"))):
        x = jax.sharding.reshard(x, P("data", "sequence"))
        for run in (kernel, xla):
            assert_close(jax.jit(both(run))(x), want, 2e-6)


needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed (make compilers)"
)
TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@needs_libtpu
@pytest.mark.parametrize(
    "layout",
    [
        Layout(data=4),
        Layout(member=4),
        Layout(member=2, data=2),
        Layout(fsdp=2, sequence=2),
    ],
    ids=lambda layout: str(layout.sizes),
)
def test_the_kernel_is_in_the_program_wherever_members_and_rows_lie(layout, monkeypatch):
    """Mosaic's kernels refuse devices that the compiler would have to split them over.

    Members are split as train.step does: by a shard_map that is over all axes where it can be.
    """
    for name, value in TPU.items():
        monkeypatch.setenv(name, value)
    mesh = layout.mesh(topologies.get_topology_desc("v5e:2x2", platform="tpu").devices)
    there = NamedSharding(mesh, P("member", ROWS, "sequence"))
    place = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=there)
    run = jax.vmap(attention)
    if layout.member > 1:
        own = {"member"} if layout.shared > 1 else set(AXES)
        member = P("member")
        run = jax.shard_map(run, in_specs=member, out_specs=member, axis_names=own, check_vma=False)
    with jax.set_mesh(mesh):
        k = place(4, 4, 128, 2, 64)
        text = jax.jit(run).lower(place(4, 4, 128, 4, 64), k, k).as_text()
    assert text.count("tpu_custom_call") == 1


@pytest.mark.parametrize("where", ["one device", "a mesh", "members"])
@pytest.mark.parametrize("documents", [False, True], ids=["one document", "documents"])
def test_cudnn_skips_what_no_query_sees(documents, where, monkeypatch):
    """What is asked of cuDNN, in the program lowered for a GPU that is not here, nor cuDNN."""
    library = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{library}.check_cudnn_version", lambda: 91200)
    array = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    q, k = array(2, 64, 4, 32), array(2, 64, 2, 32)
    ids = jax.ShapeDtypeStruct((2, 64), jnp.int32) if documents else None
    over = where == "a mesh"
    run = functools.partial(context.over_mesh, cudnn.attention) if over else cudnn.attention
    loss = lambda q, k, v, ids: run(q, k, v, ids, 9).astype(jnp.float32).sum()
    step = jax.grad(loss, argnums=(0, 1, 2))
    if where == "members":
        step = jax.vmap(step, (0, 0, 0, 0 if documents else None))
        q, k, ids = jax.tree.map(lambda x: x.update(shape=(3, *x.shape)), (q, k, ids))
    step = jax.jit(step)
    with jax.set_mesh(jax.make_mesh((1 + over,), ("data",), axis_types=(AxisType.Auto,))):
        text = step.trace(q, k, k, ids).lower(lowering_platforms=("cuda",)).as_text()
    calls = [line.replace("\\22", "") for line in text.splitlines() if "__cudnn$fmha" in line]
    assert len(calls) == 2
    window = 0 if documents else 9
    rows = {"one device": 2, "a mesh": 1, "members": 6}[where]
    for call in calls:
        assert "mask_type: CAUSAL" in call and f"sliding_window_length: {window}," in call
        assert (f"tensor<{rows}x1x64x64xbf16>" in call) == documents


COMPILE = """
import jax, jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from kernels.attention import splash
device = topologies.get_topology_desc("v5e:2x2", platform="tpu").devices[0]
here = SingleDeviceSharding(device)
place = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=here)
def loss(window, q, k, v, ids):
    return splash.attention(q, k, v, ids, window).astype(jnp.float32).sum()
narrow, wide = (64, 1000, "bfloat16", None), (256, 2048, "bfloat16", 512)
for K, T, dtype, window in (narrow, wide, (32, 64, "float32", None)):
    q, k, ids = place((2, T, 4, K), dtype), place((2, T, 2, K), dtype), place((2, T), jnp.int32)
    step = jax.jit(jax.grad(lambda *x: loss(window, *x), argnums=(0, 1, 2)))
    text = step.trace(q, k, k, ids).lower(lowering_platforms=("tpu",)).compile().as_text()
    print(K, T, text.count('custom_call_target="tpu_custom_call"'))
"""


@needs_libtpu
@pytest.mark.slow
def test_splash_attention_compiles_for_a_tpu_that_is_not_here():
    """Forward and both kernels of the gradient, narrow and wide heads, grouped, T off the block."""
    child = subprocess.run(
        [sys.executable, "-c", COMPILE], env=os.environ | TPU, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-3000:]
    lines = [line.split() for line in child.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["64", "1000"], ["256", "2048"], ["32", "64"]]
    assert all(int(kernels) == 3 for *_, kernels in lines), child.stdout
