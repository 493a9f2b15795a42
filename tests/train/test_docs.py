"""The examples of docstrings are what the code gives."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["adapter", "objective"])
def test_examples_are_real(name):
    found = doctest.testmod(importlib.import_module(f"train.{name}"))
    assert found.attempted and not found.failed
