"""What of a model is trained.

An adapter divides parameters into what the optimizer sees and what stays as it was, and puts them
together again; both halves have a leading seed axis outside the step and none within.
"""

import dataclasses
from typing import Any

Tree = Any


@dataclasses.dataclass(frozen=True)
class Full:
    """Every parameter."""

    def split(self, params: Tree) -> tuple[Tree, Tree]:
        """(trained, frozen)."""
        return params, {}

    def join(self, trained: Tree, frozen: Tree) -> Tree:
        """The model's parameters."""
        return trained
