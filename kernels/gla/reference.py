"""The definition: S_t = diag(exp g_t) S_{t-1} + k_t v_t^T, o_t = scale S_t^T q_t, token by token.

The recurrent form of arXiv 2312.06635 (section 4.1) with the gate in log space. float32, or float64
when the inputs are float64 (under `jax.enable_x64`): the oracle of every test. Its gradient is
autodiff through the scan.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Real

from kernels.gla import check


def recurrence(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    g: Float[Array, "#B #T #H #K"],
    scale: float,
    initial_state: Float[Array, "B H K V"],
    segment_ids: Int[Array, "B T"] | None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Outputs and final state; differentiable by JAX in every floating argument."""
    B, T, *_ = q.shape
    accumulate = jnp.promote_types(q.dtype, jnp.float32)
    starts = jnp.zeros((B, T), bool)
    if segment_ids is not None:
        starts = starts.at[:, 1:].set(segment_ids[:, 1:] != segment_ids[:, :-1])
    # Cast before it is shared: the gradient of a shared gate is then summed in this precision.
    g = jnp.broadcast_to(g.astype(accumulate), (g.shape[0], T, *g.shape[2:]))

    def step(state, token):
        q, k, v, g, start = token
        state = jnp.where(start[:, None, None, None], 0, state)
        state = jnp.exp(g)[..., None] * state + k[..., None] * v[..., None, :]
        return state, scale * jnp.einsum("bhk,bhkv->bhv", q, state, precision="highest")

    tokens = (*(jnp.moveaxis(x.astype(accumulate), 1, 0) for x in (q, k, v, g)), starts.T)
    final_state, o = lax.scan(step, initial_state.astype(accumulate), tokens)
    return jnp.moveaxis(o, 0, 1).astype(v.dtype), final_state.astype(initial_state.dtype)


def step(
    q: Float[Array, "B 1 H K"],
    k: Float[Array, "B 1 H K"],
    v: Float[Array, "B 1 H V"],
    g: Real[ArrayLike, "..."],
    state: Float[Array, "B H K V"],
    *,
    scale: float | None = None,
) -> tuple[Float[Array, "B 1 H V"], Float[Array, "B H K V"]]:
    """One token of `gla`, for decoding: (o, state) from the state before it. Errors as `gla`'s."""
    check.arguments(q, k, v, state, None)
    if q.shape[1] != 1:
        raise ValueError(
            f"q of shape {q.shape} has T={q.shape[1]} tokens; a step is of one, `gla` of T"
        )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    exact = jnp.promote_types(q.dtype, jnp.float32)
    decay = jnp.exp(check.gate(q, g)[:, 0, :, :, None].astype(exact))
    q, k, v_, state = (x.astype(exact) for x in (q[:, 0], k[:, 0], v[:, 0], state))
    state = decay * state + k[..., None] * v_[..., None, :]
    o = scale * jnp.einsum("bhk,bhkv->bhv", q, state, precision="highest")
    return o[:, None].astype(v.dtype), state


def unsupported(q, k, v, g, initial_state, segment_ids) -> str | None:
    """The reference runs everything `gla` accepts."""
    return None


def forward(q, k, v, g, scale, initial_state, segment_ids, *, save=True):
    """((o, final_state), residual): the contract of an implementation, see `kernels.gla`."""
    out = recurrence(q, k, v, g, scale, initial_state, segment_ids)
    return out, (q, k, v, g, scale, initial_state, segment_ids)


def backward(residual, do, dfinal):
    """(dq, dk, dv, dg, dinitial_state), by autodiff."""
    q, k, v, g, scale, initial_state, segment_ids = residual

    def run(q, k, v, g, initial_state):
        return recurrence(q, k, v, g, scale, initial_state, segment_ids)

    return jax.vjp(run, q, k, v, g, initial_state)[1]((do, dfinal))
