"""fit: the one training loop. Chunks of steps, evaluation, saving, stopping.

While a chunk runs, the batches of the next are made on the host and the metrics of the one before
are read: the device does not wait.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from model.lm import LM
from train.adapter import Full
from train.recipe import Recipe
from train.step import Metrics, State, begin, chunk, parameters
from train.store import Store, dump


class NotFinite(FloatingPointError):
    """The loss or the gradient of a member is not finite."""

    def __init__(self, member: int, step: int, loss: float, gradient: float):
        self.member, self.step = member, step
        super().__init__(
            f"member {member}, step {step}: loss {loss}, gradient norm {gradient}; lower the "
            "learning rate or lengthen the warm-up"
        )


def fit(
    cfg: LM,
    recipe: Recipe,
    batches: Sequence[Any],
    *,
    params: Any = None,
    seeds: tuple[int, ...] | None = None,
    adapter: Full = Full(),
    store: Store | None = None,
    steps_per_call: int = 20,
    on_step: Callable[[int, dict], None] | None = None,
    evaluate_at: Sequence[int] = (),
    evaluate: Callable[[int, Any], None] | None = None,
) -> State:
    """Train S = len(batches) members together; the state after `recipe.steps` steps.

    batches[s][t] is member s's batch of step t: dict of tokens, weights, segments (B,T), a pure
    function of t. Members start from `params` (leading axis S), or fresh from `seeds`, which count
    up from recipe.seed unless given. `steps_per_call` changes no bit of the result.

    `on_step(step, {"loss": (S,), "gradient": (S,), "tokens_per_second": ...})` comes once a chunk,
    with its means, a chunk late. `evaluate(step, params)` comes at each step of `evaluate_at` (0 is
    before the first) and must be done with `params` when it returns. With a store the run goes on
    from its newest good checkpoint; of the evaluations, from that step's on.

    NotFinite names member and step; the batch and the state before it are in the store's
    not-finite-<step>.npz. SIGTERM and Ctrl-C save before they end the run.
    """
    state, frozen = _start(cfg, recipe, len(batches), params, seeds, adapter)
    if store is not None:
        state = store.restore(state) or state
    done = int(np.asarray(state.step)[0])
    saves = range(0, recipe.steps, store.every) if store else ()
    spans = _spans(done, recipe.steps, steps_per_call, {*saves, *evaluate_at})
    advance = chunk(cfg, recipe, adapter)
    record = _Record(store, on_step)

    def judge(step):
        if evaluate is not None and step in evaluate_at:
            evaluate(step, adapter.join(state.trained, frozen))

    judge(done)
    with (
        _saves_finished(store),
        _stop_requests(store) as requests,
        _Ahead(batches, spans, steps_per_call) as ahead,
    ):
        for span in spans:
            arrays = ahead.next()
            state, metrics = advance(state, frozen, arrays, span.start, len(span))
            try:
                record.add(span, metrics, arrays["tokens"][:, : len(span)].size)
                if span.stop in saves or span.stop in evaluate_at or requests or span is spans[-1]:
                    record.read()  # nothing that is not finite is judged or saved
            except NotFinite as error:
                _dump(store, error, state, batches)
                raise
            judge(span.stop)
            if store is not None:
                store.save(span.stop, state, force=bool(requests) or span is spans[-1])
            if requests:
                raise requests[0]
    return state


def _start(cfg, recipe, S, params, seeds, adapter) -> tuple[State, Any]:
    """The state before the first step, and what stays frozen."""
    if seeds is None:
        seeds = tuple(range(recipe.seed, recipe.seed + S))
    if S < 1 or len(seeds) != S:
        raise ValueError(f"{S} streams of batches and {len(seeds)} seeds; give each member one")
    if params is None:
        params = parameters(cfg, seeds)
    have = len(jax.tree.leaves(params)[0])
    if have != S:
        raise ValueError(f"params of {have} members for {S} streams of batches; give each one")
    trained, frozen = adapter.split(params)
    return begin(recipe, trained), frozen


def _spans(done: int, steps: int, size: int, marks: set[int]) -> list[range]:
    """Ranges of at most `size` steps from `done` to `steps` that end at every mark."""
    ends = sorted({m for m in marks if done < m < steps} | {steps})
    spans = []
    for end in ends:
        for first in range(done, end, size):
            spans.append(range(first, min(first + size, end)))
        done = max(done, end)
    return spans


class _Ahead:
    """The stacked batches of one span after the other, made in a thread one span ahead."""

    def __init__(self, batches: Sequence[Any], spans: list[range], size: int):
        self._batches, self._spans, self._size = batches, iter(spans), size

    def __enter__(self) -> "_Ahead":
        self._host = ThreadPoolExecutor(1)
        self._prepare()
        return self

    def __exit__(self, *_) -> None:
        self._host.shutdown(cancel_futures=True)

    def next(self) -> dict[str, np.ndarray]:
        stacked = self._future.result()
        self._prepare()
        return stacked

    def _prepare(self) -> None:
        span = next(self._spans, None)
        if span is not None:
            self._future = self._host.submit(self._stack, span)

    def _stack(self, span: range) -> dict[str, np.ndarray]:
        """(S, n, B, T) with n the same for all spans, so that they share a program."""
        rows = [[stream[t] for t in span] for stream in self._batches]
        stacked = {}
        for name in ("tokens", "weights", "segments"):
            values = np.stack([[np.asarray(batch[name]) for batch in row] for row in rows])
            room = [(0, 0), (0, self._size - len(span)), (0, 0), (0, 0)]
            stacked[name] = np.pad(values, room)
        return stacked


class _Record:
    """Metrics, read one chunk late: reading earlier would make the host wait for the device."""

    def __init__(self, store: Store | None, on_step: Callable[[int, dict], None] | None):
        self._store, self._on_step = store, on_step
        self._pending: tuple[range, Metrics, int] | None = None
        self._clock = time.perf_counter()

    def add(self, span: range, metrics: Metrics, tokens: int) -> None:
        self.read()
        self._pending = (span, metrics, tokens)

    def read(self) -> None:
        """Take in what is pending; NotFinite if a member left the road in it."""
        if self._pending is None:
            return
        (span, metrics, tokens), self._pending = self._pending, None
        values = jax.tree.map(lambda x: np.asarray(x)[:, : len(span)], metrics)
        bad = np.argwhere(~np.isfinite(values.loss + values.gradient).T)
        good = bad[0][0] if len(bad) else len(span)
        if self._store is not None:
            self._store.log([_row(span[i], values, i) for i in range(good)])
        if len(bad):
            i, s = bad[0]
            raise NotFinite(int(s), span[i], float(values.loss[s, i]), float(values.gradient[s, i]))
        now = time.perf_counter()
        means = {"loss": values.loss.mean(axis=1), "gradient": values.gradient.mean(axis=1)}
        means["tokens_per_second"] = tokens / (now - self._clock)
        self._clock = now
        if self._on_step is not None:
            self._on_step(span.stop, means)


def _row(step: int, values: Metrics, i: int) -> dict:
    """Step `step` counted from 1: a checkpoint after n steps keeps rows 1..n."""
    return {
        "step": step + 1,
        "loss": values.loss[:, i].tolist(),
        "gradient": values.gradient[:, i].tolist(),
    }


def _dump(store: Store | None, error: NotFinite, state: State, batches: Sequence[Any]) -> None:
    """The member as it was before the bad step (no later step moved it), and its batch."""
    if store is not None:
        own = jax.tree.map(lambda leaf: leaf[error.member], state)
        path = store.folder / f"not-finite-{error.step}.npz"
        dump(path, state=own, batch=dict(batches[error.member][error.step]))
        error.add_note(f"its batch and the state before it are in {path}")


@contextlib.contextmanager
def _saves_finished(store: Store | None) -> Iterator[None]:
    """However the run ends, what it began to save is saved."""
    try:
        yield
    finally:
        if store is not None:
            store.wait()


@contextlib.contextmanager
def _stop_requests(store: Store | None) -> Iterator[list[BaseException]]:
    """A list that a first SIGTERM or Ctrl-C enters; a second one acts at once, as without us."""
    requests: list[BaseException] = []
    answers = {signal.SIGTERM: SystemExit(0), signal.SIGINT: KeyboardInterrupt()}
    if store is None or threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def ask(number, _frame):
        requests.append(answers[number])
        for each in before:
            signal.signal(each, before[each])

    before = {number: signal.signal(number, ask) for number in answers}
    try:
        yield requests
    finally:
        for number in before:
            signal.signal(number, before[number])
