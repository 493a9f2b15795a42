"""What `apply` can return of its inside, and change there: activations by name.

    embedding                  (B,T,D)  the residual stream before block 0
    blocks/3/residual          (B,T,D)  the residual stream after block 3
    blocks/3/mixer             (B,T,D)  what its mixer adds
    blocks/3/mlp               (B,T,D)  what its feed-forward layer adds
    blocks/3/mlp/neurons       (B,T,F)  the hidden units of that layer
    blocks/3/mixer/...         what the mixer shows: q, k, v (B,T,H,·); heads (B,T,H,V), the output
                               of each head; of a recurrent mixer gate (B,T,H,·), its log decay, and
                               state (B,T,H,K,V), the state after each token; of softmax pattern
                               (B,T,H,T), its weights

What several heads share has fewer than H. Mamba has I channels with a state of K each: its gate is
the time step (B,T,I), its state (B,T,I,K).

`names(cfg)` of `model.lm` lists those of a model. `apply` takes `collect`, names or patterns with
`*`, and returns a dict of what it saw; `at` (B,P) keeps the tokens at these positions only, from -T
to T - 1, as (B,P,...), and gives NaN for any other. It takes `edits`, from names or patterns to an
`Edit`, made before the value is seen or used:

    logits, state, seen = apply(cfg, params, tokens, collect=("blocks/*/residual",), at=last)
    patched = {"blocks/2/residual": replace(seen["blocks/2/residual"], where=mask)}
    logits, state = apply(cfg, params, tokens, edits=patched)

Everything is a value: collected arrays are outputs of the function, and edits are pytrees that go
through jit and grad (the gradient of an added zero is the gradient of the activation); under vmap
it is the arrays in them that are mapped.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int


class Edit(NamedTuple):
    """x -> factor x + shift where `where` holds; a factor of None forgets x.

    Each broadcasts against the activation from its last axis: a vector is the same for all tokens,
    (B,T,1) is a mask of tokens, (F,) of neurons.
    """

    factor: ArrayLike | None
    shift: ArrayLike
    where: ArrayLike | None = None

    def __call__(self, x: Array) -> Array:
        factor, shift, where = (None if a is None else _aligned(a, x.ndim) for a in self)
        y = shift if factor is None else factor * x + shift
        y = jnp.broadcast_to(y, x.shape).astype(x.dtype)
        return y if where is None else jnp.where(where, y, x)

    def token(self, t: Int[Array, ""], ndim: int) -> "Edit":
        """The edit of token t alone, of an activation of `ndim` axes the second of which is T."""

        def part(a):
            a = _aligned(a, ndim)
            one = a.ndim < ndim or a.shape[1] == 1
            return a if one else jax.lax.dynamic_slice_in_dim(a, t, 1, axis=1)

        return Edit(*(None if a is None else part(a) for a in self))


def add(x: ArrayLike, where: ArrayLike | None = None) -> Edit:
    return Edit(1.0, x, where)


def replace(x: ArrayLike, where: ArrayLike | None = None) -> Edit:
    return Edit(None, x, where)


def scale(factor: ArrayLike, where: ArrayLike | None = None) -> Edit:
    return Edit(factor, 0.0, where)


def mean_ablate(seen: Array, where: ArrayLike | None = None) -> Edit:
    """Replace by the mean over rows and tokens of activations that were collected before."""
    return replace(jnp.mean(seen, axis=(0, 1)), where)


@dataclasses.dataclass(frozen=True)
class Tap:
    """Passed down through a model: `x = see("name", x)` shows x and takes back what it became.

    `NOTHING`, the default everywhere, gives x back as it is.
    """

    collect: tuple[str, ...] = ()
    edits: Mapping[str, Edit] = dataclasses.field(default_factory=dict)
    at: Int[Array, "B P"] | None = None
    inside: str = ""
    found: dict[str, Array] = dataclasses.field(default_factory=dict)

    def within(self, name: str) -> "Tap":
        """The same for a part of the model: its names begin with `name/`."""
        return dataclasses.replace(self, inside=f"{self.inside}{name}/")

    def __call__(self, name: str, x: Array) -> Array:
        edit = self.edit(name)
        x = x if edit is None else edit(x)
        if self.collects(name):
            kept = x
            if self.at is not None:
                index = self.at.reshape(*self.at.shape, *(1,) * (x.ndim - 2))
                kept = jnp.take_along_axis(x, index, axis=1)
            self._keep(name, kept)
        return x

    def asked(self, name: str) -> bool:
        """Whether `name` is collected or edited: if not, it need not be computed."""
        return self.collects(name) or self.edit(name) is not None

    def collects(self, name: str) -> bool:
        return _matches(self.inside + name, self.collect)

    def edit(self, name: str) -> Edit | None:
        found = [e for pattern, e in self.edits.items() if _matches(self.inside + name, [pattern])]
        return found[0] if found else None

    def scan(
        self,
        name: str,
        update: Callable[[Array, Array], Array],
        read: Callable[[Array, Array], Array],
        state: Float[Array, "B ..."],
        T: int,
    ) -> tuple[Float[Array, "B T ..."], Float[Array, "B ..."]]:
        """S_t = update(S_{t-1}, t) and o_t = read(S_t, t), token by token, S_t under `name`.

        An edit of S_t changes o_t and all that follows.
        """
        edit, collects, at = self.edit(name), self.collects(name), self.at
        if edit is not None:  # it must fit all tokens: a slice beyond its end would be moved back
            jax.eval_shape(
                edit, jax.ShapeDtypeStruct((len(state), T, *state.shape[1:]), state.dtype)
            )
        at = None if at is None else jnp.where(at < 0, at + T, at)

        def step(carry, t):
            S, kept = carry
            S = update(S, t)
            if edit is not None:
                S = edit.token(t, S.ndim + 1)(S[:, None])[:, 0]
            if kept is not None:
                here = (at == t).reshape(*at.shape, *(1,) * (S.ndim - 1))
                kept = jnp.where(here, S[:, None], kept)
            return (S, kept), (read(S, t), S if collects and at is None else None)

        kept = None
        if collects and at is not None:
            kept = jnp.full((*at.shape, *state.shape[1:]), jnp.nan, state.dtype)
        (state, kept), (o, every) = jax.lax.scan(step, (state, kept), jnp.arange(T))
        if collects:
            self._keep(name, jnp.moveaxis(every, 0, 1) if kept is None else kept)
        return jnp.moveaxis(o, 0, 1), state

    def _keep(self, name: str, x: Array) -> None:
        self.found[self.inside + name] = x


NOTHING = Tap()


def check(collect: Iterable[str], edits: Iterable[str], names: Iterable[str]) -> None:
    """ValueError with the nearest name for a pattern that matches none, and for two edits of one:
    jit sorts a dict, so neither is the first."""
    if isinstance(collect, str):
        raise ValueError(f"collect={collect!r} is a string; give a tuple, ({collect!r},)")
    names, edits = list(names), list(edits)
    for name in names:
        found = [pattern for pattern in edits if _matches(name, [pattern])]
        if len(found) > 1:
            raise ValueError(f"{name} is edited by {' and by '.join(found)}; give it one edit")
    for pattern in (*collect, *edits):
        if not any(_matches(name, [pattern]) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0)[0]
            raise ValueError(
                f"no activation {pattern!r} in this model; did you mean {near}? "
                "model.lm.names(cfg) lists all"
            )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _aligned(a: ArrayLike, ndim: int) -> Array:
    """With leading axes of 1 up to `ndim`; numbers as they are."""
    a = jnp.asarray(a)
    return a.reshape((1,) * (ndim - a.ndim) + a.shape) if a.ndim else a
