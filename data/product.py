"""Products of primes, for the arrow of time (after Papadopoulos et al. 2024, 2401.17505).

A document says `p × q = n` for primes p < q, in decimal digits; factors have as many digits as the
limit asks for, the product twice as many and the last of them first, as one multiplies by hand. The
pair is drawn uniformly from all N of them. Forward, a model multiplies; backward (the same document
read from its end, `Transformed(Product(), ReverseTokens(), share=1)`) it has to factorise.

The best loss of a document is the same in both directions, ln N nats, since what is said has the
same probability whatever is read first. Forward all of it is in the factors and nothing in the
product; backward all of it is in the product and nothing in the factors, because a product of two
primes has only these. `entropies` gives it token by token. So whatever a trained model loses more
backward than forward is what it could not compute: the arrow of time.
"""

import functools
from dataclasses import dataclass

import numpy as np

from data.draw import below, stretch
from data.key import key
from data.pack import lay
from data.stream import Documented
from data.tokenizer import Word

TIMES, EQUALS = 11, 12  # the digits are tokens 1 to 10


@dataclass(frozen=True)
class Product(Documented):
    """Rows of T tokens of products of two primes below `limit`.

    >>> product = Product(limit=100, T=24)
    >>> product.tokenizer.decode(product.row(0)["tokens"])
    '<doc> 1 9 × 4 1 = 9 7 7 0 <doc> 7 1 × 8 3 = 3 9 8 5 <doc> <doc>'
    >>> len(product.factors), float(product.entropies().sum().round(4)), float(np.log(300).round(4))
    (300, 5.7038, 5.7038)
    """

    limit: int = 1000
    T: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        key("product", self.seed)  # checks it
        if not 4 <= self.limit <= 20_000:
            raise ValueError(
                f"limit={self.limit}: below 4 there are no two primes, and above 20000 too many to "
                "enumerate; choose a limit from 4 to 20000"
            )
        if self.length > self.T:
            raise ValueError(
                f"T={self.T} is shorter than a document, {self.length} tokens; choose T="
                f"{self.length} or more"
            )

    @functools.cached_property
    def tokenizer(self) -> Word:
        return Word((*"0123456789", "×", "="))

    @property
    def legend(self) -> dict[str, tuple[str, ...]]:
        return {}

    @property
    def digits(self) -> int:
        """Of a factor."""
        return len(str(self.limit - 1))

    @property
    def length(self) -> int:
        """Tokens of a document, <doc> among them."""
        return 4 * self.digits + 3

    @functools.cached_property
    def factors(self) -> np.ndarray:
        """(N, 2) all pairs p < q."""
        sieve = np.ones(self.limit, bool)
        sieve[:2] = False
        for d in range(2, int(self.limit**0.5) + 1):
            sieve[d * d :: d] = False
        primes = np.flatnonzero(sieve)
        return primes[np.stack(np.triu_indices(len(primes), 1), 1)]

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows start..stop: tokens, weights, segments (B, T), and the factors `p`, `q` (B, M)."""
        said = self.provenance(start, stop)
        return lay(self._documents(said["p"], said["q"]), self.T)[0] | said

    def provenance(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The factors of every document."""
        u = stretch("product", self.seed, start, stop, self.T // self.length)
        p, q = np.moveaxis(self.factors[below(u, len(self.factors))], -1, 0).astype(np.int32)
        return dict(p=p, q=q)

    def entropies(self, backward: bool = False) -> np.ndarray:
        """(length - 1) nats that the best predictor loses on each token after <doc>, in the order
        in which they are read: H(token | before), exactly, over all pairs."""
        documents = self._documents(*self.factors.T)[:, 1:]
        seen, known, found = np.zeros(len(documents), np.int64), 0.0, []
        for token in (documents[:, ::-1] if backward else documents).T:
            _, seen, count = np.unique(seen * 16 + token, return_inverse=True, return_counts=True)
            share = count / count.sum()
            found.append(-(share * np.log(share)).sum() - known)
            known += found[-1]
        return np.array(found)

    def _documents(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """The tokens (..., length)."""
        one = lambda token: np.full((*p.shape, 1), token)
        written = lambda n, digits: n[..., None] // 10 ** np.arange(digits)[::-1] % 10 + 1
        product = written(p.astype(np.int64) * q, 2 * self.digits)[..., ::-1]
        first, second = written(p, self.digits), written(q, self.digits)
        return np.concatenate([one(0), first, one(TIMES), second, one(EQUALS), product], -1)
