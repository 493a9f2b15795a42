"""Plain words or marked ones: how a model answers when nobody says which to choose."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.probe import encode, tasks
from data.speaker import speaker
from data.task import LISTS
from data.task.style import Marked
from experiments.measure.score import answer_logprobs, decoded, next_logprobs, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Preferred:
    """Asks `items` questions of every list task in a register, the same ones in both languages.

    Columns: the probe's slices; prompt, gold (in plain words), answer as text; and the metrics
      marked     where an answer begins, the share of marked words in the probability of the nouns
                 of the prompt's language: how often a sampled answer in it would be marked. An
                 answer in plain words of the other language makes it no smaller
      mode       probability that such an answer begins at all: the first token's mass on them
      log_odds   log p(plain answer) - log p(the same in marked words), summed over tokens, nats
      right      1 if the decoded answer is the plain one, in the prompt's language, and ends there
    """

    corpus: Corpus
    register: str = "quiz"
    items: int = 16
    seed: int = 0

    def __post_init__(self):
        if Marked() not in self.corpus.world.tasks or self.corpus.subword is not None:
            raise ValueError(
                f"tasks={self.corpus.world.tasks}, subword={self.corpus.subword}: answers are "
                "compared with those in marked words, each word a token; give the world Marked() "
                "among its tasks and the corpus no subword"
            )

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        probe = tasks(self.corpus, self.register, self.items, self.seed)
        kept = np.flatnonzero(np.isin(probe.slices["task"], [task.name for task in LISTS]))
        only = {name: getattr(probe, name)[kept] for name in ("prompts", "lengths", "answers")}
        slices = {name: column[kept] for name, column in probe.slices.items()}
        probe = dataclasses.replace(probe, **only, slices=slices)
        asked = (cfg, params, probe.prompts, probe.lengths)
        plain, marked = words(self.corpus)
        first = np.exp(next_logprobs(*asked))
        own = [self.corpus.pair.names.index(name) for name in slices["language"]]
        mass = [np.take_along_axis(first, ids[own], 1).sum(1) for ids in (plain, marked)]
        answers = in_marked_words(self.corpus, probe.answers, slices["language"])
        said = decoded(*asked, probe.answers.shape[1] + 1)
        return table(
            probe,
            self.corpus.tokenizer,
            said,
            marked=mass[1] / sum(mass),
            mode=sum(mass),
            log_odds=answer_logprobs(*asked, probe.answers) - answer_logprobs(*asked, answers),
            right=(said == np.pad(probe.answers, ((0, 0), (0, 1)))).all(1),
        )


def words(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Ids (languages, nouns) of the plain words of all nouns and of their marked words."""
    form = speaker(corpus.pair, corpus.world).form
    ids = lambda kind: np.array([
        [encode(corpus, [own[f"{kind}{i}"]])[0] for i in range(corpus.world.nouns)] for own in form
    ])  # fmt: skip
    return ids("noun"), ids("marked")


def in_marked_words(corpus: Corpus, answers: np.ndarray, language: np.ndarray) -> np.ndarray:
    """Answers (N, A) with every noun's marked word, in the language (N) of each."""
    found = np.zeros_like(answers)
    for name, plain, marked in zip(corpus.pair.names, *words(corpus), strict=True):
        other = np.zeros(corpus.tokenizer.size, answers.dtype)
        other[plain] = marked
        found = np.where((language == name)[:, None], other[answers], found)
    return found
