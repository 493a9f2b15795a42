"""Products are right, pairs uniform, and the stated entropies are those of the rows."""

import collections
import hashlib

import numpy as np
import pytest

from data.product import Product
from data.reorder import ReverseTokens
from data.transform import Transformed

PRODUCT = Product(limit=50, T=48)


def texts(corpus, rows: int) -> list[str]:
    found = []
    for i in range(rows):
        row = corpus.row(i)
        for m in range(row["segments"].max()):
            found.append(corpus.tokenizer.decode(row["tokens"][row["segments"] == m + 1])[6:])
    return [text.replace(" ", "") for text in found]


def prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, n))


def test_every_document_is_a_product_of_two_primes_its_last_digit_first():
    for text in texts(PRODUCT, 200):
        factors, product = text.split("=")
        p, q = map(int, factors.split("×"))
        assert prime(p) and prime(q) and p < q < 50
        assert product == f"{p * q:04d}"[::-1] and len(factors) == 5


def test_pairs_are_all_there_and_uniform():
    assert len(PRODUCT.factors) == 15 * 14 // 2
    rows = PRODUCT.rows(0, 4000)
    counts = collections.Counter(zip(rows["p"].ravel(), rows["q"].ravel(), strict=True))
    assert set(counts) == {(p, q) for p, q in PRODUCT.factors.tolist()}
    expected = rows["p"].size / 105
    assert max(abs(n - expected) for n in counts.values()) < 6 * np.sqrt(expected)


@pytest.mark.parametrize("backward", [False, True])
def test_the_entropies_are_those_of_the_tokens_given_all_before(backward):
    documents = [
        "".join(f"{p:02d}×{q:02d}=" + f"{p * q:04d}"[::-1])[:: -1 if backward else 1]
        for p, q in PRODUCT.factors.tolist()
    ]
    for j, stated in enumerate(PRODUCT.entropies(backward)):
        prefixes = collections.Counter(text[:j] for text in documents)
        longer = collections.Counter(text[: j + 1] for text in documents)
        nats = -sum(n / 105 * np.log(n / prefixes[text[:j]]) for text, n in longer.items())
        assert abs(nats - stated) < 1e-9


def test_both_directions_have_the_same_best_loss_in_different_places():
    forward, backward = PRODUCT.entropies(), PRODUCT.entropies(backward=True)
    assert len(forward) == PRODUCT.length - 1
    for entropies in (forward, backward):
        assert abs(entropies.sum() - np.log(105)) < 1e-9 and entropies.min() > -1e-12
    assert abs(forward[5:]).max() < 1e-9, "the product is known from its factors"
    assert abs(backward[4:]).max() < 1e-9, "the factors are known from their product"


def test_backward_is_the_same_stream_read_from_its_end():
    backward = Transformed(PRODUCT, ReverseTokens(), share=1)
    assert texts(backward, 30) == [text[::-1] for text in texts(PRODUCT, 30)]


def test_any_row_is_the_same_on_every_machine_and_release():
    rows = Product().rows(1000, 1064)
    for name, value in Product().row(1007).items():
        np.testing.assert_array_equal(value, rows[name][7])
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "89ae1ffce9606a9a"


def test_impossible_products_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="choose a limit from 4"):
        Product(limit=3)
    with pytest.raises(ValueError, match="choose T=15 or more"):
        Product(limit=1000, T=14)
