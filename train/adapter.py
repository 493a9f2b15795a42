"""What of a model is trained.

An adapter divides parameters into what the optimizer sees and what stays as it was, and puts them
together again:

    split(params, key) -> (trained, frozen)        join(trained, frozen) -> params

Both are pure functions over one member's parameters; `key` is for what starts at random. What
`join` gives is a model's parameters like any other: it is measured, saved and tuned further.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Key

Tree = Any


@runtime_checkable
class Adapter(Protocol):
    """A frozen dataclass, with these two functions."""

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]: ...

    def join(self, trained: Tree, frozen: Tree) -> Tree: ...


@dataclasses.dataclass(frozen=True)
class Full:
    """Every parameter."""

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]:
        return params, {}

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        return trained


@dataclasses.dataclass(frozen=True)
class Only:
    """Parameters whose whole path matches a regular expression.

    >>> params = {"norm": {"gain": 1.0}, "head": {"w": 2.0}}
    >>> Only("norm/.*").split(params, jax.random.key(0))
    ({'norm': {'gain': 1.0}}, {'head': {'w': 2.0}})
    """

    pattern: str

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]:
        chosen = matching(params, self.pattern)
        part = lambda wanted: unflatten_dict(
            {path: leaf for path, leaf in _flat(params).items() if (path in chosen) == wanted},
            sep="/",
        )
        return part(True), part(False)

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        return unflatten_dict(_flat(frozen) | _flat(trained), sep="/")


@dataclasses.dataclass(frozen=True)
class Masked:
    """As `Only`, by a mask that the program takes as an argument: members with patterns of their
    own train together. All gradients are computed, and what is frozen is put back wherever it is
    read, so that neither decay nor momentum can move it."""

    pattern: str

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]:
        chosen = matching(params, self.pattern)
        mask = {_dotted(path): jnp.asarray(path in chosen) for path in _flat(params)}
        return params, params | {"mask": mask}

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        start, mask = _flat({k: v for k, v in frozen.items() if k != "mask"}), frozen["mask"]
        own = {
            path: jnp.where(mask[_dotted(path)], w, start[path])
            for path, w in _flat(trained).items()
        }
        return unflatten_dict(own, sep="/")


# BitFit (Ben Zaken, Ravfogel & Goldberg 2022, 2106.10199): here norms have gains and no bias, and
# some mixers no bias at all, so gains are trained with the biases. Mamba's, of time steps, is b.
BIAS_ONLY = Only(r".*/(bias|gain|mixer/b)")

# Matrices inside the blocks that map vectors to vectors. Not the embedding and the head (their rows
# are words), not depthwise convolutions, tables of places, or what an adapter adds.
MAPS = r"blocks/\d+/(mixer|mlp)/(?!convolution/)\w+/w"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRA:
    """w + scale a b with a (D_in, R) and b (R, D_out) trained (Hu et al. 2021, 2106.09685, eq. 3).

    `scale` is their alpha / r. a starts normal with variance 1 / D_in and b at zero, so that the
    model starts as it was. `pattern` names the matrices: by default all projections of mixers and
    feed-forward layers. `rank=1` is the rank-1 tuning.
    """

    rank: int = 4
    scale: float = 2.0
    pattern: str = MAPS

    def __post_init__(self):
        if self.rank < 1 or not 0 < self.scale < np.inf:
            raise ValueError(f"rank={self.rank} must be at least 1 and scale={self.scale} above 0")

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]:
        flat, trained = _flat(params), {}
        for i, path in enumerate(matching(params, self.pattern)):
            if flat[path].ndim != 2:
                raise ValueError(f"{path} {flat[path].shape} is no matrix; narrow the pattern")
            rows, columns = flat[path].shape
            a = jax.random.normal(jax.random.fold_in(key, i), (rows, self.rank)) * rows**-0.5
            trained[_dotted(path)] = {"a": a, "b": jnp.zeros((self.rank, columns))}
        return trained, params

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        flat = _flat(frozen)
        for path, own in trained.items():
            path = path.replace(".", "/")
            flat[path] = flat[path] + self.scale * own["a"] @ own["b"]
        return unflatten_dict(flat, sep="/")


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Rows of the embedding: the words of one language, or tags.

    A tag is a word that marks a domain or a task and nothing else, so that all there is to know of
    it is in its row (Tag-LLM, Shen et al. 2024, 2402.05140); the data say where it stands. Where
    input and output are tied, a row is trained in both places; an untied output stays.
    """

    tokens: tuple[int, ...]

    def __post_init__(self):
        if not self.tokens or len(set(self.tokens)) < len(self.tokens) or min(self.tokens) < 0:
            raise ValueError(f"tokens={self.tokens} must be different ids from 0 up, one at least")

    def split(self, params: Tree, key: Key[Array, ""]) -> tuple[Tree, Tree]:
        w = params["embedding"]["w"]
        if max(self.tokens) >= len(w):
            raise ValueError(f"token {max(self.tokens)} is not one of the W={len(w)} words")
        with_rows = lambda ids: {"embedding": {"w": w[ids]}}
        return with_rows(np.array(self.tokens)), params | with_rows(self._others(len(w)))

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        both = [trained["embedding"]["w"], frozen["embedding"]["w"]]
        others = self._others(sum(map(len, both)))
        place = np.argsort(np.concatenate([np.array(self.tokens), others]))
        return frozen | {"embedding": {"w": jnp.concatenate(both)[place]}}

    def _others(self, W: int) -> np.ndarray:
        return np.setdiff1d(np.arange(W), self.tokens)


def matching(params: Tree, pattern: str) -> list[str]:
    """The paths a pattern matches as a whole; ValueError if it matches none."""
    paths = _flat(params)
    found = [path for path in paths if re.fullmatch(pattern, path)]
    if not found:
        raise ValueError(
            f"no parameter matches {pattern!r}; they are called {', '.join(list(paths)[:4])}, ..."
        )
    return found


def _flat(params: Tree) -> dict[str, Any]:
    return flatten_dict(params, sep="/")


def _dotted(path: str) -> str:
    """A name with dots for slashes: it lies on every device (train/mesh.py places paths)."""
    return path.replace("/", ".")


def divide(adapters: Sequence[Adapter], params: Tree, keys: Any) -> tuple[Tree, Tree]:
    """(trained, frozen) of members: leaves with a leading axis S, and an adapter and a raw key
    (S, 2) for each."""

    def split(adapter, params, keys):
        # Apart from what the parameters were drawn with.
        own = lambda key: jax.random.fold_in(jax.random.wrap_key_data(key), 2**31)
        return jax.vmap(lambda params, key: adapter.split(params, own(key)))(params, keys)

    if len(set(adapters)) == 1:
        return split(adapters[0], params, keys)
    alone = lambda tree, s: jax.tree.map(lambda leaf: leaf[s : s + 1], tree)
    parts = [split(a, alone(params, s), keys[s : s + 1]) for s, a in enumerate(adapters)]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def together(adapters: Sequence[Adapter], trained: Tree, params: Tree, keys: Any) -> Tree:
    """The parameters of members, trained from `params`."""
    return jax.vmap(adapters[0].join)(trained, divide(adapters, params, keys)[1])
