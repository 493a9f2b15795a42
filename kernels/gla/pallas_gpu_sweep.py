"""The sweep: a GPU kernel that carries the state through the sequence, forward or in reverse.

The gradient dv is the computation of o with time reversed: q, k, v, S become k, q, do, dS, and the
decays to a token and from it change places. So one kernel gives o, or dv, and the states between
the chunks, or only the last one. The mathematics of a chunk is in `pallas_gpu_tile`.

A Pallas thread is a warpgroup, two where K allows. Each owns a part of K: its columns of q, k, g
and of the state never leave it, and only the outputs are summed, through shared memory. The state
stays in registers (64 a thread); everything else is in shared memory, and goes through registers
one tile at a time, because the compiler's report is what decides here: no spills.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu_tile as t
from kernels.gla.pallas_gpu_tile import FAST, C, bf16, f32


def sweep(x1, x2, y, *, gates, totals, start, scales, length, reverse, outputs, states, interpret):
    """Carries the state S (V,K) through the chunks of every segment, forward or in reverse.

        out_i = x1_i exp(first_i) S + sum_j P_ij y_j        S <- exp(c) S + y^T (x2 exp(second))

    forward, x1, x2, y are q, k, v and first, second are b, r; in reverse k, q, do and r, b.

    x1, x2 (B,T,H,K), y (B,T,H,V) and gates, whose sum is g, in bfloat16; totals (B,N,H,K/C,C+PAD),
    c and its least entry. One decay a head: no gates, totals (B,N,H,1,4C), c in C copies, b, r, b.
    start (B,H,P,V,K) float32, what each of P segments of `length` chunks starts from, in the
    sweep's order.

    Returns out (B,T,H,V) and the state at every chunk's start (B,H,N,V,K) in bfloat16, each None
    unless asked for, and the state (B,H,P,V,K) at every segment's end.
    """
    B, _, H, K = x2.shape
    N, P, V = totals.shape[1], start.shape[2], y.shape[-1]
    warpgroups, slices, tiles = division(K, V, len(gates))
    copies = 2 + outputs + len(gates)

    def gla_sweep(*refs):
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
            total = totals_g.at[b, at(n), h, w * slices + j if gates else 0]
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

                def decay(x_t=x_t, given=(gates_t, masks[0], total, reverse)):
                    if outputs:
                        _decay(x_t[0], scales[0], _exponent(*given, first=True))
                    return _decay(x_t[-1], scales[1], _exponent(*given, first=False))

                def output(i, x1=x_t[0], work=work, state=state, value=value):
                    return t.product((x1, state(i).T), (work, value(i)))

                if gates:
                    t.clamp(gates_t[0])
                if outputs:
                    scratch = work, state(0)
                    P = _scores(*x_t, gates_t, masks, total, scales, decay, scratch, reverse)
                    work[...] = P.astype(bf16)
                else:
                    decay()
                for i in range(tiles):
                    state(i)[...] = S[j][i].astype(bf16)
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
                        sum_s.at[w][...] = output(0) + (t.load(sum_s.at[w]) if j > 0 else 0.0)
                elif outputs:
                    mine = [output(i).astype(bf16) for i in range(tiles)]
                for i in range(tiles):
                    S[j][i] = S[j][i] * t.columns(jnp.exp(t.row(total)))
                    S[j][i] += t.product((value(i).T, x_t[-1]))
                plgpu.commit_smem()  # every read of these slots is over
                pl.when(n + 2 // slices < length)(partial(load_slice, n + 2 // slices, j))

            if warpgroups == 2:
                plgpu.barrier_arrive(full)
                plgpu.barrier_wait(full)
            pl.when((w == 0) & (n + 2 < length))(partial(load_values, n + 2))
            if outputs and warpgroups == 2:
                mine = (mine if tiles == 2 else t.load(sum_s.at[w])) + t.load(sum_s.at[1 - w])
                plgpu.barrier_arrive(free)
                mine = [mine.astype(bf16)]
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
            m_s.at[0][...] = t.order(reverse)
            if outputs:
                m_s.at[1][...] = t.digits()

        S = through(
            lambda j, rows: plgpu.load(
                start_g.at[b, h, segment, rows, columns(j)], layout=t.WGMMA, optimized=False
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

    tile_type = partial(plgpu.SMEM, dtype=bf16, transforms=t.BF16_TILE)
    types = [jax.ShapeDtypeStruct(start.shape, f32)]
    if states:
        types = [jax.ShapeDtypeStruct((B, H, N, V, K), bf16), *types]
    if outputs:
        types = [jax.ShapeDtypeStruct(y.shape, bf16), *types]
    slots = [tile_type((2 * warpgroups, C, C)) for _ in range(copies - 1)]
    run = plgpu.kernel(
        gla_sweep,
        out_type=types,
        grid=(B * H, V // (C * tiles), P),
        grid_names=("bh", "v", "segment"),
        num_threads=warpgroups,
        thread_name="wg",
        scratch_types=[
            *slots[: 1 + outputs],
            tile_type((2 * tiles, C, C)),
            *slots[1 + outputs :],
            tile_type((tiles * warpgroups, C, C)),
            tile_type((warpgroups, C, C)),
            plgpu.SMEM((warpgroups, C, C), f32, transforms=t.F32_TILE),
            tile_type((1 + outputs, C, C)),
            plgpu.SMEM((2 * warpgroups, totals.shape[-1]), f32),
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


def division(K, V, parts):
    """Warpgroups of a program, slices of K for each, and tiles of V for the program."""
    warpgroups = 2 if K >= 2 * C else 1
    slices = K // C // warpgroups
    tiles = 2 if V % (2 * C) == 0 and slices == 1 and parts <= 1 else 1
    return warpgroups, slices, tiles


def _exponent(gates, order, total, reverse, first):
    """The log decays b, or r, of x1 (`first`) or x2."""
    to_end = first == reverse
    if not gates:
        return t.rows(t.column(total, 2 * C if to_end else C))
    within = t.gate_sum(order if first else order.T, gates)
    return within if to_end else within + t.total_of(gates)


def _decay(x, scale, exponent):
    """scale x exp(exponent), in place; returned in float32."""
    x_decayed = t.load(x) * scale * jnp.exp(exponent)
    x[...] = x_decayed.astype(bf16)
    return x_decayed


def _scores(x1, x2, gates, masks, total, scales, decay, scratch, reverse):
    """P of one chunk and slice of K, exact for any gate; x1, x2 are decayed in place on the way."""
    right, halves = scratch
    digits = masks[1]

    def one_product():
        right[...] = (decay() * t.columns(jnp.exp(-t.row(total)))).astype(bf16)
        plgpu.commit_smem()
        distance = -t.load(digits) if reverse else t.load(digits)
        return jnp.where(distance >= 0, t.product((x1, right.T)), 0.0)

    def by_digits():
        raw1 = x1[...]  # its tile is needed for the factors

        def digit(n, P):
            halves[...] = t.halves(digits, n)
            plgpu.commit_smem()
            between = jnp.exp(t.gate_sum(halves, gates))
            x1[...] = (raw1.astype(f32) * scales[0] * between).astype(bf16)
            right[...] = (t.load(x2) * scales[1] * between).astype(bf16)
            plgpu.commit_smem()
            pairs = t.load(digits) == ((-n - 1) if reverse else (n + 1)).astype(f32)
            return P + jnp.where(pairs, t.product((x1, right.T)), 0.0)

        same = jnp.sum(t.load(x1) * t.load(x2), axis=1) * (scales[0] * scales[1])
        P = jnp.where(t.load(digits) == 0, lax.broadcast_in_dim(same, (C, C), (0,)), 0.0)
        P = lax.fori_loop(0, t.DIGITS, digit, P)
        x1[...] = raw1
        decay()
        return P

    def by_matrix():
        decays = t.between(total, reverse) * (scales[0] * scales[1])
        distance = -t.load(digits) if reverse else t.load(digits)
        P = jnp.where(distance >= 0, t.product((x1, x2.T)) * decays, 0.0)
        decay()
        return P

    if not gates:
        return by_matrix()
    return lax.cond(total[C] > -FAST, one_product, by_digits)
