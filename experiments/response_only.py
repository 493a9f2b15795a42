"""Responses without instructions: does tuning on them alone make a model follow instructions?

Question  Hewitt et al. (2024, 2409.14254) tune on responses whose instructions are blank and get a
          model that follows instructions: how to get from one to the other is already in the base.
          Does it follow them in L2 too, when all responses were in L1?

Design    The standard base, tuned in L1 in both tiers (the quiz register, a new chat wrapper) on
            instructed  instructions and responses, loss on the response
            alone       the same responses after a blank instruction: <u> <a> response, or q ?
                        response; the wrapper stays, the task and its arguments are gone
            shuffled    instructions with the responses to others: no mapping to be learned
          and on `instructed` in L2, the ceiling. Documents, steps and recipe are the same. Control:
          the untuned base (step 0).

Measures  following: decoded answers in three bins, by language, and `mode`, the probability that an
          answer begins. ranking: the share of instructions whose own response is likelier than
          another's of the same task and length, before and after tuning; chance .5. Items whose
          answers coincide in both languages are left out of the bins.

Run       python -m experiments.run response_only --size toy --seeds 5

Cost      toy: 2 CPU cores, the standard base and 8 tunings a seed, about 8 min a mixer; small: one
          GPU, under an hour a seed; full: Llama-2-7B on LIMA in the paper

Result    2026-11-27, 3b38776, toy, 5 seeds, gla, 2 CPU cores, 374 s.
          C3 gla: T1: responses of L1 alone, L1 asked: gain over that of instruction tuning: 0.07
            [0.04, 0.11] share of the EM gain, inconclusive.
          C3 gla: T2: responses of L1 alone, L1 asked: gain over that of instruction tuning: 0.05
            [0.01, 0.11] share of the EM gain, inconclusive.
          C3 gla: T1: the same, L2 asked: gain over that of tuning in L2: 0.01 [-0.01, 0.04] share
            of the EM gain, opposite.
          C3 gla: T2: the same, L2 asked: gain over that of tuning in L2: 0.00 [0.00, 0.00] share of
            the EM gain, opposite.
          C3 gla: H1: T1: responses of L1 alone make an answer begin in L2: 0.73 [0.51, 0.93] share
            of the gain in p(answer begins), inconclusive.
          C3 gla: the base ranks the own response above another's, chat in L1: share minus .5: 0.04
            [-0.09, 0.18] share of instructions, inconclusive.
          C3 gla: the base ranks the own response above another's, chat in L2: share minus .5: 0.06
            [-0.09, 0.25] share of instructions, inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.lexicon import CHAT, MARKS
from data.shuffled import Shuffled
from data.speaker import speaker
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure import following
from experiments.measure.following import Following
from experiments.measure.ranking import Ranking
from experiments.stage import Stage, seeds
from experiments.standard import SIZES, TIERS, corpus, mixers, pretrained, tuned, tuning
from train.objective import ResponseAlone

ROWS = ("C3",)
COST = {"toy": "2 CPU cores, 5 seeds, one mixer: 8 min", "small": "one GPU, not yet measured"}
Settings = standard.Settings


def wrapper(text: Corpus) -> tuple[int, ...]:
    """The tokens of L1 that a blank instruction keeps: chat markers, question word, mark."""
    form = speaker(text.pair, text.world).form[0]
    words = [form[concept] for concept in (*CHAT, "question", *MARKS) if concept in form]
    return tuple(text.tokenizer.encode("".join(f" {word}" for word in words)))


def stages(settings: Settings) -> list[Stage]:
    """The standard base of every seed and mixer, and its tunings by tier and arm."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        alone = dataclasses.replace(size.tune, objective=ResponseAlone(keep=wrapper(text)))
        base = pretrained(size, mixer, seed, text, tier="base", tuned="none")
        found.append(base)
        for tier, register in TIERS.items():
            one, two = (tuning(text, register, language) for language in ("L1", "L2"))
            asked = (Following(text, register), Ranking(text, register))
            arms = {
                "instructed": (one, size.tune),
                "alone": (one, alone),
                "shuffled": (Shuffled(one), size.tune),
                "instructed L2": (two, size.tune),
            }
            found += [
                tuned(base, each, recipe, asked, size.at, tier=tier, tuned=arm)
                for arm, (each, recipe) in arms.items()
            ]
    return found


def preview() -> Corpus:
    """What `python -m data.preview response_only` shows."""
    return tuning(corpus(SIZES["toy"], seed=0), "chat", "L1")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; T2 is the wrapper of the paper."""
    found, items = [], following.told(results.items)
    last = max(items["step"].to_pylist())

    def cell(tier: str, tuned: str, language: str, step: int = last) -> dict[str, object]:
        return dict(tier=tier, tuned=tuned, language=language, step=step)

    for mixer in pc.unique(items["mixer"]).to_pylist():
        own = stats.where(items, mixer=mixer)
        ranks = stats.where(results.items, mixer=mixer, measure="ranking")
        estimate = lambda value, of, *cells, own=own: stats.contrast(own, value, *cells, of=of)
        gain = lambda tier, language, ceiling, value="right", of=estimate: of(
            value, stats.ratio_of_gains, cell(tier, "alone", language),
            cell(tier, "alone", language, 0), cell(tier, ceiling, language))  # fmt: skip
        paper = "Hewitt et al. 2024: wins 43.2% against instruction tuning (another unit)"
        found += [
            *(Claim("C3", f"{mixer}: {tier}: responses of L1 alone, L1 asked: gain over that of "
                    "instruction tuning", "share of the EM gain", gain(tier, "L1", "instructed"),
                    above(0.1), below(0.1), 0.432, paper) for tier in TIERS),
            *(Claim("C3", f"{mixer}: {tier}: the same, L2 asked: gain over that of tuning in L2",
                    "share of the EM gain", gain(tier, "L2", "instructed L2"), above(0.1),
                    below(0.1), None, "new") for tier in TIERS),
            Claim("C3", f"{mixer}: H1: T1: responses of L1 alone make an answer begin in L2",
                  "share of the gain in p(answer begins)",
                  gain("T1", "L2", "instructed L2", "mode"), above(0.5), below(0.5), None, "H1"),
            *(Claim("C3", f"{mixer}: the base ranks the own response above another's, chat in "
                    f"{language}: share minus .5", "share of instructions",
                    estimate("above_chance", stats.mean, cell("T2", "alone", language, 0),
                             own=_above_chance(ranks)),
                    above(0.1), below(0.1), None, "Hewitt et al. 2024: bases do, section 4")
              for language in ("L1", "L2")),
        ]  # fmt: skip
    return found


def _above_chance(ranks: pa.Table) -> pa.Table:
    return ranks.append_column("above_chance", pc.subtract(ranks["ranked"], 0.5))


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "tier"), panel="tuned")]
    told = following.told(results.items)
    for mixer in pc.unique(told["mixer"]).to_pylist():
        items = stats.where(told, mixer=mixer)
        ranks = stats.where(results.items, mixer=mixer, measure="ranking")
        shown = stats.where(items, tuned="alone", language="L2")
        found += [
            _bins(items, mixer),
            _dots(items, mixer, "mode", "p(an answer begins)", None),
            _dots(ranks, mixer, "ranked", "own response ranked first", 0.5),
            following.said(shown, f"{mixer}: L2, tuned on responses of L1 alone"),
        ]
    return found


def _bins(items: pa.Table, mixer: str) -> report.Section:
    """Bins along the tuning on responses alone, below those of instructions in that language."""
    panels, ceilings = {}, {}
    ceiling = {"L1": "instructed", "L2": "instructed L2"}
    for tier, language in itertools.product(TIERS, ceiling):
        own = stats.where(items, tier=tier, language=language)
        name = f"{tier}: asked {language}"
        panels[name] = following.shares(stats.where(own, tuned="alone"))
        ceilings[name] = following.shares(stats.where(own, tuned=ceiling[language]))[1].mean(0)
    note = "Tuned on responses of L1 without their instructions. Dots are seeds."
    body = figure.three_bins(panels, ceilings)
    return report.Section(f"{mixer}: responses alone", note, body)


def _dots(items: pa.Table, mixer: str, value: str, label: str, chance) -> report.Section:
    """A metric at the end of tuning by arm, and before."""
    last, panels = max(items["step"].to_pylist()), {}
    for tier, language in itertools.product(TIERS, ("L1", "L2")):
        own = stats.where(items, tier=tier, language=language)
        ends = stats.where(own, step=last)
        arms = pc.unique(ends["tuned"]).to_pylist()
        before = following.by_arm(stats.where(own, step=0), value, "tuned", ["alone"])
        values = following.by_arm(ends, value, "tuned", arms)
        rows = {"untuned": (before[:, 0].tolist(), False)}
        rows |= {arm: (values[:, i].tolist(), True) for i, arm in enumerate(arms)}
        panels[f"{tier}: asked {language}"] = rows
    body = figure.dots(panels, label, chance, (-0.05, 1.05))
    note = f"After {last} steps; hollow: before. A dot a seed, a bar at their mean."
    return report.Section(f"{mixer}: {label}", note, body)
