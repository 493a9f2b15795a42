"""State: can a linear map read from a recurrent state which value belongs to which key?

Question  A recurrent mixer recalls from its state S_t alone. After the pairs and before any
          question (what will be asked is not known), is the value of every key linearly readable
          there?

Design    Models of recall as in mqar, with the most pairs and at one learning rate: GLA with a
          large and a small state, RetNet, Mamba. Probes are fitted on rows of their own, one for
          each key. Controls: labels from other rows (what a probe with so many features makes of
          nothing); the model before its first step (a sum of random key-value products can be read
          too); the residual stream at the same place, which has to say what comes next and nothing
          else. The value of a key is as near as rows of MQAR come to an attribute of an entity. Not
          probed: which keys there were, and what is known of facts from training.

Measures  readable: the share of values read right. associative: what the model itself recalls.

Run       python -m experiments.run state --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, 14 min beside other work, less after mqar; small: one GPU,
          minutes

Result    2026-11-27, 43b71a0+changes, toy, 5 seeds, 2 CPU cores, 842 s.
          A5 gla: values read from the state, minus the same probe with shuffled labels: 0.59 [0.54,
            0.68] accuracy, reproduced.
          A5 gla: values read from the state, minus from the state before training: 0.16 [0.11,
            0.27] accuracy, inconclusive.
          A5 gla: values read from the state, minus from the residual stream: 0.48 [0.42, 0.56]
            accuracy, reproduced.
          A5 values read from the state, gla minus a small state: 0.28 [0.22, 0.36] accuracy,
            reproduced.
"""

import dataclasses
import itertools

from data.recall import MQAR
from experiments import figure, mqar, report, stats
from experiments.claim import Claim, above, below
from experiments.measure.associative import Associative
from experiments.measure.readable import Readable
from experiments.mqar import ARMS, LAYERS, SIZES
from experiments.stage import Stage, seeds
from model.lm import LM
from train.recipe import AdamW

ROWS = ("A5",)
COST = {
    "toy": "2 CPU cores, 5 seeds: 14 min beside other work, less after mqar",
    "small": "one GPU: minutes, not yet measured",
}
Settings = mqar.Settings
RATE = 3e-3  # one of those that mqar sweeps
PROBED = ("gla", "gla, small state", "retnet", "mamba")


def stages(settings: Settings) -> list[Stage]:
    """A model of every seed and arm, probed before its first step and after its last."""
    size, found = SIZES[settings.size], []
    for seed, arm in itertools.product(seeds(settings.seeds), PROBED):
        text = dataclasses.replace(size.text, pairs=max(size.pairs), seed=seed)
        found.append(Stage(
            model=LM(W=text.vocabulary, D=size.D, layers=LAYERS, mixer=ARMS[arm]),
            corpus=text,
            recipe=dataclasses.replace(size.recipe, optimizer=AdamW(lr=RATE), seed=seed),
            measures=(Readable(text), Associative(text)),
            at=(0, size.recipe.steps),
            labels=(("arm", arm), ("seed", seed)),
        ))  # fmt: skip
    return found


def preview() -> MQAR:
    """What `python -m data.preview state` shows."""
    return SIZES["toy"].text


def _read(arm: str, step: int, place: str = "state", labels: str = "own") -> dict[str, object]:
    return dict(measure="readable", arm=arm, step=step, place=place, labels=labels)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    last = max(results.items["step"].to_pylist())
    share = lambda of, *arms: stats.contrast(results.items, "read", *arms, of=of)
    state = _read("gla", last)
    return [
        Claim(
            row="A5",
            claim="gla: values read from the state, minus the same probe with shuffled labels",
            unit="accuracy",
            estimate=share(stats.difference, state, _read("gla", last, labels="shuffled")),
            reproduced=above(0.2),
            opposite=below(0.05),
            reference=None,
            reference_source="the state is a sum of key-value products, so linear in the values",
        ),
        Claim(
            row="A5",
            claim="gla: values read from the state, minus from the state before training",
            unit="accuracy",
            estimate=share(stats.difference, state, _read("gla", 0)),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="new; expected positive if training makes room for the pairs",
        ),
        Claim(
            row="A5",
            claim="gla: values read from the state, minus from the residual stream",
            unit="accuracy",
            estimate=share(stats.difference, state, _read("gla", last, "residual")),
            reproduced=above(0.1),
            opposite=below(0.0),
            reference=None,
            reference_source="new; expected positive if what is kept is kept in the state",
        ),
        Claim(
            row="A5",
            claim="values read from the state, gla minus a small state",
            unit="accuracy",
            estimate=share(stats.difference, state, _read("gla, small state", last)),
            reproduced=above(0.05),
            opposite=below(-0.05),
            reference=None,
            reference_source="Arora et al. 2023: a larger state holds more pairs",
        ),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """What is read, by place and labels; then what the models recall."""
    items = results.items
    last = max(items["step"].to_pylist())
    mean = lambda value, cell: stats.means(items, value, cell)
    rows = {
        "state": (last, "state", "own"),
        "state, before training": (0, "state", "own"),
        "state, shuffled labels": (last, "state", "shuffled"),
        "residual stream": (last, "residual", "own"),
    }
    panels = {
        arm: {name: (mean("read", _read(arm, *cell)), name == "state")
              for name, cell in rows.items()}
        for arm in PROBED
    }  # fmt: skip
    chance = stats.where(items, measure="readable")["chance"][0].as_py()
    note = "After the last pair, before the first question. Filled: the trained state."
    body = figure.dots(panels, "values read right", chance, (-0.05, 1.05))
    recalled = {
        "recall": {arm: (mean("exact", dict(measure="associative", arm=arm, step=last)), True)
                   for arm in PROBED}
    }  # fmt: skip
    recall = figure.dots(recalled, "accuracy", limits=(-0.05, 1.05))
    return [
        report.Section("Values read from the state", note, body),
        report.Section("What the models themselves recall", "One dot a seed.", recall),
    ]
