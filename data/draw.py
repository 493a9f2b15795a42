"""Random numbers by their address: row i reads its own stretch of one Philox stream (Salmon et al.
2011), so that rows come in any order and on any machine alike."""

import numpy as np

from data.key import key

_STEP = 8  # 32-bit numbers that one step of the Philox counter yields


def stretch(purpose: str, seed: int, start: int, stop: int, width: int) -> np.ndarray:
    """`width` uniform 32-bit numbers of each of rows start..stop: (stop - start, width) uint32.

    >>> stretch("pairs", 0, 3, 5, 2)[1].tolist() == stretch("pairs", 0, 4, 5, 2)[0].tolist()
    True
    """
    if not 0 <= start <= stop:
        raise ValueError(f"rows {start}..{stop} are no range; choose 0 <= start <= stop")
    steps = -(-width // _STEP)
    stream = np.random.Philox(counter=start * steps, key=key(purpose, seed))
    raw = stream.random_raw((stop - start) * steps * _STEP // 2).astype("<u8", copy=False)
    return raw.view("<u4").reshape(-1, steps * _STEP)[:, :width]


def below(u: np.ndarray, n: int | np.ndarray) -> np.ndarray:
    """Uniform numbers from 0 to n - 1, from 32-bit ones (Lemire 2019, without the rejection)."""
    return (u * np.asarray(n).astype(np.uint64) >> np.uint64(32)).astype(np.int64)


def chance(u: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """True with probability `share`."""
    return u < np.asarray(share) * 2.0**32


def distinct(u: np.ndarray, n: int) -> np.ndarray:
    """K different numbers below n, in random order, from (B, 2K) 32-bit numbers: a random subset
    (Floyd, in Bentley 1987), then shuffled."""
    K = u.shape[1] // 2
    found = np.empty((len(u), K), np.int64)
    for k, last in enumerate(range(n - K, n)):
        drawn = below(u[:, k], last + 1)
        taken = (found[:, :k] == drawn[:, None]).any(1)
        found[:, k] = np.where(taken, last, drawn)
    return np.take_along_axis(found, u[:, K:].argsort(1), 1)


def hashed(*parts: int | np.ndarray) -> np.ndarray:
    """A pseudo-random 32-bit number, as uint64, for every tuple of numbers: what is fixed about
    each of a million items, without a table of them (splitmix64, Steele et al. 2014).

    >>> hashed(7, np.arange(3)).tolist()
    [3098854039, 669559937, 3755361617]
    """
    code = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            code = _mixed(code + np.asarray(part).astype(np.uint64) + _GOLDEN)
    return code >> np.uint64(32)


class Draws:
    """Uniform numbers for N documents, from splitmix64 with a seed (N) each: what one document
    draws is no function of how many are drawn beside it.

    >>> Draws(np.array([1, 2, 1])).below(100).tolist()
    [56, 59, 56]
    """

    def __init__(self, seed: np.ndarray) -> None:
        self.state = seed.astype(np.uint64)

    def __len__(self) -> int:
        return len(self.state)

    def below(self, n: int | np.ndarray) -> np.ndarray:
        """(N) integers from 0 to n - 1."""
        return self.rows(n, 1)[0]

    def rows(self, n: int | np.ndarray, count: int) -> np.ndarray:
        """(count, N) integers from 0 to n - 1: what `below` draws, so many times; n may differ by
        row (count, 1)."""
        states = self.state + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)[:, None]
        self.state = states[-1]
        return below(_mixed(states) >> np.uint64(32), n)

    def distinct(self, count: int, n: int | np.ndarray) -> np.ndarray:
        """(count, N) different integers from 0 to n - 1, in any order."""
        return stepped(self.rows(n - np.arange(count)[:, None], count))


def stepped(args: np.ndarray) -> np.ndarray:
    """Different numbers along axis -2, in place: the k-th, drawn from the n - k that are left, is
    stepped over the smaller ones that are taken."""
    taken = [args[..., 0, :]]  # in rising order
    for k in range(1, args.shape[-2]):
        new = args[..., k, :]
        for smaller in taken:
            new += new >= smaller
        for i, smaller in enumerate(taken):
            taken[i], new = np.minimum(smaller, new), np.maximum(smaller, new)
        taken.append(new)
    return args


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(code: np.ndarray) -> np.ndarray:
    """The output function of splitmix64."""
    code = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return code ^ (code >> np.uint64(31))
