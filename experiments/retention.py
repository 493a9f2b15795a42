"""Retention: what keeps the facts that tuning in L1 hides, and the answers in L2 that it loses?

Question  After tuning in L1, facts of both languages are completed less often (joint), and the
          answers in L2 that it brings within a few steps are mostly gone at its end (flagship). Are
          the facts lost, or out of use? InstructGPT's remedy was to mix pretraining text into the
          tuning, and a higher price on leaving the base did less (Ouyang et al. 2022, 2203.02155,
          section 3.5 and appendix E). Does either keep facts here? Does it take text of L2 to keep
          those of L2? Does training few numbers forget less (Biderman et al. 2024, 2405.09673)? And
          does what keeps the facts also keep the answers in L2?

Design    The standard base of every seed and mixer, tuned in L1 in the quiz register, always
          answered. All arms read the same rows of instructions a step:
            tuned          and nothing else
            replay         and as many rows of pretraining text, statements and stories in both
                           languages (data/replay.py)
            replay L1      and as many rows of it in L1 alone
            replay others  and as many in both languages that never state the facts asked for (G1)
            near           and pay a nat for every nat that the model is away from the base (KL), at
                           the tokens that count (train/preference.py)
            LoRA 1         and change the projections by rank 1 only, at ten times the rate
          No replay has questions: pretraining leaves most of them open, which would teach not to
          answer. None has documents in two languages. Every token of a replayed row counts, so that
          instructions weigh less: what this costs them in L1 is a claim. Replay states a fact a
          fortieth as often as pretraining did, 2.6 times in each language (the page's ledger).

Measures  recall of facts stated forward in both languages (G1), forward in L2: exact match. What an
          arm keeps is its exact match minus that of `tuned`, over what `tuned` loses of the base's.
          following: right answers at the end of the tuning, by language; items whose answers
          coincide in both are left out.

          Claims revised 2026-11-28 after the first run: `replay others` and its claim are new,
          since replay kept all facts (1.00, softmax 0.99) and may have taught them again.

Run       python -m experiments.run retention --size toy --mixers gla,softmax --seeds 8

Cost      toy: one CPU core, two mixers, 8 seeds, 96 short tunings of the flagship's bases: 16 min
          without these; small: one GPU, not yet measured; full: as small

Result    2026-11-28, 7b97b46, toy, 8 seeds, gla,softmax, 1 CPU core, 199 s.
          C1 gla: control, tuning in L1 hides facts of L2: G1 forward, tuned minus base: -0.71
            [-0.88, -0.48] EM, reproduced.
          C1 gla: replay keeps the facts of L2 that tuning in L1 hides: 1.00 [1.00, 1.00] share of
            the EM lost, reproduced.
          C1 gla: replay L1 keeps the facts of L2 that tuning in L1 hides: 0.07 [-0.07, 0.26] share
            of the EM lost, opposite.
          C1 gla: replay others keeps the facts of L2 that tuning in L1 hides: 0.81 [0.58, 0.91]
            share of the EM lost, inconclusive.
          C1 gla: near keeps the facts of L2 that tuning in L1 hides: 0.88 [0.68, 0.97] share of the
            EM lost, reproduced.
          C9 gla: LoRA 1 keeps the facts of L2 that tuning in L1 hides: 0.95 [0.80, 1.00] share of
            the EM lost, reproduced.
          C1 gla: replay costs instructions in L1 nothing: right, minus tuned alone (margin 0.1):
            -0.00 [-0.04, 0.04] EM, reproduced.
          C1 gla: replay keeps answers in L2 to the end: right, minus tuned alone: 0.21 [0.13, 0.28]
            EM, reproduced.
          C1 gla: replay L1 keeps answers in L2 to the end: right, minus tuned alone: 0.05 [0.01,
            0.10] EM, inconclusive.
          C1 softmax: control, tuning in L1 hides facts of L2: G1 forward, tuned minus base: -0.79
            [-0.89, -0.62] EM, reproduced.
          C1 softmax: replay keeps the facts of L2 that tuning in L1 hides: 0.99 [0.92, 1.00] share
            of the EM lost, reproduced.
          C1 softmax: replay L1 keeps the facts of L2 that tuning in L1 hides: 0.40 [0.18, 0.66]
            share of the EM lost, inconclusive.
          C1 softmax: replay others keeps the facts of L2 that tuning in L1 hides: 0.62 [0.48, 0.72]
            share of the EM lost, inconclusive.
          C1 softmax: near keeps the facts of L2 that tuning in L1 hides: 0.94 [0.69, 1.00] share of
            the EM lost, reproduced.
          C9 softmax: LoRA 1 keeps the facts of L2 that tuning in L1 hides: 0.99 [0.93, 1.00] share
            of the EM lost, reproduced.
          C1 softmax: replay costs instructions in L1 nothing: right, minus tuned alone (margin
            0.1): 0.02 [-0.03, 0.05] EM, reproduced.
          C1 softmax: replay keeps answers in L2 to the end: right, minus tuned alone: 0.15 [0.09,
            0.23] EM, reproduced.
          C1 softmax: replay L1 keeps answers in L2 to the end: right, minus tuned alone: -0.03
            [-0.07, 0.01] EM, inconclusive.
"""

import dataclasses
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.mixture import Mixture
from data.replay import Replay
from data.stream import Documented
from data.world import Group
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below, within
from experiments.description_length import changed
from experiments.measure import recall
from experiments.measure.following import Following
from experiments.measure.recall import Recall, asked
from experiments.stage import Stage, extent, seeds
from experiments.standard import LANGUAGES, SIZES, corpus, mixers, pretrained, tuned, tuning
from train.adapter import LoRA
from train.preference import Near
from train.recipe import Recipe

ROWS = ("C1", "C9")
COST = {
    "toy": "one CPU core, 8 seeds, two mixers: 16 min beside the flagship's bases",
    "small": "one GPU, not yet measured",
}
ARMS = ("tuned", "replay", "replay L1", "replay others", "near", "LoRA 1")
ASKED = "G1"  # stated forward in both languages
TOLD = Mixture(facts=0.4, stories=0.6, quiz=0.0, dictionary=0.0)  # as in MIXTURE, but for the quiz


@dataclasses.dataclass(frozen=True)
class Settings(standard.Settings):
    """Options of the experiment: mixers differ in what they lose."""

    mixers: str = extent("gla,softmax")


def stages(settings: Settings) -> list[Stage]:
    """A base of every seed and mixer, and its tunings in L1."""
    size, found = SIZES[settings.size], []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        text = corpus(size, seed)
        measures = (Recall(text), Following(text, "quiz"))
        base = pretrained(size, mixer, seed, text, measures, arm="base")
        found.append(base)
        for arm in ARMS:
            found.append(tuned(base, read(text, arm), by(size.tune, arm), measures, arm=arm))
    return found


def preview() -> Documented:
    """What `python -m data.preview retention` shows: a tuning with replay."""
    return read(corpus(SIZES["toy"], seed=0), "replay")


def read(text: Corpus, arm: str) -> Documented:
    """What an arm is tuned on."""
    own = tuning(text, "quiz", "L1")
    if not arm.startswith("replay"):
        return own
    ratio, groups = 0.0 if arm == "replay L1" else text.ratio, text.world.groups
    if arm == "replay others":
        groups = tuple(Group(one.name) if one.name == ASKED else one for one in groups)
    world = dataclasses.replace(text.world, groups=groups)
    told = dataclasses.replace(text, mixture=TOLD, ratio=ratio, world=world)
    return Replay(own, told, share=0.5, registers=("statement", "story"))


def by(recipe: Recipe, arm: str) -> Recipe:
    """How an arm is tuned: all of them on as many rows of instructions a step."""
    if arm.startswith("replay"):
        return dataclasses.replace(recipe, batch=2 * recipe.batch)
    if arm == "near":
        return dataclasses.replace(recipe, objective=Near(beta=1.0))
    return changed(recipe, arm, LoRA(rank=1)) if arm == "LoRA 1" else recipe


def _fact(arm: str, language: str = "L2") -> dict[str, object]:
    return asked(ASKED, language, "forward", arm=arm)


def _right(arm: str, language: str) -> dict[str, str]:
    return {"measure": "following", "arm": arm, "language": language, "ambiguous": "no"}


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; the module says what was revised after one."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        found += _claims(stats.where(results.items, mixer=mixer), mixer)
    return found


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    kept = lambda arm, row, source: Claim(
        row=row,
        claim=f"{mixer}: {arm} keeps the facts of L2 that tuning in L1 hides",
        unit="share of the EM lost",
        estimate=stats.contrast(
            items, "exact", *map(_fact, (arm, "tuned", "base")), of=stats.ratio_of_gains
        ),
        reproduced=above(0.5),
        opposite=below(0.5),
        reference=None,
        reference_source=source,
    )
    right = lambda arm, language: stats.contrast(
        items, "right", _right(arm, language), _right("tuned", language)
    )
    stays = lambda arm: Claim(
        row="C1",
        claim=f"{mixer}: {arm} keeps answers in L2 to the end: right, minus tuned alone",
        unit="EM",
        estimate=right(arm, "L2"),
        reproduced=above(0.0),
        opposite=below(0.0),
        reference=None,
        reference_source="new; H1: the mode is there, and tuning on L1 alone narrows it",
    )
    return [
        Claim(
            row="C1",
            claim=f"{mixer}: control, tuning in L1 hides facts of L2: G1 forward, tuned minus base",
            unit="EM",
            estimate=stats.contrast(items, "exact", _fact("tuned"), _fact("base")),
            reproduced=below(-0.3),
            opposite=above(-0.1),
            reference={"gla": -0.78, "softmax": -0.91}.get(mixer),
            reference_source="joint, five of these seeds",
        ),
        kept("replay", "C1", "Ouyang et al. 2022: mixing pretraining in does; direction alone"),
        kept("replay L1", "C1", "new; H1: a mode is of no language, and so is what keeps it"),
        kept("replay others", "C1", "new; H1: facts are out of use, and need not be told again"),
        kept("near", "C1", "Ouyang et al. 2022: a price does less; direction alone"),
        kept("LoRA 1", "C9", "Biderman et al. 2024: LoRA forgets less; direction alone"),
        Claim(
            row="C1",
            claim=f"{mixer}: replay costs instructions in L1 nothing: right, minus tuned alone "
            "(margin 0.1)",
            unit="EM",
            estimate=right("replay", "L1"),
            reproduced=within(0.1),
            opposite=below(-0.1),
            reference=0.0,
            reference_source="Ouyang et al. 2022: no loss of preference",
        ),
        stays("replay"),
        stays("replay L1"),
    ]


def sections(results: report.Results) -> list[report.Section]:
    """Facts and instructions by arm, what was said, losses, and what replay stated."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_facts(items, mixer), _instructions(items, mixer), _said(items, mixer)]
    told = recall.exposures(results, by="arm", relation="parent", group=ASKED)
    return [*found, told, report.losses(results.curves, line=("mixer",), panel="arm")]


def _facts(items: pa.Table, mixer: str) -> report.Section:
    arms = ("base", *ARMS)
    drawn = lambda value: {
        f"{language} forward": {
            arm: (stats.means(items, value, _fact(arm, language)), True) for arm in arms
        }
        for language in LANGUAGES
    }
    note = (
        "Facts that pretraining states forward in both languages (G1), completed after each tuning "
        "in L1; log-odds among the answers of the cell tell what is known and not said. One dot a "
        "seed."
    )
    body = figure.dots(drawn("exact"), "exact match", None, (-0.05, 1.05))
    body += figure.dots(drawn("log_odds"), "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: facts after each tuning", note, body)


def _instructions(items: pa.Table, mixer: str) -> report.Section:
    panels = {
        f"asked in {language}": {
            arm: (stats.means(items, "right", _right(arm, language)), language == "L1")
            for arm in ("base", *ARMS)
        }
        for language in LANGUAGES
    }
    note = "Share of list tasks answered rightly in the prompt's language, quiz register. Filled: "
    note += "the language of the tuning."
    body = figure.dots(panels, "right", None, (-0.05, 1.05))
    return report.Section(f"{mixer}: instructions after each tuning", note, body)


def _said(items: pa.Table, mixer: str) -> report.Section:
    cells = [
        ({"tuning": arm, "asked in": language}, _fact(arm, language))
        for arm, language in itertools.product(("base", *ARMS), LANGUAGES)
    ]
    note = "The first fact of G1, asked forward, first seed."
    return report.examples(items, cells, "exact", f"{mixer}: what was said", note)
