"""Structural priming: is a free choice of construction made as it was in the sentence before?"""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.key import key
from data.meaning import Nominal, Say
from data.probe import encode, padded
from data.speaker import speaker
from experiments.measure.score import answer_logprobs
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Priming:
    """After a prime "a gives b c" or "a gives c to b", how probable is either way to put a target
    of other words? `items` pairs of prime and target, the same ones for all pairs of languages.

    With p(double) the probability of the double object, over that of both ways to say the target
    (Sinclair et al. 2022; Michaelov et al. 2023): one row a pair of sentences and of languages,
    columns prime, target (languages), item, the text, and the metrics
      effect  p(double | double prime) - p(double | prepositional prime); that of the prepositional
              target is the same number, since the two add up to 1. None: 0
      shift   the same difference in log-odds, nats: it sees effects where one way is rare
      double  p(double), mean over the primes
    """

    corpus: Corpus
    items: int = 64
    seed: int = 0

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        names, found = self.corpus.pair.names[:2], []
        for p, prime in enumerate(names):
            for t, target in enumerate(names):
                odds = self._odds(cfg, params, p, t)
                double = 1 / (1 + np.exp(-odds))
                columns = dict(effect=double[1] - double[0], shift=odds[1] - odds[0],
                               double=double.mean(0))  # fmt: skip
                same = lambda value: np.full(self.items, value)
                columns |= dict(prime=same(prime), target=same(target), item=np.arange(self.items))
                columns |= dict(prompt=self._text(p, 0, True), gold=self._text(t, 1, True))
                found.append(pa.table(columns))
        return pa.concat_tables(found)

    def _odds(self, cfg: LM, params: dict, p: int, t: int) -> np.ndarray:
        """(2, items) log-odds of the double object, after a prepositional and a double prime."""
        targets = [padded(self._said(t, 1, double)) for double in (False, True)]
        odds = []
        for double in (False, True):
            primes = [[0, *said] for said in self._said(p, 0, double)]
            asked = padded(primes, left=True), np.array([len(ids) for ids in primes])
            one, two = (answer_logprobs(cfg, params, *asked, answers) for answers in targets)
            odds.append(two - one)
        return np.stack(odds)

    def _said(self, language: int, which: int, double: bool) -> list[list[int]]:
        """The tokens of the primes (`which` = 0) or targets (1) in one of two ways."""
        both = speaker(self.corpus.pair, self.corpus.world)
        return [
            encode(
                self.corpus, both.render(dataclasses.replace(pair[which], double=double), language)
            )
            for pair in self.sentences()
        ]

    def _text(self, language: int, which: int, double: bool) -> list[str]:
        return [self.corpus.tokenizer.decode(ids) for ids in self._said(language, which, double)]

    def sentences(self) -> list[tuple[Say, Say]]:
        """Primes and targets that share no word, but what marks the recipient."""
        nouns, verbs = self.corpus.world.nouns, self.corpus.world.vocabulary.verbs
        if verbs < 2:
            raise ValueError(
                f"Vocabulary(verbs={verbs}) has no two verbs of giving; choose 2 or more"
            )
        rng = np.random.Generator(np.random.Philox(key=key("probe", self.seed)))
        found = []
        for _ in range(self.items):
            noun = [Nominal(f"noun{n}") for n in rng.permutation(nouns)[:6]]
            one, two = (f"ditransitive{v}" for v in rng.permutation(verbs)[:2])
            found.append((Say(one, *noun[:3]), Say(two, *noun[3:])))
        return found
