"""Real bilingual text: what a given share of the second language teaches, in bits per byte.

Question  One model reads English and German sentences, a share `ratio` of them German and none in
          both languages. How well does it predict each language, compared with counts of the same
          text?

Design    Line-aligned files (--folder holds train.en.gz, train.de.gz, val.en.gz, val.de.gz, as
          Multi30k does); every line is read in one language only, so the text holds no
          translations. A byte-level BPE is trained on both languages' training lines alike.

Measures  Bits per byte of the validation text of each language (the ends of documents counted), for
          the model and for a unigram and an interpolated bigram of the same training rows.

Run       python -m experiments.run bilingual_text --folder .../multi30k --ratio 0.1 --seeds 5

Result    2026-11-28, 1fbb990, toy, 5 seeds, 1 CPU core, 917 s.
          B1 L1 (en): the model needs fewer bits than the bigram of the same text: 0.11 [0.10, 0.11]
            bits per byte, reproduced.
          B1 L2 (de): the model needs fewer bits than the bigram of the same text: 0.15 [0.14, 0.16]
            bits per byte, reproduced.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np

from data.text import Text, read
from data.tokenizer import BPE
from experiments import figure, report, stats
from experiments.claim import Claim, above, below
from experiments.measure.bits import Bits
from experiments.stage import Stage, extent, seeds
from model.gla import GLA
from model.lm import LM
from train.recipe import AdamW, Cosine, Recipe

ROWS = ("B1",)
COST = {"toy": "2 CPU cores, 2 seeds: about 5 min"}
SIZES = {"smoke": Recipe(steps=8, batch=4, schedule=Cosine(warmup=2)),
         "toy": Recipe(steps=600, batch=16, optimizer=AdamW(lr=3e-3))}  # fmt: skip
LANGUAGES = {"L1": "en", "L2": "de"}
MODELS = ("bits", "bigram", "unigram")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of the experiment."""

    folder: pathlib.Path | None = None  # holds {train,val}.{en,de}.gz, line-aligned
    ratio: float = 0.5  # share of the sentences read in the second language
    size: Literal["smoke", "toy"] = "toy"
    seeds: int = extent(2)


def stages(settings: Settings) -> list[Stage]:
    if settings.folder is None:
        raise ValueError(
            "no --folder; give the one that holds train.en.gz, train.de.gz, val.en.gz, val.de.gz"
        )
    files = lambda part: [str(settings.folder / f"{part}.{l}.gz") for l in LANGUAGES.values()]
    train = tuple(files("train"))
    tokenizer = BPE.train((text for file in train for _, text in read(file)), size=4000)
    model = LM(W=tokenizer.size, D=128, layers=2, mixer=GLA(heads=4))
    held_out = dict(zip(LANGUAGES, files("val"), strict=True))
    recipe, found = SIZES[settings.size], []
    for seed in seeds(settings.seeds):
        corpus = Text(train, tokenizer, T=128, ratio=settings.ratio, seed=seed)
        found.append(Stage(
            model=model,
            corpus=corpus,
            recipe=dataclasses.replace(recipe, seed=seed),
            measures=tuple(
                Bits(Text((path,), tokenizer, T=128), corpus, language)
                for language, path in held_out.items()
            ),
            at=(recipe.steps,),
            labels=(("mixer", "gla"), ("seed", seed)),
        ))  # fmt: skip
    return found


def claims(results: report.Results) -> list[Claim]:
    found = []
    for language in LANGUAGES:
        items = stats.where(results.items, language=language)
        pairs = zip(
            stats.by_seed(items, "bigram", {}), stats.by_seed(items, "bits", {}), strict=True
        )
        gains = [(counts[0] - model[0],) for counts, model in pairs]
        found.append(
            Claim(
                row="B1",
                claim=f"{language} ({LANGUAGES[language]}): the model needs fewer bits than the "
                "bigram of the same text",
                unit="bits per byte",
                estimate=stats.bootstrap(gains),
                reproduced=above(0.0),
                opposite=below(0.0),
                reference=None,
                reference_source="a check that the model has learned both languages at all",
            )
        )
    return found


def sections(results: report.Results) -> list[report.Section]:
    rows = []
    panels = {}
    for language, code in LANGUAGES.items():
        cells = {name: stats.means(results.items, name, {"language": language}) for name in MODELS}
        named = {"bits": "model", "bigram": "bigram", "unigram": "unigram"}
        panels[f"{language} ({code})"] = {
            named[name]: (values, name == "bits") for name, values in cells.items()
        }
        row = {named[name]: float(np.mean(values)) for name, values in cells.items()}
        rows.append({"language": f"{language} ({code})"} | row)
    note = "Validation text, every seed a dot; lower is better."
    return [
        report.losses(results.curves),
        report.Section("Bits per byte", note, figure.dots(panels, "bits per byte")),
        report.Section("The same in numbers", "Means over seeds.", report.table(rows)),
    ]
