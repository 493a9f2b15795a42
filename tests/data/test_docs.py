"""What a docstring shows is what its code does."""

import doctest
import importlib
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "data"
FILES = [p.relative_to(FOLDER) for p in FOLDER.rglob("*.py") if ">>>" in p.read_text()]
MODULES = sorted(".".join(p.with_suffix("").parts).removesuffix(".__init__") for p in FILES)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_docstring_are_real(name):
    result = doctest.testmod(importlib.import_module(f"data.{name}"))
    assert result.attempted > 0 and result.failed == 0


def test_every_generator_draws_an_example():
    generators = {"world", "language", "mixture", "corpus", "text", "task", "pack", "probe"}
    generators |= {"biography", "curriculum", "pairs", "product", "recall", "rewrite", "transform"}
    assert generators <= set(MODULES)
