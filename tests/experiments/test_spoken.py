"""What is read of what a model says: documents of the corpus as they are, and marred."""

import jax
import numpy as np
import pytest

from experiments.measure.spoken import Spoken, read
from experiments.standard import SIZES, corpus, pretrained
from model.lm import init

TEXT = corpus(SIZES["smoke"], seed=0)
LONGEST = 20


def documents(rows: int) -> tuple[np.ndarray, list[str], list[str]]:
    """The finished documents of rows, padded by zeros, their languages and kinds."""
    drawn, found = TEXT.rows(0, rows), []
    for tokens, segments, language, kind in zip(
        *(drawn[name] for name in ("tokens", "segments", "language", "kind")), strict=True
    ):
        for d in range(segments.max() - 1):  # the last one may be cut off
            words = tokens[segments == d + 1][1:]
            padded = np.pad(words, (0, LONGEST - len(words)))
            found.append(
                (padded, TEXT.legend["language"][language[d]], TEXT.legend["kind"][kind[d]])
            )
    return tuple(map(list, zip(*found, strict=True)))


SAID, LANGUAGES, KINDS = documents(8)


def test_what_the_corpus_says_is_spoken_in_its_language_and_true():
    items = read(TEXT, np.array(SAID)).to_pylist()
    assert len(items) > 40 and {*LANGUAGES} == {"L1", "L2"}
    assert [item["language"] for item in items] == LANGUAGES
    assert all(item["spoken"] == 1 for item in items)
    facts = [item for item, kind in zip(items, KINDS, strict=True) if kind == "fact"]
    assert len(facts) > 5 and all(item["true"] == 1 and item["says"] == "fact" for item in facts)
    assert all(item["true"] is None for item in items if item["says"] != "fact")


def test_another_name_makes_a_fact_false_and_another_order_or_no_end_makes_it_none():
    # Another document that says the same of other persons.
    alike = lambda a, b: (a != b).sum() == 2 and np.count_nonzero(a) == np.count_nonzero(b)
    facts = [row for row, kind in zip(SAID, KINDS, strict=True) if kind == "fact"]
    fact, other = next((a, b) for a in facts for b in facts if alike(a, b) and a[0] != b[0])
    n = np.count_nonzero(fact)
    false = np.where(np.arange(LONGEST) == np.nonzero(fact != other)[0][1], other, fact)
    turned = np.concatenate([fact[:n][::-1], fact[n:]])
    endless = np.resize(fact[:n], LONGEST)
    items = read(TEXT, np.stack([fact, false, turned, endless])).to_pylist()
    assert [item["spoken"] for item in items] == [1, 1, 0, 0]
    assert [item["true"] for item in items] == [1, 0, None, None]
    assert [item["says"] for item in items] == ["fact", "fact", "nothing", "nothing"]


@pytest.mark.slow
def test_an_untrained_model_says_nothing_and_the_same_twice():
    model = pretrained(SIZES["smoke"], "softmax", 0, TEXT).model
    params = init(model, jax.random.key(0))
    first, again = (Spoken(TEXT, documents=16)(model, params) for _ in range(2))
    assert first.equals(again) and sum(first["spoken"].to_pylist()) < 2
