"""Named sizes are what they say, twins have as many parameters, and a table adds up."""

import dataclasses

import jax
import pytest
import tyro

from model import describe
from model.gla import GLA
from model.lm import LM, shapes
from model.mamba import Mamba
from model.preset import MIXERS, SIZES, mixers, preset, twin
from model.softmax import Softmax

NOMINAL = {"10M": 10e6, "45M": 45e6, "340M": 340e6, "1.3B": 1.3e9}


def count(cfg):
    """By formula, or the 24 layers of every twin would be traced."""
    frame = (2 - cfg.tied) * cfg.W * cfg.D + cfg.D
    blocks = cfg.layers * (2 * cfg.D + 3 * cfg.D * cfg.width)
    return frame + blocks + sum(mixer.parameters(cfg.D) for mixer in cfg.mixers)


def test_the_formula_counts_the_parameters():
    for cfg in (SIZES["toy"], preset("hybrid-10M"), preset("mamba-10M")):
        assert count(cfg) == sum(leaf.size for leaf in jax.tree.leaves(shapes(cfg)))


@pytest.mark.parametrize("size", NOMINAL)
def test_a_size_is_what_it_is_called(size):
    assert count(SIZES[size]) == pytest.approx(NOMINAL[size], rel=0.06)


def test_the_paper_s_sizes_are_its_authors_count():
    """24 layers of 4 D^2 and the gate, 3 D F and the norms, by hand."""
    for size, D, F, tied in (("340M", 1024, 2816, 1), ("1.3B", 2048, 5632, 0)):
        V, K = D // 4, D // 2
        layer = 4 * D * D + 16 * D + 16 * K + K + V + 3 * D * F + 2 * D
        assert count(SIZES[size]) == 24 * layer + D + (2 - tied) * 32_000 * D


@pytest.mark.parametrize("size", SIZES)
def test_twins_have_the_same_number_of_parameters(size):
    for mixer in MIXERS:
        if (mixer, size) != ("hybrid", "toy"):
            found = count(preset(f"{mixer}-{size}"))
            assert found == pytest.approx(count(SIZES[size]), rel=0.01), mixer


def test_every_hybrid_holds_a_softmax_and_too_few_layers_are_refused():
    for layers in range(4, 10):
        hybrid = mixers(dataclasses.replace(SIZES["toy"], layers=layers), "hybrid")
        softmax = [i for i, mixer in enumerate(hybrid) if isinstance(mixer, Softmax)]
        assert softmax == list(range(3, layers, 4)) and len(hybrid) == layers
    with pytest.raises(ValueError, match=r"layers=2 has none; choose layers=4 or more"):
        preset("hybrid-toy")


def test_an_unknown_preset_is_refused_with_the_nearest():
    for wrong, near in (("gla-340", "gla-340M"), ("sofmax-toy", "softmax-toy"), ("45", "45M")):
        with pytest.raises(ValueError, match=f"did you mean {near}"):
            preset(wrong)


def test_a_mixer_too_large_for_the_size_is_refused():
    with pytest.raises(ValueError, match="larger F"):
        twin(
            LM(W=9, D=16, F=1, layers=1, mixer=Softmax(heads=1)),
            preset("mamba-toy").mixer,
        )


def test_the_parts_are_the_whole():
    for name in ("toy", "hybrid-10M", "gla-1.3B"):
        rows = describe.parts(preset(name), 1024)
        assert sum(row["parameters"] for row in rows.values()) == count(preset(name))
    hybrid = describe.parts(preset("hybrid-10M"), 1024)
    assert set(hybrid) == {"embedding", "GLA", "Softmax", "mlp", "norms", "output (tied)"}
    assert hybrid["GLA"]["state"] == 8 * 4 * (32 * 64) * 4  # layers, heads, K V, bytes


def test_operations_are_counted_once():
    """By hand, a token at D=16 and T=8: products and convolutions, then what the state takes."""
    D, F, T, I, R, K = 16, 24, 8, 32, 1, 4
    mlp, output = 2 * 3 * D * F, 2 * 11 * D
    scan = 2 * (D * 2 * I + 4 * I + I * (R + 2 * K) + R * I + I * D) + 6 * I * K
    attention = 2 * (3 * D * D + D * D) + 4 * T / 2 * D
    contextual = attention + 2 * D * 5  # q . e of each of 5 places
    k, V, C = 4, 8, T  # one pair of heads: a state of (4, 8) in and out, half of a square of T x T
    gla = 2 * (D * (8 + 8 + 16 + 16 + 16) + 16 * 8 + 16 * D) + 2 * (4 * k * V + C * (k + V))
    for mixer, own in (
        (Mamba(state=K), scan),
        (Softmax(heads=2), attention),
        (Softmax(heads=2, cope=5), contextual),
        (GLA(heads=2), gla),
    ):
        rows = describe.parts(LM(W=11, D=D, F=F, layers=1, mixer=mixer), T).values()
        assert sum(row["flops"] for row in rows) == mlp + output + own, mixer


@pytest.mark.parametrize("window", [1, 3, 8, 100, None])
def test_a_window_s_operations_are_of_the_tokens_seen(window):
    """A token's own key counts half, as in T / 2 without a window."""
    T, D = 8, 16
    w = min(T, window or T)
    seen = sum(min(t + 1, w) for t in range(T)) / T
    found = Softmax(heads=2, window=window).flops(D, T) / (4 * D)
    assert found == pytest.approx(seen - w / (2 * T)) and (w < T or found == T / 2)


def test_a_recurrent_state_keeps_its_size_and_a_cache_grows():
    state = lambda name, T: sum(row["state"] for row in describe.parts(preset(name), T).values())
    assert state("gla-toy", 128) == state("gla-toy", 4096)
    assert state("softmax-toy", 4096) > 30 * state("softmax-toy", 128)


def test_a_sequence_of_no_token_is_refused():
    with pytest.raises(ValueError, match="T=0 must be at least 1"):
        describe.parts(preset("softmax-toy"), 0)


def test_its_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit):
        tyro.cli(describe.main, args=["--help"])
    said = capsys.readouterr().out
    assert all(word in said for word in (*SIZES, *MIXERS))


def test_a_narrow_model_has_a_twin():
    cfg = LM(W=11, D=8, layers=1, mixer=Softmax(heads=2))
    assert twin(cfg, GLA(heads=2, rank=1)).width < cfg.width


def test_the_command_prints_the_table(capsys):
    describe.main("mamba2-45M", T=512)
    printed = capsys.readouterr().out
    for word in ("Mamba2", "embedding", "state at T=512", "training, without activations"):
        assert word in printed
