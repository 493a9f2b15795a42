"""Causal softmax attention inside documents, whole or in a sliding window.

    o_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s       s <= t, t - s < window, of t's document

`attention` is the whole sequence at once, by the platform's own kernel where it has one; `attend`
is the same product for queries that see an explicit set of keys (decoding from a cache). The
softmax is taken in float32 whatever the inputs. G key heads serve H / G query heads each.

An implementation is a module of this folder with two functions of (q, k, v, segment_ids, window):
`unsupported`, why it cannot run arguments of these shapes and dtypes, or None, and `attention`.
What is XLA the compiler splits over a mesh by itself; a platform's kernel is split by context.py.
"""

import jax
from jaxtyping import Array, Bool, Float, Int

from kernels import mesh
from kernels.attention import blocks, context, cudnn, reference, splash
from kernels.attention.reference import causal

__all__ = ["IMPLEMENTATIONS", "attend", "attention", "causal"]

# In order of preference; each with the platforms it runs on (None: all).
IMPLEMENTATIONS = {
    "splash": (splash, ("tpu",)),
    "cudnn": (cudnn, ("gpu", "cuda")),
    "blocks": (blocks, None),
    "reference": (reference, None),
}


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    *,
    segment_ids: Int[Array, "B T"] | None = None,
    window: int | None = None,
    impl: str | None = None,
) -> Float[Array, "B T H K"]:
    """Every token attends to itself and to earlier tokens of its own document.

    `segment_ids` are equal within a document and differ between any two of a row. With a `window`
    a token sees as many tokens, itself the last. `impl` None takes the first of `IMPLEMENTATIONS`
    that runs here; a named one runs, or raises NotImplementedError with the reason. Under a mesh
    (`jax.set_mesh`) of more than one device an axis named `sequence` splits T, every other axis B.
    """
    if impl is not None and impl not in IMPLEMENTATIONS:
        raise ValueError(
            f"impl={impl!r} is unknown; choose None or one of {', '.join(IMPLEMENTATIONS)}"
        )
    if window is not None and window < 1:
        raise ValueError(f"window={window} must be at least 1, the token itself; None sees all")
    arguments, reasons = (q, k, v, segment_ids, window), {}
    for name in IMPLEMENTATIONS if impl is None else (impl,):
        module, platforms = IMPLEMENTATIONS[name]
        reasons[name] = _not_here(platforms) or module.unsupported(*arguments)
        if reasons[name] is None and platforms is not None and mesh.split():
            return context.over_mesh(module.attention, *arguments)
        if reasons[name] is None:
            return module.attention(*arguments)
    raise NotImplementedError("; ".join(f"impl={name!r}: {why}" for name, why in reasons.items()))


def attend(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B M G K"],
    v: Float[Array, "B M G K"],
    visible: Bool[Array, "B T M"],
    bias: Float[Array, "B H T M"] | None = None,
) -> Float[Array, "B T H K"]:
    """Query t attends to the keys m with visible[:, t, m]; each must see at least one.

    `bias` is added to the logits.
    """
    return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=visible[:, None])


def _not_here(platforms: tuple[str, ...] | None) -> str | None:
    """Why what runs on `platforms` cannot run on the one compiled for, or None."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    platform = device.platform if device is not None else jax.default_backend()
    if platforms is not None and platform not in platforms:
        return f"runs on {platforms[0]}, and this is {platform}"
    return None
