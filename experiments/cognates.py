"""Cognates and false friends: does it help a model, or mislead it, that words look alike?

Question  Half of L2's words come from L1's by a regular sound change, and a fifth of its nouns have
          the form of a different noun of L1. Are cognates translated whose translation was never
          shown? Are false friends taken for what they look like? And does it help if other nouns
          stand beside the word?

Design    The standard corpus without dictionaries and without nouns that share both form and
          meaning; 5% of its documents are said again in the other language. A tuning answers
          `translate L2 a ?` for two thirds of the nouns; the others are asked. All kinds of words
          are in one corpus: cognates, false friends, and the rest as their control. Arms differ in
          the tokenizer:
            letters  a token is a letter, and the sound change maps one to one
            words    a token is a word: nothing distinguishes a cognate from another word

Measures  translation of single nouns that tuning did not show: exact match, log-odds among such
          nouns, and how often the answer is the prompt's own word; with no other noun beside it,
          and with two that exist in one language only. The other words of the question always tell
          which language it is in.

Run       python -m experiments.run cognates --size toy --seeds 5

Cost      toy: 2 CPU cores, 5 seeds of one mixer: 10 trainings and as many tunings, about 25 min.
          small: one GPU, not yet measured.

Result    2026-11-27, 43b71a0+changes, toy, 5 seeds, gla, 2 CPU cores, 1,509 s.
          B11 gla: control, other words that tuning showed are translated: 0.86 [0.81, 0.92] EM,
            reproduced.
          B11 gla: letters, not shown: cognates - other words: 0.01 [0.00, 0.10] EM, inconclusive.
          B11 gla: the same in log-odds: 3.29 [1.43, 4.96] nat log-odds, inconclusive.
          B11 gla: control, words as tokens: the same (equal within 0.5 nat): -0.27 [-0.95, 0.42]
            nat log-odds, inconclusive.
          B11 gla: letters, not shown: false friends - other words: -0.41 [-1.89, 0.85] nat log-
            odds, inconclusive.
          B11 gla: letters: the prompt's word is the answer: false friends - others: 0.10 [0.00,
            0.28] share, inconclusive.
          B11 gla: letters, false friends: two other nouns beside - none: 0.38 [-1.35, 1.40] nat
            log-odds, inconclusive.
"""

import dataclasses
import functools
import itertools

import pyarrow as pa
import pyarrow.compute as pc

from data.contact import Contact
from data.corpus import Corpus
from data.feature import Cognates, FalseFriends, Lexicon, Names, PossessorFirst
from data.split import HeldOut
from data.task.translate import Translate
from data.tokenizer import Character
from experiments import figure, report, stats
from experiments.claim import Claim, above, below, within
from experiments.incidental import enlarged, shown, translating
from experiments.measure.translation import Translation
from experiments.stage import Stage, seeds
from experiments.standard import MIXTURE, SIZES, Settings, Size, corpus, mixers, pretrained, tuned

ROWS = ("B11",)
COST = {
    "toy": "2 CPU cores, 5 seeds, one mixer: about 25 min",
    "small": "one GPU, not yet measured",
}

LOOKS = (Lexicon(0.0), Cognates(0.5), FalseFriends(0.2), Names(0.5), PossessorFirst())
TWICE = dataclasses.replace(
    MIXTURE,
    dictionary=0.0,
    held_out=(HeldOut(Translate()),),
    contact=Contact(scope=("facts",), parallel=0.05),
)
ARMS = {"letters": True, "words": False}  # whether tokens are letters
KINDS = {"cognate": "cognates", "own": "other words", "false": "false friends"}
BESIDE = (0, 2)


def larger(size: Size, letters: bool) -> Size:
    """Twice the nouns, since there are three kinds; in letters, rows of three times the tokens
    and half as many of them."""
    size = enlarged(size)
    if not letters:
        return size
    pretrain = dataclasses.replace(size.pretrain, batch=size.pretrain.batch // 2)
    return dataclasses.replace(size, T=3 * size.T, pretrain=pretrain)


def arm(size: Size, seed: int, name: str) -> Corpus:
    """The corpus of an arm."""
    size = larger(size, ARMS[name])
    text = corpus(size, seed, LOOKS, TWICE)
    letters = Character.of(" " + " ".join(text.tables.words[1:]))
    return dataclasses.replace(text, subword=letters if ARMS[name] else None)


def stages(settings: Settings) -> list[Stage]:
    """One base an arm, and its tuning to translate."""
    found = []
    for seed, mixer in itertools.product(seeds(settings.seeds), mixers(settings.mixers)):
        for name, letters in ARMS.items():
            size = larger(SIZES[settings.size], letters)
            text, count = arm(SIZES[settings.size], seed, name), shown(size)
            base = pretrained(size, mixer, seed, text, arm=name, tuned="none")
            asked = tuple(Translation(text, count, beside=beside) for beside in BESIDE)
            found += [base, tuned(base, translating(text, count), size.tune, asked,
                                  arm=name, tuned="translate")]  # fmt: skip
    return found


def preview() -> Corpus:
    """What `python -m data.preview cognates` shows: the arm of words."""
    return arm(SIZES["toy"], 0, "words")


def claims(results: report.Results) -> list[Claim]:
    """Declared before any run."""
    mixers = pc.unique(results.items["mixer"]).to_pylist()
    return [c for m in mixers for c in _claims(stats.where(results.items, mixer=m), m)]


def cell(arm: str, word: str, beside: int = 0, shown: str = "no") -> dict[str, object]:
    """The items of an arm and a kind of words."""
    return {"arm": arm, "word": word, "beside": beside, "shown": shown}


def _claims(items: pa.Table, mixer: str) -> list[Claim]:
    estimate = functools.partial(stats.contrast, items)
    contrast = lambda value, arm, one, two: estimate(value, cell(arm, one), cell(arm, two))
    orthography = "language models lean on orthography; direction alone"
    return [
        Claim("B11", f"{mixer}: control, other words that tuning showed are translated",
              "EM", estimate("exact", cell("letters", "own", shown="yes"), of=stats.mean),
              above(0.5), below(0.5), None, "the task is learned, or the next claims say nothing"),
        Claim("B11", f"{mixer}: letters, not shown: cognates - other words",
              "EM", contrast("exact", "letters", "cognate", "own"),
              above(0.05), below(0.05), None, orthography),
        Claim("B11", f"{mixer}: the same in log-odds", "nat log-odds",
              contrast("log_odds", "letters", "cognate", "own"), above(0.5), below(0.5),
              None, orthography),
        Claim("B11", f"{mixer}: control, words as tokens: the same (equal within 0.5 nat)",
              "nat log-odds", contrast("log_odds", "words", "cognate", "own"),
              within(0.5), above(0.5), 0.0, "by construction: nothing tells them apart"),
        Claim("B11", f"{mixer}: letters, not shown: false friends - other words",
              "nat log-odds", contrast("log_odds", "letters", "false", "own"),
              below(0.0), above(0.0), None, "interlingual homographs at or below chance"),
        Claim("B11", f"{mixer}: letters: the prompt's word is the answer: false friends - others",
              "share", contrast("copied", "letters", "false", "own"),
              above(0.02), below(0.02), None, "a false friend is a word of the language asked for"),
        Claim("B11", f"{mixer}: letters, false friends: two other nouns beside - none",
              "nat log-odds",
              estimate("log_odds", *(cell("letters", "false", beside) for beside in BESIDE[::-1])),
              above(0.0), below(0.0), None, "context disambiguates homographs"),
    ]  # fmt: skip


def sections(results: report.Results) -> list[report.Section]:
    """The figures of the page, one set a mixer."""
    found = [report.losses(results.curves, line=("mixer", "arm"), panel="tuned")]
    for mixer in pc.unique(results.items["mixer"]).to_pylist():
        items = stats.where(results.items, mixer=mixer)
        found += [_by_kind(items, mixer, *metric) for metric in METRICS]
        found.append(_said(items, mixer))
    return found


METRICS = (
    ("exact", "exact match", None, (-0.05, 1.05)),
    ("log_odds", "log-odds, nats", 0.0, None),
    ("copied", "prompt's word as answer", None, None),
)


def _by_kind(items, mixer: str, metric: str, name: str, chance, limits) -> report.Section:
    panels = {
        f"{arm}: {said}": {
            f"{kind}, {beside} beside": (stats.means(items, metric, cell(arm, word, beside, flag)),
                                         flag == "yes")
            for word, kind in KINDS.items() for beside in BESIDE
        }
        for arm in ARMS for flag, said in (("yes", "shown"), ("no", "not shown"))
    }  # fmt: skip
    note = (
        "Nouns by kind, and by how many other nouns stand beside them in the prompt. Filled: "
        "tuning showed the translation. One dot a seed, bar their mean."
    )
    body = figure.dots(panels, name, chance, limits)
    return report.Section(f"{mixer}: translation by kind of word, {name}", note, body)


def _said(items: pa.Table, mixer: str) -> report.Section:
    cells = [
        (
            {"arm": arm, "word": KINDS[word], "from": language},
            cell(arm, word) | {"language": language},
        )
        for arm, word, language in itertools.product(ARMS, KINDS, ("L1", "L2"))
    ]
    note = "The first word of its kind that tuning did not show, first seed. Decoded greedily."
    return report.examples(items, cells, "exact", f"{mixer}: translations", note)
