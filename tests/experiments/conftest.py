"""One finished run for all tests of what a run leaves."""

import functools

import pytest

from experiments import run, stats


@pytest.fixture(scope="session", autouse=True)
def few_draws():
    """A fifth of the draws decides what tests ask, in a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(stats.bootstrap, draws=stats.DRAWS // 5)
        patch.setattr(stats, "bootstrap", few)
        yield


@pytest.fixture(scope="session")
def flagship(tmp_path_factory):
    """A finished flagship of two seeds."""
    out = tmp_path_factory.mktemp("flagship") / "out"
    words = ["flagship", "--size", "smoke", "--seeds", "2"]
    assert run.main([*words, "--out", str(out)]) == 0
    return out
