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

_DIGITS = 6  # C = 2**6
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


def _order(reverse):
    """M_it = 1 where t <= i, or in reverse t >= i: b = M g and r = M^T g - g, or the other way round."""
    mask = _index(0) <= _index(1) if reverse else _index(0) >= _index(1)
    return mask.astype(_f32).astype(_bf16)


def _digits():
    """Y_it: binary digits up to the first in which i and t differ, 0 if none; negative where t > i."""
    i, t = _index(0), _index(1)
    digits = sum(((i >> n) != (t >> n)).astype(_f32) for n in range(_DIGITS))
    return jnp.where(i >= t, digits, -digits).astype(_bf16)


def _halves(digits, n):
    """H_it = 1 where gate t lies between token i and the middle of its block of 2h = 2^(n+1) tokens."""
    Y, right, n = _load(digits), (_index(0) >> n) & 1 == 1, n.astype(_f32)
    inside = jnp.where(right, (Y >= 0) & (Y <= n), (Y < 0) & (Y >= -n))
    return inside.astype(_f32).astype(_bf16)


def _clamp(gate):
    """-inf becomes -FLOOR in shared memory: 0 * -inf, in a sum by a matrix of zeros and ones, is NaN."""
    gate[...] = jnp.maximum(_load(gate), -FLOOR).astype(_bf16)
    plgpu.commit_smem()


def _gate_sum(matrix, gates):
    """The matrix times g, for one chunk and slice of K: (C,C) float32."""
    return _product(*((matrix, gate) for gate in gates))


def _decay(x, scale, matrix, gates, to_end):
    """scale x exp(b), or with `to_end` scale x exp(r), in place; returned in float32."""
    total = _gate_sum(matrix, gates)
    if to_end:
        total -= sum(map(_load, gates))
    x_decayed = _load(x) * scale * jnp.exp(total)
    x[...] = x_decayed.astype(_bf16)
    return x_decayed


def _scores(x1, x2, gates, masks, total, scales, decay, scratch, reverse):
    """P of one chunk and slice of K, exact for any gate; x1, x2 are decayed in place on the way."""
    right, halves = scratch
    order, digits = masks

    def one_product():
        right[...] = (decay() * _columns(jnp.exp(-_total(total)))).astype(_bf16)
        plgpu.commit_smem()
        return jnp.where(_load(order) > 0, _product((x1, right.T)), 0.0)

    def by_digits():
        raw1 = x1[...]  # its tile is needed for the factors

        def digit(n, P):
            halves[...] = _halves(digits, n)
            plgpu.commit_smem()
            between = jnp.exp(_gate_sum(halves, gates))
            x1[...] = (raw1.astype(_f32) * scales[0] * between).astype(_bf16)
            right[...] = (_load(x2) * scales[1] * between).astype(_bf16)
            plgpu.commit_smem()
            pairs = _load(digits) == ((-n - 1) if reverse else (n + 1)).astype(_f32)
            return P + jnp.where(pairs, _product((x1, right.T)), 0.0)

        same = jnp.sum(_load(x1) * _load(x2), axis=1) * (scales[0] * scales[1])
        P = jnp.where(_load(digits) == 0, lax.broadcast_in_dim(same, (C, C), (0,)), 0.0)
        P = lax.fori_loop(0, _DIGITS, digit, P)
        x1[...] = raw1
        decay()
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
        state_s, work_s, sum_s, m_s, totals_s, loaded, y_loaded, full, free = refs

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
            S = [list(s) for s in S]
            plgpu.barrier_wait(y_loaded.at[lax.rem(n, 2)])
            for j in range(slices):
                to = slot(n, j)
                plgpu.barrier_wait(loaded.at[to])
                plgpu.wait_smem_to_gmem(0)  # `state` may still be on its way out
                total = totals_s.at[to]
                # Zero, but the compiler cannot know: else it keeps the address of every tile below
                # in registers across the loop, a hundred of them.
                zero = (total[C] > 0).astype(jnp.int32)
                x_t, gates_t = [x.at[to + zero] for x in x_s], [g.at[to + zero] for g in g_s]
                masks, work = [m_s.at[m + zero] for m in range(1 + outputs)], work_s.at[w + zero]

                def state(i, zero=zero):
                    return state_s.at[tiles * w + zero + i]

                def value(i, zero=zero):
                    return y_s.at[2 * i + zero + lax.rem(n, 2)]

                def decay(x_t=x_t, gates_t=gates_t, order=masks[0]):
                    if outputs:
                        _decay(x_t[0], scales[0], order, gates_t, to_end=reverse)
                    return _decay(x_t[-1], scales[1], order.T, gates_t, to_end=not reverse)

                def output(i, x1=x_t[0], work=work, state=state, value=value):
                    return _product((x1, state(i).T), (work, value(i)))

                _clamp(gates_t[0])
                if outputs:
                    scratch = work, state(0)
                    P = _scores(*x_t, gates_t, masks, total, scales, decay, scratch, reverse)
                    work[...] = P.astype(_bf16)
                else:
                    decay()
                for i in range(tiles):
                    state(i)[...] = S[j][i].astype(_bf16)
                plgpu.commit_smem()
                for i in range(tiles if states else 0):
                    to_g = states_g.at[b, h, at(n), value_columns(i), columns(j)]
                    plgpu.copy_smem_to_gmem(state(i), to_g)
                if outputs and warpgroups == 2:
                    if j == 0:
                        plgpu.barrier_wait(free)  # the other has read what the last chunk left
                    if tiles == 2:  # each warpgroup finishes one tile
                        sum_s.at[w][...] = output(1 - w)
                        mine = output(w)
                    else:
                        sum_s.at[w][...] = output(0) + (_load(sum_s.at[w]) if j > 0 else 0.0)
                elif outputs:
                    mine = [output(i).astype(_bf16) for i in range(tiles)]
                for i in range(tiles):
                    S[j][i] = S[j][i] * _columns(jnp.exp(_total(total)))
                    S[j][i] += _product((value(i).T, x_t[-1]))
                pl.when(n + 2 // slices < length)(partial(load_slice, n + 2 // slices, j))

            if warpgroups == 2:
                plgpu.barrier_arrive(full)
                plgpu.barrier_wait(full)
            pl.when((w == 0) & (n + 2 < length))(partial(load_values, n + 2))
            if outputs and warpgroups == 2:
                mine = (mine if tiles == 2 else _load(sum_s.at[w])) + _load(sum_s.at[1 - w])
                plgpu.barrier_arrive(free)
                mine = [mine.astype(_bf16)]
            if outputs:
                write(n, mine, state)
            return S

        def write(n, out, state):
            if states:
                plgpu.wait_smem_to_gmem(0)
            for i, tile in enumerate(out):
                state(i)[...] = tile
            plgpu.commit_smem()
            for i in range(len(out)):
                place = value_columns(w if tiles == warpgroups == 2 else i)
                rows = out_g.at[b, pl.ds(at(n) * C, C), h, place]
                copy = partial(plgpu.copy_smem_to_gmem, state(i), rows)
                pl.when((w == 0) | (tiles == warpgroups))(copy)

        def through(f):  # a tile of state between its place in memory and registers
            return [[f(j, value_columns(i)) for i in range(tiles)] for j in range(slices)]

        @pl.when(w == 0)
        def masks():
            m_s.at[0][...] = _order(reverse)
            if outputs:
                m_s.at[1][...] = _digits()

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
            bf16((tiles * warpgroups, C, C)),
            bf16((warpgroups, C, C)),
            plgpu.SMEM((warpgroups, C, C), _f32, transforms=_F32_TILE),
            bf16((1 + outputs, C, C)),
            plgpu.SMEM((2 * warpgroups, totals.shape[-1]), _f32),
            plgpu.Barrier(num_arrivals=copies, num_barriers=2 * warpgroups),
            plgpu.Barrier(num_arrivals=tiles, num_barriers=2),
            plgpu.Barrier(num_arrivals=warpgroups),
            plgpu.Barrier(num_arrivals=warpgroups),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True, reduction_scratch_bytes=0),
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
    """dq, dk (B,T,H,K) bfloat16 and dg (B,T,H,K), every chunk and slice of K by itself.

    S (B,H,N,V,K) is the state each chunk starts from and dS the gradient at its end, in bfloat16. With M the
    order of the tokens, b = M g, and dA_ij = do_i v_j for j <= i:

        u_i = do_i S + [dA k exp(-b)]_i          dq = scale exp(b) u
        w_j = [dA^T q exp(b)]_j                  dk = exp(-b) w + exp(r) v dS
        dg = M^T (dL/db) + (M - 1) (dL/dr) + exp(c) sum_v S dS,    dL/db = q dq - k w exp(-b), ...

    every product taken of the rounded operands, so that the pairs within a chunk cancel exactly.
    """
    B, _, H, K = q.shape
    N, tiles, parts = totals.shape[1], v.shape[-1] // C, len(gates)

    def body(*refs):
        refs = iter(refs)
        sources = [next(refs) for _ in range(2 + parts)]  # q, k, gates
        streams, totals_g = [next(refs) for _ in range(4)], next(refs)  # do, v, S, dS
        results = [next(refs) for _ in range(3)]  # dq, dk, dg
        q_s, k_s, *gates_s = [next(refs) for _ in range(2 + parts)]
        streams_s, order_s, total_s, *dg_s, loaded, streamed = refs
        dg_s = dg_s[0] if dg_s else gates_s[0]

        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)
        n, j = lax.axis_index("chunk"), lax.axis_index("k")
        rows, columns = pl.ds(n * C, C), pl.ds(j * C, C)

        def stream(i):
            to, values = lax.rem(i, 2), pl.ds(i * C, C)
            for x, source in enumerate(streams):
                tile = (b, rows, h, values) if x < 2 else (b, h, n, values, columns)
                plgpu.copy_gmem_to_smem(source.at[tile], streams_s.at[4 * to + x], streamed.at[to])

        def through_values(dA, u, w):
            def tile(i, through):
                to = lax.rem(i, 2)
                plgpu.barrier_wait(streamed.at[to])
                do_t, v_t, S_t, dS_t = [streams_s.at[4 * to + x] for x in range(4)]
                plgpu.wgmma(dA, do_t, v_t.T)
                plgpu.wgmma(u, do_t, S_t)
                plgpu.wgmma(w, v_t, dS_t)
                through += _load(S_t) * _load(dS_t)
                plgpu.wgmma_wait(0)
                pl.when(i + 2 < tiles)(partial(stream, i + 2))
                return through

            through = lax.fori_loop(0, tiles, tile, _zeros())
            return dA[...], u[...], w[...], jnp.sum(through, axis=0)

        for source, to in zip(sources, (q_s, k_s, *gates_s), strict=True):
            plgpu.copy_gmem_to_smem(source.at[b, rows, h, columns], to, loaded)
        plgpu.copy_gmem_to_smem(totals_g.at[b, n, h, j], total_s, loaded)
        for i in range(min(2, tiles)):
            stream(jnp.int32(i))
        order_s[...] = _order(False)
        acc = plgpu.ACC((C, C), _f32)
        dA, dq_state, dk_state, through = pl.run_scoped(through_values, acc, acc, acc)
        plgpu.barrier_wait(loaded)
        _clamp(gates_s[0])
        dA_s, *tiles_s = [streams_s.at[x] for x in range(8)]  # their contents are spent
        dA_s[...] = jnp.where(_load(order_s) > 0, dA, 0.0).astype(_bf16)
        given = dA_s, q_s, k_s, gates_s, order_s, total_s, scale, dq_state, dk_state, tiles_s
        dg = lax.cond(
            total_s[C] > -FAST, lambda: _fast_gradients(*given), lambda: _exact_gradients(*given)
        )
        dg += _columns(through * jnp.exp(_total(total_s)))
        dg_s[...] = dg.astype(gate_dtype)
        plgpu.commit_smem()
        for x, to in zip((q_s, k_s, dg_s), results, strict=True):
            plgpu.copy_smem_to_gmem(x, to.at[b, rows, h, columns])
        plgpu.wait_smem_to_gmem(0)

    tile = plgpu.SMEM((C, C), _bf16, transforms=_BF16_TILE)
    run = plgpu.kernel(
        body,
        out_type=[jax.ShapeDtypeStruct(q.shape, t) for t in (_bf16, _bf16, gate_dtype)],
        grid=(B * H, N, K // C),
        grid_names=("bh", "chunk", "k"),
        scratch_types=[
            *[tile] * (2 + parts),
            plgpu.SMEM((8, C, C), _bf16, transforms=_BF16_TILE),
            tile,
            plgpu.SMEM((totals.shape[-1],), _f32),
            *([plgpu.SMEM((C, C), _f32, transforms=_F32_TILE)] if gate_dtype == _f32 else []),
            plgpu.Barrier(num_arrivals=3 + parts),
            plgpu.Barrier(num_arrivals=4, num_barriers=2),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=interpret,
    )
    return run(q, k, *gates, do, v, S, dS, totals)


def _gate_product(matrix, x, scratch):
    """The matrix times x, with x in two bfloat16 parts."""
    high, low = scratch
    high[...] = x.astype(_bf16)
    low[...] = (x - x.astype(_bf16).astype(_f32)).astype(_bf16)
    plgpu.commit_smem()
    return _product((matrix, high), (matrix, low))


def _fast_gradients(dA, q, k, gates, order, total, scale, u, dk_state, scratch):
    """q and k become dq and dk; returns dg but for what passes through the whole chunk."""
    left, right, *_ = scratch
    up = jnp.exp(-_total(total))
    left[...] = (_load(q) * scale * jnp.exp(_gate_sum(order, gates))).astype(_bf16)
    k_decay = jnp.exp(_gate_sum(order.T, gates) - sum(map(_load, gates)))
    right[...] = (_load(k) * k_decay * _columns(up)).astype(_bf16)
    dr = (_load(k) * k_decay).astype(_bf16).astype(_f32) * dk_state
    plgpu.commit_smem()
    w = _product((dA.T, left))
    k[...] = ((w * _columns(up) + dk_state) * k_decay).astype(_bf16)
    u += _product((dA, right))
    db = _load(left) * u - _load(right) * w
    q[...] = (u * scale * jnp.exp(_gate_sum(order, gates))).astype(_bf16)
    dg = _gate_product(order.T, db, (left, right))
    return dg + _gate_product(order, dr, (left, right)) - dr


def _exact_gradients(dA, q, k, gates, order, total, scale, dq_state, dk_state, scratch):
    """As `_fast_gradients`, by the digits of the tokens: see `_scores`."""
    left, right, pairs, halves, digits, *_ = scratch
    digits[...] = _digits()
    decay = scale * jnp.exp(_gate_sum(order, gates))
    db = (_load(q) * decay).astype(_bf16).astype(_f32) * dq_state
    dq = dq_state * decay
    dg = _gate_product(order.T, db, (left, right))
    decay = jnp.exp(_gate_sum(order.T, gates) - sum(map(_load, gates)))
    dr = (_load(k) * decay).astype(_bf16).astype(_f32) * dk_state
    dk = dk_state * decay
    dg += _gate_product(order, dr, (left, right)) - dr
    diagonal = jnp.sum(jnp.where(_load(digits) == 0, _load(dA), 0.0), axis=1) * scale
    diagonal = lax.broadcast_in_dim(diagonal, (C, C), (0,))

    def digit(n, carry):
        dq, dk, dg = carry
        halves[...] = _halves(digits, n)
        here = _load(digits) == (n + 1).astype(_f32)
        pairs[...] = jnp.where(here, _load(dA), 0.0).astype(_bf16)
        plgpu.commit_smem()
        between = jnp.exp(_gate_sum(halves, gates))
        left[...] = (_load(q) * scale * between).astype(_bf16)
        right[...] = (_load(k) * between).astype(_bf16)
        plgpu.commit_smem()
        u = _product((pairs, right))
        dq += u * scale * between
        de = _load(left) * u
        w = _product((pairs.T, left))
        dk += w * between
        de += _load(right) * w
        return dq, dk, dg + _gate_product(halves.T, de, (left, right))

    carry = dq + diagonal * _load(k), dk + diagonal * _load(q), dg
    dq, dk, dg = lax.fori_loop(0, _DIGITS, digit, carry)
    q[...], k[...] = dq.astype(_bf16), dk.astype(_bf16)
    return dg
