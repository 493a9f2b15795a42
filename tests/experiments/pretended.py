"""Results of an experiment that nobody trained: what its stages would ask, answered by dice.

Claims and sections are functions of stored items, so they can be tried in seconds.
"""

import dataclasses
import re

import numpy as np
import pyarrow as pa

from data.probe import Probe, tasks
from experiments import report, stage
from experiments.measure.alignment import Alignment, nouns


def asked(corpus, register) -> Probe:
    """The questions of a corpus, or of the same with another seed: to dice they are alike."""
    key = re.sub(r"seed=\d+", "", repr(corpus)), register
    if key not in _ASKED:
        _ASKED[key] = tasks(corpus, register)
    return _ASKED[key]


_ASKED: dict[tuple[str, str], Probe] = {}


def answers(measure, rng) -> pa.Table:
    """What a measure of following or ranking would yield, with metrics from `rng`."""
    probe = asked(measure.corpus, measure.register)
    text = ["said"] * len(probe.prompts)
    columns = {
        k: np.where(v, "yes", "no") if v.dtype == bool else v for k, v in probe.slices.items()
    }
    kind = rng.integers(3, size=len(text))
    metrics = {
        name: (kind == i).astype(float) for i, name in enumerate(("right", "other", "wrong"))
    }
    metrics |= {"mode": rng.uniform(size=len(text)), "ranked": (kind > 0).astype(float)}
    columns |= {"prompt": text, "gold": text, "answer": text} | metrics
    if hasattr(measure, "fitted"):
        own = {"fitted": measure.fitted, "moved": " ".join(measure.moved), "rules": "none"}
        columns |= {name: [value] * len(text) for name, value in own.items()}
    columns["shots"] = [getattr(measure, "shots", 0)] * len(text)
    return pa.table(columns)


def aligned(measure, rng) -> pa.Table:
    """What a measure of alignment would yield, with words retrieved by dice."""
    forms = nouns(measure.corpus)
    retrieved = rng.integers(2, size=len(forms[0])).astype(float)
    shared = ["yes" if a == b else "no" for a, b in zip(*forms, strict=True)]
    chance = np.full(len(shared), 1 / len(shared))
    return pa.table({"space": ["input"] * len(shared), "shared": shared, "retrieved": retrieved,
                     "chance": chance})  # fmt: skip


def results(module, seeds: int = 2, mixers: str = "gla") -> report.Results:
    """Items and losses of all stages of an experiment at smoke size."""
    rng, items, curves = np.random.default_rng(0), [], []
    for each in module.stages(module.Settings(size="smoke", seeds=seeds, mixers=mixers)):
        for measure in each.measures:
            name = type(measure).__name__.lower()
            for step in each.at:
                found = (aligned if isinstance(measure, Alignment) else answers)(measure, rng)
                items.append(stage._labelled(found, each, step=step, measure=name))
        losses = pa.table({"step": [1, 2], "loss": rng.uniform(size=2)})
        curves.append(stage._labelled(losses, each))
    joined = lambda tables: pa.concat_tables(tables, promote_options="default")
    none = pa.table({})
    return report.Results({}, joined(items), none, joined(curves), none)


def labels(stages) -> list[dict]:
    return [dict(each.labels) for each in stages]


def differing(one, two) -> set[str]:
    """The fields in which two corpora differ, those of their mixtures and pairs by their names."""
    found = set()
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if a != b and field.name in ("mixture", "pair", "world"):
            found |= {f"{field.name}.{name}" for name in differing(a, b)}
        elif a != b:
            found.add(field.name)
    return found
