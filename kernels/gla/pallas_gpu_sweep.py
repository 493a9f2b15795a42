"""The sweep: a GPU kernel that carries the state through the sequence, forward or in reverse.

The gradient dv is the computation of o with time reversed: q exp(b), k exp(r), v, S become
k exp(r), q exp(b), do, dS, and the scores A their transpose. So one kernel gives o, or dv, and the
states between the chunks, or only the last one.

A Pallas thread is a warpgroup and owns 64 values of V: no other needs what it computes. Two of them
share what they read of K, and the scores. The state stays in registers, K/2 numbers a thread. The
first warpgroup loads, two chunks ahead where shared memory has room.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.gla import pallas_gpu_tile as t
from kernels.gla.pallas_gpu_tile import C, bf16, f32


def sweep(x1, x2, A, y, *, gamma, start, length, reverse, outputs, states, interpret):
    """Carries the state S (V,K) through the chunks of every segment, forward or in reverse.

        out_i = x1_i S + sum_j A_ij y_j        S <- gamma S + y^T x2        (in reverse A^T)

    x1, x2 (B,T,H,K), A (B,N,H,C,C) and y (B,T,H,V) in bfloat16, x1 and A unless `outputs` None;
    gamma (B,N,H,K), a chunk's decay, and start (B,H,P,V,K), what each of P segments of `length`
    chunks starts from, in the sweep's order, in float32.

    Returns out (B,T,H,V) and the state at every chunk's start (B,H,N,V,K) in bfloat16, each None
    unless asked for, and the state (B,H,P,V,K) at every segment's end.
    """
    B, _, H, K = x2.shape
    N, P, V = gamma.shape[1], start.shape[2], y.shape[-1]
    W, slots, width = warpgroups(V), 3 if K <= 128 else 2, min(K, 128)
    blocks = K // width  # of the state, each as wide as a product beside it in registers can be

    def gla_sweep(*refs):
        refs = iter(refs)
        x1_g = next(refs) if outputs else None
        x2_g = next(refs)
        A_g = next(refs) if outputs else None
        y_g, gamma_g, start_g = next(refs), next(refs), next(refs)
        out_g = next(refs) if outputs else None
        states_g = next(refs) if states else None
        end_g, x2_s, y_s, gamma_s, *rest, loaded, free = refs
        x1_s, A_s, out_s = rest[:3] if outputs else [None] * 3
        state_s = rest[-1] if rest else None

        w, segment = lax.axis_index("wg"), lax.axis_index("segment")
        b, h = lax.div(lax.axis_index("bh"), H), lax.rem(lax.axis_index("bh"), H)

        def values(w):
            return pl.ds((lax.axis_index("v") * W + w) * C, C)

        def columns(i):
            return pl.ds(i * width, width)

        def at(n):  # the n-th chunk of this segment
            n = segment * length + n
            return N - 1 - n if reverse else n

        def load(n):
            slot, rows = lax.rem(n, slots), pl.ds(at(n) * C, C)
            copy = lambda x, to: plgpu.copy_gmem_to_smem(x, to, loaded.at[slot])
            if outputs:
                copy(x1_g.at[b, rows, h], x1_s.at[slot])
                copy(A_g.at[b, at(n), h], A_s.at[slot])
            copy(x2_g.at[b, rows, h], x2_s.at[slot])
            copy(gamma_g.at[b, at(n), h], gamma_s.at[slot])
            for other in range(W):
                copy(y_g.at[b, rows, h, values(other)], y_s.at[slot * W + other])

        def chunk(n, S):
            slot = lax.rem(n, slots)
            plgpu.barrier_wait(loaded.at[slot])
            S, y_t = list(S), y_s.at[slot * W + w]

            @pl.when((n > 0) & (n + slots - 1 < length))
            def ahead():  # in the place of the chunk before, when no warpgroup reads it any more
                plgpu.barrier_wait(free.at[lax.rem(n - 1, slots)])
                pl.when(w == 0)(partial(load, n + slots - 1))

            def keep(i):  # a block of the state as bfloat16
                if states:
                    plgpu.wait_smem_to_gmem(int(outputs and i == 0), wait_read_only=True)
                state_s.at[w][...] = S[i].astype(bf16)
                plgpu.commit_smem()
                if states:
                    to = states_g.at[b, h, at(n), values(w), columns(i)]
                    plgpu.copy_smem_to_gmem(state_s.at[w], to)

            def output(acc):
                for i in range(blocks):
                    keep(i)
                    plgpu.wgmma(acc, x1_s.at[slot, :, columns(i)], state_s.at[w].T)
                    if i < blocks - 1:
                        plgpu.wgmma_wait(0)  # the next block takes its place
                plgpu.wgmma(acc, A_s.at[slot].T if reverse else A_s.at[slot], y_t)
                return acc[...]

            if outputs:
                out = pl.run_scoped(output, plgpu.ACC((C, C), f32)).astype(bf16)
                plgpu.wait_smem_to_gmem(blocks if states else 0, wait_read_only=True)
                out_s.at[w][...] = out
                plgpu.commit_smem()
                to = out_g.at[b, pl.ds(at(n) * C, C), h, values(w)]
                plgpu.copy_smem_to_gmem(out_s.at[w], to)
            elif states:
                for i in range(blocks):
                    keep(i)
            for i in range(blocks):
                S[i] *= t.columns(t.row(gamma_s.at[slot], i * width, width), width)
                S[i] += t.product((y_t.T, x2_s.at[slot, :, columns(i)]))
            plgpu.barrier_arrive(free.at[slot])
            return S

        for n in range(min(slots, length)):
            pl.when(w == 0)(partial(load, jnp.int32(n)))
        place = b, h, segment, values(w)
        first = [
            plgpu.load(start_g.at[(*place, columns(i))], layout=t.WGMMA, optimized=False)
            for i in range(blocks)
        ]
        S = lax.fori_loop(0, length, chunk, first)
        for i in range(blocks):
            t.store(end_g.at[(*place, columns(i))], S[i])
        plgpu.wait_smem_to_gmem(0)

    tile_type = partial(plgpu.SMEM, dtype=bf16, transforms=t.BF16_TILE)
    types = [jax.ShapeDtypeStruct(start.shape, f32)]
    scratch = [tile_type((W, C, width))] if outputs or states else []
    if states:
        types = [jax.ShapeDtypeStruct((B, H, N, V, K), bf16), *types]
    if outputs:
        types = [jax.ShapeDtypeStruct(y.shape, bf16), *types]
        scratch = [
            tile_type((slots, C, K)),
            tile_type((slots, C, C)),
            tile_type((W, C, C)),
            *scratch,
        ]
    run = plgpu.kernel(
        gla_sweep,
        out_type=types,
        grid=(B * H, V // (C * W), P),
        grid_names=("bh", "v", "segment"),
        num_threads=W,
        thread_name="wg",
        scratch_types=[
            tile_type((slots, C, K)),
            tile_type((slots * W, C, C)),
            plgpu.SMEM((slots, K), f32),
            *scratch,
            plgpu.Barrier(num_arrivals=2 + 2 * outputs + W, num_barriers=slots),
            plgpu.Barrier(num_arrivals=W, num_barriers=slots),
        ],
        compiler_params=plgpu.CompilerParams(approx_math=True, reduction_scratch_bytes=0),
        interpret=interpret,
    )
    given = [x1, x2, A, y] if outputs else [x2, y]
    results = iter(run(*given, gamma, start))
    return tuple(next(results) if asked else None for asked in (outputs, states, True))


def warpgroups(V):
    """Of a program: each has 64 values."""
    return 2 if V % (2 * C) == 0 else 1
