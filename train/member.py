"""A member of an ensemble, what it is fed, and what it says.

Batches are stacked for the members a round ahead of the device; metrics are read a round behind it.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from train.recipe import Recipe
from train.step import Metrics, Span
from train.store import Store


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """One training of an ensemble: what it reads, and what is kept and asked of it on the way.

    batches[t] is the batch of step t: dict of tokens, weights, segments (B,T), a pure function of
    t. `evaluate(step, params)` comes at each step of `evaluate_at` (0 is before the first), with
    parameters without the members' axis, on one device if one process holds them, that it must be
    done with when it returns; if it returns True the member stops there. With a store the member
    goes on from its newest good checkpoint; of the evaluations, from that step's on.
    """

    recipe: Recipe
    batches: Any
    name: str = "the only member"
    store: Store | None = None
    evaluate_at: Sequence[int] = ()
    evaluate: Callable[[int, Any], bool | None] | None = None

    def __post_init__(self):
        never = [step for step in self.evaluate_at if not 0 <= step <= self.recipe.steps]
        if never:
            raise ValueError(
                f"{self.name}: evaluate_at={never} of steps={self.recipe.steps} never come; choose "
                f"0 to {self.recipe.steps}"
            )

    def rows(self, t: int) -> dict[str, np.ndarray]:
        """What the program reads in step t: the batch as the objective wants it."""
        return self.recipe.objective.rows(self.batches[t], t)


class Progress(NamedTuple):
    """What `on_step` gets once a chunk, a chunk late: of each member its step, and its means over
    the chunk (NaN where it took no step)."""

    step: list[int]
    loss: np.ndarray
    gradient: np.ndarray
    tokens_per_second: float


class NotFinite(FloatingPointError):
    """The loss or the gradient of a member is not finite."""

    def __init__(self, name: str, step: int, loss: float, gradient: float):
        self.name, self.step = name, step
        super().__init__(
            f"{name}, step {step}: loss {loss}, gradient norm {gradient}; lower the "
            "learning rate or lengthen the warm-up"
        )

    def __str__(self) -> str:
        """With its notes, which say where the step can be done again."""
        return "; ".join([super().__str__(), *getattr(self, "__notes__", ())])


class Ahead:
    """The stacked batches of one round after the other, made in a thread one round ahead."""

    def __init__(self, members: Sequence[Member], rounds: Iterator[tuple[range, ...]], size: int):
        self._members, self._rounds, self._size = members, rounds, size
        self._rates = [member.recipe.rates() for member in members]
        self._shape = members[0].rows(0)

    def __enter__(self) -> "Ahead":
        self._host = ThreadPoolExecutor(1)
        self._prepare()
        return self

    def __exit__(self, *_) -> None:
        self._host.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[tuple[range, ...], Span]]:
        while self._next is not None:
            spans, future = self._next
            feed = future.result()
            self._prepare()
            yield spans, feed

    def _prepare(self) -> None:
        spans = next(self._rounds, None)
        self._next = None if spans is None else (spans, self._host.submit(self._stack, spans))

    def _stack(self, spans: tuple[range, ...]) -> Span:
        """(S, n, B, T) with n the same for all rounds, so that they share a program."""
        S, n = len(spans), self._size
        batches = {}
        for name in ("tokens", "weights", "segments"):
            like = np.asarray(self._shape[name])
            batches[name] = np.zeros((S, n, *like.shape), like.dtype)
        rates = np.zeros((S, n), np.float32)
        for s, span in enumerate(spans):
            rates[s, : len(span)] = self._rates[s][span.start : span.stop]
            for i, t in enumerate(span):
                batch = self._members[s].rows(t)
                for name, stacked in batches.items():
                    if np.shape(batch[name]) != stacked.shape[2:]:  # or NumPy repeats its rows
                        raise ValueError(
                            f"{self._members[s].name}: {name} of step {t} are "
                            f"{np.shape(batch[name])}, those of step 0 {stacked.shape[2:]}; make "
                            "all batches of one shape"
                        )
                    stacked[s, i] = batch[name]
        first = np.array([span.start for span in spans], np.int32)
        return Span(batches, rates, first, np.array([len(span) for span in spans], np.int32))


class Record:
    """Metrics, read one chunk late: reading earlier would make the host wait for the device."""

    def __init__(
        self, members: Sequence[Member], done: Sequence[int], lost: dict[int, NotFinite], on_step
    ):
        self._members, self._lost, self._on_step = members, lost, on_step
        self._pending: tuple[tuple[range, ...], Metrics] | None = None
        self._steps = list(done)  # by now, of each
        self.loss = np.full(len(members), np.nan)  # of each one's last chunk, the mean
        self._tokens = np.size(members[0].rows(0)["tokens"])
        self._clock = time.perf_counter()

    def add(self, spans: tuple[range, ...], metrics: Metrics) -> None:
        self.read()
        self._pending = (spans, metrics)

    def read(self) -> None:
        """Take in what is pending: log it, and enter those that left the road among the lost."""
        if self._pending is None:
            return
        (spans, metrics), self._pending = self._pending, None
        values = jax.tree.map(np.asarray, metrics)
        loss, gradient = np.full((2, len(spans)), np.nan)
        steps = 0
        for s, span in enumerate(spans):
            good = self._log(s, span, values)
            if good:
                loss[s], gradient[s] = (x[s, :good].mean() for x in values)
                self._steps[s], steps = span.start + good, steps + good
                self.loss[s] = loss[s]
        now = time.perf_counter()
        speed, self._clock = steps * self._tokens / (now - self._clock), now
        if self._on_step is not None and steps:
            self._on_step(Progress(list(self._steps), loss, gradient, speed))

    def _log(self, s: int, span: range, values: Metrics) -> int:
        """How many steps of the span were taken; step numbers in the rows count from 1, so that a
        checkpoint after n steps keeps rows 1..n."""
        if s in self._lost or not span:
            return 0
        loss, gradient = values.loss[s, : len(span)], values.gradient[s, : len(span)]
        bad = np.flatnonzero(~np.isfinite(loss + gradient))
        good = int(bad[0]) if len(bad) else len(span)
        member = self._members[s]
        if member.store is not None and jax.process_index() == 0:
            rows = zip(span[:good], loss[:good].tolist(), gradient[:good].tolist(), strict=True)
            member.store.log([{"step": t + 1, "loss": [x], "gradient": [g]} for t, x, g in rows])
        if good < len(span):
            step, values = span[good], (float(loss[good]), float(gradient[good]))
            self._lost[s] = NotFinite(member.name, step, *values)
        return good
