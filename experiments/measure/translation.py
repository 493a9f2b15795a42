"""Translation of single nouns, by what kind of word they are and whether tuning showed them."""

import dataclasses

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.feature import Cognates
from data.meaning import Question
from data.probe import Probe, encode, item, padded, probe
from data.speaker import speaker
from data.task import number
from data.task.form import named
from data.template import CONSTRUCTS
from experiments.measure.score import answer_logprobs, decoded, table
from model.lm import LM


@dataclasses.dataclass(frozen=True)
class Translation:
    """Asks for every noun in both directions: `translate L2 a ?`, with `beside` other nouns after
    it as its context. The first word of the answer is scored.

    `shown` is how many nouns, the first ones, a tuning translates; of the others it tells what was
    known before. Columns: item (the noun), language (of the prompt), word (see `kinds`), shown,
    beside, the text, and the metrics
      exact     1 if the answer begins with the right word, whole, else 0
      copied    1 if it begins with the prompt's word as it stands, and that is wrong
      log_odds  log p(right) - mean log p(the words of the other nouns, as shown), nats; chance 0
      rank      share of these more probable than the right one; best 0, chance .5
    """

    corpus: Corpus
    shown: int
    register: str = "quiz"
    beside: int = 0

    def __post_init__(self):
        nouns = self.corpus.world.nouns
        if not 0 <= self.shown <= nouns or 1 in (self.shown, nouns - self.shown):
            raise ValueError(
                f"shown={self.shown} of nouns={nouns}: a word is compared with others that are "
                f"shown as it is; choose 0, 2 to {nouns - 2}, or {nouns}"
            )

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        asked, tokenizer = self.asked(), self.corpus.tokenizer
        noun, language, shown = (asked.slices[k] for k in ("item", "language", "shown"))
        own = np.where(language == self.corpus.pair.names[1], 1, 0)
        words = self._words()
        said = decoded(cfg, params, asked.prompts, asked.lengths, words.shape[2] + 1)
        exact, copied = (self._opens(said, words[i, noun]) for i in (1 - own, own))
        log_odds, rank = np.zeros((2, len(noun)))
        for target, flag in np.unique(np.stack([1 - own, shown], 1), axis=0):
            rows = np.flatnonzero((own == 1 - target) & (shown == flag))
            answers = words[target, noun[rows]]
            score = [
                answer_logprobs(cfg, params, asked.prompts[rows], asked.lengths[rows], same)
                for same in np.tile(answers[:, None], (1, len(rows), 1))
            ]
            scores = np.stack(score, 1)
            right, others = np.diag(scores), len(rows) - 1
            log_odds[rows] = right - (scores.sum(1) - right) / others
            # Ties count half; the right one ties with itself.
            above, level = scores > right[:, None], scores == right[:, None]
            rank[rows] = (above.sum(1) + (level.sum(1) - 1) / 2) / others
        return table(asked, tokenizer, said, exact=exact, copied=copied & ~exact,
                     log_odds=log_odds, rank=rank)  # fmt: skip

    def asked(self) -> Probe:
        """The questions: all nouns in one language, then all in the other."""
        nouns, word = self.corpus.world.entities("noun"), kinds(self.corpus)
        plain = [noun for noun in nouns if word[noun] == "own"] or [*nouns]
        items = []
        for language, name in enumerate(self.corpus.pair.names[:2]):
            for i, noun in enumerate(nouns):
                # Its neighbours among the words of one language only, so that they tell which.
                others = [other for other in plain[i % len(plain) :] + plain if other != noun]
                question = Question(
                    "translate", (named(2)[1 - language], noun, *others[: self.beside])
                )
                slices = dict(item=number(noun), language=name, word=word[noun])
                slices |= dict(shown=i < self.shown, beside=self.beside)
                meaning = CONSTRUCTS[self.register](question)
                items.append(item(self.corpus, meaning, language, slices))
        return probe(items)

    def _words(self) -> np.ndarray:
        """(2, nouns, A) the tokens of every noun's word, padded with 0."""
        forms = speaker(self.corpus.pair, self.corpus.world).form[:2]
        nouns = self.corpus.world.entities("noun")
        flat = padded([encode(self.corpus, [form[noun]]) for form in forms for noun in nouns])
        return flat.reshape(2, len(nouns), -1)

    def _opens(self, said: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Whether what is said (N, A + 1) begins with a word (N, A), and with no longer one."""
        same = ((said[:, :-1] == words) | (words == 0)).all(1)
        after = said[np.arange(len(said)), (words != 0).sum(1)]
        return same & ((after == 0) | self.corpus.tokenizer.begins[after])


def kinds(corpus: Corpus) -> dict[str, str]:
    """Of every noun what its words in the first two languages are to each other: "shared" (one
    form, one meaning), "cognate" (related by sound change), "false" (a false friend: the form means
    something else in the other language) or "own"."""
    one, two = speaker(corpus.pair, corpus.world).form[:2]
    change = [f.change for f in corpus.pair.twins[0] if isinstance(f, Cognates)]
    nouns = corpus.world.entities("noun")
    forms = [{form[noun] for noun in nouns} for form in (one, two)]
    found = {}
    for noun in nouns:
        if one[noun] == two[noun]:
            found[noun] = "shared"
        elif one[noun] in forms[1] or two[noun] in forms[0]:
            found[noun] = "false"
        elif any(one[noun].translate(table) == two[noun] for table in change):
            found[noun] = "cognate"
        else:
            found[noun] = "own"
    return found
