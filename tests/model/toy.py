"""Toy models of the tests: parameters, text, and which run by default."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.lm import LM, shapes


def varied(cfg: LM, seed=0):
    """Parameters of which none is at a special value, as biases and contextual places begin."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        x = rng.normal(size=leaf.shape, scale=0.3 if leaf.ndim == 1 else leaf.shape[0] ** -0.5)
        return jnp.asarray(1 + x if path[-1].key == "gain" else x, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(cfg))


def tokens(B, T, W=11, seed=7):
    return jnp.asarray(np.random.default_rng(seed).integers(0, W, (B, T)), jnp.int32)


def each(mixers, *by_default):
    """A test of each mixer, slow but for some."""
    mark = lambda name: () if name in by_default else pytest.mark.slow
    cases = [pytest.param(mixer, id=name, marks=mark(name)) for name, mixer in mixers.items()]
    return pytest.mark.parametrize("mixer", cases)
