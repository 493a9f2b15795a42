"""Models of named sizes, and their twins: another mixer at the same number of parameters.

toy has the shape of the toy experiments' models, 50M is 45M with the vocabulary of real text and
fewer layers; 340M and 1.3B are the models of Yang et al. 2024 (arXiv 2312.06635, section 5.1): D,
layers, heads and F of their configurations, the vocabulary of Llama 2.
"""

import dataclasses
import difflib

from model.gla import GLA
from model.linear import LinearAttention
from model.lm import LM
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.mixer import Mixer
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import transnormer

SIZES = {
    "toy": LM(W=900, D=128, layers=2, mixer=GLA(heads=4)),
    "10M": LM(W=8192, D=256, layers=10, mixer=GLA(heads=4)),
    "45M": LM(W=8192, D=512, layers=12, mixer=GLA(heads=4)),
    "50M": LM(W=32_000, D=512, layers=10, mixer=GLA(heads=4), dtype="bfloat16"),
    "340M": LM(W=32_000, D=1024, layers=24, F=2816, mixer=GLA(heads=4), dtype="bfloat16"),
    "1.3B": LM(
        W=32_000, D=2048, layers=24, F=5632, mixer=GLA(heads=4), dtype="bfloat16", tied=False
    ),
}
MIXERS = (
    "gla",
    "softmax",
    "retnet",
    "mamba",
    "mamba2",
    "simple",
    "linear",
    "transnormer",
    "hybrid",
)
NAMES = f"a size ({', '.join(SIZES)}) or MIXER-SIZE with one of {', '.join(MIXERS)}"


def preset(name: str) -> LM:
    """The model MIXER-SIZE, such as gla-340M or mamba-toy; a size alone is its GLA.

    ValueError names the nearest there is.
    """
    mixer, _, size = name.rpartition("-")
    mixer = mixer or "gla"
    if mixer in MIXERS and size in SIZES:
        cfg = SIZES[size]
        return cfg if mixer == "gla" else twin(cfg, mixers(cfg, mixer))
    names = [*SIZES, *(f"{m}-{s}" for s in SIZES for m in MIXERS)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
    raise ValueError(f"no preset {name!r}; did you mean {near}? A preset is {NAMES}")


def mixers(cfg: LM, name: str) -> Mixer | tuple[Mixer, ...]:
    """The mixers of the paper's comparison, and of its ablations, at the width of `cfg`.

    Softmax has heads of width 64, RetNet keys of width 256, or narrower ones where that would be
    fewer than four heads. Every fourth layer of a hybrid is softmax in a window of 512, the others
    are GLA.
    """
    D = cfg.D
    softmax = Softmax(heads=max(4, D // 64))
    if name == "hybrid":
        if cfg.layers < 4:
            raise ValueError(
                f"every fourth layer of a hybrid is softmax, and layers={cfg.layers} has none; "
                "choose layers=4 or more, as of hybrid-10M"
            )
        window = dataclasses.replace(softmax, window=512)
        return tuple(window if i % 4 == 3 else GLA(heads=4) for i in range(cfg.layers))
    return {
        "softmax": softmax,
        "retnet": RetNet(heads=max(4, D // 256)),
        "mamba": Mamba(),
        "mamba2": Mamba2(state=min(128, D // 2), width=min(64, D // 4)),
        "simple": SimpleGLA(heads=4),
        "linear": LinearAttention(heads=4),
        "transnormer": transnormer(cfg.layers, heads=max(4, D // 128)),
    }[name]


def twin(cfg: LM, mixer: Mixer | tuple[Mixer, ...]) -> LM:
    """`cfg` with another mixer and the F, in steps of D / 16, that comes nearest in parameters."""
    other = dataclasses.replace(cfg, mixer=mixer, F=cfg.width)
    step, column = max(1, cfg.D // 16), 3 * cfg.D * cfg.layers
    excess = sum(m.parameters(cfg.D) for m in other.mixers)
    excess -= sum(m.parameters(cfg.D) for m in cfg.mixers)
    F = step * round((cfg.width - excess / column) / step)
    if step > F:
        raise ValueError(
            f"{mixer} alone has as many parameters as {cfg}; choose a narrower mixer or a larger F"
        )
    return dataclasses.replace(other, F=F)
