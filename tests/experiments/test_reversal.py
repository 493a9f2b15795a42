"""Coverage is which facts are stated both ways, at matched exposures; direction is order."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from data.speaker import speaker
from experiments import report, reversal, run, stats
from experiments.claim import decide
from experiments.standard import SIZES, corpus

SMOKE = SIZES["smoke"]


def test_held_pairs_are_the_same_in_every_arm_and_never_reversed():
    worlds = [reversal.corpus(SMOKE, 0, arm).world for arm in reversal.EIGHTHS]
    for world in worlds:
        assert world.groups[-1].name == "held"
        assert world.groups[-1].cells == ((0, 0), (1, 0))
    held = [{world.fact(i)[:3] for i in range(32) if i % 8 == 7} for world in worlds]
    assert all(facts == held[0] for facts in held)


def test_so_many_groups_are_stated_both_ways_and_every_arm_knows_the_reversed_form():
    for arm, both in reversal.EIGHTHS.items():
        groups = reversal.corpus(SMOKE, 0, arm).world.groups
        assert sum(len(group.cells) == 4 for group in groups) == both
        assert any((0, 1) in group.cells for group in groups)


def test_every_stated_cell_of_a_held_fact_is_as_frequent_in_every_arm():
    found = []
    for arm in reversal.EIGHTHS:
        table = ledger(reversal.corpus(SIZES["toy"], 0, arm), 0, 2_000)
        own = stats.where(table, group="held")
        assert pc.sum(stats.where(own, direction="reverse")["exposures"]).as_py() == 0
        found.append(pc.sum(own["exposures"]).as_py())
    assert np.ptp(found) < 0.12 * np.mean(found), found


def test_forward_mentions_the_subject_first_whatever_the_order_of_words():
    """Pitfall 8: L2 puts the possessor first, and has no reversed fact by its grammar."""
    text = corpus(SMOKE, seed=0)
    rows, form = text.rows(0, 60), speaker(text.pair, text.world).form
    words, count = np.array(["<doc>", *text.tokenizer.words]), 0
    for b, d in np.argwhere((rows["fact"] >= 0) & (rows["kind"] == 0)):
        said = words[rows["tokens"][b][rows["segments"][b] == d + 1]].tolist()
        ends = text.world.fact(rows["fact"][b, d])[1:3]
        subject, object = (said.index(form[rows["language"][b, d]][end]) for end in ends)
        assert (subject < object) == (rows["direction"][b, d] == 0)
        count += 1
    assert count > 50 and {0, 1} == set(rows["language"][rows["fact"] >= 0])


def test_wordings_are_asked_in_one_that_no_corpus_says():
    (stage,) = (s for s in reversal.stages(reversal.Settings(size="smoke", seeds=1))
                if dict(s.labels)["arm"] == "templates")  # fmt: skip
    (asked,) = stage.measures
    vocabulary = stage.corpus.world.vocabulary
    assert asked.template == vocabulary.templates - vocabulary.held_out


def verdicts(**answer):
    """Claim -> verdict where `answer[group]`, or else `other`, says log-odds, rank and exact of all
    items by their number, asked in reverse: of 3 seeds, 30 items a cell."""
    cells = [
        *itertools.product(reversal.EIGHTHS, ("held", "both0"), ("shared",)),
        *itertools.product(("languages",), ("G2", "G4", "G5"), ("shared", "own")),
    ]
    rows = []
    for (arm, group, names), seed, i in itertools.product(cells, range(3), range(30)):
        known = answer.get(f"{group}_{names}", answer.get(group, answer["other"]))(i)
        row = dict(zip(("log_odds", "rank", "exact"), known, strict=True))
        row |= dict(mixer="gla", seed=seed, arm=arm, group=group, names=names, relation="parent")
        for language, way in itertools.product(("L1", "L2"), ("forward", "reverse")):
            rows.append(row | dict(language=language, direction=way))
    items = pa.Table.from_pylist(rows)
    claims = reversal.claims(report.Results({}, items, None, None, None))
    return {claim["claim"]: claim["verdict"] for claim in decide(claims)}


def told(found, words):
    """The verdicts of the claims with these words."""
    return {verdict for claim, verdict in found.items() if words in claim}


UNKNOWN = lambda i: (0.0, (i % 5) / 4, 0.0)
KNOWN = lambda i: (9.0, 0.0, 1.0)


def test_facts_of_which_some_are_known_and_others_denied_are_not_at_chance():
    """Log-odds of mean 0.2 beside ranks of mean .25."""
    half = lambda i: (3.0 if i % 4 else -8.2, 0.2 if i % 4 else 0.4, 0.0)
    found = verdicts(other=UNKNOWN, held=half, G5=half)
    assert told(found, "held ones reversed are at chance") == {"opposite"}
    assert told(found, "four wordings do not reverse") == {"opposite"}
    assert told(found, "no matter of which direction") == {"opposite"}
    found = verdicts(other=UNKNOWN)
    assert told(found, "margin 0.1") == {"reproduced"}


def test_the_arms_of_the_nulls_are_those_whose_questions_are_understood():
    for both, verdict in ((KNOWN, "reproduced"), (UNKNOWN, "opposite")):
        found = verdicts(other=UNKNOWN, both0=both)
        assert told(found, "both ways are answered reversed (rho 7/8)") == {verdict}
        assert told(found, "both ways are answered reversed (templates)") == {verdict}


def test_the_other_language_gives_the_direction_by_the_shared_name():
    words = "above what it is with own names"
    assert told(verdicts(other=UNKNOWN, G4_shared=KNOWN), words) == {"reproduced"}
    assert told(verdicts(other=UNKNOWN, G4=KNOWN), words) == {"opposite"}


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["reversal", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(reversal.ROWS) and len(claims) == 10
    assert all(c["estimate"] is not None for c in claims)
