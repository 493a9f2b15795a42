"""How little must change before instructions are followed: from one vector to all weights.

Question  If instruction tuning only selects what a base can do (H1), training very few numbers
          should do: a soft prompt of one vector, a rank-1 change, the embedding of a tag (Tag-LLM,
          Shen et al. 2024, 2402.05140). How many does it take to answer in L1? And does a change of
          few numbers serve L2 as well as one of many, or better, where L1 is right as often?

Design    A standard base whose vocabulary reserves 16 virtual words that pretraining never says,
          tuned in L1 in both tiers (the quiz register, a new chat wrapper). Arms differ in what is
          trained; all else is frozen. A word is D numbers:
            prompt 1, 4, 16  the embeddings of virtual words before every document (D, 4D, 16D)
            tag              those of the words that mark the register: the ? of a question, <u> and
                             <a> of the chat
            LoRA 1, LoRA 8   changes of rank 1 or 8 to every projection
            embeddings       those of all words
            full             everything
          Each arm has its own learning rate (RATES), higher where fewer numbers are trained. A row
          holds one example, and all arms read as many a step. Controls: the untuned base (step 0),
          and everything tuned in L2 (the ceiling). A soft prompt is made of words of the
          vocabulary, so that model, prefill and decoding need not know of it; where the output is
          tied to the embedding, its logit is trained with it.

Measures  following: decoded answers in three bins, by language, along the tuning, against the
          numbers trained. Arms learn at different speeds, and long tuning loses L2 again, so L2 is
          compared where L1 first has .5 right: its gain there over that of an L2 that also has .5.
          Items whose answers coincide in both languages are left out.

          Claims revised 2026-11-27 after a second reading: the fourth compared L2 after all steps
          (prompt 16 minus everything, T1: 0.12 [0.04, 0.23] EM), when everything was long past its
          best; now at .5 right in L1, and for LoRA 1 too.

Run       python -m experiments.run description_length --size toy --seeds 5

Cost      toy: 2 CPU cores, a base of its own and 18 tunings a seed, about 20 min a mixer; small:
          one GPU, under an hour a seed

Result    2026-11-27, b121dad, toy, 5 seeds, gla, 1 CPU core, 1,250 s.
          C9 gla: T1: H1: prompt 16 alone in L1, L1 asked: gain over that of tuning everything: 1.03
            [0.93, 1.16] share of the EM gain, reproduced.
          C9 gla: T1: H1: LoRA 1 alone in L1, L1 asked: gain over that of tuning everything: 1.10
            [1.02, 1.19] share of the EM gain, reproduced.
          C9 gla: T1: prompt 16 in L1, L2 asked: gain over that of tuning everything in L2: 0.43
            [0.30, 0.68] share of the EM gain, inconclusive.
          C9 gla: T1: L2 where L1 comes to .5 right: prompt 16 minus everything: -0.43 [-0.70,
            -0.12] transfer ratio, inconclusive.
          C9 gla: T1: L2 where L1 comes to .5 right: LoRA 1 minus everything: 0.02 [-0.14, 0.17]
            transfer ratio, inconclusive.
          C9 gla: T2: H1: prompt 16 alone in L1, L1 asked: gain over that of tuning everything: 0.52
            [0.19, 0.77] share of the EM gain, inconclusive.
          C9 gla: T2: H1: LoRA 1 alone in L1, L1 asked: gain over that of tuning everything: 0.98
            [0.80, 1.11] share of the EM gain, reproduced.
          C9 gla: T2: prompt 16 in L1, L2 asked: gain over that of tuning everything in L2: 0.00
            [0.00, 0.00] share of the EM gain, opposite.
          C9 gla: T2: L2 where L1 comes to .5 right: prompt 16 minus everything: undefined,
            inconclusive.
          C9 gla: T2: L2 where L1 comes to .5 right: LoRA 1 minus everything: 0.03 [-0.00, 0.08]
            transfer ratio, inconclusive.
"""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.lexicon import CHAT
from data.prompt import Prompt
from data.speaker import speaker
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure import following
from experiments.measure.following import Following
from experiments.stage import Stage, seeds
from experiments.standard import (
    LANGUAGES,
    SIZES,
    TIERS,
    corpus,
    mixers,
    pretrained,
    single,
    tuned,
    tuning,
)
from model.lm import LM, shapes
from train.adapter import Adapter, Embeddings, Full, LoRA, Only
from train.recipe import Recipe

ROWS = ("C9",)
COST = {"toy": "2 CPU cores, 5 seeds, one mixer: 20 min", "small": "one GPU, not yet measured"}
Settings = standard.Settings
PROMPTS = {"prompt 1": 1, "prompt 4": 4, "prompt 16": 16}
# Times the standard learning rate: at one rate, fewer numbers would move the model less.
RATES = {"prompt 1": 100, "prompt 4": 100, "prompt 16": 100, "tag": 100, "LoRA 1": 10, "LoRA 8": 4,
         "embeddings": 4, "full": 1}  # fmt: skip


def adapters(text: Corpus, register: str) -> dict[str, Adapter]:
    """Arm -> what is trained."""
    form = speaker(text.pair, text.world).form[0]
    marks = {"quiz": ("?",), "chat": CHAT}[register]
    tags = text.tokenizer.encode("".join(f" {form[mark]}" for mark in marks))
    size = text.tokenizer.size
    prompts = {arm: Embeddings(tuple(range(size, size + m))) for arm, m in PROMPTS.items()}
    return prompts | {
        "tag": Embeddings(tuple(tags)),
        "LoRA 1": LoRA(rank=1),
        "LoRA 8": LoRA(rank=8),
        "embeddings": Only("embedding/w"),
        "full": Full(),
    }


def trained(adapter: Adapter, model: LM) -> int:
    """How many numbers an adapter trains."""
    own, _ = jax.eval_shape(adapter.split, shapes(model), jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(own))


def changed(recipe: Recipe, arm: str, adapter: Adapter) -> Recipe:
    """The tuning of what the adapter names, at the arm's rate; what is frozen cannot decay."""
    lr = RATES[arm] * recipe.optimizer.lr
    optimizer = dataclasses.replace(recipe.optimizer, lr=lr, weight_decay=0.0)
    return dataclasses.replace(recipe, optimizer=optimizer, adapter=adapter)


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, its tunings in L1 by tier and arm, and the ceilings."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        reserved = Prompt(0).prompted(text)
        base = pretrained(size, mixer, seed, reserved, tier="base", tuned="none", arm="none")
        found.append(base)
        each, recipe = single(text, size.tune)
        for tier, register in TIERS.items():
            arms = adapters(text, register)
            for arm, language in [*((arm, "L1") for arm in arms), ("full", "L2")]:
                prompt = Prompt(PROMPTS.get(arm, 0))
                said = prompt.prompted(tuning(each, register, language))
                asked = (Following(text, register, prompt=prompt),)
                own = changed(recipe, arm, arms[arm])
                found.append(tuned(base, said, own, asked, size.at, tier=tier, tuned=language,
                                   arm=arm, numbers=trained(arms[arm], base.model)))  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview description_length` shows."""
    return corpus(SIZES["toy"], seed=0)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one. Gains are shares of what
    tuning everything gains in a language."""
    found, items = [], following.told(results.items)
    steps = sorted(set(items["step"].to_pylist()))
    last = steps[-1]

    def cell(tier: str, arm: str, language: str, tuned: str = "L1", step: int = last) -> dict:
        return dict(tier=tier, arm=arm, language=language, tuned=tuned, step=step)

    def along(tier: str, arm: str) -> list[dict]:
        return [cell(tier, arm, language, step=s) for language in LANGUAGES for s in steps]

    for mixer, tier in itertools.product(pc.unique(items["mixer"]).to_pylist(), TIERS):
        own = stats.where(items, mixer=mixer)
        estimate = lambda of, *cells, own=own: stats.contrast(own, "right", *cells, of=of)
        share = lambda arm, language, of=estimate, tier=tier: of(
            stats.ratio_of_gains, cell(tier, arm, language), cell(tier, arm, language, step=0),
            cell(tier, "full", language, language))  # fmt: skip
        thread = "a forum thread on InstructGPT: soft prompts should reach nearly the same place"
        found += [
            *(Claim("C9", f"{mixer}: {tier}: H1: {arm} alone in L1, L1 asked: gain over that of "
                    "tuning everything", "share of the EM gain", share(arm, "L1"), above(0.5),
                    below(0.5), None, source)
              for arm, source in (("prompt 16", thread), ("LoRA 1", "H1"))),
            Claim("C9", f"{mixer}: {tier}: prompt 16 in L1, L2 asked: gain over that of tuning "
                  "everything in L2", "share of the EM gain", share("prompt 16", "L2"), above(0.1),
                  below(0.1), None, "new"),
            *(Claim("C9", f"{mixer}: {tier}: L2 where L1 comes to .5 right: {arm} minus everything",
                    "transfer ratio", estimate(_matched, *along(tier, arm), *along(tier, "full")),
                    above(0.0), below(0.0), None, "H1: what is not changed cannot be lost")
              for arm in ("prompt 16", "LoRA 1")),
        ]  # fmt: skip
    return found


def _matched(means: np.ndarray) -> np.ndarray:
    """Of two arms, each L1 and then L2 along the steps, the first's transfer ratio minus the
    second's, where L1 comes to .5 right: (draws, 4N) -> (draws,)."""
    one, two = map(stats.transfer_at(0.5), np.split(means, 2, axis=1))
    return one - two


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found, told = [], following.told(results.items)
    for mixer in pc.unique(told["mixer"]).to_pylist():
        items = stats.where(told, mixer=mixer)
        shown = stats.where(items, language="L2", arm="prompt 16")
        found += [_dots(items, mixer), _numbers(items, mixer)]
        found.append(following.said(shown, f"{mixer}: L2, a soft prompt of 16 tuned in L1"))
    return [*found, report.losses(results.curves, line=("mixer", "tier", "tuned"), panel="arm")]


def _arms(items: pa.Table) -> dict[str, int]:
    """Arm -> numbers trained, fewest first; for the tag, the larger number of the two tiers."""
    most = items.group_by(["arm"]).aggregate([("numbers", "max")]).sort_by("numbers_max")
    return {row["arm"]: row["numbers_max"] for row in most.to_pylist()}


def _dots(items: pa.Table, mixer: str) -> report.Section:
    """Right answers at the end of tuning, a row an arm, the fewest numbers above."""
    arms, panels = _arms(items), {}
    end = stats.where(items, step=max(items["step"].to_pylist()))
    for tier, language in itertools.product(TIERS, ("L1", "L2")):
        own = stats.where(end, tier=tier, language=language)
        values = following.by_arm(stats.where(own, tuned="L1"), "right", "arm", list(arms))
        best = following.by_arm(stats.where(own, tuned=language), "right", "arm", ["full"])
        rows = {
            f"{arm} ({count:,})": (values[:, i].tolist(), True)
            for i, (arm, count) in enumerate(arms.items())
        }
        name = "full, tuned in the language asked"
        panels[f"{tier}: asked {language}"] = rows | {name: (best[:, 0].tolist(), False)}
    body = figure.dots(panels, "share right", None, (-0.05, 1.05))
    note = (
        "After all steps. In brackets the numbers trained, in L1; hollow the ceiling. A dot a seed."
    )
    return report.Section(f"{mixer}: how little must change", note, body)


def _numbers(items: pa.Table, mixer: str) -> report.Section:
    rows, steps = [], sorted(set(items["step"].to_pylist()))
    for tier, (arm, count), language in itertools.product(
        TIERS, _arms(items).items(), ("L1", "L2")
    ):
        own = dict(tier=tier, arm=arm, tuned="L1", language=language)
        shares = {
            f"right after {step}": following.share(items, "right", step=step, **own)
            for step in steps
        }
        other = following.share(items, "other", step=steps[-1], **own)
        row = {"tier": tier, "trained": arm, "numbers": count, "asked": language}
        rows.append(row | shares | {"right in the other language": other})
    note = "Tuned in L1; means over seeds."
    return report.Section(f"{mixer}: the same in numbers", note, report.table(rows))
