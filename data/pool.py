"""The words of biographies (data/biography.py): pools of names and values, and templates."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.lexicon import Phonology

ATTRIBUTES = ("birth date", "birth city", "university", "major", "company", "company city")
VALUES = np.array([3, 1, 1, 1, 1, 1])  # words of a value: a date has a month, a day and a year
WORDS = 3  # most words of a template; template k has k % 3 + 1


@dataclass(frozen=True)
class Pools:
    """How many there are to choose from; the defaults are those of bioS. There are always 12 months
    of 28 days."""

    first: int = 400
    middle: int = 400
    last: int = 1000
    years: int = 200
    cities: int = 200
    universities: int = 300
    majors: int = 100
    companies: int = 263

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1:
            raise ValueError(f"{self}: a pool is empty; choose 1 or more of each")

    @property
    def names(self) -> int:
        return self.first * self.middle * self.last


class Vocabulary(NamedTuple):
    """Every word, and where words begin that are meant; languages are the first axis."""

    words: tuple[str, ...]  # <doc> is the first
    names: tuple[int, int, int]
    days: int
    years: int
    stop: int
    question: int
    pronouns: np.ndarray  # (2, 2)
    asks: np.ndarray  # (2, attributes)
    values: np.ndarray  # (2, attributes) the first value, of a birth date the first month
    said: np.ndarray  # (2, attributes, templates, WORDS), -1 where a template has fewer words


@functools.lru_cache(maxsize=16)
def vocabulary(pools: Pools, templates: int, seed: int) -> Vocabulary:
    """Names, days, years and marks are shared; everything else is each language's own."""
    counts = np.arange(templates) % WORDS + 1
    own = (2, len(ATTRIBUTES), 12, pools.cities, pools.universities, pools.majors, pools.companies)
    size = sum(own) + len(ATTRIBUTES) * int(counts.sum())
    people = pools.first + pools.middle + pools.last
    spoken = Phonology().words(people + 2 * size, seed)
    years = range(1900, 1900 + pools.years)
    shared = [*(w.capitalize() for w in spoken[:people]), *map(str, range(1, 29)),
              *map(str, years), ".", "?"]  # fmt: skip
    begin = 1 + len(shared) + size * np.arange(2)[:, None] + np.cumsum((0, *own))
    pronouns, asks, month, city, university, major, company, first = begin.T
    said = np.full((2, len(ATTRIBUTES), templates, WORDS), -1)
    there = np.broadcast_to(np.arange(WORDS) < counts[:, None], said.shape[1:])
    for language in (0, 1):
        said[language][there] = first[language] + np.arange(there.sum())
    return Vocabulary(
        words=("<doc>", *shared, *spoken[people:]),
        names=(1, 1 + pools.first, 1 + pools.first + pools.middle),
        days=1 + people,
        years=1 + people + 28,
        stop=len(shared) - 1,
        question=len(shared),
        pronouns=pronouns[:, None] + np.arange(2),
        asks=asks[:, None] + np.arange(len(ATTRIBUTES)),
        values=np.stack([month, city, university, major, company, city], 1),
        said=said,
    )
