"""Keys of the counter-based generator (Philox 4x64, Salmon et al. 2011): one stream a purpose and
seed, so that no two things are drawn from the same numbers."""

# A purpose is its place here: new ones go to the end.
PURPOSES = ("world", "lexicon", "corpus", "probe", "text", "transform", "replay", "biography",
            "rewrite", "recall", "product", "pairs", "name", "preference", "exam")  # fmt: skip


def key(purpose: str, seed: int) -> int:
    """The 128-bit key: the seed below, the purpose above.

    >>> key("lexicon", 7) == 2**64 + 7
    True
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed={seed} is not from 0 to 2**64 - 1; choose one that is")
    return PURPOSES.index(purpose) << 64 | seed
