"""What the sweeps read, of all chunks at once: a GPU kernel.

A warpgroup has one chunk of one head, and takes K 64 channels after another; a program has as many
as fit a multiprocessor, because this kernel waits more than it computes. Both sweeps read the same
three arrays, so that they have no gates, no exponentials and no slow path: only products.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu_tile as t
from kernels.gla.pallas_gpu_tile import FAST, C, bf16, f32

W = 3  # warpgroups of a program: each may have 168 registers


def prepare(q, k, *, gates, totals, scale, interpret):
    """(scale q exp(b), k exp(r), A): (B,T,H,K) twice and the scores (B,N,H,C,C), in bfloat16.

    A_ij = scale sum_k q_ik k_jk exp(b_ik - b_jk) for j <= i, exact for any gate.

    q, k (B,T,H,K) and gates, whose sum is g, in bfloat16; totals (B,N,H,K/C,C+PAD), c and its least
    entry. One decay a head: no gates, totals (B,N,H,1,4C), c in C copies, b, r, b.
    """
    B, _, H, K = q.shape
    N, slices, copies = totals.shape[1], K // C, 3 + len(gates)

    def gla_prepare(*refs):
        refs = iter(refs)
        sources = [next(refs) for _ in range(2 + len(gates))]  # q, k, gates
        totals_g, q_out, k_out, A_out = (next(refs) for _ in range(4))
        tiles_s = [next(refs) for _ in sources]
        totals_s, order_s, *scratch_s, loaded, ready = refs
        w = lax.axis_index("wg")
        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)
        n = lax.axis_index("chunks") * W + w
        q_t, k_t, *gates_t = [tile.at[w] for tile in tiles_s]
        total, (right, left, halves, digits) = totals_s.at[w], [tile.at[w] for tile in scratch_s]

        def place(j):  # the j-th slice of K
            return b, pl.ds(n * C, C), h, pl.ds(j * C, C)

        def load(j):
            for source, to in zip(sources, tiles_s, strict=True):
                plgpu.copy_gmem_to_smem(source.at[place(j)], to.at[w], loaded.at[w])
            plgpu.copy_gmem_to_smem(totals_g.at[b, n, h, j if gates else 0], total, loaded.at[w])

        pl.when(n < N)(partial(load, 0))

        @pl.when(w == 0)
        def masks():
            order_s[...] = t.order()
            plgpu.commit_smem()

        plgpu.barrier_arrive(ready)
        plgpu.barrier_wait(ready)

        def slice_of_K(j, A):
            plgpu.barrier_wait(loaded.at[w])
            if gates:
                given = q_t, k_t, gates_t, total, scale, order_s, right
                fast, exact = partial(_fast, *given), partial(_exact, *given, left, halves, digits)
                A = lax.cond(total[C] > -FAST, fast, exact, A)
            else:
                A += t.product((q_t, k_t.T))
                _decay(q_t, scale, t.rows(t.column(total, C)))
                _decay(k_t, 1.0, t.rows(t.column(total, 2 * C)))
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(q_t, q_out.at[place(j)])
            plgpu.copy_smem_to_gmem(k_t, k_out.at[place(j)])

            @pl.when(j < slices - 1)
            def following():
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
                load(j + 1)

            return A

        @pl.when(n < N)
        def chunk():
            A = lax.fori_loop(0, slices, slice_of_K, t.zeros())
            if not gates:
                A *= t.between(total) * scale
            right[...] = jnp.where(t.causal(), A, 0.0).astype(bf16)
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(right, A_out.at[b, n, h])
            plgpu.wait_smem_to_gmem(0)

    tiles = plgpu.SMEM((W, C, C), bf16, transforms=t.BF16_TILE)
    run = plgpu.kernel(
        gla_prepare,
        out_type=[
            jax.ShapeDtypeStruct(q.shape, bf16),
            jax.ShapeDtypeStruct(q.shape, bf16),
            jax.ShapeDtypeStruct((B, N, H, C, C), bf16),
        ],
        grid=(B * H, -(-N // W)),
        grid_names=("bh", "chunks"),
        num_threads=W,
        thread_name="wg",
        scratch_types=[
            *[tiles] * (2 + len(gates)),
            plgpu.SMEM((W, totals.shape[-1]), f32),
            plgpu.SMEM((C, C), bf16, transforms=t.BF16_TILE),
            *[tiles] * 4,
            plgpu.Barrier(num_arrivals=copies, num_barriers=W),
            plgpu.Barrier(num_arrivals=W),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=interpret,
    )
    return run(q, k, *gates, totals)


def _decay(x, scale, exponent):
    """scale x exp(exponent), in place; returned in float32."""
    decayed = t.load(x) * scale * jnp.exp(exponent)
    x[...] = decayed.astype(bf16)
    return decayed


def _decays(q, k, gates, scale, order):
    """q and k decayed in place, the latter returned in float32."""
    _decay(q, scale, t.gate_sum(order, gates) + t.total_of(gates))
    return _decay(k, 1.0, t.gate_sum(order.T, gates))


def _fast(q, k, gates, total, scale, order, right, A):
    """A and these channels' part, by one product of q exp(b) and k exp(-b)."""
    decayed = _decays(q, k, gates, scale, order)
    right[...] = (decayed * t.columns(jnp.exp(-t.row(total)))).astype(bf16)
    plgpu.commit_smem()
    return A + t.product((q, right.T))


def _exact(q, k, gates, total, scale, order, right, left, halves, digits, A):
    """A and these channels' part, pair by pair of halves, by the digits of the tokens."""
    t.clamp(gates[0])
    digits[...] = t.digits()

    def digit(n, A):
        halves[...] = t.halves(digits, n)
        plgpu.commit_smem()
        between = jnp.exp(t.gate_sum(halves, gates))
        left[...] = (t.load(q) * scale * between).astype(bf16)
        right[...] = (t.load(k) * between).astype(bf16)
        plgpu.commit_smem()
        pairs = t.load(digits) == (n + 1).astype(f32)
        return A + jnp.where(pairs, t.product((left, right.T)), 0.0)

    same = jnp.sum(t.load(q) * t.load(k), axis=1) * scale
    A += jnp.where(t.load(digits) == 0, lax.broadcast_in_dim(same, (C, C), (0,)), 0.0)
    A = lax.fori_loop(0, t.DIGITS, digit, A)
    _decays(q, k, gates, scale, order)
    return A
