"""Gated linear attention for TPU (Pallas, Mosaic): one fused forward and one fused backward kernel.

Both walk the chunks of C tokens of one head with the state (equation 4 of arXiv 2312.06635) in VMEM,
transposed to (V,K) so that the decays of the key channels lie along lanes. With the log decays of a
chunk summed, P_i = g_1 + .. + g_i from its start to token i, R_j = g_{j+1} + .. + g_C from j to its end,

    A_ij = scale sum_k q_ik k_jk exp(P_ik - P_jk) for j <= i, else 0                      (equation 4)
    o  = A v + q^ S                   q^_i = scale q_i exp(P_i)                           (equation 7)
    S' = diag(exp P_C) S + k^T v      k^_j = k_j exp(R_j)                                 (equation 6)

and backwards, with dS' the gradient of the state at the chunk's end and dA = do v^T for j <= i,

    dv = A^T do + k^ dS'              dq = (dA through A) + scale exp(P) do S^T
    dS = diag(exp P_C) dS' + q^T do   dk = (dA through A) + exp(R) v dS'^T
    dg_t = sum_{i >= t} (q_i dq_i - k_i dk_i) + sum_v S' dS'

Three classes give the chunk's decays, A, and the way back through it: `_Middle` by one product with
both sides measured from the middle of the chunk, while exp stays in range; `_Tree` for any gate;
`_Scalar` for one decay per head. A grid step computes a few chunks by `_Middle` in one straight line,
and once more by `_Tree` if a decay was too large: no gate is clamped where float32 could tell.

Products take operands of the inputs' dtype and accumulate in float32; all else is float32. The forward
saves the state at each grid step's start; the backward recomputes those within and sweeps in reverse.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

C = 128  # tokens a chunk: the side of the matrix unit
WIDTHS = (64, 128, 256, 512)
LIMIT = 60.0  # largest log decay from the middle of a chunk to its ends that `_Middle` takes
FORGET = -200.0  # stands for g = -inf: its exp is 0 in float32, and sums of it stay finite


class _Plan(NamedTuple):
    """What a kernel is specialised on."""

    K: int
    V: int
    heads: int  # per grid step
    chunks: int  # per grid step
    steps: int  # of the grid along time
    scale: float
    scalar: bool  # one decay per head and token
    terms: int  # bfloat16 terms a float32 sum is split into


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    """Why the kernels cannot run arguments like these, or None."""
    K, V = q.shape[-1], v.shape[-1]
    if K not in WIDTHS or V not in WIDTHS:
        return f"head widths K={K}, V={V} are not among {WIDTHS}"
    if not (q.dtype == k.dtype == v.dtype) or q.dtype not in (jnp.bfloat16, jnp.float32):
        return (
            f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}; they must be all bfloat16 or all float32"
        )
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
    """((o, final_state), residual); without `save` there is no gradient, and no state is written."""
    plan, operands = _operands(q, k, v, g, scale, segment_ids)
    B, T, H, _ = q.shape
    state = _transposed(initial_state, operands[0])
    blocks = _Blocks(plan, reverse=False)
    shape = partial(_shape, like=operands[0])
    padded = plan.steps * plan.chunks * C
    heads = state.shape[1]
    saved = shape((B, heads, plan.steps, plan.V, plan.K), q.dtype)
    o, end, saved = pl.pallas_call(
        partial(_forward_kernel, plan),
        grid=(B, heads // plan.heads, plan.steps),
        in_specs=[*blocks.inputs(operands), blocks.state()],
        out_specs=(blocks.tokens(plan.V), blocks.state(), [blocks.saved()] * save),
        out_shape=(shape((B, padded, heads * plan.V), v.dtype), state, [saved] * save),
        scratch_shapes=[pltpu.VMEM((2, plan.heads, plan.V, plan.K), jnp.float32)],
        compiler_params=_compiler(),
        interpret=interpret,
    )(*operands, state)
    out = o[:, :T].reshape(B, T, heads, plan.V)[:, :, :H], end[:, :H].swapaxes(-1, -2)
    return out, (q, k, v, g, scale, segment_ids, saved)


def backward(residual, do, dfinal, *, interpret=False):
    """(dq, dk, dv, dg, dinitial_state); dg has the shape and dtype of g."""
    q, k, v, g, scale, segment_ids, (saved,) = residual
    plan, operands = _operands(q, k, v, g, scale, segment_ids)
    B, T, H, _ = q.shape
    dend = _transposed(dfinal, operands[0])
    blocks = _Blocks(plan, reverse=True)
    padded, heads = plan.steps * plan.chunks * C, dend.shape[1]
    shape = partial(_shape, like=operands[0])
    summed = g.shape != q.shape
    dtokens = [shape((B, padded, heads * d), q.dtype) for d in (plan.K, plan.K, plan.V)]
    if plan.scalar:
        dg_shape, dg_spec = shape((B, heads, 1, padded), jnp.float32), blocks.rows(plan.heads)
    else:
        dg_shape = shape((B, padded, heads * plan.K), jnp.float32 if summed else g.dtype)
        dg_spec = blocks.tokens(plan.K)
    dq, dk, dv, dg, dstart = pl.pallas_call(
        partial(_backward_kernel, plan),
        grid=(B, heads // plan.heads, plan.steps),
        in_specs=[*blocks.inputs(operands), blocks.saved(), blocks.tokens(plan.V), blocks.state()],
        out_specs=(*(blocks.tokens(d) for d in (plan.K, plan.K, plan.V)), dg_spec, blocks.state()),
        out_shape=(*dtokens, dg_shape, dend),
        scratch_shapes=[
            pltpu.VMEM((2, plan.heads, plan.V, plan.K), jnp.float32),
            pltpu.VMEM((plan.chunks + 1, plan.heads, plan.V, plan.K), jnp.float32),
        ],
        compiler_params=_compiler(),
        interpret=interpret,
    )(*operands, saved, _tokens(plan, do.astype(v.dtype)), dend)
    split = lambda x: x[:, :T].reshape(B, T, heads, -1)[:, :, :H]
    dg = dg[:, :H, 0, :T].swapaxes(1, 2)[..., None] if plan.scalar else split(dg)
    if dg.shape != g.shape:
        axes = tuple(i for i in range(4) if g.shape[i] == 1)
        dg = dg.astype(jnp.float32).sum(axes, keepdims=True)
    return split(dq), split(dk), split(dv), dg.astype(g.dtype), dstart[:, :H].swapaxes(-1, -2)


def _operands(q, k, v, g, scale, segment_ids):
    """The plan, and the arrays as the kernels read them: heads along lanes, T and H padded."""
    B, T, H, K = q.shape
    V = v.shape[-1]
    per_step = 4 if K * V <= 128 * 256 else 2 if K * V <= 256 * 512 else 1
    N = pl.cdiv(T, C)
    steps = pl.cdiv(N, per_step)
    heads = 2 if min(K, V) == 64 else 1
    terms = 3 if q.dtype == jnp.float32 else 1 if g.dtype == jnp.bfloat16 else 2
    plan = _Plan(K, V, heads, pl.cdiv(N, steps), steps, scale, g.shape[-1] == 1, terms)
    if plan.scalar:
        rows = jnp.broadcast_to(g[..., 0], (B, T, H)).astype(jnp.float32).swapaxes(1, 2)
        padding = [(0, 0), (0, -H % heads), (0, plan.steps * plan.chunks * C - T)]
        gates = jnp.pad(rows, padding)[:, :, None]
    else:
        gates = _tokens(plan, jnp.broadcast_to(g, q.shape))
    return plan, (*(_tokens(plan, x) for x in (q, k, v)), gates, _restarts(plan, segment_ids))


def _tokens(plan, x):
    """(B,T,H,D) as (B,T,H*D), padded with tokens and heads that change nothing."""
    B, T, H, _ = x.shape
    x = jnp.pad(x, [(0, 0), (0, plan.steps * plan.chunks * C - T), (0, -H % plan.heads), (0, 0)])
    return x.reshape(B, x.shape[1], -1)


def _restarts(plan, segment_ids) -> list:
    """[] or [(B,1,T) float32]: how often the state has restarted since the chunk's start."""
    if segment_ids is None:
        return []
    B, T = segment_ids.shape
    changes = segment_ids[:, 1:] != segment_ids[:, :-1]
    changes = jnp.pad(changes, [(0, 0), (1, plan.steps * plan.chunks * C - T)])
    counts = jnp.cumsum(changes.reshape(B, -1, C), axis=-1, dtype=jnp.float32)
    return [counts.reshape(B, 1, -1)]


def _transposed(state, like):
    """(B,H,K,V) as (B,H,V,K), with H padded as in `like`'s plan."""
    return state.astype(jnp.float32).swapaxes(-1, -2)


def _shape(shape, dtype, like):
    return jax.ShapeDtypeStruct(shape, dtype)


def _compiler():
    return pltpu.CompilerParams(
        dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=60 * 2**20
    )


class _Blocks:
    """The block of each operand at grid step (b, h, t); t counts back from the end if `reverse`."""

    def __init__(self, plan, reverse):
        self.plan = plan
        self.time = (lambda t: plan.steps - 1 - t) if reverse else (lambda t: t)

    def tokens(self, D):
        plan = self.plan
        return pl.BlockSpec(
            (1, plan.chunks * C, plan.heads * D), lambda b, h, t: (b, self.time(t), h)
        )

    def rows(self, heads):
        return pl.BlockSpec(
            (1, heads, 1, self.plan.chunks * C), lambda b, h, t: (b, h, 0, self.time(t))
        )

    def state(self):
        plan = self.plan
        return pl.BlockSpec((1, plan.heads, plan.V, plan.K), lambda b, h, t: (b, h, 0, 0))

    def saved(self):
        plan = self.plan
        block = (1, plan.heads, 1, plan.V, plan.K)
        return pl.BlockSpec(block, lambda b, h, t: (b, h, self.time(t), 0, 0))

    def inputs(self, operands):
        plan, restarts = self.plan, operands[-1]
        gates = self.rows(plan.heads) if plan.scalar else self.tokens(plan.K)
        row = pl.BlockSpec((1, 1, plan.chunks * C), lambda b, h, t: (b, 0, self.time(t)))
        return [
            self.tokens(plan.K),
            self.tokens(plan.K),
            self.tokens(plan.V),
            gates,
            [row] * len(restarts),
        ]


def _forward_kernel(plan, q, k, v, g, restarts, start, o, end, saved, state):
    t = pl.program_id(2)
    old, new = lax.rem(t, 2), lax.rem(t + 1, 2)

    @pl.when(t == 0)
    def _():
        state[0] = start[0]

    def chunk(way, h, n, S):
        rows, keys, values = _window(plan, h, n)
        c = way(plan, q[0, rows, keys], k[0, rows, keys], _gate(plan, g, h, rows))
        cut = _Cut(restarts, rows)
        x = v[0, rows, values]
        A = jnp.where(cut.pairs, c.scores(), 0).astype(x.dtype)
        o[0, rows, values] = (
            _dot(A, x, 1, 0) + _dot(cut.start(c.q_hat), S.astype(x.dtype), 1, 1)
        ).astype(o.dtype)
        return c, S * cut.through(c.total) + _dot(x, cut.end(c.k_hat), 0, 0)

    strain = 0.0
    for h in range(plan.heads):
        S = state[old, h]
        for ref in saved:
            ref[0, h, 0] = S.astype(ref.dtype)
        for n in range(plan.chunks):
            c, S = chunk(_Scalar if plan.scalar else _Middle, h, n, S)
            strain = jnp.maximum(strain, c.strain)
        state[new, h] = S

    if not plan.scalar:

        @pl.when(jnp.max(strain) > 0)
        def _():
            for h in range(plan.heads):
                step = lambda n, S, h=h: chunk(_Tree, h, n, S)[1]
                state[new, h] = lax.fori_loop(0, plan.chunks, step, state[old, h])

    @pl.when(t == plan.steps - 1)
    def _():
        end[0] = state[new]


def _backward_kernel(
    plan, q, k, v, g, restarts, saved, do, dend, dq, dk, dv, dg, dstart, dstate, states
):
    t = pl.program_id(2)
    old, new = lax.rem(t, 2), lax.rem(t + 1, 2)

    @pl.when(t == 0)
    def _():
        dstate[0] = dend[0]

    def read(way, h, n):
        rows, keys, values = _window(plan, h, n)
        c = way(plan, q[0, rows, keys], k[0, rows, keys], _gate(plan, g, h, rows))
        return c, _Cut(restarts, rows), v[0, rows, values], do[0, rows, values]

    def recompute(way, h, n):
        c, cut, x, _ = read(way, h, n)
        S = states[n, h]
        states[n + 1, h] = S * cut.through(c.total) + _dot(x, cut.end(c.k_hat), 0, 0)
        return c.strain

    def chunk(way, h, n, dS):
        rows, keys, values = _window(plan, h, n)
        c, cut, x, dy = read(way, h, n)
        S, S_end, dS_ = states[n, h], states[n + 1, h], dS.astype(x.dtype)
        A = jnp.where(cut.pairs, c.scores(), 0)
        dA = jnp.where(cut.pairs, _dot(dy, x, 1, 1), 0)
        q_hat, k_hat, total = cut.start(c.q_hat), cut.end(c.k_hat), cut.through(c.total)
        dv[0, rows, values] = (_dot(A.astype(x.dtype), dy, 0, 0) + _dot(k_hat, dS_, 1, 1)).astype(
            dv.dtype
        )
        dq_hat, dk_hat = cut.start(_dot(dy, S.astype(x.dtype), 1, 0)), cut.end(_dot(x, dS_, 1, 0))
        dq_, dk_, rest = c.pull(A, dA, dq_hat, dk_hat)
        dq[0, rows, keys], dk[0, rows, keys] = dq_.astype(dq.dtype), dk_.astype(dk.dtype)
        dg_ = c.gate(
            rest,
            jnp.sum(
                (S_end if c.telescopes else S * total) * dS_.astype(jnp.float32),
                axis=0,
                keepdims=True,
            ),
        )
        if plan.scalar:
            dg[0, h, :, rows] = dg_
        else:
            dg[0, rows, keys] = dg_.astype(dg.dtype)
        return dS * total + _dot(dy, q_hat, 0, 0)

    strain = 0.0
    way = _Scalar if plan.scalar else _Middle
    for h in range(plan.heads):
        states[0, h] = saved[0, h, 0].astype(jnp.float32)
        for n in range(plan.chunks):
            strain = jnp.maximum(strain, recompute(way, h, n))
        dS = dstate[old, h]
        for n in reversed(range(plan.chunks)):
            dS = chunk(way, h, n, dS)
        dstate[new, h] = dS

    if not plan.scalar:

        @pl.when(jnp.max(strain) > 0)
        def _():
            for h in range(plan.heads):
                lax.fori_loop(0, plan.chunks, lambda n, _, h=h: (recompute(_Tree, h, n), 0)[1], 0)
                step = lambda n, dS, h=h: chunk(_Tree, h, plan.chunks - 1 - n, dS)
                dstate[new, h] = lax.fori_loop(0, plan.chunks, step, dstate[old, h])

    @pl.when(t == plan.steps - 1)
    def _():
        dstart[0] = dstate[new]


class _Middle:
    """Scores by one product: exp(P_i - P_j) = exp(P_i - P_m) exp(P_m - P_j), m the chunk's middle."""

    telescopes = True

    def __init__(self, plan, q, k, g):
        self.plan, self.dtype = plan, q.dtype
        P = _sums(_lower(), g, plan.terms)
        middle, last = P[C // 2 - 1 : C // 2], P[C - 1 :]
        # 1 where exp would leave its range; NaN, from g = -inf, is out of range.
        self.strain = jnp.where(jnp.maximum(-middle, middle - last) <= LIMIT, 0.0, 1.0)
        self.after, self.before = jnp.exp(P - middle) * plan.scale, jnp.exp(middle - P)
        q, k = q.astype(jnp.float32) * self.after, k.astype(jnp.float32) * self.before
        self.from_start, self.to_end, self.total = (
            jnp.exp(middle),
            jnp.exp(last - middle),
            jnp.exp(last),
        )
        self.q, self.k = q.astype(self.dtype), k.astype(self.dtype)
        self.q_hat = (q * self.from_start).astype(self.dtype)
        self.k_hat = (k * self.to_end).astype(self.dtype)

    def scores(self):
        return _dot(self.q, self.k, 1, 1)

    def pull(self, A, dA, dq_hat, dk_hat):
        """dq, dk and q dq - k dk, this from the rounded operands of the products: then the two sides
        of every pair of tokens cancel exactly in the sums of dg."""
        dA = dA.astype(self.dtype)
        dq, dk = _dot(dA, self.k, 1, 0), _dot(dA, self.q, 0, 0)
        rest = _rest(self.q, dq, self.k, dk) + _rest(self.q_hat, dq_hat, self.k_hat, dk_hat)
        dq = (dq + dq_hat * self.from_start) * self.after
        return dq, (dk + dk_hat * self.to_end) * self.before, rest

    def gate(self, rest, total):
        return _sums(_upper(), rest, max(2, self.plan.terms)) + total


class _Tree:
    """Scores for any gate. Tokens i > j part at one level l, the highest bit in which they differ;
    measured from the boundary there, both exp(P_i) and exp(R_j), with P and R summed within blocks of
    2^l, are at most 1, and neither is a difference of larger sums. log2(C) products and a diagonal."""

    strain, telescopes = 0.0, False

    def __init__(self, plan, q, k, g):
        self.plan, self.dtype = plan, q.dtype
        self.g = jnp.maximum(g.astype(jnp.float32), FORGET)
        self.q0, self.k0 = q.astype(jnp.float32) * plan.scale, k.astype(jnp.float32)
        levels = C.bit_length() - 1
        _, self.q_hat, self.k_hat, self.from_start, self.to_end = self._level(levels)
        self.total = self.from_start[C - 1 :]

    def _level(self, l):
        """The pairs of level l, and what is needed of them."""
        i, j = _iotas()
        same = lax.shift_right_logical(i, l) == lax.shift_right_logical(j, l)
        pairs = (lax.shift_right_logical(i ^ j, l) == 1) & (i > j)
        after = jnp.exp(_sums(same & (j <= i), self.g, 3))
        before = jnp.exp(_sums(same & (j > i), self.g, 3))
        return (
            pairs,
            (self.q0 * after).astype(self.dtype),
            (self.k0 * before).astype(self.dtype),
            after,
            before,
        )

    def scores(self):
        def add(l, A):
            pairs, q, k, _, _ = self._level(l)
            return jnp.where(pairs, _dot(q, k, 1, 1), A)

        diagonal = _dot(self.q0.astype(self.dtype), self.k0.astype(self.dtype), 1, 1)
        return lax.fori_loop(0, C.bit_length() - 1, add, diagonal)

    def pull(self, A, dA, dq_hat, dk_hat):
        """dq, dk, and dg but for the state that passes through: only pairs of tokens around t enter
        dg_t, and nothing cancels, so dg stays exact however strong the decays."""
        i, j = _iotas()

        def add(l, carry):
            dq, dk, dg = carry
            pairs, q, k, after, before = self._level(l)
            dA_ = jnp.where(pairs, dA, 0).astype(self.dtype)
            dq_, dk_ = _dot(dA_, k, 1, 0), _dot(dA_, q, 0, 0)
            return dq + dq_ * after, dk + dk_ * before, dg + around(l, q, dq_, k, dk_)

        def around(l, q, dq, k, dk):
            same = lax.shift_right_logical(i, l) == lax.shift_right_logical(j, l)
            dP, dR = q.astype(jnp.float32) * dq, k.astype(jnp.float32) * dk
            return _sums(same & (j >= i), dP, 3) + _sums(same & (j < i), dR, 3)

        levels = C.bit_length() - 1
        diagonal = jnp.where(i == j, dA, 0).astype(self.dtype)
        dq = dq_hat * self.from_start + _dot(diagonal, self.k0.astype(self.dtype), 1, 0)
        dk = dk_hat * self.to_end + _dot(diagonal, self.q0.astype(self.dtype), 1, 0)
        dg = around(levels, self.q_hat, dq_hat, self.k_hat, dk_hat)
        dq, dk, dg = lax.fori_loop(0, levels, add, (dq, dk, dg))
        return dq * self.plan.scale, dk, dg

    def gate(self, rest, total):
        return rest + total


class _Scalar:
    """One decay per head and token (Mamba-2, RetNet): one matrix D_ij = exp(g_{j+1} + .. + g_i), each
    sum taken by itself, so that any gate is exact. g is a row (1,C)."""

    strain, telescopes = 0.0, False

    def __init__(self, plan, q, k, g):
        self.plan, self.dtype, self.q, self.k = plan, q.dtype, q, k
        g = jnp.maximum(g, FORGET)
        i, j = _iotas()
        between = _sums(_lower(), jnp.where(i > j, _column(g), 0.0), plan.terms)
        self.D = jnp.exp(between) * plan.scale
        self.from_start = jnp.exp(jnp.sum(jnp.where(j <= i, g, 0.0), axis=1, keepdims=True))
        self.to_end = jnp.exp(jnp.sum(jnp.where(j > i, g, 0.0), axis=1, keepdims=True))
        self.total = self.from_start[C - 1 :]
        self.q_hat = (q.astype(jnp.float32) * (self.from_start * plan.scale)).astype(self.dtype)
        self.k_hat = (k.astype(jnp.float32) * self.to_end).astype(self.dtype)

    def scores(self):
        return _dot(self.q, self.k, 1, 1) * self.D

    def pull(self, A, dA, dq_hat, dk_hat):
        dP = (dA * self.D).astype(self.dtype)
        dq = _dot(dP, self.k, 1, 0) + dq_hat * (self.from_start * self.plan.scale)
        dk = _dot(dP, self.q, 0, 0) + dk_hat * self.to_end
        i, j = _iotas()
        # Row t: sum_{i >= t} dA_ij A_ij; then over j < t.
        across = jnp.where(j < i, _sums(j >= i, dA * A, max(2, self.plan.terms)), 0.0)
        dP_ = jnp.sum(self.q_hat.astype(jnp.float32) * dq_hat, axis=1, keepdims=True)
        dR = jnp.sum(self.k_hat.astype(jnp.float32) * dk_hat, axis=1, keepdims=True)
        around = jnp.where(i >= j, dP_, dR) + jnp.where(
            i == j, jnp.sum(across, axis=1, keepdims=True), 0.0
        )
        return dq, dk, jnp.sum(around, axis=0, keepdims=True)

    def gate(self, rest, total):
        return rest + jnp.sum(total, keepdims=True)


class _Cut:
    """Which pairs of tokens, and which states, a restart within the chunk keeps apart."""

    def __init__(self, restarts, rows):
        i, j = _iotas()
        self.pairs, self.count = i >= j, None
        if restarts:
            row = restarts[0][0, :, rows]
            self.count, self.last = _column(row), row[:, C - 1 :]
            self.pairs &= self.count == row

    def start(self, x):
        """Rows of x whose token still sees the state at the chunk's start."""
        return x if self.count is None else jnp.where(self.count == 0, x, jnp.zeros_like(x))

    def end(self, x):
        """Rows of x whose token reaches the state at the chunk's end."""
        return x if self.count is None else jnp.where(self.count == self.last, x, jnp.zeros_like(x))

    def through(self, total):
        """The decay from the chunk's start to its end: 0 if the state restarted."""
        return total if self.count is None else jnp.where(self.last == 0, total, 0.0)


def _window(plan, h, n):
    """Rows of chunk n, lanes of head h in keys and in values."""
    start = n * C if isinstance(n, int) else pl.multiple_of(n * C, C)
    return pl.ds(start, C), pl.ds(h * plan.K, plan.K), pl.ds(h * plan.V, plan.V)


def _gate(plan, g, h, rows):
    return g[0, h, :, rows] if plan.scalar else g[0, rows, pl.ds(h * plan.K, plan.K)]


def _iotas():
    return tuple(lax.broadcasted_iota(jnp.int32, (C, C), axis) for axis in (0, 1))


def _lower():
    i, j = _iotas()
    return i >= j


def _upper():
    i, j = _iotas()
    return i <= j


def _column(row):
    """(1,C) as (C,1), exactly."""
    i, j = _iotas()
    return jnp.sum(jnp.where(i == j, row, 0.0), axis=1, keepdims=True)


def _rest(q, dq, k, dk):
    return q.astype(jnp.float32) * dq - k.astype(jnp.float32) * dk


def _sums(which, x, terms):
    """which @ x for a 0/1 matrix (C,C): there is no cumsum on TPU. The matrix unit multiplies bfloat16,
    so x is split into so many bfloat16 terms; 3 hold a float32."""
    which, total = which.astype(jnp.bfloat16), None
    x = x.astype(jnp.float32)
    for n in range(terms):
        term = lax.reduce_precision(x, 8, 7)
        part = _dot(which, term.astype(jnp.bfloat16), 1, 0)
        total, x = part if n == 0 else total + part, x - term
    return total


def _dot(a, b, i, j):
    """Contracts axis i of a with axis j of b; float32 operands in full."""
    precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else lax.Precision.DEFAULT
    contract = (((i,), (j,)), ((), ()))
    return lax.dot_general(a, b, contract, precision=precision, preferred_element_type=jnp.float32)
