"""Corpora by the name of their experiment: the one place where data looks at experiments, and only
when a person asks for one by name."""

import difflib
import importlib
import math
import pathlib

from data.corpus import Corpus

_FOLDER = pathlib.Path(__file__).parent.parent / "experiments"


def names() -> list[str]:
    """Experiments that have a corpus to be looked at: a function `preview() -> Corpus`."""
    return sorted(f.stem for f in _FOLDER.glob("*.py") if "\ndef preview(" in f.read_text())


def corpus(name: str) -> Corpus:
    """The corpus that experiments/`name`.py shows; ValueError if there is none."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"no experiment {name!r} with a preview; {hint}there are: {', '.join(known)}"
        )
    return importlib.import_module(f"experiments.{name}").preview()


def rows(corpus: Corpus, tokens: float) -> int:
    """How many rows of a corpus have so many tokens."""
    if not 1 <= tokens < math.inf:
        raise ValueError(f"tokens={tokens:g}: choose 1 or more, e.g. 1e6")
    return -(-int(tokens) // corpus.T)
