"""A soft prompt: virtual words before every document, whose embeddings are trained and all else not
(Lester, Al-Rfou & Constant 2021, 2104.08691).

A virtual word is a word of the vocabulary that no one says but the prompt, so that all there is to
know of it is its row of the embedding, and training, prefill and decoding treat it like any other.
The vocabulary has to hold it from the start: pretraining reserves rows that `Prompt(0)` leaves
unused, and `train.adapter.Embeddings` trains those of the ones used.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from data.document import Documents
from data.probe import Probe
from data.stream import Documented
from data.tokenizer import Tokenizer
from data.transform import Transformed, extended


@dataclass(frozen=True)
class Prompt:
    """`used` of `reserved` virtual words after the <doc> of a document.

    >>> from data.corpus import Corpus
    >>> from data.language import Pair
    >>> from data.world import World
    >>> prompted = Prompt(2).prompted(Corpus(World(), Pair(), T=24))
    >>> prompted.tokenizer.decode(prompted.row(1)["tokens"][:9])
    '<doc> <0> <1> karu buso Holu lago Paru <doc>'
    """

    used: int
    reserved: int = 16
    offers: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.used <= self.reserved:
            raise ValueError(
                f"used={self.used} of reserved={self.reserved} virtual words; choose 0 to "
                f"{self.reserved}"
            )

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(f"<{i}>" for i in range(self.reserved))

    def prompted(self, corpus: Documented) -> Transformed:
        """The corpus with the prompt before every document, and room for one in a row."""
        return Transformed(corpus, self, share=float(self.used > 0), room=self.used)

    def before(self, probe: Probe, tokenizer: Tokenizer) -> tuple[Probe, Tokenizer]:
        """The questions with the prompt before each, and a tokenizer that knows its words."""
        ids = np.arange(tokenizer.size, tokenizer.size + self.used, dtype=np.int32)
        width = probe.prompts.shape[1] + self.used
        prompts = np.pad(probe.prompts, ((0, 0), (self.used, 0)))
        opens = width - probe.lengths - self.used  # where <doc> moves to
        prompts[np.arange(len(prompts))[:, None], opens[:, None] + 1 + np.arange(self.used)] = ids
        known = extended(tokenizer, self.words)
        return replace(probe, prompts=prompts, lengths=probe.lengths + self.used), known

    def eligible(self, documents: Documents, base: Documented) -> np.ndarray:
        return np.ones(len(documents.opening), bool)

    def __call__(
        self, documents: Documents, chosen: np.ndarray, base: Documented, marks: tuple[int, ...]
    ) -> Documents:
        for place, mark in enumerate(marks[: self.used], start=1):
            before = chosen[documents.document] & (documents.place == place)
            documents = documents.insert(before, mark)
        return documents
