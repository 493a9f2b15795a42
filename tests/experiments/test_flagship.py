"""The flagship's claims on items that nobody measured."""

import itertools

import numpy as np
import pyarrow as pa

from experiments import flagship
from experiments.claim import decide
from experiments.standard import LANGUAGES


def test_facts_that_are_known_by_few_nats_are_not_at_chance():
    """G1 reversed: log-odds of 0.2 on average, and the gold answer among the first tenth."""
    rng, rows, ways = np.random.default_rng(0), [], ("forward", "reverse")
    cells = itertools.product(
        range(5), ("G0", "G1", "G2", "G4"), ("shared", "own"), LANGUAGES, ways
    )
    for seed, group, names, language, way in cells:
        cell = dict(seed=seed, measure="recall", relation="parent", group=group, names=names,
                    language=language, direction=way)  # fmt: skip
        rank, log_odds = rng.uniform(0, 0.2, 10), 0.2 + rng.normal(size=10) / 4
        both = zip(rank, log_odds, strict=True)
        rows += [cell | dict(exact=0.0, rank=r, log_odds=o) for r, o in both]
    claims = decide(flagship._recall_claims(pa.Table.from_pylist(rows), "gla"))
    (chance,) = (claim for claim in claims if "at chance" in claim["claim"])
    assert chance["verdict"] == "opposite" and chance["estimate"] > 0.3


def test_mixers_that_know_as_much_are_equal_and_one_that_knows_more_is_not():
    rng, rows = np.random.default_rng(0), []
    for seed, mixer, _ in itertools.product(range(5), ("gla", "softmax"), range(10)):
        rows += [
            dict(measure="recall", relation="parent", mixer=mixer, seed=seed, group=group,
                 language="L1", direction=way, exact=1.0, log_odds=nats + rng.normal() / 9)
            for group, way, nats in (("G0", "forward", 9), ("G1", "reverse", mixer == "gla"))
        ]  # fmt: skip
    same, more = decide(flagship._mixer_claims(pa.Table.from_pylist(rows)))
    assert (same["verdict"], more["verdict"]) == ("reproduced", "opposite")
    assert more["estimate"] > 0.9
