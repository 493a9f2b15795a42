"""Talk to an exported model: `python -m model.chat FOLDER [--language NAME]`.

Each line is an instruction, put between the chat markers of the language (`chat.json`) if the model
has read any; without markers the line is continued as it stands. Nothing is remembered from line to
line, as no document of the training had two turns.
"""

import contextlib
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
import tyro

from model.hf import encode, load, tokenizer
from model.lm import LM, Params
from model.sample import Greedy, Rule, Sample, generate


def main(
    folder: tyro.conf.Positional[pathlib.Path],
    language: str | None = None,
    temperature: float = 0.0,
    nucleus: float = 1.0,
    steps: int = 64,
    seed: int = 0,
) -> None:
    """Answer what is typed, until the input ends or Ctrl-C.

    Args:
        folder: what model.hf.save or experiments.export wrote
        language: one of the model's; default its first
        temperature: 0 says the most probable token
        nucleus: draw among the fewest tokens that hold this much of the mass
        steps: tokens of an answer at most
        seed: another one, another answer, where answers are drawn
    """
    rule = Sample(temperature, nucleus) if temperature else Greedy()
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    if temperature == 0 and nucleus != 1:
        raise ValueError(f"nucleus={nucleus:g} has nothing to draw from; give a --temperature")
    marks = markers(folder, language)
    (cfg, params), words = load(folder), tokenizer(folder)
    key = jax.random.key(seed)
    with contextlib.suppress(KeyboardInterrupt):
        for turn, line in enumerate(_lines()):
            own = jax.random.fold_in(key, turn)
            try:
                said = reply(cfg, params, words, marks, line, steps, rule, own)
            except ValueError as error:
                said = f"({error})"
            print(said)


def markers(folder: pathlib.Path, language: str | None) -> tuple[str, str]:
    """What stands before an instruction and after it in a language; nothing if the model has none.

    ValueError lists the languages there are.
    """
    if (folder / "params").is_dir() and not (folder / "config.json").exists():
        raise ValueError(
            f"{folder} is what training left; export it, and talk to DIR: "
            f"python -m experiments.export {folder} --to DIR"
        )
    path = folder / "chat.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if language is None and not known:
        return "", ""
    if language is not None and language not in known:
        raise ValueError(f"no language {language!r}; {folder} has {', '.join(known) or 'none'}")
    own = known[language or next(iter(known))]
    return own["user"], own["assistant"]


def reply(
    cfg: LM,
    params: Params,
    words: tokenizers.Tokenizer,
    marks: tuple[str, str],
    line: str,
    steps: int,
    rule: Rule,
    key: jax.Array,
) -> str:
    """The model's answer to one line; ValueError names a word it does not know."""
    user, assistant = marks
    text = "".join(f" {word}" for word in (user, *line.split(), assistant)) if user else line
    ids = [0, *encode(words, text)]
    P = 1 << (len(ids) - 1).bit_length()  # few lengths, few programs
    prompt = np.zeros((1, P), np.int32)
    prompt[0, P - len(ids) :] = ids
    tokens = generate(cfg, params, prompt, jnp.array([len(ids)]), steps, rule, key=key).tokens[0]
    return words.decode([t for t in tokens.tolist() if t != 0]).strip()


def _lines():
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line


if __name__ == "__main__":
    try:
        tyro.cli(main, prog="python -m model.chat")
    except (ValueError, NotImplementedError) as error:
        sys.exit(f"error: {error}")
