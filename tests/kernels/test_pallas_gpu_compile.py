"""Real compiles of the GPU kernels for sm_90a, without a GPU: ceilings on what ptxas reports.

Without the CUDA plugin these tests skip; with DIGLOSSIA_COMPILERS=required they fail instead.
"""

import importlib.util
import os

import pytest

from kernels.gla import static
from kernels.gla.cases import Case

SHARED = 232_448  # bytes a block may use on Hopper
REGISTERS = 255


@pytest.fixture(scope="module", autouse=True)
def plugin():
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        missing = "the CUDA plugin is not installed: pip install jax-cuda13-plugin jax-cuda13-pjrt"
        if os.environ.get("DIGLOSSIA_COMPILERS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)


def rows(gate_dtype="bfloat16", **sizes) -> list[dict]:
    problem = static.Problem(chip="h200", case=Case(**sizes), gate_dtype=gate_dtype)
    out = static.gpu([problem])
    assert {row["direction"] for row in out} == {"forward", "backward"}
    return out


def check(found: list[dict], gradients: int, rest: int = 0) -> None:
    """Bytes that may spill in the chunks' gradients, and in the other kernels."""
    for row in found:
        ceiling = gradients if row["kernel"].startswith("gla_gradients") else rest
        assert row["spill_stores"] <= ceiling, row
        assert row["spill_loads"] <= ceiling, row
        assert row["registers"] <= REGISTERS and row["shared"] <= SHARED, row


@pytest.mark.slow
def test_only_gradients_spill_at_the_width_of_a_340m_model():
    check(rows(B=8, T=2048, H=4, K=128, V=256), gradients=96)  # 76; 100 with jax 0.11.2


@pytest.mark.slow
def test_only_gradients_spill_at_equal_widths_of_128():
    check(rows(B=2, T=16384, H=16, K=128, V=128), gradients=96)


@pytest.mark.slow
@pytest.mark.parametrize("gate_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("K, V", [(64, 64), (64, 128), (128, 64), (128, 512)])
def test_only_gradients_spill_at_other_widths(K, V, gate_dtype):
    check(rows(gate_dtype, B=2, T=1000, H=4, K=K, V=V), gradients=128)


@pytest.mark.slow
@pytest.mark.parametrize("gate_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("gate_shape", ["BTHK", "BTH1"])
def test_a_state_of_256_key_channels_leaves_few_registers_to_what_is_beside_it(
    gate_dtype, gate_shape
):
    """It takes 128 of 255; a thread spills 60 numbers a chunk, beside all it computes."""
    found = rows(gate_dtype, B=8, T=2048, H=4, K=256, V=512, gate_shape=gate_shape)
    check(found, gradients=128, rest=320)


@pytest.mark.slow
def test_nothing_spills_of_one_decay_a_head():
    """No gate is loaded but a vector a chunk, and no case is apart: smaller, and no spill."""
    found = rows("float32", B=8, T=2048, H=4, K=128, V=256, gate_shape="BTH1")
    check(found, gradients=0)
    limits = {"gla_prepare": 67_584, "gla_gradients": 95_232, "gla_sweep": 223_232}
    for row in found:
        assert row["shared"] <= limits[row["kernel"].rpartition("_")[0]], row
