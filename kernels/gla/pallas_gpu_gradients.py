"""dq, dk and dg of all chunks at once, from the states at their two ends: a GPU kernel.

The mathematics of a chunk is in `pallas_gpu_tile`. A program is one chunk and slice of K, one
warpgroup; it takes under half of the shared memory, so that two fit on a multiprocessor.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu_tile as t
from kernels.gla.pallas_gpu_tile import FAST, C, bf16, f32


def chunk_gradients(q, k, v, do, gates, totals, S, dS, scale, gate_dtype, interpret):
    """dq, dk (B,T,H,K) bfloat16 and dg (B,T,H,K), every chunk and slice of K by itself.

    S (B,H,N,V,K) is the state each chunk starts from and dS the gradient at its end, in bfloat16.
    With M the order of the tokens, b = M g + g, r = M^T g, and dA_ij = do_i v_j for j <= i:

        u_i = do_i S + [dA k exp(-b)]_i          dq = scale exp(b) u
        w_j = [dA^T q exp(b)]_j                  dk = exp(-b) w + exp(r) v dS
        dg = (M^T + 1) dL/db + M dL/dr + exp(c) sum_v S dS,    dL/db = q dq - k w exp(-b), ...

    every product taken of the rounded operands, so that the pairs within a chunk cancel exactly.

    One decay a head: no gates, and instead of dg float32 sums over each slice of K from which
    `gate_gradient` makes it, (B,N,H,K/C,4C).
    """
    B, _, H, K = q.shape
    N, tiles, parts = totals.shape[1], v.shape[-1] // C, len(gates)

    def gla_gradients(*refs):
        refs = iter(refs)
        sources = [next(refs) for _ in range(2 + parts)]  # q, k, gates
        streams, totals_g = [next(refs) for _ in range(4)], next(refs)  # do, v, S, dS
        results = [next(refs) for _ in range(3)]  # dq, dk, dg
        q_s, k_s, *gates_s = [next(refs) for _ in range(2 + parts)]
        streams_s, order_s, total_s, through_s, *dg_s, loaded, streamed = refs
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
                through += t.load(S_t) * t.load(dS_t)
                plgpu.wgmma_wait(0)
                plgpu.commit_smem()  # every read of these tiles is over
                pl.when(i + 2 < tiles)(partial(stream, i + 2))
                return through

            through = lax.fori_loop(0, tiles, tile, t.zeros())
            through_s[...] = jnp.sum(through, axis=0)
            return dA[...], u[...], w[...]

        for source, to in zip(sources, (q_s, k_s, *gates_s), strict=True):
            plgpu.copy_gmem_to_smem(source.at[b, rows, h, columns], to, loaded)
        plgpu.copy_gmem_to_smem(totals_g.at[b, n, h, j if gates else 0], total_s, loaded)
        for i in range(min(2, tiles)):
            stream(jnp.int32(i))
        order_s[...] = t.order()
        acc = plgpu.ACC((C, C), f32)
        dA, dq_state, dk_state = pl.run_scoped(through_values, acc, acc, acc)
        plgpu.barrier_wait(loaded)
        tiles_s, dA = streams_s, jnp.where(t.causal(), dA, 0.0)
        if gates:
            tiles_s.at[0][...] = dA.astype(bf16)
            given = tiles_s, q_s, k_s, gates_s, order_s, total_s, scale, dq_state, dk_state
            dg = lax.cond(
                total_s[C] > -FAST,
                lambda: _fast_gradients(*given),
                lambda: _exact_gradients(*given),
            )
            dg += t.columns(t.row(through_s) * jnp.exp(t.row(total_s)))
            dg_s[...] = dg.astype(gate_dtype)
        else:
            given = tiles_s.at[0], q_s, k_s, order_s, total_s, scale, dA, dq_state, dk_state
            _scalar_gradients(*given, dg_s)
            dg_s[pl.ds(3 * C, C)] = t.row(through_s)
        plgpu.commit_smem()
        for x, to in zip((q_s, k_s), results, strict=False):
            plgpu.copy_smem_to_gmem(x, to.at[b, rows, h, columns])
        dg_place = (b, rows, h, columns) if gates else (b, n, h, j)
        plgpu.copy_smem_to_gmem(dg_s, results[2].at[dg_place])
        plgpu.wait_smem_to_gmem(0)

    tile = plgpu.SMEM((C, C), bf16, transforms=t.BF16_TILE)
    like_q = [jax.ShapeDtypeStruct(q.shape, dtype) for dtype in (bf16, bf16, gate_dtype)]
    if not gates:
        like_q[2] = jax.ShapeDtypeStruct((B, N, H, K // C, 4 * C), f32)
        dg_type = [plgpu.SMEM((4 * C,), f32)]
    elif gate_dtype == f32:
        dg_type = [plgpu.SMEM((C, C), f32, transforms=t.F32_TILE)]
    else:
        dg_type = []  # in the place of the gates
    run = plgpu.kernel(
        gla_gradients,
        out_type=like_q,
        grid=(B * H, N, K // C),
        grid_names=("bh", "chunk", "k"),
        scratch_types=[
            *[tile] * (2 + parts),
            plgpu.SMEM((8, C, C), bf16, transforms=t.BF16_TILE),
            tile,
            plgpu.SMEM((totals.shape[-1],), f32),
            plgpu.SMEM((C,), f32),
            *dg_type,
            plgpu.Barrier(num_arrivals=3 + parts),
            plgpu.Barrier(num_arrivals=4, num_barriers=2),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=interpret,
    )
    return run(q, k, *gates, do, v, S, dS, totals)


def _fast_gradients(tiles, q, k, gates, order, total, scale, u, dk_state):
    """q and k become dq and dk; returns dg but for what passes through the whole chunk."""
    dA, left, right = (tiles.at[x] for x in range(3))
    up = jnp.exp(-t.row(total))
    b = t.gate_sum(order, gates) + t.total_of(gates)
    left[...] = (t.load(q) * scale * jnp.exp(b)).astype(bf16)
    k_decay = jnp.exp(t.gate_sum(order.T, gates))
    right[...] = (t.load(k) * k_decay * t.columns(up)).astype(bf16)
    dr = (t.load(k) * k_decay).astype(bf16).astype(f32) * dk_state
    plgpu.commit_smem()
    w = t.product((dA.T, left))
    k[...] = ((w * t.columns(up) + dk_state) * k_decay).astype(bf16)
    u += t.product((dA, right))
    db = t.load(left) * u - t.load(right) * w
    b = t.gate_sum(order, gates) + t.total_of(gates)  # again: cheaper than registers
    q[...] = (u * scale * jnp.exp(b)).astype(bf16)
    dg = db + t.gate_product(order.T, db, (left, right))
    return dg + t.gate_product(order, dr, (left, right))


def _exact_gradients(tiles, q, k, gates, order, total, scale, dq_state, dk_state):
    """As `_fast_gradients`, by the digits of the tokens: see `pallas_gpu_tile`."""
    dA, high_low, digits = tiles.at[0], (tiles.at[1], tiles.at[2]), tiles.at[5]
    t.clamp(gates[0])
    digits[...] = t.digits()
    diagonal = jnp.sum(jnp.where(t.load(digits) == 0, t.load(dA), 0.0), axis=1) * scale
    diagonal = lax.broadcast_in_dim(diagonal, (C, C), (0,))

    def side(x, other, scales, dx_state, dg):
        """dx and x's part of dg, x being q or k."""
        matrix = order if x is q else order.T
        decay = scales[0] * jnp.exp(
            t.gate_sum(matrix, gates) + (t.total_of(gates) if x is q else 0.0)
        )
        de = (t.load(x) * decay).astype(bf16).astype(f32) * dx_state
        dg += t.gate_product(matrix.T, de, high_low) + (de if x is q else 0.0)

        def digit(n, carry):
            dx, dg = carry
            # Zero, but the compiler cannot know: else it keeps the address of every tile below in
            # registers across the loop.
            zero = (total[C] > 0).astype(jnp.int32)
            dA, left, right, pairs, halves, digits = (tiles.at[i + zero] for i in range(6))
            halves[...] = t.halves(digits, n)
            here = t.load(digits) == (n + 1).astype(f32)
            pairs[...] = jnp.where(here, t.load(dA), 0.0).astype(bf16)
            plgpu.commit_smem()
            between = jnp.exp(t.gate_sum(halves, gates))
            right[...] = (t.load(other) * scales[1] * between).astype(bf16)
            plgpu.commit_smem()
            d = t.product((pairs if x is q else pairs.T, right)) * between
            dx += d * scales[0]
            de = t.load(x) * scales[0] * d
            return dx, dg + t.gate_product(halves.T, de, (left, right))

        return lax.fori_loop(0, t.DIGITS, digit, (dx_state * decay + diagonal * t.load(other), dg))

    dq, dg = side(q, k, (scale, 1.0), dq_state, t.zeros())
    tiles.at[6][...] = dq.astype(bf16)
    dk, dg = side(k, q, (1.0, scale), dk_state, dg)
    q[...], k[...] = tiles.at[6][...], dk.astype(bf16)
    return dg


def _scalar_gradients(pairs, q, k, order, total, scale, dA, dq_state, dk_state, sums):
    """q and k become dq and dk, of one decay a head. `sums` gets, with W_ij = A_ij dA_ij for j < i,
    its row sums and what the state gives to b, its column sums, and what the state gives to r."""
    decays = t.between(total) * scale
    W = t.product((q, k.T)) * decays * dA * t.load(order)
    pairs[...] = (dA * decays).astype(bf16)
    into = t.rows(jnp.exp(t.column(total, C))) * scale * dq_state
    out = t.rows(jnp.exp(t.column(total, 2 * C))) * dk_state
    sums[pl.ds(0, C)] = jnp.sum(W + t.load(q) * into, axis=1)
    sums[pl.ds(C, C)] = jnp.sum(W, axis=0)
    sums[pl.ds(2 * C, C)] = jnp.sum(t.load(k) * out, axis=1)
    plgpu.commit_smem()
    dq = t.product((pairs, k)) + into
    k_gradient = t.product((pairs.T, q)) + out
    q[...], k[...] = dq.astype(bf16), k_gradient.astype(bf16)


def gate_gradient(sums, totals):
    """dg (B,T,H,1) float32 of one decay a head, from `chunk_gradients`' sums:

    dg_t = sum_{i >= t} dL/db_i + sum_{j < t} dL/dr_j + exp(c) sum_v S dS.
    """
    B, N, H, _, _ = sums.shape
    rows, columns, dr, through = jnp.moveaxis(sums.sum(3).reshape(B, N, H, 4, C), 3, 0)
    through = jnp.exp(totals[:, :, :, 0, :1]) * through.sum(-1, keepdims=True)
    before = jnp.pad(dr[..., :-1], [(0, 0)] * 3 + [(1, 0)])  # no sum holds what it leaves out
    dg = jnp.cumsum((rows - columns)[..., ::-1], -1)[..., ::-1] + jnp.cumsum(before, -1) + through
    return jnp.moveaxis(dg, 3, 2).reshape(B, N * C, H, 1)
