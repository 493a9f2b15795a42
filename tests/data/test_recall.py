"""Every query is answered by what the row says of its key; gaps are drawn as Zoology draws them."""

import hashlib

import numpy as np
import pytest

from data.draw import distinct, stretch
from data.recall import MQAR

TASKS = (MQAR(), MQAR(pairs=3, vocabulary=64, T=16, seed=2), MQAR(16, 8192, 256, filled=False),
         MQAR(pairs=4, vocabulary=16, T=16))  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_a_brute_force_reader_answers_every_query(task):
    rows, K, half = task.rows(3, 203), task.pairs, task.vocabulary // 2
    for tokens, weights in zip(rows["tokens"].tolist(), rows["weights"], strict=True):
        known = dict(zip(tokens[: 2 * K : 2], tokens[1 : 2 * K : 2], strict=True))
        assert len(known) == K == len({*known.values()})
        assert all(1 <= k < half for k in known)
        assert all(half <= v < 2 * half for v in known.values())
        answers = np.flatnonzero(weights)
        assert {tokens[t - 1] for t in answers} == known.keys() and len(answers) == K
        assert all(known[tokens[t - 1]] == tokens[t] and t % 2 and t > 2 * K for t in answers)
        rest = [
            t for j, t in enumerate(tokens) if j >= 2 * K and j not in {*answers, *(answers - 1)}
        ]
        assert task.filled or not any(rest)
    if task.filled and 4 * K < task.T:
        filler = np.concatenate(
            [rows["tokens"][:, -2:].ravel(), rows["tokens"][:, 2 * K :].ravel()]
        )
        assert filler.max() < task.vocabulary and len(np.unique(filler)) > min(half, 400)
    assert (rows["segments"] == 1).all() and (rows["pairs"] == K).all()


def test_gaps_follow_the_power_law_drawn_without_replacement():
    task = MQAR(pairs=2, vocabulary=64, T=16, power=0.01)
    rows = task.rows(0, 20_000)
    keys = rows["tokens"][:, 0:4:2]
    asked = np.argwhere(rows["weights"] > 0)[:, 1].reshape(-1, 2) - 1
    order = np.take_along_axis(rows["tokens"], asked, 1) == keys[:, :1]
    gap = (np.where(order[:, 0], asked[:, 0], asked[:, 1]) - 4) // 2  # of the first key
    rng = np.random.default_rng(0)
    p = np.arange(1, task.space + 1) ** (0.01 - 1)
    draws = np.array(
        [rng.choice(task.space, 2, replace=False, p=p / p.sum()) for _ in range(20_000)]
    )
    found = [np.bincount(g, minlength=task.space) / 20_000 for g in (gap, draws[:, 0])]
    assert abs(found[0] - found[1]).max() < 0.02
    both = [np.bincount(np.minimum(*a.T), minlength=task.space) / 20_000
            for a in ((asked - 4) // 2, draws)]  # fmt: skip
    assert abs(both[0] - both[1]).max() < 0.02


def test_distinct_numbers_are_a_random_subset_in_random_order():
    drawn = distinct(stretch("recall", 9, 0, 60_000, 6), 5)
    assert (np.sort(drawn, 1)[:, 1:] != np.sort(drawn, 1)[:, :-1]).all()
    code = drawn @ [25, 5, 1]
    counts = np.bincount(code)[np.unique(code)]
    assert len(counts) == 60 and abs(counts - 1000).max() < 6 * np.sqrt(1000)


def test_any_row_is_the_same_on_every_machine_and_release():
    rows = MQAR().rows(1000, 1064)
    for name, value in MQAR().row(1007).items():
        np.testing.assert_array_equal(value, rows[name][7])
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "d273786b8ca80278"


def test_impossible_tasks_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose T=64 or more"):
        MQAR(pairs=16, T=62)
    with pytest.raises(ValueError, match="T is even"):
        MQAR(T=65)
    with pytest.raises(ValueError, match="choose an even number from 10"):
        MQAR(pairs=4, vocabulary=8)
    with pytest.raises(ValueError, match="choose 1 for uniform gaps"):
        MQAR(power=0)
