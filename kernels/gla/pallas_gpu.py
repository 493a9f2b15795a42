"""Gated linear attention for Hopper GPUs (sm_90a) in Pallas, Mosaic GPU.

Chunks of C=64 tokens. With b_i the sum of the gates from the chunk's start to token i inclusive, r_i from
after i to the chunk's end and c = b_i + r_i (arXiv 2312.06635, section 4.2):

    o_i = (q_i exp b_i) S + sum_{j<=i} P_ij v_j          P_ij = sum_k q_ik k_jk exp(b_ik - b_jk)
    S  <- exp(c) S + sum_j (k_j exp r_j)^T v_j

The gradient dv is the same computation with time reversed: q, k, v, S become k, q, do, dS and b, r change
places. So one kernel, `_sweep`, carries a state through the sequence in either direction: it gives o, dv, the
states at the chunk boundaries, or only the last state. A second, `_chunk_gradients`, then treats all chunks
at once and gives dq, dk and dg.

Exact for any gate. Every exponent is a sum of gates, M g with M a matrix of zeros and ones, and never a
difference of large sums. Where no gate of a chunk sums below -`FAST`, P is one product of q exp(b) and
k exp(-b). Elsewhere it is split by the binary digits of i and j: the pairs that first differ in the digit of
value h lie in the right and left half of one block of 2h tokens, and both factors of

    exp(b_i - b_j) = exp(sum of gates from the middle to i) exp(sum of gates after j to the middle)

are at most 1: six products over h = 32 ... 1 and the diagonal. A reset (g = -inf, or a segment's first token)
is a gate of -`FLOOR`, whose exponential is exactly zero in float32.

When there are fewer programs than multiprocessors, T is cut into segments: a first sweep finds what each
segment adds to the state, an elementwise recurrence in XLA (the transition is diagonal) gives the state each
starts from, and a second sweep does the work.

Within a program, each warpgroup owns a slice of K: its part of q, k, g and the state never leave it, and only
the outputs are summed. All tiles are 64 x 64; a state tile is S^T (V by K), so decay runs along columns.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array, Float, Int

C = 64  # tokens in a chunk, and the side of every tile
FAST = (
    60.0  # a chunk whose gates sum above -FAST takes one product: exp(60) |k| is far from overflow
)
FLOOR = 1024.0  # exp(-104) is already zero in float32
PROCESSORS = 132  # multiprocessors of an H100 or H200
SHARED_MEMORY = 232_448  # bytes a block may use

_f32, _bf16 = jnp.float32, jnp.bfloat16
_BF16_TILE = (plgpu.TilingTransform((8, 64)), plgpu.SwizzleTransform(128))
_F32_TILE = (plgpu.TilingTransform((8, 32)), plgpu.SwizzleTransform(128))
_WGMMA = plgpu.Layout.WGMMA


# ---- the implementation's three functions ----


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    """Why the kernels cannot run these arguments, or None."""
    K, V = q.shape[-1], v.shape[-1]
    if {x.dtype for x in (q, k, v)} != {jnp.dtype(_bf16)}:
        return f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}; the GPU kernel multiplies bfloat16"
    if g.dtype not in (_bf16, _f32):
        return f"g is {g.dtype}; the GPU kernel takes gates in bfloat16 or float32"
    if K not in (64, 128, 256) or V % C:
        return f"K={K}, V={V}; the GPU kernel takes K of 64, 128 or 256 and V a multiple of {C}"
    return None


def forward(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Float[Array, "#B #T #H #K"],
    scale: float,
    initial_state: Float[Array, "B H K V"],
    segment_ids: Int[Array, "B T"] | None,
    interpret=None,
):
    """((o, final_state), residual); `interpret`, a `plgpu.InterpretGPUParams`, runs it on a CPU."""
    T, (P, length) = q.shape[1], _cut(q, v, g)
    gates, totals = _gates(q, g, segment_ids, P * length * C)
    run = partial(_sweep, gates=gates, totals=totals, length=length, interpret=interpret)
    x1, x2, y = (_pad(x, P * length * C) for x in (q, k, v))
    start = jnp.swapaxes(initial_state, -1, -2)
    start = _starts(partial(run, None, x2, y, scales=(1.0, 1.0)), start, totals, P, length, False)
    o, _, end = run(
        x1, x2, y, start=start, scales=(scale, 1.0), reverse=False, outputs=True, states=False
    )
    final = jnp.swapaxes(end[:, :, -1], -1, -2)
    return (o[:, :T], final), (q, k, v, g, scale, segment_ids, start)


def backward(residual, do, dfinal, interpret=None):
    """(dq, dk, dv, dg, dinitial_state)."""
    q, k, v, g, scale, segment_ids, start = residual
    T, (P, length) = q.shape[1], _cut(q, v, g)
    gates, totals = _gates(q, g, segment_ids, P * length * C)
    run = partial(_sweep, gates=gates, totals=totals, length=length, interpret=interpret)
    q, k, v, do = (_pad(x, P * length * C) for x in (q, k, v, do))
    _, S, _ = run(
        None, k, v, start=start, scales=(1.0, 1.0), reverse=False, outputs=False, states=True
    )
    dend = jnp.swapaxes(dfinal, -1, -2)
    dend = _starts(partial(run, None, q, do, scales=(1.0, scale)), dend, totals, P, length, True)
    dv, dS, dstart = run(
        k, q, do, start=dend, scales=(1.0, scale), reverse=True, outputs=True, states=True
    )
    gate_type = g.dtype if g.shape == q.shape else _f32
    dq, dk, dg = _chunk_gradients(
        q, k, v, do, gates, totals, S, dS, scale, jnp.dtype(gate_type), interpret
    )
    dq, dk, dv, dg = (x[:, :T] for x in (dq, dk, dv, dg))
    if segment_ids is not None:
        dg = jnp.where(_restarts(segment_ids), 0, dg)
    broadcast = [axis for axis in range(4) if g.shape[axis] != dg.shape[axis]]
    dg = dg.sum(broadcast, keepdims=True).astype(g.dtype)
    return dq, dk, dv, dg, jnp.swapaxes(dstart[:, :, -1], -1, -2)


def _cut(q, v, g):
    """Segments, enough of them to occupy the card, and chunks in each."""
    B, T, H, K = q.shape
    _, _, tiles = _division(K, v.shape[-1], 1 if g.dtype == _bf16 else 2)
    chunks, programs = -(-T // C), B * H * (v.shape[-1] // (C * tiles))
    length = -(-chunks // max(1, PROCESSORS // programs))
    return -(-chunks // length), length


def _pad(x, T):
    return jnp.pad(x, ((0, 0), (0, T - x.shape[1]), (0, 0), (0, 0))) if T != x.shape[1] else x


def _restarts(segment_ids):
    """(B,T,1,1): is this a segment's first token, after another segment."""
    changes = segment_ids[:, 1:] != segment_ids[:, :-1]
    return jnp.pad(changes, ((0, 0), (1, 0)))[:, :, None, None]


def _gates(q, g, segment_ids, T):
    """Bfloat16 arrays (B,T,H,K) whose sum is g, restarts included, and each chunk's total decay.

    The totals (B,N,H,K/C,C+4) are float32 sums over the chunk's tokens, a slice of K after another, each
    followed by its least entry (and by three copies: a row is a multiple of 16 bytes).
    """
    B, _, H, K = q.shape
    if segment_ids is not None:
        g = jnp.where(_restarts(segment_ids), -FLOOR, g)
    g = _pad(jnp.broadcast_to(g, q.shape), T)
    clamped = jnp.maximum(g.astype(_f32), -FLOOR)
    total = clamped.reshape(B, T // C, C, H, K // C, C).sum(2)
    least = jnp.broadcast_to(total.min(-1, keepdims=True), (*total.shape[:-1], 4))
    total = jnp.concatenate([total, least], -1)
    if g.dtype == _bf16:
        return (g,), total
    high = lax.reduce_precision(clamped, 8, 7)
    return (high.astype(_bf16), (clamped - high).astype(_bf16)), total


def _starts(run, first, totals, P, length, reverse):
    """The state (B,H,P,V,K) that each segment starts from; `first` (B,H,V,K) is the first one's.

    S_{p+1} = exp(G_p) S_p + (what segment p adds), with G_p the sum of its gates.
    """
    if P == 1:
        return first[:, :, None]
    B, N, H = totals.shape[:3]
    nothing = jnp.zeros((B, H, P - 1, *first.shape[2:]), _f32)
    _, _, added = run(start=nothing, reverse=reverse, outputs=False, states=False)
    decay = totals[..., :C].reshape(B, P, length, H, -1).sum(2)
    decay = jnp.moveaxis(jnp.exp(decay[:, ::-1] if reverse else decay), 1, 0)[: P - 1, :, :, None]

    def step(state, segment):
        decay, added = segment
        state = decay * state + added
        return state, state

    _, later = lax.scan(step, first, (decay, jnp.moveaxis(added, 2, 0)))
    return jnp.concatenate([first[:, :, None], jnp.moveaxis(later, 0, 2)], 2)


# ---- what a tile of registers can do ----


def _product(*pairs):
    """sum of a @ b over pairs of shared-memory tiles, in float32 registers."""

    def accumulate(acc):
        for a, b in pairs:
            plgpu.wgmma(acc, a, b)
        return acc[...]

    return pl.run_scoped(accumulate, plgpu.ACC((C, C), _f32))


def _index(axis):
    return plgpu.broadcasted_iota(jnp.int32, (C, C), axis, layout=_WGMMA)


def _columns(x):
    """A value per column, repeated over the rows of a tile."""
    return lax.broadcast_in_dim(x, (C, C), (1,))


def _zeros():
    return plgpu.layout_cast(jnp.zeros((C, C), _f32), _WGMMA)


def _load(ref):
    return plgpu.layout_cast(ref[...], _WGMMA).astype(_f32)


def _before():
    """B_it = [t < i], so b = B g + g and r = B^T g."""
    return (_index(0) > _index(1)).astype(_f32).astype(_bf16)


def _halves(h):
    """H_it = 1 where gate t lies between token i and the middle of its block of 2h tokens."""
    i, t = _index(0), _index(1)
    middle = (i & -2 * h) + h
    right, left = (t >= middle) & (t <= i), (t > i) & (t < middle)
    return (right | left).astype(_f32).astype(_bf16)


def _pairs(h, reverse):
    """Which (row, column) are a later and an earlier token in the two halves of one block of 2h."""
    later, earlier = (_index(1), _index(0)) if reverse else (_index(0), _index(1))
    return ((later & -2 * h) == (earlier & -2 * h)) & ((later & h) > 0) & ((earlier & h) == 0)


def _causal(reverse):
    return _index(0) <= _index(1) if reverse else _index(0) >= _index(1)


def _clamp(gate):
    """-inf becomes -FLOOR in shared memory: 0 * -inf, in a sum by a matrix of zeros and ones, is NaN."""
    gate[...] = jnp.maximum(_load(gate), -FLOOR).astype(_bf16)
    plgpu.commit_smem()


def _gate_sum(matrix, gates):
    """The matrix times g, for one chunk and slice of K: (C,C) float32."""
    return _product(*((matrix, gate) for gate in gates))


def _decay(x, scale, before, gates, to_end):
    """scale x exp(b), or with `to_end` scale x exp(r), in place; returned in float32."""
    if to_end:
        total = _gate_sum(before.T, gates)
    else:
        total = _gate_sum(before, gates) + sum(map(_load, gates))
    x_decayed = _load(x) * scale * jnp.exp(total)
    x[...] = x_decayed.astype(_bf16)
    return x_decayed


def _scores(x1, x2, gates, total, scales, hats, scratch, reverse):
    """P of one chunk and slice of K, exact for any gate; x1, x2 are decayed in place by `hats` on the way."""
    right, halves = scratch

    def one_product():
        right[...] = (hats() * _columns(jnp.exp(-_total(total)))).astype(_bf16)
        plgpu.commit_smem()
        return jnp.where(_causal(reverse), _product((x1, right.T)), 0.0)

    def by_digits():
        raw1, raw2 = x1[...], x2[...]

        def digit(n, P):
            h = lax.shift_right_logical(jnp.int32(C // 2), n)
            halves[...] = _halves(h)
            plgpu.commit_smem()
            decay = jnp.exp(_gate_sum(halves, gates))
            x1[...] = (raw1.astype(_f32) * scales[0] * decay).astype(_bf16)
            right[...] = (raw2.astype(_f32) * scales[1] * decay).astype(_bf16)
            plgpu.commit_smem()
            return P + jnp.where(_pairs(h, reverse), _product((x1, right.T)), 0.0)

        same = jnp.sum(raw1.astype(_f32) * raw2.astype(_f32), axis=1) * (scales[0] * scales[1])
        P = jnp.where(_index(0) == _index(1), lax.broadcast_in_dim(same, (C, C), (0,)), 0.0)
        P = lax.fori_loop(0, int(math.log2(C)), digit, P)
        x1[...] = raw1
        hats()
        return P

    return lax.cond(total[C] > -FAST, one_product, by_digits)


def _total(ref):
    return plgpu.load(ref.at[pl.ds(0, C)], layout=_WGMMA.reduce(0), optimized=False)


# ---- the sweep ----


def _sweep(x1, x2, y, *, gates, totals, start, scales, length, reverse, outputs, states, interpret):
    """Carries the state S (V,K) through the chunks of every segment, forward or in reverse.

        out_i = x1_i exp(first_i) S + sum_j P_ij y_j        S <- exp(c) S + y^T (x2 exp(second))

    forward, x1, x2, y are q, k, v and first, second are b, r; in reverse k, q, do and r, b.

    x1, x2 (B,T,H,K), y (B,T,H,V) and gates, whose sum is g, in bfloat16; totals (B,N,H,K/C,*), see `_totals`;
    start (B,H,P,V,K) float32, what each of P segments of `length` chunks starts from, in the sweep's order.
    Returns out (B,T,H,V) and the state at every chunk's start (B,H,N,V,K) in bfloat16, each None unless
    asked for, and the state (B,H,P,V,K) at every segment's end.
    """
    B, _, H, K = x2.shape
    N, P, V = totals.shape[1], start.shape[2], y.shape[-1]
    warpgroups, slices, tiles = _division(K, V, len(gates))
    copies = 2 + outputs + len(gates)

    def body(*refs):
        refs = iter(refs)
        x_g = [next(refs) for _ in range(1 + outputs)]  # x1 (if there are outputs), x2
        y_g, *g_g = [next(refs) for _ in range(1 + len(gates))]
        totals_g, start_g = next(refs), next(refs)
        out_g = next(refs) if outputs else None
        states_g = next(refs) if states else None
        end_g = next(refs)
        x_s = [next(refs) for _ in x_g]
        y_s, *g_s = [next(refs) for _ in range(1 + len(gates))]
        totals_s, state_s, work_s, sum_s, before_s, loaded, y_loaded, full, free = refs

        w = lax.axis_index("wg")
        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)
        tile, segment = lax.axis_index("v") * tiles, lax.axis_index("segment")

        def at(n):  # the n-th chunk of this segment
            n = segment * length + n
            return N - 1 - n if reverse else n

        def slot(n, j):  # two slots a warpgroup, used in turn
            return 2 * w + (lax.rem(n, 2) if slices == 1 else j)

        def columns(j):  # the j-th slice of K of this warpgroup
            return pl.ds((w * slices + j) * C, C)

        def value_columns(i):
            return pl.ds((tile + i) * C, C)

        def load_slice(n, j):
            to, rows = slot(n, j), pl.ds(at(n) * C, C)
            for x, x_to in zip((*x_g, *g_g), (*x_s, *g_s), strict=True):
                plgpu.copy_gmem_to_smem(x.at[b, rows, h, columns(j)], x_to.at[to], loaded.at[to])
            total = totals_g.at[b, at(n), h, w * slices + j]
            plgpu.copy_gmem_to_smem(total, totals_s.at[to], loaded.at[to])

        def load_values(n):
            to = lax.rem(n, 2)
            for i in range(tiles):
                rows = y_g.at[b, pl.ds(at(n) * C, C), h, value_columns(i)]
                plgpu.copy_gmem_to_smem(rows, y_s.at[2 * i + to], y_loaded.at[to])

        def chunk(n, S):
            values = [y_s.at[2 * i + lax.rem(n, 2)] for i in range(tiles)]
            state = [state_s.at[tiles * w + i] for i in range(tiles)]
            work, scores, out, S = (
                work_s.at[w],
                [],
                [[] for _ in range(tiles)],
                [list(s) for s in S],
            )
            plgpu.barrier_wait(y_loaded.at[lax.rem(n, 2)])
            for j in range(slices):
                to = slot(n, j)
                x_t, gates_t, total = (
                    [x.at[to] for x in x_s],
                    [g.at[to] for g in g_s],
                    totals_s.at[to],
                )
                plgpu.barrier_wait(loaded.at[to])
                plgpu.wait_smem_to_gmem(0)  # `state` may still be on its way out

                _clamp(gates_t[0])

                def hats(x_t=x_t, gates_t=gates_t):
                    if outputs:
                        _decay(x_t[0], scales[0], before_s, gates_t, to_end=reverse)
                    return _decay(x_t[-1], scales[1], before_s, gates_t, to_end=not reverse)

                if outputs:
                    scratch = (work, state[0])
                    scores += [_scores(*x_t, gates_t, total, scales, hats, scratch, reverse)]
                else:
                    hats()
                for i in range(tiles):
                    state[i][...] = S[j][i].astype(_bf16)
                if outputs and j == slices - 1:
                    work[...] = sum(scores).astype(_bf16)
                plgpu.commit_smem()
                for i in range(tiles):
                    if states:
                        to_g = states_g.at[b, h, at(n), value_columns(i), columns(j)]
                        plgpu.copy_smem_to_gmem(state[i], to_g)
                    if outputs:
                        more = [(work, values[i])] if j == slices - 1 else []
                        out[i] += [_product((x_t[0], state[i].T), *more)]
                    S[j][i] = S[j][i] * _columns(jnp.exp(_total(total)))
                    S[j][i] += _product((values[i].T, x_t[-1]))
                pl.when(n + 2 // slices < length)(partial(load_slice, n + 2 // slices, j))

            out = [sum(o) for o in out] if outputs else None
            mine = list(range(tiles))
            if warpgroups == 2 and outputs:  # each finishes one tile of the output
                swap = lax.cond(w == 0, lambda a, b: (a, b), lambda a, b: (b, a), out[0], out[-1])
                plgpu.barrier_wait(free)  # the other has read the last chunk's
                sum_s.at[w][...] = swap[1]
            if warpgroups == 2:
                plgpu.barrier_arrive(full)
                plgpu.barrier_wait(full)
            if warpgroups == 2 and outputs:
                out, mine = [swap[0] + _load(sum_s.at[1 - w])], [w if tiles == 2 else 0]
                plgpu.barrier_arrive(free)
            pl.when((w == 0) & (n + 2 < length))(partial(load_values, n + 2))
            if outputs:
                if states:
                    plgpu.wait_smem_to_gmem(0)
                for i, o in enumerate(out):
                    state[i][...] = o.astype(_bf16)
                plgpu.commit_smem()
                for i, column in enumerate(mine):
                    rows = out_g.at[b, pl.ds(at(n) * C, C), h, value_columns(column)]

                    def write(i=i, rows=rows):
                        plgpu.copy_smem_to_gmem(state[i], rows)

                    pl.when((w == 0) | (tiles == warpgroups))(write)
            return S

        def through(f):  # a tile of state between its place in memory and registers
            return [[f(j, value_columns(i)) for i in range(tiles)] for j in range(slices)]

        pl.when(w == 0)(lambda: before_s.__setitem__(..., _before()))
        S = through(
            lambda j, rows: plgpu.load(
                start_g.at[b, h, segment, rows, columns(j)], layout=_WGMMA, optimized=False
            )
        )
        for step in range(2):
            pl.when(step // slices < length)(
                partial(load_slice, jnp.int32(step // slices), step % slices)
            )
            pl.when((w == 0) & (step < length))(partial(load_values, jnp.int32(step)))
        plgpu.commit_smem()
        if warpgroups == 2:
            plgpu.barrier_arrive(full)
            plgpu.barrier_wait(full)
            if outputs:
                plgpu.barrier_arrive(free)
        S = lax.fori_loop(0, length, chunk, S)
        if warpgroups == 2 and outputs:
            plgpu.barrier_wait(free)
        for j in range(slices):
            for i in range(tiles):
                sum_s.at[w][...] = S[j][i]
                plgpu.commit_smem()
                to_g = end_g.at[b, h, segment, value_columns(i), columns(j)]
                plgpu.copy_smem_to_gmem(sum_s.at[w], to_g)
                plgpu.wait_smem_to_gmem(0)

    bf16 = partial(plgpu.SMEM, dtype=_bf16, transforms=_BF16_TILE)
    types = [jax.ShapeDtypeStruct(start.shape, _f32)]
    if states:
        types = [jax.ShapeDtypeStruct((B, H, N, V, K), _bf16), *types]
    if outputs:
        types = [jax.ShapeDtypeStruct(y.shape, _bf16), *types]
    slots = [bf16((2 * warpgroups, C, C)) for _ in range(copies - 1)]
    run = plgpu.kernel(
        body,
        out_type=types,
        grid=(B * H, V // (C * tiles), P),
        grid_names=("bh", "v", "segment"),
        num_threads=warpgroups,
        thread_name="wg",
        scratch_types=[
            *slots[: 1 + outputs],
            bf16((2 * tiles, C, C)),
            *slots[1 + outputs :],
            plgpu.SMEM((2 * warpgroups, totals.shape[-1]), _f32),
            bf16((tiles * warpgroups, C, C)),
            bf16((warpgroups, C, C)),
            plgpu.SMEM((warpgroups, C, C), _f32, transforms=_F32_TILE),
            bf16((C, C)),
            plgpu.Barrier(num_arrivals=copies, num_barriers=2 * warpgroups),
            plgpu.Barrier(num_arrivals=tiles, num_barriers=2),
            plgpu.Barrier(num_arrivals=warpgroups),
            plgpu.Barrier(num_arrivals=warpgroups),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=interpret,
    )
    results = iter(run(*([x1] if outputs else []), x2, y, *gates, totals, start))
    return tuple(next(results) if asked else None for asked in (outputs, states, True))


def _division(K, V, parts):
    """Warpgroups of a program, slices of K for each, and tiles of V for the program."""
    warpgroups = 2 if K >= 2 * C else 1
    slices = K // C // warpgroups
    tiles = 2 if V % (2 * C) == 0 and slices == 1 and parts == 1 else 1
    return warpgroups, slices, tiles


# ---- all chunks at once: dq, dk, dg ----


def _chunk_gradients(q, k, v, do, gates, totals, S, dS, scale, gate_dtype, interpret):
    """dq, dk, dg of every chunk and slice of K by itself, from the states S, dS at its two ends.

        dq_i = scale exp(b_i) do_i S^T + intra        dk_i = exp(r_i) v_i dS^T + intra
        dg = L^T (q dq) + ... : see `_scores_gradient`; through the state, sum_v exp(c) S dS

    S is what the chunk starts from and dS the gradient at its end, both (B,H,N,V,K) bfloat16.
    """
    B, T, H, K = q.shape
    N, V = totals.shape[1], v.shape[-1]
    tiles, parts = V // C, len(gates)

    def body(*refs):
        refs = iter(refs)
        sources = [next(refs) for _ in range(2 + parts)]  # q, k, gates
        streams, totals_g = [next(refs) for _ in range(4)], next(refs)  # do, v, S, dS
        results = [next(refs) for _ in range(3)]  # dq, dk, dg
        q_s, k_s, *gates_s = [next(refs) for _ in range(2 + parts)]
        streams_s, total_s, left_s, right_s, scores_s, before_s, halves_s, *refs = refs
        *dg_s, loaded, streamed = refs

        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)
        n, j = lax.axis_index("chunk"), lax.axis_index("k")
        rows, columns = pl.ds(n * C, C), pl.ds(j * C, C)

        def stream(i):
            to, values = lax.rem(i, 2), pl.ds(i * C, C)
            for x, source in enumerate(streams):
                tile = (b, rows, h, values) if x < 2 else (b, h, n, values, columns)
                plgpu.copy_gmem_to_smem(source.at[tile], streams_s.at[4 * to + x], streamed.at[to])

        for source, to in zip(sources, (q_s, k_s, *gates_s), strict=True):
            plgpu.copy_gmem_to_smem(source.at[b, rows, h, columns], to, loaded)
        plgpu.copy_gmem_to_smem(totals_g.at[b, n, h, j], total_s, loaded)
        for i in range(min(2, tiles)):
            stream(jnp.int32(i))
        before_s[...] = _before()
        plgpu.commit_smem()

        def through_values(dA, dq, dk):
            def tile(i, through_state):
                to = lax.rem(i, 2)
                plgpu.barrier_wait(streamed.at[to])
                do_t, v_t, S_t, dS_t = [streams_s.at[4 * to + x] for x in range(4)]
                plgpu.wgmma(dA, do_t, v_t.T)
                plgpu.wgmma(dq, do_t, S_t)
                plgpu.wgmma(dk, v_t, dS_t)
                through_state += _load(S_t) * _load(dS_t)
                plgpu.wgmma_wait(0)
                pl.when(i + 2 < tiles)(partial(stream, i + 2))
                return through_state

            through_state = lax.fori_loop(0, tiles, tile, _zeros())
            return dA[...], dq[...], dk[...], through_state

        acc = plgpu.ACC((C, C), _f32)
        dA, dq, dk, through_state = pl.run_scoped(through_values, acc, acc, acc)
        dA = jnp.where(_causal(False), dA, 0.0)
        through_state = jnp.sum(through_state, axis=0)

        plgpu.barrier_wait(loaded)
        _clamp(gates_s[0])
        total = _total(total_s)
        b_i = _gate_sum(before_s, gates_s) + sum(map(_load, gates_s))
        r_i = _gate_sum(before_s.T, gates_s)
        q_decay, k_decay = scale * jnp.exp(b_i), jnp.exp(r_i)
        q_hat = (_load(q_s) * q_decay).astype(_bf16)
        k_hat = _load(k_s) * k_decay
        db, dr = q_hat.astype(_f32) * dq, k_hat.astype(_bf16).astype(_f32) * dk
        dq, dk = dq * q_decay, dk * k_decay
        dg = _columns(through_state * jnp.exp(total))

        def transposed(M, x):
            """M^T x, x in two bfloat16 parts."""
            high = x.astype(_bf16)
            left_s[...] = high
            right_s[...] = (x - high.astype(_f32)).astype(_bf16)
            plgpu.commit_smem()
            return _product((M, left_s), (M, right_s))

        def one_product():
            k_up = jnp.exp(-total)
            scores_s[...] = dA.astype(_bf16)
            left_s[...] = q_hat
            k_tilde = (k_hat * _columns(k_up)).astype(_bf16)
            right_s[...] = k_tilde
            plgpu.commit_smem()
            dq_in = _product((scores_s, right_s))
            dk_in = _product((scores_s.T, left_s))
            db_in = q_hat.astype(_f32) * dq_in - k_tilde.astype(_f32) * dk_in
            return (
                dq + dq_in * q_decay,
                dk + dk_in * (k_decay * _columns(k_up)),
                db + db_in,
                dg,
            )

        def by_digits():
            def digit(level, carry):
                dq, dk, dg = carry
                half = lax.shift_right_logical(jnp.int32(C // 2), level)
                halves_s[...] = _halves(half)
                scores_s[...] = jnp.where(_pairs(half, False), dA, 0.0).astype(_bf16)
                plgpu.commit_smem()
                decay = jnp.exp(_gate_sum(halves_s, gates_s))
                left, right = _load(q_s) * (scale * decay), _load(k_s) * decay
                left_s[...], right_s[...] = left.astype(_bf16), right.astype(_bf16)
                plgpu.commit_smem()
                dq_in = _product((scores_s, right_s))
                dk_in = _product((scores_s.T, left_s))
                de = _load(left_s) * dq_in + _load(right_s) * dk_in
                dq, dk = dq + dq_in * (scale * decay), dk + dk_in * decay
                return dq, dk, dg + transposed(halves_s.T, de)

            same = _index(0) == _index(1)
            diagonal = jnp.sum(jnp.where(same, dA, 0.0), axis=1) * scale
            diagonal = lax.broadcast_in_dim(diagonal, (C, C), (0,))
            carry = dq + diagonal * _load(k_s), dk + diagonal * _load(q_s), dg
            dq_, dk_, dg_ = lax.fori_loop(0, int(math.log2(C)), digit, carry)
            return dq_, dk_, db, dg_

        dq, dk, db, dg = lax.cond(total_s[C] > -FAST, one_product, by_digits)
        dg = dg + db + transposed(before_s.T, db)
        dg = dg + transposed(before_s, dr)
        q_s[...], k_s[...] = dq.astype(_bf16), dk.astype(_bf16)
        dg_out = dg_s[0] if dg_s else gates_s[0]
        dg_out[...] = dg.astype(gate_dtype)
        plgpu.commit_smem()
        for x, to in zip((q_s, k_s, dg_out), results, strict=True):
            plgpu.copy_smem_to_gmem(x, to.at[b, rows, h, columns])
        plgpu.wait_smem_to_gmem(0)

    tile = plgpu.SMEM((C, C), _bf16, transforms=_BF16_TILE)
    run = plgpu.kernel(
        body,
        out_type=[
            jax.ShapeDtypeStruct(q.shape, _bf16),
            jax.ShapeDtypeStruct(q.shape, _bf16),
            jax.ShapeDtypeStruct(q.shape, gate_dtype),
        ],
        grid=(B * H, N, K // C),
        grid_names=("bh", "chunk", "k"),
        scratch_types=[
            *[tile] * (2 + parts),
            plgpu.SMEM((8, C, C), _bf16, transforms=_BF16_TILE),
            plgpu.SMEM((totals.shape[-1],), _f32),
            *[tile] * 5,
            *([plgpu.SMEM((C, C), _f32, transforms=_F32_TILE)] if gate_dtype == _f32 else []),
            plgpu.Barrier(num_arrivals=3 + parts),
            plgpu.Barrier(num_arrivals=4, num_barriers=2),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=interpret,
    )
    return run(q, k, *gates, do, v, S, dS, totals)
