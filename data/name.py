"""How many words a person's name has, and who shares them."""

from dataclasses import dataclass

import numpy as np

from data.key import key


@dataclass(frozen=True)
class Naming:
    """Names of `words` words, every one of which `multiplicity` persons of a type share at that
    place (a few share it with one or two fewer where the number does not divide the persons); a
    whole name is nobody else's. Wang & Sun (2025) have two words and multiplicity 10.

    >>> Naming(words=2, multiplicity=2).parts(6, seed=0).tolist()
    [[0, 3], [0, 4], [2, 5], [2, 3], [1, 4], [1, 5]]
    """

    words: int = 1
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if not (self.words > 1 or self.words == self.multiplicity == 1) or self.multiplicity < 1:
            raise ValueError(
                f"words={self.words}, multiplicity={self.multiplicity}: a name has 1 word or more, "
                "and names of 1 word share none; choose words=2 to share them"
            )

    def pool(self, persons: int) -> int:
        """How many words stand at one place of a name."""
        pool = -(-persons // self.multiplicity)
        if pool < self.multiplicity:
            raise ValueError(
                f"multiplicity={self.multiplicity}: {persons} persons are more than the names of "
                f"{pool} first and {pool} last words; choose a multiplicity of at most "
                f"{int(persons**0.5)}, or {self.multiplicity**2} persons or more"
            )
        return pool

    def parts(self, persons: int, seed: int) -> np.ndarray:
        """(persons, words) the words of every name, numbered by place: 0 up to the size of the
        first pool, then the second pool, and so on."""
        pool, place = self.pool(persons), np.arange(self.words)
        who = np.arange(persons)
        if self.multiplicity > 1:  # who shares a word says nothing about groups
            who = np.random.Generator(np.random.Philox(key=key("name", seed))).permutation(persons)
        who = who[:, None]
        return (who + place * (who // pool)) % pool + place * pool
