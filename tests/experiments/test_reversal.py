"""Coverage is which facts are stated both ways, at matched exposures; direction is order."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest

from data.ledger import ledger
from data.speaker import speaker
from experiments import reversal, run, stats
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


@pytest.mark.slow
def test_it_runs_from_command_to_page(tmp_path):
    words = ["reversal", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    assert run.main(words) == 0
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert {c["row"] for c in claims} == set(reversal.ROWS) and 3 <= len(claims) <= 9
    assert all(c["estimate"] is not None for c in claims)
