"""One finished run for all tests of what a run leaves."""

import pytest

from experiments import run


@pytest.fixture(scope="session")
def flagship(tmp_path_factory):
    """A finished flagship of two seeds."""
    out = tmp_path_factory.mktemp("flagship") / "out"
    words = ["flagship", "--size", "smoke", "--seeds", "2"]
    assert run.main([*words, "--out", str(out)]) == 0
    return out
