"""Strings are rewritten as str.replace does, by the rules and in the numbers the spec says."""

import collections
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from data.probe import completion
from data.rewrite import ALPHABETS, MARKS, Rewrite

BASE = Rewrite(rules=30, examples=300, unseen=20, noop=0.3, ratio=0.5, letters=4, length=6, T=80)
SPECS = (BASE, replace(BASE, left=1, right=3), replace(BASE, left=3, right=1, loss="all"),
         Rewrite(rules=7, examples=50, letters=2, length=4, unseen=3, noop=0.5))  # fmt: skip


def documents(rewrite: Rewrite, rows: dict):
    """Words, weights and columns of every document."""
    for i, segments in enumerate(rows["segments"]):
        for m in range(segments.max()):
            (at,) = np.nonzero(segments == m + 1)
            said = {k: v[i, m] for k, v in rows.items() if v.shape == rows["rule"].shape}
            words = rewrite.tokenizer.decode(rows["tokens"][i, at]).split()
            weights = rows["weights"][i, at[1] : at[-1] + 2]  # the <doc> after it, if there is one
            yield words[1:], weights, said


def split(words: list[str], language: int) -> tuple[str, str, str, str]:
    text = "".join(words)
    for mark in MARKS[language]:
        text = text.replace(mark, "|", 1)
    left, right, string, answer = text.split("|")
    return left, right, string, answer


@pytest.mark.parametrize("rewrite", SPECS, ids=repr)
def test_the_answer_is_what_replacing_the_first_occurrence_gives(rewrite):
    seen = collections.Counter()
    for words, _, said in documents(rewrite, rewrite.rows(0, 200)):
        left, right, string, answer = split(words, said["language"])
        assert (len(left), len(right), len(string)) == (rewrite.left, rewrite.right, rewrite.length)
        assert {*left, *right, *string} <= {*ALPHABETS[said["language"]][: rewrite.letters]}
        assert answer == string.replace(left, right, 1)
        assert said["noop"] == (left not in string)
        seen[bool(said["noop"]), string.count(left) > 1] += 1
    assert seen[False, True] and seen[False, False] and seen[True, False]


def test_rules_are_different_and_deal_the_examples_equally():
    for rewrite in SPECS:
        assert len(np.unique(rewrite.table, axis=0)) == rewrite.rules + rewrite.unseen
        if rewrite.left == rewrite.right:
            assert (
                (rewrite.table[:, : rewrite.left] != rewrite.table[:, rewrite.left :]).any(1).all()
            )
    rows = BASE.rows(0, 4000)
    example, rule = rows["example"][rows["example"] >= 0], rows["rule"][rows["rule"] >= 0]
    assert set(example) == {*range(300)} and set(rule) == {*range(30)}
    assert (rule == example % 30).all()
    counts = np.bincount(example)
    assert abs(counts - counts.mean()).max() < 6 * np.sqrt(counts.mean())


def test_an_example_is_always_the_same_document():
    texts = collections.defaultdict(set)
    for words, _, said in documents(BASE, BASE.rows(0, 1000)):
        texts[said["example"]].add(" ".join(words))
    assert all(len(t) == 1 for t in texts.values())
    assert len({t for s in texts.values() for t in s}) > 290


def test_a_rule_says_the_same_in_both_languages():
    rules = [{}, {}]
    for words, _, said in documents(BASE, BASE.rows(0, 1000)):
        left, right, *_ = split(words, said["language"])
        rules[said["language"]][said["rule"]] = (left + right).lower()
    assert all(rules[0][r] == rules[1][r] for r in rules[0].keys() & rules[1].keys())
    assert len(rules[0].keys() & rules[1].keys()) > 25


def test_the_response_alone_is_a_target():
    for words, weights, said in documents(BASE, BASE.rows(0, 40)):
        at = words.index(MARKS[said["language"]][2]) + 1
        assert not weights[:at].any() and weights[at:].all()
    rows = replace(BASE, loss="all").rows(0, 40)
    total = (rows["segments"] > 0).sum(1, keepdims=True)
    place = np.arange(BASE.T)
    np.testing.assert_array_equal(rows["weights"], (place > 0) & (place <= total))


def test_shares_are_those_of_the_spec():
    rewrite = replace(BASE, examples=20_000, ratio=0.2)
    said = rewrite.provenance(0, 2000)
    there = said["rule"] >= 0
    assert abs(said["language"][there].mean() - 0.2) < 0.02
    assert abs(said["noop"][there].mean() - 0.3) < 0.02


def test_unseen_rules_are_asked_and_never_said():
    said = {
        "".join(split(w, d["language"])[:2]).lower()
        for w, _, d in documents(BASE, BASE.rows(0, 2000))
    }
    records, slices = BASE.questions(items=40)
    probe = completion(records, BASE.tokenizer, **slices)
    assert len(records) == 80 and set(slices["rule"]) == {*range(30, 50)}
    for (prompt, answer), language, noop in zip(
        records, slices["language"], slices["noop"], strict=True
    ):
        left, right, string, told = split(
            f"{prompt} {answer}".split(), ("L1", "L2").index(language)
        )
        assert told == string.replace(left, right, 1) and noop == (left not in string)
        assert (left + right).lower() not in said
    assert probe.prompts.shape == (80, 14)
    assert BASE.questions(items=40, unseen=False)[1]["rule"].max() < 30


def test_strings_that_are_asked_are_in_no_row():
    rewrite = replace(BASE, length=16, T=120)
    said = documents(rewrite, rewrite.rows(0, 500))
    strings = {split(words, d["language"])[2] for words, _, d in said}
    records, slices = rewrite.questions(items=40, unseen=False)
    languages = [("L1", "L2").index(name) for name in slices["language"]]
    texts = (f"{prompt} {answer}".split() for prompt, answer in records)
    asked = {split(words, k)[2] for words, k in zip(texts, languages, strict=True)}
    assert len(strings) > 250 and not strings & asked


def test_any_row_is_the_same_on_every_machine_and_release():
    rows = BASE.rows(1000, 1064)
    for name, value in BASE.row(1007).items():
        np.testing.assert_array_equal(value, rows[name][7])
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "fc42e2d44ddc8a93"


def test_impossible_rewrites_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="there are 240 different rules"):
        replace(BASE, rules=230)
    with pytest.raises(ValueError, match="each that is seen needs an example"):
        replace(BASE, examples=29)
    with pytest.raises(ValueError, match="choose T=20 or more"):
        replace(BASE, T=19)
    with pytest.raises(ValueError, match="choose 2 to 26 letters"):
        replace(BASE, letters=27)
    with pytest.raises(ValueError, match="noop=-1"):
        replace(BASE, noop=-1)
    with pytest.raises(ValueError, match="choose 'all' or 'response'"):
        replace(BASE, loss="some")
    with pytest.raises(ValueError, match=r"make 4\.4e\+22 rules, too many to number"):
        replace(BASE, letters=26, left=8, right=8, length=8)
    with pytest.raises(ValueError, match="unseen=0"):
        replace(BASE, unseen=0).questions()
