"""Do two languages rank the same answers alike? RankC, independent of which of them is right."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.fact import facts
from data.probe import Probe
from experiments.measure.recall import scores
from experiments.measure.score import next_logprobs
from model.lm import LM

CELL = ("relation", "group", "names", "direction")


@dataclasses.dataclass(frozen=True)
class Consistency:
    """Asks every fact of an invertible relation in the first two languages, against the same
    candidates: the answers of its relation, group, names and direction. One row a fact.

    Columns: fact, relation, group, names, direction, the text of both prompts, and the metrics
      rankc   rank-weighted overlap of the two candidate lists (Qi et al. 2023, section 3); best 1
      chance  of `rankc` between two random orders of so many candidates
      same    1 if both languages put the same candidate first
      right   1 if both put the gold answer first
    """

    corpus: Corpus

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe, tokenizer = facts(self.corpus), self.corpus.tokenizer
        first = next_logprobs(cfg, params, probe.prompts, probe.lengths)
        found = []
        for cell, rows in cells(self.corpus, probe):
            ranked = [
                ranks(scores(cfg, params, probe, asked, probe.answers[asked], first))
                for asked in rows
            ]
            best = [ranks.argmin(1) for ranks in ranked]
            overlap, own = rankc(*ranked), np.arange(len(rows[0]))
            for i, fact in enumerate(probe.slices["fact"][rows[0]].tolist()):
                said = [probe.prompts[asked[i]] for asked in rows]
                prompt = " / ".join(tokenizer.decode(ids[ids != 0]) for ids in said)
                found.append(
                    dict(zip(CELL, cell, strict=True))
                    | dict(fact=fact, prompt=prompt, rankc=overlap[i], chance=chance(len(own)))
                    | dict(
                        same=float(best[0][i] == best[1][i]),
                        right=float(best[0][i] == best[1][i] == i),
                    )
                )
        return pa.Table.from_pylist(found)


def cells(corpus: Corpus, probe: Probe) -> Iterator[tuple[tuple, list[np.ndarray]]]:
    """The facts of invertible relations by CELL, as rows of the probe: one list a language, in the
    same order of facts."""
    invertible = [r.name for r in corpus.world.relations if r.invertible]
    known = np.isin(probe.slices["relation"], invertible)
    columns = np.stack([probe.slices[name].astype(str) for name in CELL], 1)
    for cell in np.unique(columns[known], axis=0):
        mine = (columns == cell).all(1)
        rows = [
            np.flatnonzero(mine & (probe.slices["language"] == language))
            for language in corpus.pair.names[:2]
        ]
        if len(rows[0]) < 2:
            raise ValueError(f"{cell.tolist()} has one fact only; nothing to compare it with: "
                             "choose a larger world")  # fmt: skip
        yield tuple(cell.tolist()), rows


def ranks(scores: np.ndarray) -> np.ndarray:
    """(N, C) the rank of every candidate, 0 the best."""
    return np.argsort(np.argsort(-scores, 1, kind="stable"), 1)


def rankc(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """RankC (N) of two rankings (N, C): sum over j of w_j P@j, where P@j is the share of the first
    j candidates of one list that are among the first j of the other, and w_j ~ e^-j.

    >>> order = np.array([[0, 1, 2]])
    >>> rankc(order, order), rankc(order, order[:, ::-1]).round(3)
    (array([1.]), array([0.212]))
    """
    count = one.shape[1]
    both = np.maximum(one, two)  # the candidate is among the first j of both from here on
    within = np.apply_along_axis(lambda m: np.bincount(m, minlength=count), 1, both).cumsum(1)
    return within / np.arange(1, count + 1) @ _weights(count)


def chance(count: int) -> float:
    """RankC of random orders: of the first j, j/C are expected among the other's first j."""
    return float(np.arange(1, count + 1) / count @ _weights(count))


def _weights(count: int) -> np.ndarray:
    weight = np.exp(-np.arange(count, dtype=float))
    return weight / weight.sum()
