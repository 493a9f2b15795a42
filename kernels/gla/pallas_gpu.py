"""Gated linear attention for Hopper GPUs (sm_90a): Pallas, Mosaic GPU.

The mathematics of a chunk is in `pallas_gpu_tile`. `prepare` gives q and k with their decays and
the scores, all chunks at once; a sweep through the sequence with the state in registers gives o; in
the backward pass a sweep gives the states again, another in reverse dv and the states' gradients,
and `chunk_gradients`, all chunks at once, dq, dk and dg. The forward saves no states.

Where programs are fewer than multiprocessors, T is cut into segments: a first sweep finds what each
adds to the state, an elementwise recurrence over segments (the transition is diagonal) gives the
state each starts from, and a second sweep does the work.

q, k, v in bfloat16 with float32 accumulation and states. Verified on an H200, by Pallas's
interpreter and by compiles for sm_90a on machines without one.
"""

from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from kernels.gla.pallas_gpu_gradients import chunk_gradients, gate_gradient
from kernels.gla.pallas_gpu_prepare import prepare
from kernels.gla.pallas_gpu_sweep import sweep, warpgroups
from kernels.gla.pallas_gpu_tile import FLOOR, PAD, C

CHIPS, CHIP_NAMES = r"NVIDIA (H\d+|GH200)", "Hopper (H100, H200)"  # of JAX's `device_kind`
PROCESSORS = 132  # multiprocessors of an H100 or H200

_f32, _bf16 = jnp.float32, jnp.bfloat16


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
    *,
    save: bool = True,
    interpret=None,
):
    """((o, final_state), residual); `interpret`, a `plgpu.InterpretGPUParams`, runs it on a CPU.

    What is saved are the decayed q and k and the scores, (2K+C) bfloat16 numbers a token and head,
    but no state of a chunk: the backward pass sweeps for them again.
    """
    T, (P, length) = q.shape[1], _cut(q, v)
    gates, totals = _gates(q, g, segment_ids, P * length * C)
    queries, keys, y = (_pad(x, P * length * C) for x in (q, k, v))
    x1, x2, A = prepare(queries, keys, gates=gates, totals=totals, scale=scale, interpret=interpret)
    c = _decay(totals, q.shape[-1])
    run = partial(sweep, gamma=jnp.exp(c), length=length, reverse=False, interpret=interpret)
    start = jnp.swapaxes(initial_state, -1, -2)
    start = _starts(partial(run, None, x2, None, y), start, c, P)
    o, _, end = run(x1, x2, A, y, start=start, outputs=True, states=False)
    final = jnp.swapaxes(end[:, :, -1], -1, -2)
    prepared = (x1, x2, A) if save else None
    return (o[:, :T], final), (q, k, v, g, scale, segment_ids, start, prepared)


def backward(residual, do, dfinal, *, interpret=None):
    """(dq, dk, dv, dg, dinitial_state)."""
    q, k, v, g, scale, segment_ids, start, (x1, x2, A) = residual
    # The forward pass's cut. It depends on B, which a vmap over cotangents alone makes larger here.
    T, P, length = q.shape[1], start.shape[2], A.shape[1] // start.shape[2]
    gates, totals = _gates(q, g, segment_ids, P * length * C)
    q, k, v, do = (_pad(x, P * length * C) for x in (q, k, v, do))
    c = _decay(totals, q.shape[-1])
    run = partial(sweep, gamma=jnp.exp(c), length=length, interpret=interpret)
    _, S, _ = run(None, x2, None, v, start=start, reverse=False, outputs=False, states=True)
    dend, back = jnp.swapaxes(dfinal, -1, -2), partial(run, reverse=True)
    dend = _starts(partial(back, None, x1, None, do), dend, c[:, ::-1], P)
    dv, dS, dstart = back(x2, x1, A, do, start=dend, outputs=True, states=True)
    gate_type = g.dtype if g.shape == q.shape else _f32
    dq, dk, dg = chunk_gradients(
        q, k, v, do, gates, totals, S, dS, scale, jnp.dtype(gate_type), interpret
    )
    if not gates:
        dg = gate_gradient(dg, totals)
    dq, dk, dv, dg = (x[:, :T] for x in (dq, dk, dv, dg))
    if segment_ids is not None:
        dg = jnp.where(_restarts(segment_ids), 0, dg)
    broadcast = [axis for axis in range(4) if g.shape[axis] != dg.shape[axis]]
    dg = dg.sum(broadcast, keepdims=True).astype(g.dtype)
    return dq, dk, dv, dg, jnp.swapaxes(dstart[:, :, -1], -1, -2)


def _cut(q, v):
    """Segments, enough of them to occupy the card, and chunks in each."""
    B, T, H, _ = q.shape
    V = v.shape[-1]
    chunks, programs = -(-T // C), B * H * (V // (C * warpgroups(V)))
    length = -(-chunks // max(1, PROCESSORS // programs))
    return -(-chunks // length), length


def _pad(x, T):
    return jnp.pad(x, ((0, 0), (0, T - x.shape[1]), (0, 0), (0, 0))) if x.shape[1] != T else x


def _restarts(segment_ids):
    """(B,T,1,1): is this a segment's first token, after another segment."""
    changes = segment_ids[:, 1:] != segment_ids[:, :-1]
    return jnp.pad(changes, ((0, 0), (1, 0)))[:, :, None, None]


def _gates(q, g, segment_ids, T):
    """Bfloat16 arrays (B,T,H,K) whose sum is g, restarts included, and each chunk's total decay.

    The totals (B,N,H,K/C,C+PAD) are float32 sums over the chunk's tokens, a slice of K after
    another, each followed by its least entry in PAD copies. One decay a head needs no gates: its
    totals (B,N,H,1,4C) are c in C copies, b, r and b. A gate of K channels that rows, tokens or
    heads share is written out, once, at k's size: restarts make it differ, and its gradient can be
    summed only after each token's is known.
    """
    if segment_ids is not None:
        g = jnp.where(_restarts(segment_ids), -FLOOR, g)
    g = _pad(jnp.broadcast_to(g, (*q.shape[:3], g.shape[-1])), T)
    clamped = jnp.maximum(g.astype(_f32), -FLOOR)
    B, _, H, K = g.shape
    if K == 1:
        by_chunk = jnp.moveaxis(clamped.reshape(B, T // C, C, H), 2, 3)
        b = jnp.cumsum(by_chunk, -1)
        after = jnp.pad(by_chunk[..., 1:], [(0, 0)] * 3 + [(0, 1)])
        r = jnp.cumsum(after[..., ::-1], -1)[..., ::-1]
        c = jnp.broadcast_to(b[..., -1:], b.shape)
        return (), jnp.concatenate([c, b, r, b], -1)[:, :, :, None]
    total = clamped.reshape(B, T // C, C, H, K // C, C).sum(2)
    least = jnp.broadcast_to(total.min(-1, keepdims=True), (*total.shape[:-1], PAD))
    total = jnp.concatenate([total, least], -1)
    if g.dtype == _bf16:
        return (g,), total
    high = lax.reduce_precision(clamped, 8, 7)
    return (high.astype(_bf16), (clamped - high).astype(_bf16)), total


def _decay(totals, K):
    """(B,N,H,K): c, the sum of each chunk's gates, of the totals."""
    B, N, H, slices, _ = totals.shape
    if slices * C == K:
        return totals[..., :C].reshape(B, N, H, K)
    return jnp.broadcast_to(totals[:, :, :, 0, :1], (B, N, H, K))  # one a head


def _starts(run, first, c, P):
    """The state (B,H,P,V,K) that each segment starts from; `first` (B,H,V,K) is the first one's.

    S_{p+1} = exp(G_p) S_p + (what segment p adds), with G_p the sum of its gates c (B,N,H,K).
    """
    if P == 1:
        return first[:, :, None]
    B, N, H, K = c.shape
    nothing = jnp.zeros((B, H, P - 1, *first.shape[2:]), _f32)
    _, _, added = run(start=nothing, outputs=False, states=False)
    decay = jnp.exp(c.reshape(B, P, N // P, H, K).sum(2))
    decay = jnp.moveaxis(decay, 1, 0)[: P - 1, :, :, None]

    def step(state, segment):
        decay, added = segment
        state = decay * state + added
        return state, state

    _, later = lax.scan(step, first, (decay, jnp.moveaxis(added, 2, 0)))
    return jnp.concatenate([first[:, :, None], jnp.moveaxis(later, 0, 2)], 2)
