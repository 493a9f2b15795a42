"""Recall of facts by completion: exact match, log-odds and rank against entities of the type."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.fact import facts
from data.probe import Probe, padded
from experiments import figure, report, stats
from experiments.measure.score import answer_logprobs, decoded, next_logprobs, table
from model.lm import LM

CELLS = tuple((language, way) for language in ("L1", "L2") for way in ("forward", "reverse"))
CELL = ("relation", "group", "names", "language", "direction")
METRICS = {
    # column: name, chance, limits of the axis
    "exact": ("exact match", None, (-0.05, 1.05)),
    "log_odds": ("log-odds, nats", 0.0, None),
    "rank": ("rank (0 best)", 0.5, (-0.05, 1.05)),
}


@dataclasses.dataclass(frozen=True)
class Recall:
    """Asks every fact of `corpus`, or those of `groups`, in every language and direction, stated
    there or not, worded by any `template`.

    Columns: the probe's slices; prompt, gold, answer as text; and the metrics
      exact      1 if the decoded answer is the gold one and then ends, else 0
      log_odds   log p(gold) - mean log p(others), nats; chance 0
      rank       share of the others more probable than the gold answer; best 0, chance .5
    The others are the answers of the same relation, group, names, language and direction: entities
    of one type that training said as often, in the same places (a city belongs to no group: of all
    its language). Any others would differ in how common they are, and a model that knows nothing
    would not be at 0. Exact match competes with the whole vocabulary; alone it hides everything
    near zero, where an intervention may move the gold answer by nats and by not one exact match.
    """

    corpus: Corpus
    groups: tuple[str, ...] | None = None
    template: int = 0

    @property
    def probe(self) -> Probe:
        return facts(self.corpus, groups=self.groups, template=self.template)

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe, tokenizer = self.probe, self.corpus.tokenizer
        said = decoded(cfg, params, probe.prompts, probe.lengths, probe.answers.shape[1] + 1)
        right = np.pad(probe.answers, ((0, 0), (0, 1)))
        log_odds, rank = against_the_others(cfg, params, probe, _cells_of(probe))
        exact = (said == right).all(1)
        return table(probe, tokenizer, said, exact=exact, log_odds=log_odds, rank=rank)


@dataclasses.dataclass(frozen=True)
class Denoised(Recall):
    """The same where every prompt is read twice, as train/denoise.py trains: with the answer blank,
    and then up to it. `mask` is the token of a blank; there are as many as the answer has tokens.
    """

    mask: int = 1

    @property
    def probe(self) -> Probe:
        plain = super().probe
        own = lambda row, length: row[len(row) - length :].tolist()
        rows = [
            [*own(row, length), *[self.mask] * int((answer != 0).sum()), *own(row, length)]
            for row, length, answer in zip(plain.prompts, plain.lengths, plain.answers, strict=True)
        ]
        lengths = np.array([len(row) for row in rows])
        return dataclasses.replace(plain, prompts=padded(rows, left=True), lengths=lengths)


def _cells_of(probe: Probe) -> np.ndarray:
    """(N, CELL) what is compared with what: a city belongs to no group."""
    cells = np.stack([probe.slices[column].astype(str) for column in CELL], 1)
    grouped = [column in ("group", "names") for column in CELL]
    cells[np.ix_(probe.slices["relation"] == "home", grouped)] = "any"
    return cells


def against_the_others(
    cfg: LM, params: dict, probe: Probe, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and rank (N,) of each gold answer among the distinct answers of its own cell, a row
    of `cells` (N, columns)."""
    first = next_logprobs(cfg, params, probe.prompts, probe.lengths)
    log_odds, rank = np.zeros(len(first)), np.zeros(len(first))
    for cell in np.unique(cells, axis=0):
        asked = np.flatnonzero((cells == cell).all(1))
        answers, gold = np.unique(probe.answers[asked], axis=0, return_inverse=True)
        others = len(answers) - 1
        if not others:
            raise ValueError(f"{cell.tolist()} has one answer only; nothing to compare it with: "
                             "choose a larger world")  # fmt: skip
        found = scores(cfg, params, probe, asked, answers, first)
        own = found[np.arange(len(asked)), gold.ravel()]
        log_odds[asked] = own - (found.sum(1) - own) / others
        # Ties count half; the gold answer ties with itself.
        above, level = found > own[:, None], found == own[:, None]
        rank[asked] = (above.sum(1) + (level.sum(1) - 1) / 2) / others
    return log_odds, rank


def scores(cfg: LM, params: dict, probe: Probe, asked, answers, first) -> np.ndarray:
    """(N, C) log-probability of each answer (C, A) after each prompt `asked` (N), a row of the
    probe; `first` (all rows, W): of the token after each."""
    if answers.shape[1] == 1:
        return first[asked][:, answers[:, 0]]
    prompts, lengths = probe.prompts[asked], probe.lengths[asked]
    columns = [
        answer_logprobs(cfg, params, prompts, lengths, np.tile(answer, (len(asked), 1)))
        for answer in answers
    ]
    return np.stack(columns, 1)


def asked(group: str, language: str, way: str, **more: object) -> dict[str, object]:
    """The items of recall of a group's pairs, asked in a language and a direction."""
    return {"measure": "recall", "relation": "parent", "group": group, "language": language,
            "direction": way} | more  # fmt: skip


def above_chance(means: np.ndarray) -> np.ndarray:
    """How far the mean rank of an arm is better than chance: (draws, 1) -> (draws,), at best .5."""
    return 0.5 - means[:, 0]


def coverage(items: pa.Table, title: str) -> list[report.Section]:
    """Recall of every coverage group in every cell: seeds as dots, then the means as numbers."""
    cells = _cells(items)
    note = (
        "Rows are coverage groups, by whether the pair's names are shared between the languages. "
        "Filled: pretraining stated the cell; hollow: it never did. One dot a seed, bar their mean."
    )
    found = []
    for metric, (name, chance, limits) in METRICS.items():
        panels = {
            " ".join(cell): {row: (own[metric], own["stated"]) for row, own in rows.items()}
            for cell, rows in cells.items()
        }
        body = figure.dots(panels, name, chance, limits)
        found.append(report.Section(f"{title}: recall by coverage group, {name}", note, body))
    kinds = len(pc.unique(items["fact"]))
    note = (
        "Exact match, log-odds against the other answers of the cell (nats), rank among them; "
        f"means over seeds. ● stated, ○ not. Chance: EM {1 / kinds:.1%}, log-odds 0, rank .5."
    )
    table = [
        {"group, names": row} | {" ".join(cell): _numbers(own[row]) for cell, own in cells.items()}
        for row in next(iter(cells.values()))
    ]
    return [*found, report.Section(f"{title}: the same in numbers", note, report.table(table))]


def _cells(items: pa.Table) -> dict[tuple[str, str], dict[str, dict]]:
    """(language, direction) -> "group names" -> metric -> means by seed, and whether stated."""
    by = ["language", "direction", "group", "names", "stated", "seed"]
    means = items.group_by(by).aggregate([(metric, "mean") for metric in METRICS])
    down = {"names"}  # shared before own
    order = [(c, "descending" if c in down else "ascending") for c in by]
    cells = {cell: {} for cell in CELLS}
    for row in means.sort_by(order).to_pylist():
        cell, name = (row["language"], row["direction"]), f"{row['group']} {row['names']}"
        own = cells[cell].setdefault(name, {"stated": row["stated"] == "yes"})
        for metric in METRICS:
            own.setdefault(metric, []).append(row[f"{metric}_mean"])
    return cells


def _numbers(cell: dict) -> str:
    exact, log_odds, rank = (np.mean(cell[metric]) for metric in METRICS)
    return f"{'●' if cell['stated'] else '○'} {exact:.2f} {log_odds:+.1f} {rank:.2f}"


def exposures(results: report.Results, by: str = "group", **facts: str) -> report.Section:
    """Exposures of a fact in training, by group (or arm) and cell: means over seeds and those
    `facts` whose columns equal the given values. Mixers read the same text; the first one's."""
    ledger = stats.where(results.ledger, mixer=results.items["mixer"][0].as_py(), **facts)
    rows, seeds = pc.unique(ledger[by]).to_pylist(), len(pc.unique(ledger["seed"]))
    facts = ledger.group_by([by]).aggregate([("fact", "count_distinct")]).to_pylist()
    each = {row[by]: row["fact_count_distinct"] for row in facts}
    counts = np.zeros((len(rows), len(CELLS)))
    cells = ledger.group_by([by, "language", "direction"]).aggregate([("exposures", "sum")])
    for row in cells.to_pylist():
        place = rows.index(row[by]), CELLS.index((row["language"], row["direction"]))
        counts[place] = row["exposures_sum"] / each[row[by]] / seeds
    note = (
        f"How often training states one fact, by {by} and cell: means over {min(each.values())} "
        f"facts and {seeds} seeds. A 0 is a held-out cell; `python -m data.preview` proves it by a "
        "search of the rendered tokens."
    )
    body = figure.heat(counts, rows, [" ".join(cell) for cell in CELLS], "")
    return report.Section("Ledger of exposures", note, body)
