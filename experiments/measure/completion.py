"""Completion of real sentences: the right answer against a shuffled one, and greedy decoding."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import pyarrow as pa

from data.probe import Probe, completion
from data.text import read
from data.tokenizer import Tokenizer
from experiments.measure.score import answer_logprobs, decoded, table
from model.lm import LM
from train.store import how


@dataclasses.dataclass(frozen=True)
class Completion:
    """Asks the prompts of a jsonl file; the wrong answers are those of `randomised`, row by row.

    Without `randomised` a row's wrong answer is the right one of another entity of the same file
    (rows of one answer are one entity), the next in the order of the file.

    Columns: the slices `asked` and `target`, `entity` (the right answer's number), the text, and
      log_odds   log p(right) - log p(wrong), nats, summed over tokens; chance 0
      exact      1 if the greedy continuation starts with the right answer (Berglund et al.'s rule)
    """

    path: str = how("")
    tokenizer: Tokenizer | None = None
    randomised: str | None = how(None)
    asked: str = ""
    target: str = ""
    content: str = ""

    def __post_init__(self):
        files = [self.path, *([self.randomised] if self.randomised else [])]
        digest = hashlib.sha256()
        for file in files:
            if not pathlib.Path(file).is_file():
                raise ValueError(f"{file}: no such file; check the folder given")
            digest.update(pathlib.Path(file).read_bytes())
        object.__setattr__(self, "content", digest.hexdigest()[:16])

    def __call__(self, cfg: LM, params: dict) -> pa.Table:
        records = read(self.path)
        answers = list(dict.fromkeys(answer for _, answer in records))
        entity = [answers.index(answer) for _, answer in records]
        slices = {"asked": self.asked, "target": self.target, "entity": np.array(entity)}
        right = completion(records, self.tokenizer, **slices)
        score = lambda p: answer_logprobs(cfg, params, p.prompts, p.lengths, p.answers)
        log_odds = score(right) - score(self._wrong(records, answers, entity))
        said = decoded(cfg, params, right.prompts, right.lengths, right.answers.shape[1])
        exact = ((said == right.answers) | (right.answers == 0)).all(1)
        return table(right, self.tokenizer, said, log_odds=log_odds, exact=exact)

    def _wrong(self, records, answers, entity) -> Probe:
        if self.randomised:
            shuffled = [answer for _, answer in read(self.randomised)]
        elif len(answers) < 2:
            raise ValueError(
                f"{self.path} has one answer only, so there is no wrong one; give more records, or "
                "the file `randomised`"
            )
        else:
            shuffled = [answers[(e + 1) % len(answers)] for e in entity]
        if len(shuffled) != len(records):
            raise ValueError(
                f"{self.randomised} has {len(shuffled)} records and {self.path} {len(records)}; "
                "give the file that shuffles its answers row by row"
            )
        prompts = [prompt for prompt, _ in records]
        return completion(list(zip(prompts, shuffled, strict=True)), self.tokenizer)
