"""Forms: is a trained GLA one function by chunks, by its recurrence and step by step?

Question  Training runs the chunkwise form and decoding the recurrence, and what is found of one is
          said of the other. Are they one function in float32, forward and backward, even under
          gates that forget within a token, where products of decays overflow if computed naively
          (Yang et al. 2024, 2312.06635, section 4.3)?

Design    The flagship's bases, none trained anew, read rows eight times as long as in training, so
          many chunks, each row as one document. The forms are compared under the gates of training,
          log sigmoid over 16, and with the same weights over 1 and over 0.1. Control: chunks with
          every log decay off by 1%, to show that the measure would see an error. How the op alone
          treats decays of -40 and -inf, segments, bfloat16 and accelerators is held to float64 in
          tests/kernels; from which length it is faster than attention, `python -m
          kernels.gla.bench` says.

Measures  apart: root mean square of the difference in log p of the next token (nats), as log10: -5
          is a hundred-thousandth of a nat. For gradients: of each leaf, relative to its size.

Run       python -m experiments.run forms --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, about 5 min, 1 min after the flagship; small: one GPU, minutes

Result    2026-11-27, 923322f, toy, 5 seeds, 1 CPU core, 163 s.
          A1 chunks and recurrence, gates as trained: apart by less than a ten-thousandth of a nat:
            -5.58 [-5.61, -5.55] log10 nat, reproduced.
          A1 chunks and recurrence, gates 16 times as fast: apart by less than a ten-thousandth of a
            nat: -5.66 [-5.70, -5.54] log10 nat, reproduced.
          A1 chunks and recurrence, gates 160 times as fast: apart by less than a ten-thousandth of
            a nat: -5.27 [-5.50, -4.99] log10 nat, reproduced.
          A1 chunks and steps, gates as trained: apart by less than a ten-thousandth of a nat: -5.48
            [-5.52, -5.44] log10 nat, reproduced.
          A1 chunks and steps, gates 16 times as fast: apart by less than a ten-thousandth of a nat:
            -5.50 [-5.54, -5.44] log10 nat, reproduced.
          A1 chunks and steps, gates 160 times as fast: apart by less than a ten-thousandth of a
            nat: -5.13 [-5.32, -4.92] log10 nat, reproduced.
          A1 gradients by chunks and by recurrence, gates as trained: the same to 1/1000: -6.35
            [-6.48, -6.25] log10 relative, reproduced.
          A1 gradients by chunks and by recurrence, gates 16 times as fast: the same to 1/1000:
            -6.22 [-6.35, -6.10] log10 relative, reproduced.
          A1 gradients by chunks and by recurrence, gates 160 times as fast: the same to 1/1000:
            -4.79 [-5.68, -4.20] log10 relative, inconclusive.
          A1 control: log decays that are 1% off are seen, gates as trained: -1.30 [-1.35, -1.26]
            log10 nat, reproduced.
"""

import dataclasses
import itertools
from typing import Literal

import numpy as np

from data.corpus import Corpus
from experiments import figure, report, stats
from experiments.claim import Claim, above, below
from experiments.measure.forms import Forms
from experiments.stage import Stage, extent, seeds
from experiments.standard import SIZES, corpus, pretrained

ROWS = ("A1",)
COST = {
    "toy": "2 CPU cores, 5 seeds: about 5 min, 1 min after the flagship",
    "small": "one GPU: minutes, not yet measured",
}
LONGER = 8
GATES = {16.0: "as trained", 1.0: "16 times as fast", 0.1: "160 times as fast"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of forms. Seeds add runs to a folder and change none in it."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)


def stages(settings: Settings) -> list[Stage]:
    """The base of every seed."""
    size, found = SIZES[settings.size], []
    for seed in seeds(settings.seeds):
        text = corpus(size, seed)
        longer = dataclasses.replace(text, T=LONGER * size.T)
        found.append(pretrained(size, "gla", seed, text, (Forms(longer),)))
    return found


def preview() -> Corpus:
    """What `python -m data.preview forms` shows."""
    return corpus(SIZES["toy"], seed=0)


def _cell(form: str, normaliser: float) -> dict[str, object]:
    return dict(measure="forms", form=form, normaliser=normaliser)


def tens(means: np.ndarray) -> np.ndarray:
    """The logarithm to base ten of a mean: (draws, 1) -> (draws,)."""
    return np.log10(means[:, 0])


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    apart = lambda *cell: stats.contrast(results.items, "apart", _cell(*cell), of=tens)
    forward = [
        Claim(
            row="A1",
            claim=f"chunks and {form}, gates {said}: apart by less than a ten-thousandth of a nat",
            unit="log10 nat",
            estimate=apart(form, normaliser),
            reproduced=below(-4),
            opposite=above(-3),
            reference=None,
            reference_source="float32 rounds at 1e-7 of a log p of up to ten, some hundred times",
        )
        for form, (normaliser, said) in itertools.product(("recurrence", "steps"), GATES.items())
    ]
    backward = [
        Claim(
            row="A1",
            claim=f"gradients by chunks and by recurrence, gates {said}: the same to 1/1000",
            unit="log10 relative",
            estimate=apart("gradient", normaliser),
            reproduced=below(-3),
            opposite=above(-2),
            reference=None,
            reference_source="tests/kernels: 1e-5 of the op alone, against float64",
        )
        for normaliser, said in GATES.items()
    ]
    control = Claim(
        row="A1",
        claim="control: log decays that are 1% off are seen, gates as trained",
        unit="log10 nat",
        estimate=apart("gates 1% wrong", 16.0),
        reproduced=above(-3),
        opposite=below(-4),
        reference=None,
        reference_source="new",
    )
    return [*forward, *backward, control]


def sections(results: report.Results) -> list[report.Section]:
    """How far apart, by gates and form; then what gates cost a model not trained with them."""
    items = stats.where(results.items, measure="forms")
    by_seed = lambda *cell: np.log10(stats.means(items, "apart", _cell(*cell))).tolist()
    names = ("recurrence", "steps", "gradient", "gates 1% wrong")
    panels = {
        f"gates {said}": {name: (by_seed(name, normaliser), name != names[-1]) for name in names}
        for normaliser, said in GATES.items()
    }
    note = (
        "Against chunks; -7 is what float32 can tell from 1. Hollow: the control. One dot a seed."
    )
    lost = {
        "loss": {said: (stats.means(items, "loss", _cell("steps", normaliser)), normaliser == 16)
                 for normaliser, said in GATES.items()}
    }  # fmt: skip
    cost = "The same weights, other gates: they do matter."
    return [
        report.Section("Forms apart", note, figure.dots(panels, "log10 of nats, or relative")),
        report.Section("Loss", cost, figure.dots(lost, "nats a token")),
    ]
