"""Gated linear attention for TPU (Pallas, Mosaic): one fused forward, one fused backward kernel.

Both walk the chunks of C tokens of a head with its state in VMEM, transposed to (V,K) so that the
decays of the key channels lie along lanes. With the log decays of a chunk summed, P_i = g_1 + .. +
g_i from its start to token i, R_j = g_{j+1} + .. + g_C from j to its end, S the state before the
chunk and S' after it (arXiv 2312.06635, section 4.2):

    A_ij = scale sum_k q_ik k_jk exp(P_ik - P_jk)  for j <= i, else 0
    o_i  = sum_j A_ij v_j + scale (q_i exp P_i) S
    S'   = diag(exp P_C) S + sum_j (k_j exp R_j)^T v_j

and backwards, with dS' the gradient of S' and dA_ij = do_i . v_j for j <= i:

    dq_i = (dA through A) + scale exp(P_i) S do_i       dv_j = sum_i A_ij do_i + (k_j exp R_j) dS'
    dk_j = (dA through A) + exp(R_j) dS' v_j            dS = diag(exp P_C) dS' + q^T do, q as in o
    dg_t = sum_{i >= t} (q_i dq_i - k_i dk_i) + sum_v S' dS'

A grid step computes a few chunks by `Middle`, in one straight line: decays are measured from the
chunk's middle token m, q exp(P - P_m) and k exp(P_m - P) serve A and, with the states scaled by
exp(P_m) and exp(P_C - P_m) where the equations scale the tokens, everything else. Where such an exp
would leave its range, the step is computed again, by `Tree`, or `Scalar` for one decay per head,
which are exact for any gate. No gate is clamped where float32 could tell.

Products take operands of the inputs' dtype and accumulate in float32; all else is float32. The
forward saves the state at each grid step's start; the backward recomputes those within.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from kernels.gla.pallas_tpu_chunk import C, Cut, Middle, Scalar, Tree, dot

CHIPS, CHIP_NAMES = r"TPU (v5|v6|7)|TPU7", "TPU v5e, v5p, v6e and 7x"  # of JAX's `device_kind`
WIDTHS = (64, 128, 256, 512)


class _Plan(NamedTuple):
    """What a kernel is specialised on."""

    K: int
    V: int
    heads: int  # per grid step: two of width 64 fill the lanes
    chunks: int  # per grid step
    steps: int  # of the grid along time
    scale: float
    scalar: bool  # one decay per head and token
    terms: int  # bfloat16 terms that hold a gate, to the accuracy of the inputs' dtype


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    """Why the kernels cannot run arguments like these, or None."""
    K, V = q.shape[-1], v.shape[-1]
    if K not in WIDTHS or V not in WIDTHS:
        return f"head widths K={K}, V={V} are not among {WIDTHS}"
    if not (q.dtype == k.dtype == v.dtype) or q.dtype not in (jnp.bfloat16, jnp.float32):
        return f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}; all must be bfloat16, or all float32"
    if g.dtype not in (jnp.bfloat16, jnp.float32):
        return f"g is {g.dtype}; it must be bfloat16 or float32"
    return None


def forward(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Float[Array, "#B #T #H #K"],
    scale: float,
    initial_state: Float[Array, "B H K V"],
    segment_ids: Int[Array, "B T"] | None,
    *,
    save: bool = True,
    interpret=False,
):
    """((o, final_state), residual). `save=False`, for calls without gradient, writes no states."""
    plan, operands = _operands(q, k, v, g, scale, segment_ids)
    start = _state_in(plan, initial_state)
    B, heads = start.shape[:2]
    at = _Blocks(plan, lambda t: t)
    saved = jax.ShapeDtypeStruct((B, heads, plan.steps, plan.V, plan.K), q.dtype)
    o, end, saved = pl.pallas_call(
        partial(_forward_kernel, plan),
        grid=(B, heads // plan.heads, plan.steps),
        in_specs=[*at.inputs(operands), at.state()],
        out_specs=(at.tokens(plan.V), at.state(), [at.saved()] * save),
        out_shape=(jax.ShapeDtypeStruct(operands[2].shape, v.dtype), start, [saved] * save),
        scratch_shapes=[pltpu.VMEM((2, plan.heads, plan.V, plan.K), jnp.float32)],
        compiler_params=_COMPILER,
        interpret=interpret,
    )(*operands, start)
    residual = (q, k, v, g, scale, segment_ids, saved)
    return (_tokens_out(o, v), _state_out(end, initial_state)), residual


def backward(residual, do, dfinal, *, interpret=False):
    """(dq, dk, dv, dg, dinitial_state) from `forward`'s residual; dg has g's shape and dtype."""
    q, k, v, g, scale, segment_ids, (saved,) = residual
    plan, operands = _operands(q, k, v, g, scale, segment_ids)
    dend = _state_in(plan, dfinal)
    B, heads = dend.shape[:2]
    at = _Blocks(plan, lambda t: plan.steps - 1 - t)
    # A gate shared by several tokens sums their gradients in float32.
    dg_dtype = g.dtype if g.shape == q.shape else jnp.float32
    dtypes = (q.dtype, k.dtype, v.dtype, dg_dtype)
    dtokens = (jax.ShapeDtypeStruct(x.shape, dt) for x, dt in zip(operands, dtypes, strict=False))
    state = (plan.heads, plan.V, plan.K)
    dq, dk, dv, dg, dstart = pl.pallas_call(
        partial(_backward_kernel, plan),
        grid=(B, heads // plan.heads, plan.steps),
        in_specs=[*at.inputs(operands), at.saved(), at.tokens(plan.V), at.state()],
        out_specs=(*at.inputs(operands)[:4], at.state()),
        out_shape=(*dtokens, dend),
        scratch_shapes=[
            pltpu.VMEM((2, *state), jnp.float32),
            pltpu.VMEM((plan.chunks + 1, *state), jnp.float32),
        ],
        compiler_params=_COMPILER,
        interpret=interpret,
    )(*operands, saved, _tokens_in(plan, do.astype(v.dtype)), dend)
    if plan.scalar:
        dg = dg[:, : q.shape[2], 0, : q.shape[1], None].swapaxes(1, 2)
    else:
        dg = _tokens_out(dg, q)
    shared = tuple(axis for axis in range(4) if g.shape[axis] < dg.shape[axis])
    dg = dg.sum(shared, keepdims=True).astype(g.dtype)
    dq, dk, dv = _tokens_out(dq, q), _tokens_out(dk, k), _tokens_out(dv, v)
    return dq, dk, dv, dg, _state_out(dstart, dfinal)


_COMPILER = pltpu.CompilerParams(
    dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=60 * 2**20
)


# ---- arrays as the kernels read them


def _operands(q, k, v, g, scale, segment_ids):
    """The plan, and q, k, v, g, restarts for it: heads side by side along lanes, T and H padded."""
    (B, T, H, K), V = q.shape, v.shape[-1]
    exact = q.dtype == jnp.float32
    # Many chunks a step share its overhead; the code is unrolled, so wide states take fewer.
    most = min(8, max(1, 2**18 // (K * V))) // (2 if exact else 1) or 1
    N = pl.cdiv(T, C)
    steps = pl.cdiv(N, most)
    heads = 2 if min(K, V) == 64 else 1
    terms = 1 if g.dtype == jnp.bfloat16 else 3 if exact else 2
    plan = _Plan(K, V, heads, pl.cdiv(N, steps), steps, scale, g.shape[-1] == 1, terms)
    if plan.scalar:
        padding = [(0, 0), (0, -H % heads), (0, _padded(plan) - T)]
        gates = jnp.broadcast_to(g[..., 0], (B, T, H)).astype(jnp.float32).swapaxes(1, 2)
        gates = jnp.pad(gates, padding)[:, :, None]
    else:
        # A gate shared by rows, tokens or heads is written out too, once, at k's size: dg can be
        # summed over them only after each token's is known, which takes such an array anyway.
        gates = _tokens_in(plan, jnp.broadcast_to(g, q.shape))
    tokens = (_tokens_in(plan, x) for x in (q, k, v))
    return plan, (*tokens, gates, _restarts(plan, segment_ids))


def _padded(plan) -> int:
    return plan.steps * plan.chunks * C


def _tokens_in(plan, x):
    """(B,T,H,D) as (B,T,H*D), padded with tokens and heads that change nothing."""
    B, T, H, _ = x.shape
    x = jnp.pad(x, [(0, 0), (0, _padded(plan) - T), (0, -H % plan.heads), (0, 0)])
    return x.reshape(B, x.shape[1], -1)


def _tokens_out(x, like):
    B, T, H, D = like.shape
    return x[:, :T].reshape(B, T, -1, D)[:, :, :H]


def _state_in(plan, state):
    """(B,H,K,V) as (B,H,V,K), H padded."""
    padding = [(0, 0), (0, -state.shape[1] % plan.heads), (0, 0), (0, 0)]
    return jnp.pad(state.astype(jnp.float32).swapaxes(-1, -2), padding)


def _state_out(state, like):
    return state[:, : like.shape[1]].swapaxes(-1, -2)


def _restarts(plan, segment_ids) -> list:
    """[] or [(B,1,T) float32]: how often the state has restarted since the chunk's start."""
    if segment_ids is None:
        return []
    B, T = segment_ids.shape
    changes = segment_ids[:, 1:] != segment_ids[:, :-1]
    changes = jnp.pad(changes, [(0, 0), (1, _padded(plan) - T)])
    return [jnp.cumsum(changes.reshape(B, -1, C), 2, dtype=jnp.float32).reshape(B, 1, -1)]


class _Blocks:
    """The block of each operand at grid step (b, h, t), `time(t)` steps from T's start."""

    def __init__(self, plan, time):
        self.plan, self.time, self.T = plan, time, plan.chunks * C

    def tokens(self, D):
        return pl.BlockSpec((1, self.T, self.plan.heads * D), lambda b, h, t: (b, self.time(t), h))

    def state(self):
        block = (1, self.plan.heads, self.plan.V, self.plan.K)
        return pl.BlockSpec(block, lambda b, h, t: (b, h, 0, 0))

    def saved(self):
        block = (1, self.plan.heads, 1, self.plan.V, self.plan.K)
        return pl.BlockSpec(block, lambda b, h, t: (b, h, self.time(t), 0, 0))

    def inputs(self, operands):
        K, V, heads = self.plan.K, self.plan.V, self.plan.heads
        gates = self.tokens(K)
        if self.plan.scalar:
            gates = pl.BlockSpec((1, heads, 1, self.T), lambda b, h, t: (b, h, 0, self.time(t)))
        restarts = pl.BlockSpec((1, 1, self.T), lambda b, h, t: (b, 0, self.time(t)))
        q, v = self.tokens(K), self.tokens(V)
        return [q, q, v, gates, [restarts] * len(operands[-1])]


# ---- kernels


def _forward_kernel(plan, q, k, v, g, restarts, start, o, end, saved, state):
    t, slow = pl.program_id(2), Scalar if plan.scalar else Tree
    old, new = lax.rem(t, 2), lax.rem(t + 1, 2)  # the old state stays, should the step run twice

    @pl.when(t == 0)
    def _():
        state[0] = start[0]

    def chunk(way, h, n):
        decays = way.decays(plan, _gate(plan, h, n, g))
        return _chunk(way, plan, h, n, q, k, decays, restarts)

    def through(c, h, n, S):
        rows, _, values = _window(plan, h, n)
        S, x = c.enter(S), v[0, rows, values]
        o_ = dot(c.q, S.astype(x.dtype), 1, 1) + dot(c.scores().astype(x.dtype), x, 1, 0)
        o[0, rows, values] = o_.astype(o.dtype)
        return c.leave(S, dot(x, c.k, 0, 0))

    strain = 0.0
    for h in range(plan.heads):
        S, ahead = state[old, h], chunk(Middle, h, 0)
        for ref in saved:
            ref[0, h, 0] = S.astype(ref.dtype)
        for n in range(plan.chunks):
            # The next chunk's decays beside this one's products: the scheduler keeps the order.
            c = ahead
            if n + 1 < plan.chunks:
                ahead = chunk(Middle, h, n + 1)
            S = through(c, h, n, S)
            strain = jnp.maximum(strain, c.strain)
        state[new, h] = S

    @pl.when(jnp.max(strain) > 0)
    def _():
        for h in range(plan.heads):
            again = lambda n, S, h=h: through(chunk(slow, h, n), h, n, S)
            state[new, h] = lax.fori_loop(0, plan.chunks, again, state[old, h])

    @pl.when(t == plan.steps - 1)
    def _():
        end[0] = state[new]


def _backward_kernel(
    plan, q, k, v, g, restarts, saved, do, dend, dq, dk, dv, dg, dstart, dstate, states
):
    t, slow = pl.program_id(2), Scalar if plan.scalar else Tree
    old, new = lax.rem(t, 2), lax.rem(t + 1, 2)

    @pl.when(t == 0)
    def _():
        dstate[0] = dend[0]

    def advance(c, h, n):
        rows, _, values = _window(plan, h, n)
        states[n + 1, h] = c.leave(c.enter(states[n, h]), dot(v[0, rows, values], c.k, 0, 0))

    def back(c, h, n, dS):
        rows, keys, values = _window(plan, h, n)
        x, dy = v[0, rows, values], do[0, rows, values]
        S, dS_in = c.enter(states[n, h]).astype(x.dtype), c.reach(dS)
        dS_ = dS_in.astype(x.dtype)
        dq_, dk_, rest = c.pull(dot(dy, x, 1, 1), dot(dy, S, 1, 0), dot(x, dS_, 1, 0))
        dv_ = dot(c.scores().astype(x.dtype), dy, 0, 0) + dot(c.k, dS_, 1, 1)
        dv[0, rows, values] = dv_.astype(dv.dtype)
        dq[0, rows, keys], dk[0, rows, keys] = dq_.astype(dq.dtype), dk_.astype(dk.dtype)
        dg_ = c.gate(rest, states[n, h], states[n + 1, h], dS_).astype(dg.dtype)
        if plan.scalar:
            dg[0, h, :, rows] = dg_
        else:
            dg[0, rows, keys] = dg_
        return c.back(dS_in, dot(dy, c.q, 0, 0))

    def chunk(way, h, n, decays):
        return _chunk(way, plan, h, n, q, k, decays, restarts)

    strain = 0.0
    for h in range(plan.heads):
        states[0, h] = saved[0, h, 0].astype(jnp.float32)
        decays = [Middle.decays(plan, _gate(plan, h, n, g)) for n in range(plan.chunks)]
        for n in range(plan.chunks):
            c = chunk(Middle, h, n, decays[n])
            advance(c, h, n)
            strain = jnp.maximum(strain, c.strain)
        dS = dstate[old, h]
        for n in reversed(range(plan.chunks)):
            # Anew: to keep its arrays since the first pass would spill.
            dS = back(chunk(Middle, h, n, decays[n]), h, n, dS)
        dstate[new, h] = dS

    def again(h):
        exact = lambda n: chunk(slow, h, n, slow.decays(plan, _gate(plan, h, n, g)))

        def forth(n, _):
            advance(exact(n), h, n)
            return 0

        def sweep(n, dS):
            n = plan.chunks - 1 - n
            return back(exact(n), h, n, dS)

        lax.fori_loop(0, plan.chunks, forth, 0)
        dstate[new, h] = lax.fori_loop(0, plan.chunks, sweep, dstate[old, h])

    @pl.when(jnp.max(strain) > 0)
    def _():
        for h in range(plan.heads):
            again(h)

    @pl.when(t == plan.steps - 1)
    def _():
        dstart[0] = dstate[new]


def _window(plan, h, n):
    """Rows of chunk n, lanes of head h in keys and in values."""
    start = n * C if isinstance(n, int) else pl.multiple_of(n * C, C)
    return pl.ds(start, C), pl.ds(h * plan.K, plan.K), pl.ds(h * plan.V, plan.V)


def _gate(plan, h, n, g):
    rows, keys, _ = _window(plan, h, n)
    return g[0, h, :, rows] if plan.scalar else g[0, rows, keys]


def _chunk(way, plan, h, n, q, k, decays, restarts):
    rows, keys, _ = _window(plan, h, n)
    return way(plan, q[0, rows, keys], k[0, rows, keys], decays, Cut(restarts, rows))
