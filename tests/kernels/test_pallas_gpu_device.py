"""The GPU kernels on a Hopper GPU, where there is one, against the recurrence in float64.

`JAX_PLATFORMS=cuda,cpu python -m pytest tests/kernels/test_pallas_gpu_device.py`; the recurrence
runs on the CPU. Skipped elsewhere.
"""

import functools
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.gla import gla, pallas_gpu
from kernels.gla.cases import CASES, GATES, Case
from tests.kernels.compare import error
from tests.kernels.test_pallas_gpu import TOLERANCE, arguments, everything, expected, small

pytestmark = pytest.mark.skipif(
    not re.match(pallas_gpu.CHIPS, jax.devices()[0].device_kind),
    reason=f"needs {pallas_gpu.CHIP_NAMES}; found {jax.devices()[0].device_kind}",
)


def check(case: Case, gate_dtype=jnp.bfloat16) -> None:
    """Within tolerance of float64, and the same to the bit when run again."""
    x = arguments(case, gate_dtype)
    kernels = jax.jit(functools.partial(everything, pallas_gpu))
    got, again = (jax.device_get(kernels(x)) for _ in range(2))
    with jax.default_device(jax.devices("cpu")[0]):
        want = expected(x)
    errors = {name: error(got[name], want[name]) for name in want}
    assert all(errors[name] <= TOLERANCE[name] for name in want), errors
    for name in want:
        np.testing.assert_array_equal(got[name], again[name], err_msg=f"{name} is not repeatable")


@pytest.mark.parametrize("T", [1, 63, 64, 65, 200, 1000])
def test_any_number_of_tokens(T):
    check(small(T=T, H=8, K=128, V=128))  # heads enough for an average where T is 1


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("gate_dtype", [jnp.bfloat16, jnp.float32], ids=["bf16", "f32"])
def test_any_gate(gate, gate_dtype):
    check(small(T=330, gate=gate, H=2, K=128, V=256, segments=(40, 1, 30, 150)), gate_dtype)


@pytest.mark.parametrize("gate", GATES)
def test_one_decay_a_head(gate):
    check(small(T=330, K=128, V=256, gate=gate, gate_shape="BTH1"), jnp.float32)


@pytest.mark.parametrize("K", [64, 128, 256])
@pytest.mark.parametrize("V", [64, 128, 256, 512])
def test_any_width(K, V):
    check(small(T=330, H=2, K=K, V=V))


@pytest.mark.parametrize("shape", ["BTH1", "11H1", "11HK", "1111"])
def test_a_shared_gate(shape):
    check(small(T=130, B=2, H=2, gate_shape=shape))


@pytest.mark.parametrize("name", ["long-1000", "gate-mixed", "retention", "segments-hard"])
def test_the_named_cases(name):
    check(replace(CASES[name], K=64, V=128))


@pytest.mark.parametrize("shape", [(4, 1024, 4, 128, 256), (2, 1024, 16, 128, 128)])
def test_the_heads_of_published_models(shape):
    """Programs of every segment at once, as many as the card has multiprocessors."""
    B, T, H, K, V = shape
    check(small(B=B, T=T, H=H, K=K, V=V))


def test_the_op_takes_them_and_folds_a_vmap():
    x = arguments(Case(B=2, T=130, H=2, K=64, V=64))
    both = jax.vmap(lambda q, k, v, g: gla(q, k, v, g)[0])
    once = gla(*(x[name] for name in "qkvg"))[0]
    twice = both(*(jnp.stack([x[name]] * 2) for name in "qkvg"))
    np.testing.assert_array_equal(twice, jnp.stack([once] * 2))
    named = gla(*(x[name] for name in "qkvg"), impl="pallas_gpu")[0]
    np.testing.assert_array_equal(once, named)
