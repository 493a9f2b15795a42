"""Arms differ in what they read beside the instructions, or in how they are tuned; its claims."""

import dataclasses
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from data.stream import stream
from experiments import flagship, retention, run, stats
from experiments.claim import decide
from experiments.standard import SIZES, corpus
from train.store import identity

TEXT = corpus(SIZES["smoke"], seed=0)
STAGES = retention.stages(retention.Settings(size="smoke", seeds=1, mixers="gla"))
ARMS = {dict(stage.labels)["arm"]: stage for stage in STAGES}


def test_base_and_tuning_are_those_of_the_flagship():
    known = flagship.stages(flagship.Settings(size="smoke", seeds=1))
    assert {identity(ARMS[arm]) for arm in ("base", "tuned")} <= {identity(s) for s in known}


@pytest.mark.parametrize(
    ("arm", "languages"),
    [("replay", {"L1", "L2"}), ("replay L1", {"L1"}), ("replay others", {"L1", "L2"})],
)
def test_a_replay_is_half_of_the_rows_and_asks_nothing(arm, languages):
    source = ARMS[arm].corpus
    found, legend = source.provenance(0, 800), source.legend
    replayed = (found["replayed"] == 1) & (found["register"] >= 0)
    named = lambda column, of: {legend[column][i] for i in np.unique(found[column][of])}
    assert named("register", replayed) == {"statement", "story"}
    assert named("language", replayed) == languages
    own = (found["replayed"] == 0) & (found["register"] >= 0)
    assert named("register", own) == {"quiz"} and named("language", own) == {"L1"}
    assert 0.45 < replayed.any(1).mean() < 0.55
    assert ARMS[arm].recipe.batch == 2 * ARMS["tuned"].recipe.batch


def test_a_replay_of_others_states_every_fact_but_those_that_are_asked_for():
    told = {arm: ledger(ARMS[arm].corpus, 0, 800) for arm in ("replay", "replay others")}
    count = lambda arm, group: pc.sum(stats.where(told[arm], group=group)["exposures"]).as_py() or 0
    assert count("replay", "G1") > 0 and count("replay others", "G1") == 0
    assert count("replay others", "G2") > count("replay", "G2") > 0


def test_other_arms_read_the_same_rows_and_differ_in_one_thing():
    rows = [stream(ARMS[arm].corpus, 4)[1]["tokens"] for arm in ("tuned", "near", "LoRA 1")]
    assert all((rows[0] == other).all() for other in rows)
    near, plain = ARMS["near"].recipe, ARMS["tuned"].recipe
    assert dataclasses.replace(near, objective=plain.objective) == plain
    few = ARMS["LoRA 1"].recipe
    rate = dataclasses.replace(few.optimizer, lr=plain.optimizer.lr, weight_decay=0.0)
    assert rate == dataclasses.replace(plain.optimizer, weight_decay=0.0)
    assert dataclasses.replace(few, optimizer=plain.optimizer, adapter=plain.adapter) == plain


def items(facts: dict[str, float], answers: dict[str, float]) -> pa.Table:
    """Five seeds of 20 facts and 20 tasks a language; `facts` and `answers` are right by arm, of
    an item that is hard in one arm it is hard in all."""
    hard, rows = np.random.default_rng(0).uniform(size=(5, 2, 20)), []
    cells = itertools.product(range(5), facts, range(2), range(20))
    for seed, arm, own, i in cells:
        language, draw = ("L1", "L2")[own], hard[seed, own, i]
        cell = dict(seed=seed, arm=arm, language=language, prompt=f"{language} {i}")
        rows.append(cell | dict(measure="recall", relation="parent", group="G1",
                                direction="forward", exact=float(draw < facts[arm]),
                                right=None, ambiguous=None))  # fmt: skip
        right = float(draw < answers[arm])
        rows.append(cell | dict(measure="following", ambiguous="no", right=right))
    return pa.Table.from_pylist(rows)


def test_what_is_kept_is_a_share_of_what_tuning_alone_loses():
    facts = dict(zip(("base", *retention.ARMS), (1.0, 0.2, 0.95, 0.3, 0.9, 0.25, 0.9), strict=True))
    answers = dict.fromkeys(facts, 0.4) | {"base": 0.0, "replay L1": 0.8}
    claims = decide(retention._claims(items(facts, answers), "gla"))
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    says = lambda part: next(v for claim, v in verdicts.items() if part in claim)
    assert says("control") == says("replay keeps the facts") == "reproduced"
    assert says("replay others keeps the facts") == "reproduced"
    assert says("LoRA 1 keeps the facts") == says("replay L1 keeps answers") == "reproduced"
    assert says("replay L1 keeps the facts") == says("near keeps the facts") == "opposite"
    assert says("replay keeps answers") == "inconclusive"
    share = next(c["estimate"] for c in claims if "replay L1 keeps the facts" in c["claim"])
    assert abs(share - 0.1 / 0.8) < 0.1


def test_the_price_of_a_replay_is_seen_in_the_first_language():
    facts = dict.fromkeys(("base", *retention.ARMS), 1.0) | {"tuned": 0.2}
    for right, verdict in ((0.9, "reproduced"), (0.4, "opposite")):
        answers = dict.fromkeys(facts, 0.9) | {"replay": right}
        claims = decide(retention._claims(items(facts, answers), "gla"))
        assert next(c for c in claims if "costs" in c["claim"])["verdict"] == verdict


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["retention", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(retention.ROWS)
    assert "Ledger of exposures" in (tmp_path / "report.html").read_text()
