"""What of the benchmark a machine without an accelerator can show to be right."""

import importlib.util
import subprocess
import sys

import pytest

from kernels.gla import bench, static
from kernels.gla.bench import Row

ROWS = [
    Row(impl="chunk", forward=2.0, both=6.0, memory=100.0),
    Row(impl="pallas_gpu", forward=0.052, both=0.156, memory=50.0),
    Row(impl="torch attention", forward=1.0, both=3.0),
]


def test_the_floor_is_the_one_of_hand_arithmetic():
    """Widths of GLA-340M: 1,792 + 3,072 bytes a token and head, 180,224 + 442,368 operations."""
    case = bench.BENCHMARKS["340M"]
    tokens = 8 * 2048 * 4
    assert bench.bytes_moved(case, 2) == (1792 * tokens, (1792 + 3072) * tokens)
    assert bench.flops(case) == (180_224 * tokens, (180_224 + 442_368) * tokens)
    forward, both = bench.floor(case, "NVIDIA H200")  # bound by memory: 4.8 TB/s
    assert forward == pytest.approx(1792 * 65536 / 4.8e12 * 1e3)
    assert both == pytest.approx(4864 * 65536 / 4.8e12 * 1e3)
    # 1.3B is bound by operations: 622,592 + 1,540,096 at 989 TFLOP/s.
    large = bench.floor(bench.BENCHMARKS["1.3B"], "NVIDIA H200")[1]
    assert large == pytest.approx((622_592 + 1_540_096) * 65536 / 989e12 * 1e3)


def test_the_table_shows_ratios_floor_and_rates(capsys):
    bench._print_case("340M", "NVIDIA H200", ROWS)
    lines = capsys.readouterr().out.strip().splitlines()
    title, head, chunk, ours, torch, last = (" ".join(line.split()) for line in lines)
    assert title == "340M: B8 T2048 H4 K128 V256, gate BTHK, NVIDIA H200"
    assert head.endswith("MiB x floor x floor GB/s TFLOP/s")
    assert chunk == "chunk 2.00 1.00 6.00 1.00 100 81.7 90.3 53 6.8"
    assert ours == "pallas_gpu 0.05 0.03 0.16 0.03 50 2.1 2.3 2043 261.6"
    assert torch == "torch attention 1.00 0.50 3.00 0.50 40.9 45.2 106 13.6"
    assert last == "floor of the chunkwise form at C=64, NVIDIA H200: 0.024, 0.066 ms"


def test_what_has_nothing_to_be_compared_with_gets_no_ratio(capsys):
    """Of a case too large for `chunk`, or for all that there is."""
    bench._print_case("340M", "cpu", ROWS[1:])
    assert capsys.readouterr().out.splitlines()[-2].split() == [
        "pallas_gpu", "0.05", "-", "0.16", "-", "50"
    ]  # fmt: skip
    bench._print_case("340M", "cpu", [])
    assert "340M" in capsys.readouterr().out


def test_the_floor_is_that_of_a_device_as_jax_counts_them():
    """A TPU7x is two devices, each with one of its two halves' units and memory."""
    peak, bandwidth = bench.PEAKS["TPU7x"]
    assert (2 * peak, 2 * bandwidth) == (2307, 7380)


@pytest.mark.parametrize("arguments, message", [
    (["tiny"], "unknown case tiny; choose from long, toy"),
    (["--static", "toy"], "--static has cases of its own"),
    (["--static", "--torch", "python"], "--static has cases of its own"),
])  # fmt: skip
def test_arguments_that_would_do_nothing_are_refused(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit):
        bench.main()
    assert message in capsys.readouterr().err


def test_a_device_without_known_peaks_gets_no_floor(capsys):
    bench._print_case("toy", "cpu", ROWS)
    out = capsys.readouterr().out
    assert "floor" not in out and out.splitlines()[-1].split()[-1] == "0.50"


def test_what_does_not_run_gives_its_reason_and_no_row(capsys, monkeypatch):
    timed = lambda impl, *_: Row(impl=impl, forward=1.0, both=1.0)

    def refuse(impl, *rest):
        if impl == "jax.nn attention":
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand a page more")
        return timed(impl, *rest)

    monkeypatch.setattr(bench, "_timed", refuse)
    found = [row.impl for row in bench.rows("toy", None)]
    assert found == list(bench.IMPLEMENTATIONS)
    assert capsys.readouterr().err == "  jax.nn attention: RESOURCE_EXHAUSTED: out of memory\n"


def test_an_interpreter_without_torch_is_named(capsys):
    assert list(bench._torch_rows("toy", "/nowhere/python")) == []
    assert "/nowhere/python does not run" in capsys.readouterr().err
    if importlib.util.find_spec("torch") is None:
        assert list(bench._torch_rows("toy", sys.executable)) == []
        assert "No module named 'torch'" in capsys.readouterr().err


def test_torch_gets_the_inputs_of_the_case_without_jax():
    """The child reads cases.py by path, where neither jax nor this repository is importable."""
    program = bench._TORCH.split("cuda =")[0].replace("import torch\n", "")
    program += "print(case.inputs()['q'].shape, 'jax' in sys.modules)"
    command = [sys.executable, "-c", program, bench.cases.__file__, "toy"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert done.stdout.strip() == "(32, 64, 4, 16) False", done.stderr


def test_static_reports_go_on_without_a_compiler(capsys, monkeypatch):
    row = {"chip": "h200", "B": 2, "K": 128, "V": 256, "direction": "forward", "registers": 252}
    monkeypatch.setattr(static, "gpu", lambda problems: [row])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    bench._print_static()
    out, err = capsys.readouterr()
    assert "libtpu is not installed here" in err
    assert out == "chip h200  K 128  V 256  direction forward  registers 252\n"
