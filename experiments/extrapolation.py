"""Length extrapolation: what becomes of the loss in rows sixteen times as long as in training?

Question  A recurrent mixer carries a state of one size whatever the length; attention meets
          positions and numbers of keys that training never had. Does the loss stay level beyond the
          length of training?

Design    The standard corpus in rows of T tokens whose documents see one another: a row is one
          text. Every mixer is trained on the same rows and then reads unseen ones of 16 T, of the
          same mixture. A document says nothing about the one before it, so a model that is not
          disturbed keeps its loss, and none can gain by a longer memory. Arms: GLA, RetNet, Mamba;
          softmax with rotary positions, without positions, and with a sliding window of T, which
          never sees more keys than in training (the control for their number).

Measures  reach: nats a token between positions T/2 r and T r, for r = 1 (all up to T), 2, 4, 8, 16.
          Those up to T include a row's first tokens, of which nothing is known yet; what they cost
          hides as much of a rise, in every arm alike.

Run       python -m experiments.run extrapolation --size toy --seeds 5
Cost      toy: 1 CPU core, 5 seeds, 30 trainings of 400 steps, 96 min; small: one GPU, not yet
          measured; in the paper: trained at 2k, read at 20k

Result    2026-11-27, 4c04e97, toy, 5 seeds, 1 CPU core, 5,767 s.
          A4 gla: loss at 16 times the length of training, less that up to it: -0.01 [-0.04, 0.03]
            nats a token, reproduced.
          A4 softmax: loss at 16 times the length of training, less that up to it: 2.87 [2.55, 3.30]
            nats a token, reproduced.
          A4 retnet: loss at 16 times the length of training, less that up to it: 0.28 [0.19, 0.48]
            nats a token, inconclusive.
          A4 mamba: loss at 16 times the length of training, less that up to it: -0.03 [-0.06, 0.00]
            nats a token, reproduced.
          A4 softmax, no positions: loss at 16 times the length of training, less that up to it:
            0.92 [0.89, 0.95] nats a token, opposite.
          A4 softmax, window: loss at 16 times the length of training, less that up to it: -0.02
            [-0.04, 0.01] nats a token, reproduced.
"""

import dataclasses
import itertools
from typing import Literal

import pyarrow as pa

from data.corpus import Corpus
from data.joined import Joined
from experiments import figure, report, stats
from experiments.claim import Claim, above, below
from experiments.measure.reach import Reach
from experiments.scaling import shorter
from experiments.stage import Stage, extent, seeds
from experiments.standard import MIXERS, SIZES, corpus
from model.lm import LM
from model.mixer import Mixer
from model.softmax import Softmax

ROWS = ("A4",)
COST = {
    "toy": "1 CPU core, 5 seeds, all mixers: 96 min",
    "small": "one GPU, not yet measured",
}
TIMES = 16  # how much longer the rows are that are read
YANG = "Yang et al. 2024, section 5: GLA and RetNet extrapolate, a Transformer does not"
# Whether the loss of a mixer should rise, and who says so.
EXPECTED = {
    "gla": (False, YANG),
    "retnet": (False, YANG),
    "mamba": (False, "Gu & Dao 2023, section 4.1.2: induction at 4000 times the length"),
    "softmax": (True, YANG),
    "softmax, no positions": (False, "Kazemnejad et al. 2023: no positions extrapolate"),
    "softmax, window": (False, "control: distances and numbers of keys are those of training"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment. The mixers are its arms."""

    size: Literal["smoke", "toy", "small"] = "toy"
    seeds: int = extent(5)


def arms(T: int) -> dict[str, Mixer]:
    """The mixers by name; T is the length of a row of training."""
    return MIXERS | {
        "softmax, no positions": Softmax(heads=4, rotary=0.0),
        "softmax, window": Softmax(heads=4, window=T),
    }


def stages(settings: Settings) -> list[Stage]:
    """A model from scratch of every seed and mixer."""
    size, found = SIZES[settings.size], []
    recipe = shorter(size.pretrain, 0.5)
    for seed, (name, mixer) in itertools.product(seeds(settings.seeds), arms(size.T).items()):
        text = corpus(size, seed)
        long = dataclasses.replace(text, T=TIMES * size.T)
        found.append(Stage(
            model=LM(W=text.tokenizer.size, D=size.D, layers=size.layers, mixer=mixer),
            corpus=Joined(text),
            recipe=dataclasses.replace(recipe, seed=seed),
            measures=(Reach(Joined(long), trained=size.T),),
            at=(recipe.steps,),
            labels=(("mixer", name), ("seed", seed)),
        ))  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview extrapolation` shows: the documents before they are joined."""
    return corpus(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. A mixer extrapolates if its loss does not rise by .1 nat."""
    found = []
    names = dict.fromkeys(results.items["mixer"].to_pylist())
    for name in names:
        far, near = ({"mixer": name, "reach": reach} for reach in (TIMES, 1))
        rises, source = EXPECTED[name]
        found.append(
            Claim(
                row="A4",
                claim=f"{name}: loss at {TIMES} times the length of training, less that up to it",
                unit="nats a token",
                estimate=stats.contrast(results.items, "loss", far, near),
                reproduced=above(0.1) if rises else below(0.1),
                opposite=below(0.1) if rises else above(0.1),
                reference=None,
                reference_source=source,
            )
        )
    return found


def sections(results: report.Results) -> list[report.Section]:
    """Loss by reach, a line a seed; and the means as numbers."""
    items = results.items
    names = list(dict.fromkeys(items["mixer"].to_pylist()))
    far = sorted(set(items["reach"].to_pylist()))
    lines, rows = {}, []
    for name in names:
        losses = stats.matrix(items, "loss", *({"mixer": name, "reach": r} for r in far))
        lines[name] = [(far, line) for line in losses.tolist()]
        columns = [f"to {r} T" for r in far]
        rows.append({"mixer": name} | dict(zip(columns, losses.mean(0).tolist(), strict=True)))
    body = figure.curves({"unseen rows": lines}, xlabel="position / T of training")
    note = "Nats a token by place in the row, one line a seed. Training ends at 1."
    by_mixer = "Means over seeds; the loss up to T counts places that have little before them."
    curves = results.curves.append_column("tier", pa.array(["training"] * len(results.curves)))
    return [
        report.Section("Loss by position", note, body),
        report.Section("The same in numbers", by_mixer, report.table(rows)),
        report.losses(curves),
    ]
