"""What heals the reversal curse, and at what price: eight remedies at matched compute and data.

Question  A model that has learnt "the R of x is y" does not know "the R' of y is x". Which change
          of the data, or of the objective, teaches it, and what does it cost forward recall and the
          language model? Published remedies are compared on one world and one model.

Design    A base with the curse (the standard corpus of pairs alone; names of persons have two
          words, so that reversing words and reversing entities differ) is trained further, on
          documents four fifths of which state facts. Every arm starts there, with one recipe and
          the same documents:
            none       the documents as they are
            words      reversed word by word (Golovneva et al. 2024, 2403.13799, as are the next
                       two); a word is a token here, so this is their reversal of tokens too
            entities   reversed, the words of an entity in their order
            segments   random segments of 1 to 5 tokens in reverse order, [REV] between them
            permuted   semantic units reversed or in random order (SPT, Guo et al. 2024, 2403.00758)
            bridge     "the name of x is x" in place of a fact (2602.02470)
            swap       stated by the inverse relation: what the curse withholds, the ceiling
            MLM-U      masked at a uniform rate (Kitouni et al. 2024, 2406.05183)
            BICO-like  a prefix seen from both sides, the rest filled in (Lv et al. 2023,
                       2311.07468)
          Data arms say every row twice, as it is and with its facts changed. Matched in `compute`,
          they read as many rows as `none`, so half of its documents; matched in `data`, all of its
          documents, in twice the tokens. The objectives read every document twice
          (train/denoise.py: a causal mixer has no two-sided mask), at half the batch or at the
          whole. `none` at `data` reads twice as many documents: more of the same. W is equal in all
          arms, with room for [REV], the words for "name", and the blank.
          Two pitfalls. The form of the reversed question is known from facts stated both ways (G0,
          a claim). And a reversed document *states* the held-out direction, if in another order of
          words: the ledger counts it as an exposure of cells that the groups hold out, and the page
          shows how many. The bridge and the objectives have none; if they heal, it is not by
          stating the answer.

Measures  recall of G0, G1 (forward only) and G2 (forward in L1 only): exact match, log-odds among
          the answers of the cell, rank; for the objectives also `denoised`, asked as they are
          trained, the answer blank and then read up to. loss: nats a token of unseen plain rows.

Run       python -m experiments.run mitigation --size toy --seeds 5
Cost      toy: 2 CPU cores, 5 seeds, one mixer, 39 min beside other work; small: one GPU; full: 1.4B
          parameters, as in Golovneva et al. 2024

Result    2026-11-27, 0c48fd5, toy, 5 seeds, gla, 1 CPU core, 798 s.
          D2 gla: control, facts stated both ways (G0) are answered reversed after more of the same
            documents: 1.00 [1.00, 1.00] EM, reproduced.
          D2 gla: twice as many plain documents do not heal (margin 0.5 nat): 0.56 [-0.42, 1.64] nat
            log-odds, inconclusive.
          D2 gla: entities heals: reversed, entities minus none: 2.92 [1.92, 4.16] nat log-odds,
            reproduced.
          D2 gla: permuted heals: reversed, permuted minus none: 1.76 [0.76, 3.04] nat log-odds,
            inconclusive.
          D2 gla: bridge heals: reversed, bridge minus none: 0.25 [-0.69, 1.05] nat log-odds,
            inconclusive.
          D2 gla: MLM-U heals: reversed, MLM-U minus none: 0.20 [-0.74, 1.53] nat log-odds,
            inconclusive.
          D2 gla: BICO-like heals: reversed, BICO-like minus none: -0.06 [-1.34, 1.18] nat log-odds,
            inconclusive.
          D2 gla: names of two words: entities minus words, reversed: 0.12 [0.06, 0.25] EM,
            inconclusive.
          D2 gla: entities at matched compute costs forward recall nothing (G1, margin 0.05): 0.00
            [0.00, 0.00] EM, reproduced.
          D2 gla: nor the language model: loss on unseen stories, entities minus none (margin 0.05
            nat): 0.03 [0.02, 0.03] nat a token, reproduced.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.mixture import Mixture
from data.name import Naming
from data.reorder import Permute, ReverseEntities, ReverseSegments, ReverseWords
from data.restate import Bridge, Swap
from data.stream import Documented
from data.transform import Transformed
from data.world import RELATIONS
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure.loss import Loss
from experiments.measure.recall import Denoised, Recall, asked
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, Settings, mixers, pretrained, tuned
from train.denoise import MLMU, PrefixLM
from train.recipe import AdamW, Constant, Cosine, Recipe

ROWS = ("D2",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: 39 min beside other work",
    "small": "one GPU, not yet measured",
    "full": "1.4B parameters (Golovneva et al. 2024)",
}
DATA = {
    "words": ReverseWords(),
    "entities": ReverseEntities(),
    "segments": ReverseSegments(longest=5),
    "permuted": Permute(),
    "bridge": Bridge(),
    "swap": Swap(),
}
OBJECTIVES = {"MLM-U": MLMU, "BICO-like": PrefixLM}
ARMS = ("none", *DATA, *OBJECTIVES)
MATCHES = ("compute", "data")
CONTINUED = Mixture(facts=0.8, stories=0.15, quiz=0.05)
HEAL = {
    "smoke": Recipe(steps=4, batch=4, schedule=Constant()),
    "toy": Recipe(steps=100, batch=32, optimizer=AdamW(lr=1e-3), schedule=Cosine(warmup=20)),
    "small": Recipe(steps=3_000, batch=128, optimizer=AdamW(lr=3e-4)),
}
GROUPS = ("G0", "G1", "G2")
WAYS = ("forward", "reverse")
MORE = 2  # tokens that a remedy may add to the vocabulary


def corpus(size: standard.Size, seed: int) -> Corpus:
    """The standard corpus of pairs alone, with names of two words."""
    text = standard.corpus(size, seed)
    return dataclasses.replace(
        text,
        world=dataclasses.replace(text.world, relations=RELATIONS[:1]),
        pair=dataclasses.replace(text.pair, naming=Naming(words=2)),
    )


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, and from it each arm at matched compute and data."""
    size, recipe, found = SIZES[settings.size], HEAL[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        plain, mask = (Recall(text, GROUPS), Loss(text)), text.tokenizer.size
        denoised = (*plain, Denoised(text, GROUPS, mask=mask))
        base = pretrained(size, mixer, seed, text, plain, arm="base", match="none")
        base = dataclasses.replace(base, model=dataclasses.replace(base.model, W=mask + MORE))
        found.append(base)
        for arm, match in itertools.product(ARMS, MATCHES):
            measures = denoised if arm in OBJECTIVES else plain
            more = dict(text=healing(text, arm), recipe=matched(recipe, arm, match, mask))
            found.append(tuned(base, **more, measures=measures, arm=arm, match=match))
    return found


def preview() -> Corpus:
    """What `python -m data.preview mitigation` shows: what remedies change."""
    return corpus(SIZES["toy"], seed=0)


def healing(text: Corpus, arm: str) -> Documented:
    """What an arm trains on: the documents in rows, each row twice if an arm changes the data."""
    more = dataclasses.replace(text, mixture=CONTINUED)
    if arm not in DATA:
        return more
    return Transformed(more, DATA[arm], share=1.0, doubled=True, kinds=("fact",))


def matched(recipe: Recipe, arm: str, match: str, mask: int) -> Recipe:
    """The recipe that reads as many tokens as `none` does, or as many documents, each twice."""
    if arm not in OBJECTIVES:
        return dataclasses.replace(recipe, steps=recipe.steps * (1 + (match == "data")))
    batch = recipe.batch // (1 + (match == "compute"))
    return dataclasses.replace(recipe, batch=batch, objective=OBJECTIVES[arm](mask=mask))


def _asked(arm: str, group: str = "G1", way: str = "reverse", match: str = "compute") -> dict:
    measure = "denoised" if arm in OBJECTIVES else "recall"
    return asked(group, "L1", way, arm=arm, match=match, measure=measure)


def _told(arm: str) -> dict[str, object]:
    return {"arm": arm, "match": "compute", "measure": "loss", "register": "story"}


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run. G1, asked reversed in L1, at matched compute if not said."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        found += _claims(stats.where(results.items, mixer=mixer), mixer)
    return found


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    estimate = lambda value, *cells: stats.contrast(items, value, *cells)
    forward = (_asked(arm, way="forward") for arm in ("entities", "none"))
    told = stats.contrast(items, "loss", _told("entities"), _told("none"), paired=True)
    heals = lambda arm, reference, source: Claim(
        "D2", f"{mixer}: {arm} heals: reversed, {arm} minus none", "nat log-odds",
        estimate("log_odds", _asked(arm), _asked("none")), above(1.0), below(1.0), reference, source
    )  # fmt: skip
    return [
        Claim("D2", f"{mixer}: control, facts stated both ways (G0) are answered reversed after "
              "more of the same documents", "EM", estimate("exact", _asked("none", "G0")),
              above(0.9), below(0.5), 1.0, "pilot, softmax, one seed"),
        Claim("D2", f"{mixer}: twice as many plain documents do not heal (margin 0.5 nat)",
              "nat log-odds", estimate("log_odds", _asked("none", match="data")), within(0.5),
              outside(0.5), 0.07, "pilot, softmax, one seed"),
        heals("entities", None, "pilot, words reversed behind a marker: EM 1.00, 7.8 nats"),
        heals("permuted", 6.3, "pilot, permuted: EM 1.00, 6.4 nats, of 0.07 without"),
        heals("bridge", 3.7, "pilot: EM .03, 3.8 nats; Identity bridge at 1B: EM .4 to .5"),
        heals("MLM-U", None, "Kitouni et al. 2024: masking at a uniform rate works, at a fixed "
              "not"),
        heals("BICO-like", None, "Lv et al. 2023: EM 0 to 0.7, description to name"),
        Claim("D2", f"{mixer}: names of two words: entities minus words, reversed", "EM",
              estimate("exact", _asked("entities"), _asked("words")), above(0.1), below(-0.1), None,
              "Golovneva et al. 2024: reversing words degrades with their number"),
        Claim("D2", f"{mixer}: entities at matched compute costs forward recall nothing (G1, "
              "margin 0.05)", "EM", estimate("exact", *forward), within(0.05), below(-0.05), 0.0,
              "Golovneva et al. 2024: no loss at matched data, gains at compute"),
        Claim("D2", f"{mixer}: nor the language model: loss on unseen stories, entities minus none "
              "(margin 0.05 nat)", "nat a token", told, within(0.05), above(0.05), 0.0,
              "Golovneva et al. 2024"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures and the one table, a set a mixer."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        ledger = stats.where(results.ledger, mixer=mixer)
        found += [_remedies(items, mixer), _table(items, ledger, mixer), _said(items, mixer)]
    return found


def _remedies(items: pa.Table, mixer: str) -> report.Section:
    body = ""
    for value, name in (("log_odds", "log-odds, nats"), ("exact", "exact match")):
        panels = {
            f"matched {match}": {
                arm: (stats.means(items, value, _asked(arm, match=match)), arm == "swap")
                for arm in ARMS
            }
            for match in MATCHES
        }
        body += figure.dots(panels, name, 0.0)
    note = (
        "Facts stated forward only (G1), asked reversed in L1: one dot a seed. Filled: the arm "
        "states the fact by its inverse relation, as it is asked. Exact match alone would call the "
        "bridge a failure."
    )
    return report.Section(f"{mixer}: what heals", note, body)


def _table(items: pa.Table, ledger: pa.Table, mixer: str) -> report.Section:
    """Everything on one table: seeds' means, and how often the held-out direction was stated."""
    rows = []
    for arm, match in (("base", "none"), *itertools.product(ARMS, MATCHES)):
        means = lambda value, cell, **more: float(np.mean(stats.means(items, value, cell | more)))
        reverse, forward = (_asked(arm, way=way, match=match) for way in reversed(WAYS))
        across = _asked(arm, "G2", match=match)
        rows.append(
            {
                "arm": arm,
                "matched": match,
                "reverse EM": means("exact", reverse),
                "reverse log-odds": means("log_odds", reverse),
                "rank": means("rank", reverse),
                "asked plainly: log-odds": means("log_odds", reverse, measure="recall"),
                "forward EM": means("exact", forward),
                "asked plainly: EM": means("exact", forward, measure="recall"),
                "G2 in L2, reverse": means("log_odds", across, language="L2", names="shared"),
                "story loss": means("loss", _told(arm), match=match),
                "held-out exposures": _held_out(ledger, arm, match),
            }
        )
    note = (
        "Means over seeds; G1 in L1 unless said. The objectives are asked as they are trained, and "
        "plainly in columns of their own. Held-out exposures: how often training states one fact "
        "of G1 in reverse, in whatever order of words, in a language."
    )
    return report.Section(f"{mixer}: remedies and their price", note, report.table(rows))


def _held_out(ledger: pa.Table, arm: str, match: str) -> float:
    own = stats.where(ledger, arm=arm, match=match, relation="parent", group="G1")
    cells = 2 * len(pc.unique(own["fact"])) * len(pc.unique(own["seed"]))
    return (pc.sum(stats.where(own, stated=False)["exposures"]).as_py() or 0) / cells


def _said(items: pa.Table, mixer: str) -> report.Section:
    cells = [
        ({"arm": arm, "asked": way}, _asked(arm, way=way))
        for arm, way in itertools.product(("none", "words", "entities", "bridge"), WAYS)
    ]
    note = "The first fact of G1, first seed, matched compute."
    return report.examples(items, cells, "exact", f"{mixer}: what was said", note)
