"""Anchors: is what is learned in one language carried over by what both share on the surface?

Question  Does instruction following tuned in L1 come out in L2 because of shared nouns, because of
          shared names and marks, or without any of these? And does it need one word order?

Design    Overlap of nouns {0, 30%} is crossed with word order {the same, another}; arms differ in
          L2's features alone. The other order has the possessor first and the verb last, so that it
          shows in statements as well as in questions. In these four arms half of the names are
          shared, so facts with shared and with own names are compared within one model. The fifth,
          the clone, has L1's order and a form of its own for everything, marks, digits, names and
          chat markers included; only <doc> is shared (as in Dufter & Schütze 2020). No document is
          in two languages (no dictionary, nothing parallel), so words can be aligned only by
          anchors and by use. Models are tuned in L1 in the quiz register (T1); the ceiling is
          tuning in L2 for as many steps, since questions in another order may be harder to learn to
          answer in any case. Questions whose answers coincide in both languages wherever nouns are
          shared are left out in all arms, so that all are asked the same ones; those that name no
          shared noun at all are also shown apart.

Measures  following: decoded answers along the tuning, in three bins; transfer is the gain in L2
          over that of tuning in L2. recall: facts stated in L1 only, asked in L2. alignment:
          retrieval@1 of nouns with forms of their own, by CSLS among all nouns. similarity: cosine
          of the states before the answer to the same question in both languages.

Run       python -m experiments.run anchors --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 25 pretrainings and 50 tunings, about 42 min (by
          FLOPs). small: one GPU, not yet measured. full: as small, with 8 seeds and all mixers.

Result    2026-11-28, d128be4, toy, 5 seeds, gla, 1 CPU core, 3,729 s.
          B2 gla: T1 tuned in L1, 30 steps, asked in L2, over tuning in L2: 30% of nouns shared
            minus none, same order (equal within .2): 0.33 [-0.15, 0.62] transfer ratio,
            inconclusive.
          B2 gla: T1 tuned in L1, 30 steps, asked in L2, over tuning in L2: 30% of nouns shared
            minus none, another order: 0.09 [-0.12, 0.29] transfer ratio, inconclusive.
          B2 gla: T1 tuned in L1, 30 steps, asked in L2, over tuning in L2: same order minus
            another, no noun shared: 0.17 [0.03, 0.34] transfer ratio, inconclusive.
          B2 gla: anchors align the other nouns: retrieval@1, 30% shared minus none, another order:
            0.02 [-0.04, 0.10] retrieval@1, inconclusive.
          B2 gla: against H4: with every token cloned, T1 transfer after 30 steps: 0.00 [0.00, 0.04]
            transfer ratio, opposite.
          B2 gla: H3: transfer goes with alignment over 5 arms (retrieval@1; undefined where none
            has more than 0.15): undefined, inconclusive.
          B2 gla: facts stated in L1 only (G2), asked in L2: names shared minus own: 0.30 [-0.17,
            1.00] nat log-odds, inconclusive.
"""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Clone, Lexicon, Names, PossessorFirst
from data.head import VerbLast
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, outside, within
from experiments.measure import following
from experiments.measure.alignment import Alignment, Similarity
from experiments.measure.recall import Recall, asked
from experiments.stage import Stage, seeds
from experiments.standard import (
    LANGUAGES,
    SEPARATE,
    SIZES,
    Size,
    corpus,
    mixers,
    pretrained,
    tuned,
    tuning,
)

ROWS = ("B2",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 42 min (by FLOPs)",
    "small": "one GPU, not yet measured",
}
Settings = standard.Settings

OTHER = PossessorFirst(), VerbLast()
ARMS = {
    "none, same order": (Lexicon(0.0), Names(0.5)),
    "30%, same order": (Lexicon(0.3), Names(0.5)),
    "none, other order": (Lexicon(0.0), Names(0.5), *OTHER),
    "30%, other order": (Lexicon(0.3), Names(0.5), *OTHER),
    "clone": (Clone(),),
}
LEAST = 0.15  # retrieval@1 that some arm must reach for its rank to mean something; chance is 1/30


def text(size: Size, seed: int, arm: str) -> Corpus:
    """The standard corpus with the features of an arm, and no dictionary."""
    return corpus(size, seed, ARMS[arm], SEPARATE)


def stages(settings: Settings) -> list[Stage]:
    """A base of every arm, tuned in L1 and in L2."""
    size, found = SIZES[settings.size], []
    for seed, mixer, arm in itertools.product(seeds(settings.seeds), mixers(settings.mixers), ARMS):
        read = text(size, seed, arm)
        measures = Alignment(read), Similarity(read), Recall(read)
        base = pretrained(size, mixer, seed, read, measures, arm=arm, tier="base", tuned="none")
        found.append(base)
        for language in LANGUAGES:
            follow = (following.Following(read, "quiz"),)
            found.append(tuned(base, tuning(read, "quiz", language), size.tune, follow, size.at,
                               tier="T1", tuned=language))  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview anchors` shows."""
    return text(SIZES["toy"], 0, "30%, other order")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _keys(items: pa.Table) -> list[tuple]:
    """What a question is in every arm, language and step: (seed, task, item)."""
    return list(zip(*(items[name].to_pylist() for name in ("seed", "task", "item")), strict=True))


def common(items: pa.Table) -> pa.Table:
    """The answers to questions whose answers in the two languages differ in every arm."""
    answers = stats.where(items, measure="following")
    gone = {*_keys(stats.where(answers, ambiguous="yes"))}
    return answers.filter(pa.array([key not in gone for key in _keys(answers)]))


def unshared(items: pa.Table) -> pa.Table:
    """Of these, the answers to questions that name no noun which any arm shares."""
    nouns = stats.where(items, measure="alignment", language="L1", shared="yes")
    shared = {*zip(nouns["seed"].to_pylist(), nouns["prompt"].to_pylist(), strict=True)}
    answers = common(items)
    l1 = stats.where(answers, language="L1")
    gone = {
        key for key, prompt in zip(_keys(l1), l1["prompt"].to_pylist(), strict=True)
        if any((key[0], word) in shared for word in prompt.split())
    }  # fmt: skip
    return answers.filter(pa.array([key not in gone for key in _keys(answers)]))


def apart(items: pa.Table) -> pa.Table:
    """The nouns, looked up, that no arm shares, so that all arms are asked for the same ones."""
    words = stats.where(items, measure="alignment")
    l1 = pc.if_else(pc.equal(words["language"], "L1"), words["prompt"], words["gold"])
    keys = [*zip(words["seed"].to_pylist(), l1.to_pylist(), strict=True)]
    gone = {key for key, shared in zip(keys, words["shared"].to_pylist(), strict=True)
            if shared == "yes"}  # fmt: skip
    return words.filter(pa.array([key not in gone for key in keys]))


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    answers = common(items)
    early = following.early(answers)
    transfer = lambda *arms, of=stats.difference_of_ratios: stats.contrast(
        answers, "right", *(cell for arm in arms for cell in following.gains(early, arm=arm)), of=of
    )
    words = apart(items)
    found = lambda *arms: stats.contrast(words, "retrieved", *({"arm": arm} for arm in arms))
    facts = [_fact("none, same order", names) for names in ("shared", "own")]
    when = f"T1 tuned in L1, {early} steps, asked in L2, over tuning in L2"
    return [
        Claim("B2", f"{mixer}: {when}: 30% of nouns shared minus none, same order (equal within "
              ".2)", "transfer ratio", transfer("30%, same order", "none, same order"),
              within(0.2), outside(0.2), None,
              "K et al. 2020 (1912.07840): lexical overlap is negligible"),
        Claim("B2", f"{mixer}: {when}: 30% of nouns shared minus none, another order",
              "transfer ratio", transfer("30%, other order", "none, other order"),
              above(0.0), below(0.0), None,
              "Deshpande et al. 2022 (2110.14782): overlap matters where order differs; direction "
              "alone"),
        Claim("B2", f"{mixer}: {when}: same order minus another, no noun shared",
              "transfer ratio", transfer("none, same order", "none, other order"),
              above(0.0), below(0.0), None,
              "Dufter & Schütze 2020, Deshpande et al. 2022; direction alone"),
        Claim("B2", f"{mixer}: anchors align the other nouns: retrieval@1, 30% shared minus none, "
              "another order", "retrieval@1", found("30%, other order", "none, other order"),
              above(0.05), below(0.0), None,
              "Hua et al. 2024 (2404.12444): anchor tokens align; anchors, which find each other, "
              "leave the others a chance .01 higher"),
        Claim("B2", f"{mixer}: against H4: with every token cloned, T1 transfer after "
              f"{early} steps", "transfer ratio", transfer("clone", of=stats.ratio_of_gains),
              above(0.1), below(0.1), None,
              "Conneau et al. 2020 (1911.01464): no shared vocabulary is needed; H4 has it die"),
        Claim("B2", f"{mixer}: H3: transfer goes with alignment over {len(ARMS)} arms "
              f"(retrieval@1; undefined where none has more than {LEAST:g})", "Spearman r",
              stats.bootstrap(_joint(words, answers, early), together),
              above(0.5), below(0.5), 0.94, "Deshpande et al. 2022, NLI"),
        Claim("B2", f"{mixer}: facts stated in L1 only (G2), asked in L2: names shared minus own",
              "nat log-odds", stats.contrast(items, "log_odds", *facts), above(1.0), below(1.0),
              None, "flagship: 0.29 nats with GLA, 3.27 with softmax"),
    ]  # fmt: skip


def _fact(arm: str, names: str) -> dict[str, object]:
    return asked("G2", "L2", "forward", arm=arm, names=names)


def _joint(nouns: pa.Table, answers: pa.Table, step: int) -> list[stats.Cells]:
    """Per seed: alignment of every arm, then the three cells of every arm's transfer ratio."""
    words = stats.by_seed(nouns, "retrieved", *({"arm": arm} for arm in ARMS))
    right = stats.by_seed(
        answers, "right", *(cell for arm in ARMS for cell in following.gains(step, arm=arm))
    )
    return [(*one, *two) for one, two in zip(words, right, strict=True)]


def together(means: np.ndarray) -> np.ndarray:
    """The statistic: (draws, 4 N), alignment of N arms, then (reached, base, ceiling) of each ->
    (draws,) Spearman's r of alignment and transfer ratio; nan where a ratio is, or where no arm
    finds more than LEAST, since the arms would be ranked by noise."""
    found, gains = np.split(means, [means.shape[1] // 4], axis=1)
    ratios = stats.ratio_of_gains(gains.reshape(-1, 3)).reshape(found.shape)
    r = [stats.rank_correlation(*draw) for draw in zip(found, ratios, strict=True)]
    return np.where(found.max(1) > LEAST, r, np.nan)


def sections(results: report.Results) -> list[report.Section]:
    """Transfer along the tuning, alignment and facts by arm, and some nouns looked up."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        answers = common(items)
        for arm in ARMS:
            follow = stats.where(answers, arm=arm)
            found.append(following.transfer(follow, f"{mixer}, {arm}", tuned="L1"))
        said = stats.where(answers, tuned="L1", language="L2")
        found.append(following.said(said, f"{mixer}, T1 tuned in L1, asked in L2", by="arm"))
        found += [_ratios(items, mixer), _alignment(items, mixer), _facts(items, mixer)]
        found.append(_nouns(items, mixer))
    return [*found, report.losses(results.curves, line=("mixer", "tuned"), panel="arm")]


def _ratios(items: pa.Table, mixer: str) -> report.Section:
    panels, early = {}, following.early(common(items))
    for title, answers in (("all", common(items)), ("no noun shared", unshared(items))):
        ratio = lambda arm, answers=answers: stats.ratio_of_gains(
            stats.matrix(answers, "right", *following.gains(early, arm=arm))
        )
        rows = {arm: (ratio(arm).tolist(), True) for arm in ARMS}
        panels[f"{title}, {len({*_keys(answers)})} questions"] = rows
    note = (
        f"Gain in L2 of {early} steps of tuning in L1 over that of as many in L2, by arm; the same "
        "questions in all arms, and those of them that name no noun which any arm shares. Dots are "
        "seeds; there is none where tuning in L2 gains less than .1."
    )
    return report.Section(f"{mixer}: transfer", note, figure.dots(panels, "transfer ratio"))


def _by_arm(items: pa.Table, metric: str) -> dict[str, tuple[list[float], bool]]:
    return {arm: (stats.means(items, metric, {"arm": arm}), True) for arm in ARMS}


def _alignment(items: pa.Table, mixer: str) -> report.Section:
    words = apart(items)
    states = stats.where(items, measure="similarity")
    panels = {
        "nouns found": _by_arm(words, "retrieved"),
        "same question, cosine": _by_arm(states, "cosine"),
    }
    note = (
        "Nouns with forms of their own in all arms whose translation is the nearest word, chance "
        f"{words['chance'][0].as_py():.2f}; cosine of the states before the answer to the same "
        "question, less that of others, chance 0. Dots are seeds."
    )
    return report.Section(f"{mixer}: alignment", note, figure.dots(panels, "alignment"))


def _facts(items: pa.Table, mixer: str) -> report.Section:
    facts = stats.where(items, **asked("G2", "L2", "forward"))
    panels = {}
    for names in ("shared", "own"):
        arms = [arm for arm in ARMS if not (arm == "clone" and names == "shared")]
        own = lambda arm, names=names: {"arm": arm, "names": names}
        panels[f"names {names}"] = {
            arm: (stats.means(facts, "log_odds", own(arm)), False) for arm in arms
        }
    note = "Facts stated in L1 only, asked in L2 (G2, forward). A clone has no name in common."
    body = figure.dots(panels, "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: facts across languages", note, body)


def _nouns(items: pa.Table, mixer: str) -> report.Section:
    words = stats.where(items, measure="alignment", language="L1")
    rows = []
    for arm in ARMS:
        for row in stats.where(words, arm=arm, seed=0).slice(0, 4).to_pylist():
            label = {"arm": arm, "noun": row["prompt"], "shared": row["shared"]}
            rows.append(label | {"nearest": row["answer"], "translation": row["gold"]})
    note = "The first nouns of L1, first seed: which word of L2 is the nearest, and which it means."
    return report.Section(f"{mixer}: nouns looked up", note, report.table(rows))
