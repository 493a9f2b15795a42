"""What the sweeps read, of all chunks at once: a GPU kernel.

A program is one chunk of one head, one warpgroup, which takes K 64 channels after another. Both
sweeps read the same three arrays, so that they have no gates, exponentials or slow path of their
own, only products.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu_tile as t
from kernels.gla.pallas_gpu_tile import FAST, C, bf16, f32


def prepare(q, k, *, gates, totals, scale, interpret):
    """(scale q exp(b), k exp(r), A): (B,T,H,K) twice and the scores (B,N,H,C,C), in bfloat16.

    A_ij = scale sum_k q_ik k_jk exp(b_ik - b_jk) for j <= i, exact for any gate.

    q, k (B,T,H,K) and gates, whose sum is g, in bfloat16; totals (B,N,H,K/C,C+PAD), c and its least
    entry. One decay a head: no gates, totals (B,N,H,1,4C), c in C copies, b, r, b.
    """
    B, _, H, K = q.shape
    N, slices, copies = totals.shape[1], K // C, 3 + len(gates)
    slots = min(slices, 2)

    def gla_prepare(*refs):
        refs = iter(refs)
        sources = [next(refs) for _ in range(2 + len(gates))]  # q, k, gates
        totals_g, q_out, k_out, A_out = (next(refs) for _ in range(4))
        tiles_s = [next(refs) for _ in sources]
        totals_s, order_s, right_s, halves_s, digits_s, loaded = refs
        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)
        n = lax.axis_index("chunk")

        def place(j):  # the j-th slice of K
            return b, pl.ds(n * C, C), h, pl.ds(j * C, C)

        def load(j):
            slot = j % slots
            for source, to in zip(sources, tiles_s, strict=True):
                plgpu.copy_gmem_to_smem(source.at[place(j)], to.at[slot], loaded.at[slot])
            total = totals_g.at[b, n, h, j if gates else 0]
            plgpu.copy_gmem_to_smem(total, totals_s.at[slot], loaded.at[slot])

        for j in range(slots):
            load(j)
        order_s[...] = t.order()
        plgpu.commit_smem()
        A = t.zeros()
        for j in range(slices):
            plgpu.barrier_wait(loaded.at[j % slots])
            q_t, k_t, *gates_t = [tile.at[j % slots] for tile in tiles_s]
            total = totals_s.at[j % slots]
            if gates:
                given = q_t, k_t, gates_t, total, scale, order_s, right_s
                fast, exact = partial(_fast, *given), partial(_exact, *given, halves_s, digits_s)
                A += lax.cond(total[C] > -FAST, fast, exact)
            else:
                A += t.product((q_t, k_t.T))
                _decay(q_t, scale, t.rows(t.column(total, C)))
                _decay(k_t, 1.0, t.rows(t.column(total, 2 * C)))
            if j == slices - 1:
                if not gates:
                    A *= t.between(total) * scale
                right_s[...] = jnp.where(t.causal(), A, 0.0).astype(bf16)
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(q_t, q_out.at[place(j)])
            plgpu.copy_smem_to_gmem(k_t, k_out.at[place(j)])
            if j + slots < slices:
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
                load(j + slots)
        plgpu.copy_smem_to_gmem(right_s, A_out.at[b, n, h])
        plgpu.wait_smem_to_gmem(0)

    tile = partial(plgpu.SMEM, dtype=bf16, transforms=t.BF16_TILE)
    run = plgpu.kernel(
        gla_prepare,
        out_type=[
            jax.ShapeDtypeStruct(q.shape, bf16),
            jax.ShapeDtypeStruct(q.shape, bf16),
            jax.ShapeDtypeStruct((B, N, H, C, C), bf16),
        ],
        grid=(B * H, N),
        grid_names=("bh", "chunk"),
        scratch_types=[
            *[tile((slots, C, C))] * (2 + len(gates)),
            plgpu.SMEM((slots, totals.shape[-1]), f32),
            *[tile((C, C))] * 4,
            plgpu.Barrier(num_arrivals=copies, num_barriers=slots),
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


def _fast(q, k, gates, total, scale, order, right):
    """A, of the pairs of tokens of both orders, by one product of q exp(b) and k exp(-b)."""
    decayed = _decays(q, k, gates, scale, order)
    right[...] = (decayed * t.columns(jnp.exp(-t.row(total)))).astype(bf16)
    plgpu.commit_smem()
    return t.product((q, right.T))


def _exact(q, k, gates, total, scale, order, right, halves, digits):
    """A, pair by pair of halves, by the digits of the tokens."""
    t.clamp(gates[0])
    digits[...] = t.digits()
    raw = q[...]  # its tile is needed for the factors

    def digit(n, A):
        halves[...] = t.halves(digits, n)
        plgpu.commit_smem()
        between = jnp.exp(t.gate_sum(halves, gates))
        q[...] = (raw.astype(f32) * scale * between).astype(bf16)
        right[...] = (t.load(k) * between).astype(bf16)
        plgpu.commit_smem()
        pairs = t.load(digits) == (n + 1).astype(f32)
        return A + jnp.where(pairs, t.product((q, right.T)), 0.0)

    same = jnp.sum(t.load(q) * t.load(k), axis=1) * scale
    A = jnp.where(t.load(digits) == 0, lax.broadcast_in_dim(same, (C, C), (0,)), 0.0)
    A = lax.fori_loop(0, t.DIGITS, digit, A)
    q[...] = raw
    _decays(q, k, gates, scale, order)
    return A
