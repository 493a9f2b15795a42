"""The selective scan of Mamba (Gu & Dao 2023, arXiv 2312.00752): a state of K numbers a channel.

    h_t = exp(dt_t a) h_{t-1} + dt_t x_t b_t        y_t = h_t . c_t        h in R^(I x K)

Their equation 2, with a, b and c for A, B and C. Of the discretization in equation 4 the decay is
exact and the factor of the input, (dt a)^-1 (exp(dt a) - 1) dt, is dt, its first order, as in the
authors' code. The skip d x_t is the layer's.

`kernels.gla` computes the same with heads of one value each (K = 16, V = 1, a head a channel), but
its chunk form makes a square of C x C scores for every channel, where the state has but K numbers.
Here the tokens go one after the other, on accelerators too: T small steps, where a Pallas kernel
would keep the state on the chip. There is none yet. As in section 3.3.2, states are not stored but
computed again for the gradient: what is kept is one a chunk of `CHUNK`, and (B,T,I,K) never exists.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

CHUNK = 16


def scan(
    dt: Float[Array, "B T I"],
    a: Float[Array, "I K"],
    x: Float[Array, "B T I"],
    b: Float[Array, "B T K"],
    c: Float[Array, "B T K"],
    *,
    starts: Bool[Array, "B T"] | None = None,
    initial_state: Float[Array, "B I K"] | None = None,
) -> tuple[Float[Array, "B T I"], Float[Array, "B I K"]]:
    """y in x's dtype and the state after the last token, in float32; a < 0 <= dt.

    The state is zero before a token where `starts` holds; `initial_state` (zero if absent) is the
    state before the first token. ValueError: shapes that do not fit each other.
    """
    _check(dt, a, x, b, c, starts, initial_state)
    B, T, I = x.shape
    state = jnp.zeros((B, I, a.shape[1])) if initial_state is None else initial_state
    a, state = a.astype(jnp.float32), state.astype(jnp.float32)
    if starts is None:
        starts = jnp.zeros((B, T), bool)
    C = min(CHUNK, T)

    def chunks(y):  # steps of no time leave the state as it is
        y = jnp.pad(y, ((0, 0), (0, -T % C)) + ((0, 0),) * (y.ndim - 2))
        return jnp.moveaxis(y, 1, 0).reshape(-1, C, *y[:, 0].shape)

    floats = (chunks(y.astype(jnp.float32)) for y in (dt, x, b, c))
    step = lambda h, token: update_and_read(a, h, *token)
    chunk = jax.checkpoint(lambda h, tokens: jax.lax.scan(step, h, tokens))
    state, y = jax.lax.scan(chunk, state, (*floats, chunks(starts)))
    return jnp.moveaxis(y.reshape(-1, B, I), 0, 1)[:, :T].astype(x.dtype), state


def update_and_read(a, h, dt, x, b, c, start):
    """One token of all rows: (state, y) from the state before it."""
    h = update(a, h, dt, x, b, start)
    return h, read(h, c)


def update(
    a: Float[Array, "I K"],
    h: Float[Array, "B I K"],
    dt: Float[Array, "B I"],
    x: Float[Array, "B I"],
    b: Float[Array, "B K"],
    start: Bool[Array, " B"],
) -> Float[Array, "B I K"]:
    h = jnp.where(start[:, None, None], 0, h)
    return jnp.exp(dt[..., None] * a[None]) * h + (dt * x)[..., None] * b[:, None]


def read(h: Float[Array, "B I K"], c: Float[Array, "B K"]) -> Float[Array, "B I"]:
    return jnp.sum(h * c[:, None], axis=-1)


def _check(dt, a, x, b, c, starts, initial_state) -> None:
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"x of shape {x.shape} should be (B,T,I), none of them 0")
    if a.ndim != 2 or a.shape[0] != x.shape[2]:
        raise ValueError(f"a of shape {a.shape} should be {(x.shape[2], 'K')} for x {x.shape}")
    (B, T, I), K = x.shape, a.shape[1]
    fits = {"dt": (B, T, I), "b": (B, T, K), "c": (B, T, K)}
    fits |= {"starts": (B, T), "initial_state": (B, I, K)}
    given = {"dt": dt, "b": b, "c": c, "starts": starts, "initial_state": initial_state}
    for name, y in given.items():
        if y is not None and y.shape != fits[name]:
            raise ValueError(
                f"{name} of shape {y.shape} should be {fits[name]} for x {x.shape}, a {a.shape}"
            )
