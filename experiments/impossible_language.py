"""Impossible languages: is an L2 that no one could speak harder to learn, and does L1 help?

Question  L2 has words like any other, but in an order, or with markers, that no human language has.
          Is it learned more slowly than L1's grammar in the same words? Do facts told in L1 alone
          come out in it? And does a model gain as much from L1 for such a language as for a natural
          one?

Design    The perturbations of Kallini et al. 2024 (2401.06416) move all words of a document by
          counting them (data/impossible.py). Each stands beside its control, which has as many
          words and moves none:
            no shuffle  even and odd; local, in windows of 3, 5 and 10; deterministic, one
                        permutation for all documents of a length, from each of three seeds;
                        nondeterministic, drawn anew for every document (data/reorder.py)
            no reverse  partial reverse: a marker, and the words after it reversed; full reverse
            no hop      word hop: a marker of number four words after the verb, not right after it
          Arms of a family differ in the perturbation alone. The hops are learned from stories of
          lists, told in L2 with articles: at least four words follow every verb, so that no hop is
          cut short, and the number varies (up to three listed, or four). L2 is also learned without
          L1 (data/silence.py), for no shuffle and the deterministic one: the same L2 in the same
          rows. No document is in two languages. Half of the names are shared. The paper's fifteenth
          language, whose hop counts marks too, equals word hop where no mark follows a verb, as
          here.

Measures  loss: nats a token of unseen documents of L2, at checkpoints on the way; compared within a
          family, whose documents are equally long. Shuffles are compared on stories and questions
          alone: all statements have one length, so the deterministic shuffle gives them one order,
          as any grammar does. marker: surprisal of the hops' markers. recall: facts stated in L1
          only, with shared names (G2), asked in L2 where its order leaves the name to the end:
          unshuffled, which is the ceiling, and locally shuffled. Softmax by default: in GLA facts
          hardly cross (0.29 nats in the flagship), and what does not cross cannot survive. Arms are
          asked the same items, so intervals are of pairs.

Run       python -m experiments.run impossible_language --size toy --seeds 5

Cost      toy: 2 CPU cores, 80 trainings, about 62 min a mixer (by FLOPs); small: one GPU, not yet
          measured; full: Kallini et al., GPT-2 small, 10M words, 15 languages

Result    2026-11-28, ab00ba5, toy, 5 seeds, softmax, 1 CPU core, 2,060 s.
          B7 softmax: local shuffle is harder than no shuffle: loss on L2's stories and questions:
            0.12 [0.09, 0.15] nat, reproduced.
          B7 softmax: local shuffle of 10 is harder than local shuffle: loss on L2's stories and
            questions: 0.05 [0.01, 0.09] nat, inconclusive.
          B7 softmax: deterministic is harder than local shuffle: loss on L2's stories and
            questions: -0.04 [-0.07, 0.00] nat, inconclusive.
          B7 softmax: nondeterministic is harder than deterministic: loss on L2's stories and
            questions: 1.06 [1.01, 1.09] nat, reproduced.
          B7 softmax: partial reverse is harder than no reverse: loss on L2's stories and questions:
            0.03 [0.00, 0.06] nat, inconclusive.
          B7 softmax: full reverse is harder than no reverse: loss on L2's stories and questions:
            0.03 [0.00, 0.05] nat, inconclusive.
          B7 softmax: word hop is harder than no hop: loss on L2's stories and questions: 0.03
            [-0.01, 0.08] nat, inconclusive.
          B7 softmax: L1 helps a possible L2 more, or costs it less: loss without L1 minus beside
            it, no shuffle minus deterministic: -0.03 [-0.07, -0.00] nat, inconclusive.
          B7 softmax: a marker four words after its verb is harder to foresee than right after it:
            surprisal of the markers: 0.00 [-0.00, 0.00] nat, inconclusive.
          B7 softmax: precondition: facts of L1 only (G2, shared names) come out in an L2 that is
            not shuffled: 4.32 [3.18, 5.68] nat log-odds, inconclusive.
          B7 softmax: transfer survives: the same facts in a locally shuffled L2, share of the nats
            in one not shuffled, if those are more than 1: 0.76 [0.57, 1.01] share of log-odds,
            inconclusive.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import Corpus
from data.feature import Articles, Lexicon, Names
from data.impossible import (
    PLURAL,
    SINGULAR,
    DeterministicShuffle,
    EvenOddShuffle,
    FullReverse,
    LocalShuffle,
    NoHop,
    NoReverse,
    NoShuffle,
    PartialReverse,
    WordHop,
)
from data.mixture import Mixture
from data.reorder import Shuffle
from data.silence import Silenced
from data.task import Copy, Dup, Reverse, Swap
from data.transform import Transformed
from experiments import figure, report, standard, stats
from experiments.claim import Claim, above, below
from experiments.measure.loss import Loss
from experiments.measure.marker import Marker
from experiments.measure.recall import Recall, asked
from experiments.scaling import shorter
from experiments.stage import Stage, seeds
from experiments.standard import SEPARATE, SIZES, Size, mixers, pretrained

ROWS = ("B7",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 62 min (by FLOPs)",
    "small": "one GPU, not yet measured",
    "full": "Kallini et al.: GPT-2 small, 10M words, 15 languages",
}

Settings = standard.Crossing

FAMILIES = {
    "shuffle": {
        "no shuffle": NoShuffle(),
        "even and odd": EvenOddShuffle(),
        "local shuffle": LocalShuffle(),
        "local shuffle of 5": LocalShuffle(5),
        "local shuffle of 10": LocalShuffle(10),
        "deterministic": DeterministicShuffle(),
        "deterministic 57": DeterministicShuffle(57),
        "deterministic 84": DeterministicShuffle(84),
        "nondeterministic": NoShuffle(),  # and see ANEW
    },
    "reverse": {
        "no reverse": NoReverse(),
        "partial reverse": PartialReverse(),
        "full reverse": FullReverse(),
    },
    "hop": {"no hop": NoHop(), "word hop": WordHop()},
}
ARMS = {arm: change for family in FAMILIES.values() for arm, change in family.items()}
ANEW = {"nondeterministic": Shuffle()}  # every document of L2 by itself
ASKED = ("no shuffle", "local shuffle")  # for facts: the name that is the answer comes last
LISTS = (Copy(), Reverse(), Dup(), Swap())  # with articles their answers have four words or more
WITHOUT = ("no shuffle", "deterministic")  # also learned without L1


def sized(name: str) -> Size:
    """Half of the standard steps, to afford sixteen models."""
    size = SIZES[name]
    return dataclasses.replace(size, pretrain=shorter(size.pretrain, 0.5))


def checkpoints(steps: int) -> tuple[int, ...]:
    """Eighths, doubling: 1/8, 1/4, 1/2 and all of the steps."""
    return tuple(steps // n for n in (8, 4, 2, 1))


def corpus(size: Size, seed: int, arm: str) -> Corpus | Transformed:
    """The standard world in L1 and in the L2 of an arm; for a hop, stories of lists alone."""
    features = (Lexicon(0.0), Names(0.5), ARMS[arm])
    if arm not in FAMILIES["hop"]:
        text = standard.corpus(size, seed, features, SEPARATE)
        if arm not in ANEW:
            return text
        return Transformed(text, ANEW[arm], share=1.0, languages=(1,), seed=seed)
    world = dataclasses.replace(size.world, tasks=LISTS)
    mixture = Mixture(facts=0.0, stories=1.0, quiz=0.0, dictionary=0.0)
    told = dataclasses.replace(size, world=world)
    return standard.corpus(told, seed, (Articles(), *features), mixture)


def stages(settings: Settings) -> list[Stage]:
    """Every language beside L1, and two of them without."""
    size, found = sized(settings.size), []
    at = checkpoints(size.pretrain.steps)
    for seed, mixer, arm in itertools.product(seeds(settings.seeds), mixers(settings.mixers), ARMS):
        text = corpus(size, seed, arm)
        loss = (Loss(text, rows=64),)
        more = {arm: Recall(text) for arm in ASKED} | {arm: Marker(text) for arm in FAMILIES["hop"]}
        measures = (*loss, more[arm]) if arm in more else loss
        found.append(pretrained(size, mixer, seed, text, measures, at, arm=arm, beside="L1"))
        if arm in WITHOUT:
            own = Silenced(text, "L1")
            found.append(pretrained(size, mixer, seed, own, loss, at, arm=arm, beside="none"))
    return found


def preview() -> Corpus:
    """What `python -m data.preview impossible_language` shows."""
    return corpus(sized("toy"), 0, "word hop")


def _loss(arm: str, beside: str = "L1", **more: int) -> dict[str, object]:
    return {"measure": "loss", "language": "L2", "arm": arm, "beside": beside} | more


def _fact(arm: str, step: int) -> dict[str, object]:
    return asked("G2", "L2", "forward", names="shared", arm=arm, step=step)


def surviving(means: np.ndarray) -> np.ndarray:
    """(draws, 2) -> (draws,): log-odds in a shuffled L2 over those in one not shuffled; nan where
    the latter are 1 nat or less, so that there is nothing to survive.

    >>> surviving(np.array([[3.0, 4.0], [0.0, 0.5]]))
    array([0.75,  nan])
    """
    left, natural = means.T
    return np.where(natural > 1, left / np.where(natural > 1, natural, 1.0), np.nan)


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run; those of the wider windows, the partial reverse and the shuffle
    drawn anew were declared after a run of the others and before their own."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    last = max(items["step"].to_pylist())
    counted = items.filter(pc.invert(pc.equal(items["register"], "statement").fill_null(False)))
    harder = lambda hard, easy: Claim(
        "B7", f"{mixer}: {hard} is harder than {easy}: loss on L2's stories and questions", "nat",
        stats.contrast(
            counted, "loss", _loss(hard, step=last), _loss(easy, step=last), paired=True
        ),
        above(0.0), below(0.0), None,
        "Kallini et al. 2024, GPT-2 small: perplexities in this order; direction alone",
    )  # fmt: skip
    hops = [{"measure": "marker", "arm": arm, "step": last} for arm in ("word hop", "no hop")]
    natural, shuffled = (_fact(arm, last) for arm in ASKED)
    benefit = [_loss(arm, beside, step=last) for arm in WITHOUT for beside in ("none", "L1")]
    return [
        harder("local shuffle", "no shuffle"),
        harder("local shuffle of 10", "local shuffle"),
        harder("deterministic", "local shuffle"),
        harder("nondeterministic", "deterministic"),
        harder("partial reverse", "no reverse"),
        harder("full reverse", "no reverse"),
        harder("word hop", "no hop"),
        Claim("B7", f"{mixer}: L1 helps a possible L2 more, or costs it less: loss without L1 "
              "minus beside it, no shuffle minus deterministic", "nat",
              stats.contrast(counted, "loss", *benefit, of=stats.interaction, paired=True),
              above(0.0), below(0.0), None,
              "new; expected positive if what is shared is the order of words"),
        Claim("B7", f"{mixer}: a marker four words after its verb is harder to foresee than right "
              "after it: surprisal of the markers", "nat",
              stats.contrast(items, "surprisal", *hops, paired=True),
              above(0.0), below(0.0), None, "Kallini et al. 2024, experiment 2; direction alone"),
        Claim("B7", f"{mixer}: precondition: facts of L1 only (G2, shared names) come out in an L2 "
              "that is not shuffled", "nat log-odds", stats.contrast(items, "log_odds", natural),
              above(1.0), below(1.0), 9.4, "softmax pilot with a natural L2, one seed"),
        Claim("B7", f"{mixer}: transfer survives: the same facts in a locally shuffled L2, share "
              "of the nats in one not shuffled, if those are more than 1", "share of log-odds",
              stats.contrast(items, "log_odds", shuffled, natural, of=surviving, paired=True),
              above(0.5), below(0.5), None, "new here"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """Learning curves by family, what L1 gives, facts across, and what the languages look like."""
    found = []
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_curves(items, mixer), _facts(items, mixer), _said(items, mixer)]
    return [*found, report.losses(results.curves, line=("mixer", "beside"), panel="arm")]


def _curves(items: pa.Table, mixer: str) -> report.Section:
    panels = {
        name: {arm: stats.curves(items, "loss", _loss(arm)) for arm in family}
        for name, family in FAMILIES.items()
    }
    panels["with and without L1"] = {
        arm if beside == "L1" else f"{arm}, alone": stats.curves(items, "loss", _loss(arm, beside))
        for arm in WITHOUT
        for beside in ("L1", "none")
    }
    note = (
        "Loss on unseen documents of L2 at four checkpoints, one line a seed. Within a panel "
        "documents are equally long; a panel's first language moves no word. Below, the markers of "
        "the hops by their number."
    )
    marked = {
        number: {
            arm: stats.curves(
                items, "surprisal", {"measure": "marker", "arm": arm, "marker": marker}
            )
            for arm in FAMILIES["hop"]
        }
        for number, marker in (("up to three listed", SINGULAR), ("four listed", PLURAL))
    }
    body = figure.curves(panels) + figure.curves(marked, "surprisal of the marker (nats)")
    return report.Section(f"{mixer}: learning an L2", note, body)


def _facts(items: pa.Table, mixer: str) -> report.Section:
    last = max(items["step"].to_pylist())
    rows = {arm: (stats.means(items, "log_odds", _fact(arm, last)), False) for arm in ASKED}
    note = "Facts stated in L1 only, forward (G2), shared names, asked in L2. Dots are seeds."
    body = figure.dots({"G2 in L2": rows}, "log-odds, nats", 0.0)
    return report.Section(f"{mixer}: facts across languages", note, body)


def _said(items: pa.Table, mixer: str) -> report.Section:
    last = max(items["step"].to_pylist())
    cells = [({"L2": arm}, _fact(arm, last)) for arm in ASKED]
    note = "The first of these facts, first seed. Decoded greedily until the document ends."
    title = f"{mixer}: facts asked in L2, and what was said"
    return report.examples(items, cells, "exact", title, note)
