"""Documents read twice: what is blank, what counts, what stays the data's."""

import dataclasses

import numpy as np
import pytest

from train.denoise import MLMU, PrefixLM

T, MASK = 40, 99


def batch(B=64):
    draw = np.random.default_rng(0)
    lengths = np.array([7, 12, 1, 15])  # and five of padding
    segments = np.repeat([1, 2, 3, 4, 0], [*lengths, T - lengths.sum()])
    tokens = draw.integers(1, 50, (B, T)).astype(np.int32)
    tokens[:, [0, 7, 19, 20]] = 0
    weights = draw.choice([0.0, 0.5, 1.0], (B, T)).astype(np.float32)
    segments = np.tile(segments, (B, 1)).astype(np.int32)
    return {"tokens": tokens, "weights": weights, "segments": segments}


def readings(rows, b):
    """(blanked, whole, weights of the first, weights of the second) of each document of row b."""
    for segment in (1, 2, 3, 4):
        own = rows["segments"][b] == segment
        tokens, weights = rows["tokens"][b][own], rows["weights"][b][own]
        half = len(tokens) // 2
        yield tokens[:half], tokens[half:], weights[:half], weights[half:]


@pytest.mark.parametrize("objective", [MLMU(mask=MASK), PrefixLM(mask=MASK)], ids=repr)
def test_a_document_is_read_with_its_blanks_and_then_whole(objective):
    given = batch()
    rows = objective.rows(given, 3)
    assert rows["tokens"].shape == (64, 2 * T)
    for b in range(64):
        said = [given["tokens"][b][given["segments"][b] == s] for s in (1, 2, 3, 4)]
        weights = [given["weights"][b][given["segments"][b] == s] for s in (1, 2, 3, 4)]
        found = readings(rows, b)
        for text, weight, (blanked, whole, first, second) in zip(said, weights, found, strict=True):
            blank = blanked == MASK
            np.testing.assert_array_equal(whole, text)
            np.testing.assert_array_equal(blanked[~blank], text[~blank])
            assert not blank[0], "a document's begin is given"
            assert first[0] == weight[0] and not first[1:].any()
            np.testing.assert_array_equal(second, weight * blank)
    assert (rows["segments"][:, 70:] == 0).all()


@pytest.mark.parametrize("objective", [MLMU(mask=MASK), PrefixLM(mask=MASK)], ids=repr)
def test_the_end_of_every_document_is_asked_once_also_in_padding(objective):
    """Where it is not, a model never stops."""
    given = batch()
    given["tokens"][:, 35:] = 0
    given["weights"][:] = np.isin(np.arange(T), [0, 7, 19, 20, 35])  # of padding the first token
    rows = objective.rows(given, 3)
    ends = [14, 38, 40, 70]  # after the second reading of each of the four
    assert np.flatnonzero(rows["weights"].any(0)).tolist() == [0, *ends]
    assert (rows["weights"][:, ends] == 1).all() and (rows["tokens"][:, ends] == 0).all()


def test_the_share_of_blanks_is_uniform():
    shares = []
    for t in range(20):
        rows = MLMU(mask=MASK).rows(batch(), t)
        shares += [(list(readings(rows, b))[3][0][1:] == MASK).mean() for b in range(64)]
    counts, _ = np.histogram(shares, 5, (0, 1))
    assert (np.abs(counts / len(shares) - 0.2) < 0.05).all(), counts


def test_what_is_blank_of_a_prefix_is_its_continuation():
    cuts = []
    for t in range(4):
        rows = PrefixLM(mask=MASK).rows(batch(), t)
        for b in range(64):
            blank = list(readings(rows, b))[3][0] == MASK
            cuts.append(int(np.argmax(blank)))
            assert blank[cuts[-1] :].all() and not blank[: cuts[-1]].any()
    assert set(cuts) == set(range(1, 15)), "every place, the last token at least"


def test_blanks_are_a_function_of_seed_and_step():
    own = MLMU(mask=MASK)
    same = lambda a, b: (a["tokens"] == b["tokens"]).all()
    assert same(own.rows(batch(), 4), own.rows(batch(), 4))
    assert not same(own.rows(batch(), 4), own.rows(batch(), 5))
    assert not same(own.rows(batch(), 4), dataclasses.replace(own, seed=1).rows(batch(), 4))


def test_a_mask_that_begins_documents_is_refused():
    with pytest.raises(ValueError, match="mask=0 and seed=0"):
        MLMU(mask=0)
