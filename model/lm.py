"""One language model, many mixers, behind four functions over nested dicts of arrays.

    params = init(cfg, key)                             logits, state = apply(cfg, params, tokens)
    shapes(cfg)    the same dict of ShapeDtypeStruct    bind(cfg, params).blocks[3](x)

The skeleton is the pre-norm Transformer of LLaMA (RMSNorm, mixer, RMSNorm, SwiGLU), the one on
which Yang et al. 2024 compare GLA with softmax attention, RetNet and Mamba.

Dimensions, here and everywhere: S seeds, B batch, T tokens, D model width, H heads, K key width
per head, V value width per head, F feed-forward, W vocabulary, N chunks, C tokens per chunk,
R low rank.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from model.collect import NOTHING, Edit, Tap, check
from model.layer import Embedding, Linear, RMSNorm, SwiGLU, logits
from model.mixer import Mixer, typed

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LM:
    """`mixer` is one for all layers or a tuple of one per layer.

    F is 8/3 D rounded up to a multiple of 64 unless given; `tied` uses the embedding as the output
    layer; `dtype` is what layers compute in (parameters stay float32).
    """

    W: int
    D: int
    layers: int
    mixer: Mixer | tuple[Mixer, ...]
    F: int | None = None
    tied: bool = True
    dtype: str = "float32"

    def __post_init__(self):
        typed(self)
        for name in ("W", "D", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.F is not None and self.F < 1:
            raise ValueError(f"F={self.F} must be at least 1, or None for 8/3 D")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype={self.dtype!r} is not one of float32, bfloat16")
        if isinstance(self.mixer, tuple) and len(self.mixer) != self.layers:
            raise ValueError(
                f"mixer is a tuple of {len(self.mixer)} for layers={self.layers}; give one mixer "
                "for all layers or a tuple of one per layer"
            )
        for mixer in self.mixers:
            if isinstance(mixer, type) or not isinstance(mixer, Mixer):
                raise ValueError(
                    f"mixer={self.mixer!r} is neither a mixer, as GLA(heads=4), nor a tuple of them"
                )
            typed(mixer)
            mixer.check(self.D)

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        return self.mixer if isinstance(self.mixer, tuple) else (self.mixer,) * self.layers

    @property
    def width(self) -> int:
        """F, the width of the feed-forward layers."""
        return self.F or 64 * math.ceil(8 * self.D / 3 / 64)


class Block(nnx.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, cfg: LM, mixer: Mixer, *, rngs: nnx.Rngs):
        # Each layer adds twice to the residual stream; without this its variance grows with depth.
        scale = (2 * cfg.layers) ** -0.5
        self.mixer_norm = RMSNorm(cfg.D)
        self.mixer = mixer.build(cfg.D, scale=scale, rngs=rngs)
        self.mlp_norm = RMSNorm(cfg.D)
        self.mlp = SwiGLU(cfg.D, cfg.width, rngs=rngs, scale=scale)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        documents: Int[Array, "B T"] | None = None,
        state: Any = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], Any]:
        y, state = self.mixer(self.mixer_norm(x), documents, state, see.within("mixer"))
        x = x + see("mixer", y)
        y = self.mlp(self.mlp_norm(x), see.within("mlp"))
        return see("residual", x + see("mlp", y)), state


class Net(nnx.Module):
    """Embedding, blocks, norm, output layer."""

    def __init__(self, cfg: LM, *, rngs: nnx.Rngs):
        self.dtype = cfg.dtype
        self.embedding = Embedding(cfg.W, cfg.D, rngs=rngs)
        self.blocks = nnx.List([Block(cfg, mixer, rngs=rngs) for mixer in cfg.mixers])
        self.norm = RMSNorm(cfg.D)
        self.head = None if cfg.tied else Linear(cfg.D, cfg.W, rngs=rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        segments: Int[Array, "B T"] | None = None,
        state: tuple | None = None,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T W"], tuple]:
        x, after = self.trunk(tokens, segments, state, see=see)
        return self.unembed(x), after

    def trunk(
        self,
        tokens: Int[Array, "B T"],
        segments: Int[Array, "B T"] | None = None,
        state: tuple | None = None,
        around: Callable[[Callable], Callable] = lambda block: block,
        see: Tap = NOTHING,
    ) -> tuple[Float[Array, "B T D"], tuple]:
        """The normed residual stream, of which `unembed` makes logits, and the state after.

        `around` wraps each block: a trainer puts `jax.checkpoint` there.
        """
        _check(tokens, segments, state, len(self.blocks))
        documents = None if segments is None else _documents(segments)
        x = see("embedding", self.embedding(tokens).astype(self.dtype))
        after = []
        states = (None,) * len(self.blocks) if state is None else state
        for i, (block, before) in enumerate(zip(self.blocks, states, strict=True)):
            run = around(functools.partial(block, see=see.within(f"blocks/{i}")))
            x, s = run(x, documents, before)
            after.append(s)
        return self.norm(x), tuple(after)

    def unembed(self, x: Float[Array, "B T D"]) -> Float[Array, "B T W"]:
        """Logits of the normed residual stream, in float32."""
        w = self.embedding.w[...].T if self.head is None else self.head.w[...]
        y = logits(x.reshape(-1, x.shape[-1]), w.astype(x.dtype))
        return y.reshape(*x.shape[:-1], y.shape[-1])


def init(cfg: LM, key: Key[Array, ""]) -> Params:
    """Parameters of a fresh model: nested dict of float32 arrays; may be vmapped over keys."""
    _, params, rest = nnx.split(Net(cfg, rngs=nnx.Rngs(key)), nnx.Param, ...)
    assert not nnx.to_pure_dict(rest), f"a module holds state beside its parameters: {rest}"
    return _with_keys(str, nnx.to_pure_dict(params))


def shapes(cfg: LM) -> Params:
    """The dict `init` gives, of ShapeDtypeStruct."""
    return jax.tree.map(lambda leaf: leaf, _skeleton(cfg)[1])  # a copy: the cache keeps its own


def bind(cfg: LM, params: Params) -> Net:
    """The module that holds `params`; ValueError names the first three wrong keys or shapes.

    `nnx.merge` alone takes wrong shapes without a word, and layer '10' for layer '2'.
    """
    graph, expected = _skeleton(cfg)
    wrong = list(differences(expected, params))
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"params do not fit {cfg}: {'; '.join(wrong[:3])}{more}")
    return nnx.merge(graph, _with_keys(lambda k: int(k) if k.isdigit() else k, params))


def apply(
    cfg: LM,
    params: Params,
    tokens: Int[Array, "B T"],
    segments: Int[Array, "B T"] | None = None,
    state: tuple | None = None,
    *,
    collect: tuple[str, ...] | None = None,
    at: Int[Array, "B P"] | None = None,
    edits: dict[str, Edit] | None = None,
) -> tuple[Float[Array, "B T W"], tuple] | tuple[Float[Array, "B T W"], tuple, dict[str, Array]]:
    """Logits of the next token at every position, and the state after the last.

    No document sees another: one begins wherever `segments` changes (absent: one document a row).
    A state passed in belongs to the first document of this call; passing the returned one on
    continues the last document. Without one the sequence is fresh.

    With `collect` the activations of these names come third, at the positions `at` (absent: all);
    `edits` change activations by name: see `model.collect`. ValueError names the nearest one to a
    name that is not there, and a name that two edits match.
    """
    if at is not None and collect is None:
        raise ValueError("at= says where to collect; give the names, as collect=('*',)")
    if collect is None and not edits:
        return bind(cfg, params)(tokens, segments, state)
    check(collect or (), edits or (), names(cfg))
    see = Tap(collect or (), edits or {}, at)
    logits, state = bind(cfg, params)(tokens, segments, state, see)
    return (logits, state) if collect is None else (logits, state, see.found)


@functools.cache
def names(cfg: LM) -> tuple[str, ...]:
    """The activations `apply` can collect and edit, in alphabetical order."""

    def all_of(params, tokens):
        see = Tap(collect=("*",))
        bind(cfg, params)(tokens, None, None, see)
        return see.found

    return tuple(jax.eval_shape(all_of, shapes(cfg), jnp.zeros((1, 1), jnp.int32)))


def fresh(cfg: LM, B: int, room: int) -> tuple:
    """The state before the first token, of fixed shape, for at most `room` tokens in all.

    Recurrent mixers need no room. One token too many for a softmax cache is a ValueError where its
    number is known: not inside a compiled loop, which overwrites the last.
    """
    return tuple(mixer.fresh(cfg.D, B, room, cfg.dtype) for mixer in cfg.mixers)


def _check(tokens, segments, state, layers: int) -> None:
    """ValueError unless they are arguments of `apply`."""
    if tokens.ndim != 2 or 0 in tokens.shape or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(
            f"tokens of shape {tokens.shape} and {tokens.dtype} must be whole numbers (B,T), B and "
            "T at least 1"
        )
    if segments is not None and segments.shape != tokens.shape:
        raise ValueError(f"segments {segments.shape} must have the shape of tokens {tokens.shape}")
    if state is not None and len(state) != layers:
        raise ValueError(
            f"a state of {len(state)} layers for a model of {layers}; see model.lm.fresh"
        )


def _documents(segments: Int[Array, "B T"]) -> Int[Array, "B T"]:
    """Documents numbered 0, 1, ... along each row: a number each time the segment id changes."""
    change = segments[:, 1:] != segments[:, :-1]
    return jnp.pad(jnp.cumsum(change, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))


@functools.cache
def _skeleton(cfg: LM) -> tuple[Any, Params]:
    net = nnx.eval_shape(lambda: Net(cfg, rngs=nnx.Rngs(0)))
    graph, params, _ = nnx.split(net, nnx.Param, ...)
    return graph, _with_keys(str, nnx.to_pure_dict(params))


def _with_keys(convert, tree):
    """The same nested dict with other keys: outside this file they are strings only."""
    if not isinstance(tree, dict):
        return tree
    return {convert(key): _with_keys(convert, value) for key, value in tree.items()}


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Keys and shapes in which two nested dicts of arrays differ, one line each."""
    if not isinstance(expected, dict):
        if getattr(got, "shape", None) != expected.shape:
            have = getattr(got, "shape", type(got).__name__)
            yield f"{path} has shape {have}, not {expected.shape}"
        return
    if not isinstance(got, dict):
        yield f"{path or 'params'} is {type(got).__name__}, not a dict"
        return
    for key in sorted(expected.keys() | got.keys()):
        here = f"{path}/{key}" if path else str(key)
        if key not in got:
            yield f"{here} is missing"
        elif key not in expected:
            yield f"{here} is not a parameter of this model"
        else:
            yield from differences(expected[key], got[key], here)
