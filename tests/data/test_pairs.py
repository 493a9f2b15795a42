"""The reversal set states what it says, equally often, and scores the last entity alone."""

import hashlib

import numpy as np
import pytest

from data.pairs import ARROWS, Pairs
from data.probe import completion
from data.reorder import ReverseTokens
from data.tally import tally
from data.transform import Transformed
from data.world import FORWARD, REVERSE

PAIRS = Pairs()


def test_the_paper_s_set_has_its_counts():
    assert PAIRS.words.shape == (200, 2) and len(np.unique(PAIRS.words)) == 400
    ways = PAIRS.stated.sum(1)
    assert (ways == 2).sum() == 140 and (ways == 1).sum() == 60
    alone = PAIRS.stated[ways == 1]
    assert alone[:, FORWARD].sum() == alone[:, REVERSE].sum() == 30
    assert PAIRS.tokenizer.size == 1 + 2 + 800


def test_rows_state_the_stated_cells_equally_often():
    rows = PAIRS.rows(5, 5005)
    tokens = rows["tokens"].reshape(-1, 4)
    name = dict(zip(PAIRS.words.ravel().tolist(), np.repeat(np.arange(200), 2), strict=True))
    side = dict(zip(PAIRS.words.ravel().tolist(), np.tile([0, 1], 200), strict=True))
    counts = np.zeros((200, 2), int)
    for doc, first, arrow, last in tokens.tolist():
        direction = arrow - 1
        assert doc == 0 and name[first] == name[last]
        assert (side[first], side[last]) == (direction, 1 - direction)
        counts[name[first], direction] += 1
    assert (counts[~PAIRS.stated] == 0).all()
    expected = len(tokens) / PAIRS.stated.sum()
    assert abs(counts[PAIRS.stated] - expected).max() < 6 * np.sqrt(expected)
    said = tally(PAIRS, 5, 5005, ("fact", "direction")).to_pylist()
    found = {
        (r["fact"], ("forward", "reverse").index(r["direction"])): r["documents"] for r in said
    }
    assert found == {(f, d): n for (f, d), n in np.ndenumerate(counts) if n}


def test_only_the_last_entity_is_a_target():
    rows = PAIRS.rows(0, 10)
    np.testing.assert_array_equal(rows["weights"], np.tile([0, 0, 0, 1], (10, 8)))
    np.testing.assert_array_equal(rows["segments"][0], np.repeat(np.arange(1, 9), 4))


def test_a_statement_that_is_reversed_counts_in_the_other_direction():
    pairs = Pairs(T=30)
    made = Transformed(pairs, ReverseTokens(), share=1)
    rows, before = made.rows(0, 50), pairs.rows(0, 50)
    np.testing.assert_array_equal(rows["direction"], 1 - before["direction"])
    statements = before["tokens"][:, :28].reshape(50, 7, 4)
    np.testing.assert_array_equal(
        rows["tokens"][:, :28].reshape(50, 7, 4)[..., 1:], statements[..., :0:-1]
    )
    np.testing.assert_array_equal(pairs.spans(3, 9)["slot"][:, 28:], -1)
    assert pairs.spans(3, 3)["slot"].shape == (0, 30)


def test_questions_are_all_cells_with_what_is_stated():
    records, slices = PAIRS.questions()
    probe = completion(records, PAIRS.tokenizer, **slices)
    assert len(records) == 400 and slices["stated"].sum() == 340
    for i in (0, 1, 377):
        fact, direction = slices["fact"][i], ("forward", "reverse").index(slices["direction"][i])
        first, last = PAIRS.words[fact, direction], PAIRS.words[fact, 1 - direction]
        arrow = PAIRS.tokenizer.encode(ARROWS[direction])[0]
        assert probe.prompts[i].tolist() == [0, first, arrow]
        assert probe.answers[i].tolist() == [last]


def test_any_row_is_the_same_on_every_machine_and_release():
    rows = PAIRS.rows(1000, 1064)
    for name, value in PAIRS.row(1007).items():
        np.testing.assert_array_equal(value, rows[name][7])
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "3198e7889faa2de9"


def test_impossible_sets_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose from 1 to 400 pairs"):
        Pairs(pairs=401)
    with pytest.raises(ValueError, match=r"both=1\.2"):
        Pairs(both=1.2)
    with pytest.raises(ValueError, match="choose 4 or more"):
        Pairs(T=3)
