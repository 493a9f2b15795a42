"""What a docstring shows is what its code does."""

import doctest
import importlib
import pathlib
import re

import pytest

import data

FOLDER = pathlib.Path(__file__).parents[2] / "data"
FILES = [p.relative_to(FOLDER) for p in FOLDER.rglob("*.py") if ">>>" in p.read_text()]
MODULES = sorted(".".join(p.with_suffix("").parts).removesuffix(".__init__") for p in FILES)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_docstring_are_real(name):
    result = doctest.testmod(importlib.import_module(f"data.{name}"))
    assert result.attempted > 0 and result.failed == 0


def test_every_generator_draws_an_example():
    generators = {"world", "language", "sampler", "corpus", "text", "task", "pack", "probe"}
    generators |= {"biography", "curriculum", "pairs", "product", "recall", "rewrite", "transform"}
    assert generators <= set(MODULES)


def test_the_map_of_knobs_leads_where_it_says():
    places = re.findall(r"  ([a-z.]+): (\w+(?:, \w+)*)$", data.__doc__, re.MULTILINE)
    assert len(places) > 40
    for module, names in places:
        known = vars(importlib.import_module(f"data.{module}"))
        assert {*names.split(", ")} <= known.keys(), module
