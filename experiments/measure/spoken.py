"""What a model says when nobody asks it, read by the grammars that made its corpus."""

import dataclasses

import jax
import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.meaning import Fact
from data.speaker import Speaker, speaker
from model.lm import LM
from model.sample import Sample, generate


@dataclasses.dataclass(frozen=True)
class Spoken:
    """`documents` drawn from the model at temperature 1, one item each.

    Columns: `answer`, its text; `says`, what kind of document it is, or `nothing`; `language`,
    whose grammar can say it, or `neither`; and 0 or 1
      spoken   it ends, and means one thing in one language
      true     a fact that it states is one of the world's; null where it states none
    A task's answer is part of a document's meaning: a wrong one is no document.
    """

    corpus: Corpus
    documents: int = 64
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        begin, length = np.zeros((self.documents, 1), np.int32), np.ones(self.documents, np.int32)
        key = jax.random.key(self.seed)
        said = generate(cfg, params, begin, length, self.corpus.T, Sample(), key=key)
        return read(self.corpus, np.asarray(said.tokens))


def read(corpus: Corpus, said: np.ndarray) -> pa.Table:
    """The columns of `Spoken` for documents `said` (N, G), each ended by a zero (<doc>)."""
    both = speaker(corpus.pair, corpus.world)
    ends = [np.nonzero(row == 0)[0] for row in said]
    texts = [
        corpus.tokenizer.decode(row[: end[0]] if len(end) else row)
        for row, end in zip(said, ends, strict=True)
    ]
    facts = {corpus.world.fact(i)[:3] for i in range(len(corpus.world.facts.relation))}
    rows = [
        _read(both, corpus, facts, text) if len(end) else ("nothing", "neither", None)
        for text, end in zip(texts, ends, strict=True)
    ]
    says, language, true = zip(*rows, strict=True)
    spoken = [float(name != "neither") for name in language]
    columns = dict(answer=texts, says=says, language=language, spoken=spoken)
    return pa.table(columns | {"true": pa.array(true, pa.float64())})


def _read(
    both: Speaker, corpus: Corpus, facts: set[tuple], text: str
) -> tuple[str, str, float | None]:
    for i, name in enumerate(corpus.pair.names):
        try:
            meaning = both.parse(tuple(text.split()), i)
        except ValueError:
            continue
        stated = isinstance(meaning, Fact)
        true = stated and (meaning.relation, meaning.subject, meaning.object) in facts
        return type(meaning).__name__.lower(), name, float(true) if stated else None
    return "nothing", "neither", None
