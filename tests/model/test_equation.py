"""Each mixer is its paper's equations: one layer, in NumPy, token by token, in float64.

No consistency of the forms with each other would show a decay that is wrong in all of them.
"""

import jax
import numpy as np
import pytest

from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM, bind, shapes
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer
from tests.kernels.compare import error

T, D = 9, 16


def layer(mixer):
    """What a layer makes of x (T,D), x itself, and its parameters in float64."""
    rng = np.random.default_rng(0)
    cfg = LM(W=2, D=D, layers=1, mixer=mixer)
    draw = lambda leaf: np.float32(rng.normal(size=leaf.shape, scale=0.5))
    params = jax.tree.map(draw, shapes(cfg))
    x = np.float32(rng.normal(size=(T, D)))
    run = jax.jit(lambda params, x: bind(cfg, params).blocks[0].mixer(x)[0][0])
    own = jax.tree.map(np.float64, params["blocks"]["0"]["mixer"])
    return run(params, x[None]), np.float64(x), own


sigmoid = lambda x: 1 / (1 + np.exp(-x))
silu = lambda x: x * sigmoid(x)
softplus = lambda x: np.log1p(np.exp(x))


def normed(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * gain


def cut(x, *widths):
    return np.split(x, np.cumsum(widths)[:-1], axis=-1)


def convolved(x, w, bias=0.0):
    """silu(bias + sum_j w[-1 - j] x_{t-j})."""
    past = np.concatenate([np.zeros((len(w) - 1, x.shape[1])), x])
    return silu(bias + sum(w[j] * past[j : j + len(x)] for j in range(len(w))))


def rotated(x, channels=None):
    """The first n channels of x (T,H,K) as n/2 complex numbers, times e^(i t theta), theta =
    10000^(-2i/n); the rest as they are."""
    x, rest = np.split(x, [channels or x.shape[-1]], axis=-1)
    half = x.shape[-1] // 2
    theta = 10_000.0 ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * np.arange(T)[:, None, None] * theta)
    return np.concatenate([z.real, z.imag, rest], axis=-1)


def recurrent(q, k, v, decay):
    """S_t = decay_t S_{t-1} + k_t v_t^T, o_t = S_t^T q_t, one head after the other: o (T,H,V)."""
    out = np.zeros((T, q.shape[1], v.shape[2]))
    for h in range(q.shape[1]):
        S = np.zeros((q.shape[2], v.shape[2]))
        for t in range(T):
            S = np.broadcast_to(decay, q.shape)[t, h][:, None] * S + np.outer(k[t, h], v[t, h])
            out[t, h] = S.T @ q[t, h]
    return out


GATED = {
    "gla": (GLA(heads=2), lambda p, r: sigmoid(r @ p["gate"]["w"] + p["bias"]) ** (1 / 16)),
    "gla with a convolution": (
        GLA(heads=2, convolution=4, normaliser=8.0),
        lambda p, r: sigmoid(r @ p["gate"]["w"] + p["bias"]) ** (1 / 8),
    ),
    "simple gla": (
        SimpleGLA(heads=2),
        lambda p, r: np.repeat(sigmoid(r + p["bias"]) ** (1 / 16), 4, axis=-1),
    ),
    "linear attention": (LinearAttention(heads=2), lambda p, r: np.ones((1, 8))),
    "retnet": (RetNet(heads=2), lambda p, r: np.repeat([[31 / 32, 63 / 64]], 8, axis=-1)),
    "transnormer": (
        TransNormer(heads=2, depth=0.75),
        lambda p, r: np.repeat([[1.0, np.exp(-4 * 0.25)]], 8, axis=-1),
    ),
}


@pytest.mark.parametrize("mixer, decay", GATED.values(), ids=GATED)
def test_a_gated_layer_is_its_equations(mixer, decay):
    found, x, p = layer(mixer)
    q, k, v, u, r = cut(x @ p["qkvur"]["w"], *mixer.inputs(D), 0)
    if mixer.convolution:
        qkv = convolved(np.concatenate([q, k, v], axis=-1), p["convolution"]["w"])
        q, k, v = cut(qkv, *mixer.inputs(D)[:3])
    decay = decay(p, r).reshape(-1, 2, q.shape[1] // 2)
    q, k, v = (y.reshape(T, 2, -1) for y in (q, k, v))
    if isinstance(mixer, TransNormer):
        q, k = silu(q), silu(k)
    if mixer.rotary:
        q, k = rotated(q), rotated(k)
    o = recurrent(q, k, v, decay) * q.shape[2] ** -0.5
    y = (normed(o, p["norm"]["gain"]).reshape(T, -1) * silu(u)) @ p["out"]["w"]
    assert error(found, y) < 3e-6  # float32 rounds to 6e-8


def test_a_mamba_layer_is_its_equations():
    I, K = 2 * D, 4
    found, x, p = layer(Mamba(state=K))
    x, z = cut(x @ p["inputs"]["w"], I, I)
    x = convolved(x, p["convolution"]["w"], p["convolution"]["bias"])
    r, b, c = cut(x @ p["selection"]["w"], 1, K, K)
    dt = softplus(r @ p["steps"]["w"] + p["b"])
    h, o = np.zeros((I, K)), np.zeros((T, I))
    for t in range(T):
        h = np.exp(-dt[t, :, None] * np.exp(p["a"])) * h + np.outer(dt[t] * x[t], b[t])
        o[t] = h @ c[t] + p["d"] * x[t]
    assert error(found, (o * silu(z)) @ p["out"]["w"]) < 3e-6  # float32 rounds to 6e-8


def test_a_mamba2_layer_is_its_equations():
    K, V, H = 4, 8, 4
    found, x, p = layer(Mamba2(state=K, width=V))
    z, xbc, dt = cut(x @ p["inputs"]["w"], H * V, H * V + 2 * K, H)
    x, b, c = cut(convolved(xbc, p["convolution"]["w"], p["convolution"]["bias"]), H * V, K, K)
    x, dt = x.reshape(T, H, V), softplus(dt + p["b"])
    shared = lambda y: np.repeat(y[:, None], H, axis=1)
    decay = np.exp(-dt * np.exp(p["a"]))[:, :, None]
    o = recurrent(shared(c), shared(b), dt[:, :, None] * x, decay) + p["d"][:, None] * x
    y = normed(o.reshape(T, -1) * silu(z), p["norm"]["gain"]) @ p["out"]["w"]
    assert error(found, y) < 3e-6  # float32 rounds to 6e-8


def attended(q, k, v, more=lambda t, h: 0.0):
    """softmax_s(q_t . k_s / sqrt(K) + more(t, h)_s) v_s over s <= t, head by head: (T, H V)."""
    out = np.zeros((T, q.shape[1], v.shape[2]))
    for t in range(T):
        for h in range(q.shape[1]):
            weights = np.exp(k[: t + 1, h] @ q[t, h] / q.shape[2] ** 0.5 + more(t, h))
            out[t, h] = weights / weights.sum() @ v[: t + 1, h]
    return out.reshape(T, -1)


@pytest.mark.parametrize("share, channels", [(1.0, 16), (0.25, 4)])
def test_a_softmax_layer_is_its_equations(share, channels):
    """Su et al. 2021, equation 16, on a share of the channels."""
    found, x, p = layer(Softmax(heads=1, rotary=share))
    q, k, v = (y.reshape(T, 1, 16) for y in cut(x @ p["qkv"]["w"], D, D, D))
    y = attended(rotated(q, channels), rotated(k, channels), v) @ p["out"]["w"]
    assert error(found, y) < 3e-6  # float32 rounds to 6e-8


@pytest.mark.parametrize("places, rotary", [(3, 0.0), (16, 0.0), (3, 1.0)])
def test_contextual_positions_are_their_equations(places, rotary):
    """Golovneva et al. 2024, arXiv 2405.18719, equations 3 to 5, with 1 / sqrt(K) on every product
    of q; of 3 places the last is that of all farther tokens. Rotary positions turn q and k where
    they meet, and not q where it meets e: that would tell where in its row a token is."""
    found, x, p = layer(Softmax(heads=2, rotary=rotary, cope=places))
    bare, k, v = (y.reshape(T, 2, 8) for y in cut(x @ p["qkv"]["w"], D, D, D))
    q, k = (rotated(y) if rotary else y for y in (bare, k))

    def at(t, h):
        """q_t . e[p_ts], interpolated between whole places, for every s <= t."""
        own, e = bare[t, h] / 8**0.5, p["places"]
        gates = sigmoid(k[: t + 1, h] @ q[t, h] / 8**0.5)  # 3
        logits = np.zeros(t + 1)
        for s in range(t + 1):
            away = min(gates[s:].sum(), places - 1)  # 4
            low, high = int(np.floor(away)), int(np.ceil(away))
            share = away - low
            logits[s] = own @ (share * e[high] + (1 - share) * e[low])  # 5
        return logits

    assert error(found, attended(q, k, v, at) @ p["out"]["w"]) < 3e-6  # float32 rounds to 6e-8
