"""Tiles of 64 x 64 on a Hopper GPU: what the kernels do with a chunk and a slice of K.

With b_i the sum of the gates from the chunk's start to token i inclusive, r_i from after i to the
chunk's end and c = b_i + r_i (arXiv 2312.06635, section 4.2):

    o_i = (q_i exp b_i) S + sum_{j<=i} A_ij v_j        A_ij = sum_k q_ik k_jk exp(b_ik - b_jk)
    S  <- exp(c) S + sum_j (k_j exp r_j)^T v_j

Exact for any gates per channel. An exponent is a sum of gates, M g with M of zeros and ones, and no
difference of large sums. Where the gates of a chunk sum above -`FAST` in every channel, A is one
product of q exp(b) and k exp(-b). Elsewhere the pairs are told apart by the first binary digit, of
value h, in which i and j differ: they lie in the right and the left half of one block of 2h tokens,
and both factors of

    exp(b_i - b_j) = exp(sum of gates from the middle to i) exp(sum of gates after j to the middle)

are at most 1. That makes six products, and the diagonal. A reset (g = -inf) is a gate of -`FLOOR`,
whose exponential is zero in float32.

One decay per head and token (Mamba-2, RetNet) comes as the vectors b and r, and its decays as one
matrix, exp(b_i - b_j), for any gate. That is a difference of sums, in float32 and of at most
C FLOOR, and right to about 6e-4 (after 64 resets in a chunk), below bfloat16's rounding.

A tile of state is S^T (V by K), so that decay runs along its columns. Masks are read from shared
memory: computed, the compiler keeps their parts in registers.
"""

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

C = 64  # tokens in a chunk, and the side of every tile
FAST = 60.0  # at most exp(60) |k|: far from overflow
FLOOR = 128.0  # exp(-104) is already zero in float32
DIGITS = 6  # C = 2**6
PAD = 32  # more numbers after C in float32: TMA writes shared memory at multiples of 128 bytes

f32, bf16 = jnp.float32, jnp.bfloat16
BF16_TILE = (plgpu.TilingTransform((8, 64)), plgpu.SwizzleTransform(128))
F32_TILE = (plgpu.TilingTransform((8, 32)), plgpu.SwizzleTransform(128))
WGMMA = plgpu.Layout.WGMMA


def product(*pairs):
    """sum of a @ b over pairs of shared-memory tiles, in float32 registers."""
    shape = pairs[0][0].shape[0], pairs[0][1].shape[1]

    def accumulate(acc):
        for a, b in pairs:
            plgpu.wgmma(acc, a, b)
        return acc[...]

    return pl.run_scoped(accumulate, plgpu.ACC(shape, f32))


def _index(axis):
    return plgpu.broadcasted_iota(jnp.int32, (C, C), axis, layout=WGMMA)


def columns(x, width=C):
    """A value per column, repeated over the rows of a tile."""
    return plgpu.layout_cast(lax.broadcast_in_dim(x, (C, width), (1,)), WGMMA)


def rows(x):
    """A value per row, repeated over the columns of a tile."""
    return plgpu.layout_cast(lax.broadcast_in_dim(x, (C, C), (0,)), WGMMA)


def total_of(refs):
    """The sum of tiles, of a gate's parts."""
    return sum(map(load, refs))


def zeros():
    return plgpu.layout_cast(jnp.zeros((C, C), f32), WGMMA)


def load(ref):
    return plgpu.layout_cast(ref[...], WGMMA).astype(f32)


def order():
    """M_it = 1 where t < i: b = M g + g, r = M^T g."""
    return (_index(0) > _index(1)).astype(f32).astype(bf16)


def causal():
    return _index(0) >= _index(1)


def digits():
    """Y_it: digits of i and t up to the first that differs, 0 if none; negative where t > i."""
    i, t = _index(0), _index(1)
    digits = sum(((i >> n) != (t >> n)).astype(f32) for n in range(DIGITS))
    return jnp.where(i >= t, digits, -digits).astype(bf16)


def halves(digits, n):
    """H_it = 1 where gate t lies between token i and the middle of its block of 2^(n+1) tokens."""
    Y, right, n = load(digits), (_index(0) >> n) & 1 == 1, n.astype(f32)
    inside = jnp.where(right, (Y >= 0) & (n >= Y), (Y < 0) & (-n <= Y))
    return inside.astype(f32).astype(bf16)


def clamp(gate):
    """-inf becomes -FLOOR: 0 * -inf, in a sum by a matrix of zeros and ones, is NaN."""
    gate[...] = jnp.maximum(load(gate), -FLOOR).astype(bf16)
    plgpu.commit_smem()


def gate_sum(matrix, gates):
    """The matrix times g, for one chunk and slice of K: (C,C) float32."""
    return product(*((matrix, gate) for gate in gates))


def row(ref, start=0, width=C):
    """`width` numbers of `ref`, to be repeated over the rows of a tile by `columns`."""
    return plgpu.load(ref.at[pl.ds(start, width)], layout=WGMMA.reduce(0), optimized=False)


def column(ref, start=0):
    """C numbers of `ref`, to be repeated over the columns of a tile by `rows`."""
    return plgpu.load(ref.at[pl.ds(start, C)], layout=WGMMA.reduce(1), optimized=False)


def between(vectors):
    """exp(b_i - b_j) of one decay a head; 1 where that is above 1, which `causal` leaves out."""
    # From two copies: layout inference finds no way to load one vector as both.
    distance = rows(column(vectors, C)) - columns(row(vectors, 3 * C))
    return jnp.exp(jnp.minimum(distance, 0.0))


def store(ref, x):
    """Registers to global memory, with no tile of shared memory between."""
    if hasattr(plgpu, "store"):
        plgpu.store(ref, x, optimized=False)
    else:  # jax 0.11
        ref[...] = x


def gate_product(matrix, x, scratch):
    """The matrix times x, with x in two bfloat16 parts."""
    high, low = scratch
    high[...] = x.astype(bf16)
    low[...] = (x - x.astype(bf16).astype(f32)).astype(bf16)
    plgpu.commit_smem()
    return product((matrix, high), (matrix, low))
