"""fit: the one training loop. Chunks of steps of all members, evaluation, saving, stopping.

While a chunk runs, the batches of the next are made on the host and the metrics of the one before
are read: the device does not wait. Every member has its own place: it may resume, end, be stopped
or be lost at another step than the rest, and lies still from then on.
"""

import contextlib
import dataclasses
import functools
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from model.lm import LM
from train.adapter import Full
from train.mesh import Layout, placed, put, spread
from train.recipe import Recipe
from train.step import Metrics, Span, State, begin, chunk, constants, parameters
from train.store import Store, dump


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """One training of an ensemble: what it reads, and what is kept and asked of it on the way.

    batches[t] is the batch of step t: dict of tokens, weights, segments (B,T), a pure function of
    t. `evaluate(step, params)` comes at each step of `evaluate_at` (0 is before the first), with
    parameters without the members' axis that it must be done with when it returns; if it returns
    True the member stops there. With a store the member goes on from its newest good checkpoint;
    of the evaluations, from that step's on.
    """

    recipe: Recipe
    batches: Any
    name: str = "the only member"
    store: Store | None = None
    evaluate_at: Sequence[int] = ()
    evaluate: Callable[[int, Any], bool | None] | None = None


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


def fit(
    cfg: LM,
    members: Sequence[Member],
    *,
    params: Any = None,
    adapter: Full = Full(),
    layout: Layout = Layout(),
    steps_per_call: int = 20,
    on_step: Callable[[Progress], None] | None = None,
) -> tuple[State, dict[int, NotFinite]]:
    """Train the members together; their states at the end, and why those that were lost were.

    Their recipes may differ in numbers, not in structure. They start from `params` (leading axis
    S), or fresh from their seeds. `steps_per_call` changes no bit of the result.

    A member whose loss or gradient is not finite stays as it was before that step and the others
    go on; NotFinite names member and step, and the batch and the state are in its store's
    not-finite-<step>.npz. SIGTERM and Ctrl-C save before they end the run.
    """
    with contextlib.ExitStack() as stack:
        ensemble = _Ensemble(cfg, members, params, adapter, layout)
        if ensemble.mesh is not None:
            stack.enter_context(jax.set_mesh(ensemble.mesh))
        stores = [member.store for member in members if member.store is not None]
        ensemble.start()
        rounds = ensemble.rounds(steps_per_call)
        stack.enter_context(_saves_finished(stores))
        requests = stack.enter_context(_stop_requests(stores))
        ahead = stack.enter_context(_Ahead(members, rounds, steps_per_call))
        record = _Record(members, ensemble.lost, on_step)
        for spans, feed in ahead:
            spans = ensemble.moving(spans)
            record.add(spans, ensemble.advance(spans, feed))
            ensemble.pass_marks(spans, record, bool(requests))
            if requests:
                raise requests[0]
    return ensemble.state, ensemble.lost


class _Ensemble:
    """The members' common state, and who of them still trains."""

    def __init__(self, cfg, members, params, adapter, layout):
        _check(members, params, layout)
        self.members, self.adapter, self.mesh = members, adapter, layout.mesh()
        self.lost: dict[int, NotFinite] = {}
        self.stopped: set[int] = set()
        recipes = tuple(member.recipe for member in members)
        place = (lambda tree: tree) if self.mesh is None else (
            lambda tree: put(tree, placed(tree, self.mesh))
        )  # fmt: skip
        if params is None:
            params = parameters(cfg, tuple(recipe.seed for recipe in recipes), self.mesh)
        else:
            params = place(params)
        trained, self.frozen = adapter.split(params)
        self.state, self.constants = (
            begin(recipes[0], trained, self.mesh),
            place(constants(recipes)),
        )
        self.run = chunk(cfg, recipes[0], adapter, layout, self.mesh)

    def start(self) -> None:
        """From the newest checkpoints, if there are; first evaluations."""
        self._restore()
        for s, step in enumerate(self.done):
            self._judge(s, step)

    def _restore(self) -> None:
        found = [self._restored(s) for s in range(len(self.members))]
        if any(one is not None for one in found):
            parts = [self._own(s) if one is None else one for s, one in enumerate(found)]
            self.state = _stacked(self.state, parts, self.mesh)
        self.done = [int(self._own(s).step[0]) for s in range(len(self.members))]

    def _restored(self, s: int) -> State | None:
        store = self.members[s].store
        return None if store is None else store.restore(self._own(s))

    def _own(self, s: int) -> State:
        """Member s alone; the leading axis stays, of size 1."""
        return _slice(self.mesh)(self.state, s)

    def rounds(self, size: int) -> Iterator[tuple[range, ...]]:
        """One span of steps a member (an empty one where it rests), over and over to the end."""
        spans = []
        for member, done in zip(self.members, self.done, strict=True):
            last = member.recipe.steps
            saves = range(0, last, member.store.every) if member.store else ()
            spans.append(_spans(done, last, size, {*saves, *member.evaluate_at}))
        for one in itertools.zip_longest(*spans, fillvalue=range(0)):
            if any(self.moving(one)):
                yield self.moving(one)

    def moving(self, spans: tuple[range, ...]) -> tuple[range, ...]:
        """The same for those who still train, nothing for those stopped or lost."""
        rests = self.stopped | self.lost.keys()
        return tuple(range(0) if s in rests else span for s, span in enumerate(spans))

    def advance(self, spans: tuple[range, ...], span: Span) -> Metrics:
        span = span._replace(count=np.array([len(own) for own in spans], np.int32))
        if self.mesh is not None:
            span = put(span, spread(span, self.mesh))
        self.state, metrics = self.run(self.state, self.frozen, self.constants, span)
        return metrics

    def pass_marks(self, spans: tuple[range, ...], record: "_Record", now: bool) -> None:
        """Evaluate and save the members that have come to a mark (`now`: all of them)."""
        due = [s for s, span in enumerate(spans) if span and (now or self._mark(s, span.stop))]
        if due:
            record.read()  # nothing that is not finite is judged or saved
        self._dump()
        for s in due:
            if s in self.lost or s in self.stopped:
                continue
            store, step = self.members[s].store, spans[s].stop
            stops = self._judge(s, step)
            if store is not None:
                ends = now or stops or step == self.members[s].recipe.steps
                store.save(step, self._own(s), force=ends)

    def _mark(self, s: int, step: int) -> bool:
        member = self.members[s]
        saves = member.store is not None and step % member.store.every == 0
        return saves or step == member.recipe.steps or step in member.evaluate_at

    def _judge(self, s: int, step: int) -> bool:
        member = self.members[s]
        if member.evaluate is None or step not in member.evaluate_at:
            return False
        joined = self.adapter.join(self.state.trained, self.frozen)
        if member.evaluate(step, jax.tree.map(lambda leaf: leaf[s], joined)):
            self.stopped.add(s)
        return s in self.stopped

    def _dump(self) -> None:
        """A lost member as it was before the bad step (no later step moved it), and its batch."""
        for s, error in self.lost.items():
            store = self.members[s].store
            if store is None or hasattr(error, "__notes__"):
                continue
            own = jax.tree.map(lambda leaf, s=s: leaf[s], self.state)
            path = store.folder / f"not-finite-{error.step}.npz"
            dump(path, state=own, batch=dict(self.members[s].batches[error.step]))
            error.add_note(f"its batch and the state before it are in {path}")


def _check(members: Sequence[Member], params: Any, layout: Layout) -> None:
    if not members:
        raise ValueError("an ensemble of no members; give at least one")
    kinds = {member.recipe.structure() for member in members}
    if len(kinds) > 1:
        raise ValueError(
            f"recipes of {len(kinds)} structures in one ensemble ({members[0].recipe} is one); "
            "train members that differ in more than numbers apart"
        )
    have = len(members) if params is None else len(jax.tree.leaves(params)[0])
    if have != len(members):
        raise ValueError(f"params of {have} members for {len(members)}; give each one")
    layout.check(len(members), *np.shape(members[0].batches[0]["tokens"]))


@functools.cache
def _slice(mesh):
    """One member of a state by its number; a mesh keeps it laid out as it was."""

    def own(state, s):
        one = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, s, 1), state)
        return one if mesh is None else jax.lax.with_sharding_constraint(one, placed(one, mesh))

    return jax.jit(own)


def _stacked(like: State, parts: Sequence[State], mesh) -> State:
    join = lambda *parts: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    return join(*parts) if mesh is None else jax.jit(join, out_shardings=placed(like, mesh))(*parts)


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
    """The stacked batches of one round after the other, made in a thread one round ahead."""

    def __init__(self, members: Sequence[Member], rounds: Iterator[tuple[range, ...]], size: int):
        self._members, self._rounds, self._size = members, rounds, size
        self._rates = [member.recipe.rates() for member in members]
        self._shape = dict(members[0].batches[0])

    def __enter__(self) -> "_Ahead":
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
                batch = self._members[s].batches[t]
                for name, stacked in batches.items():
                    stacked[s, i] = batch[name]
        first = np.array([span.start for span in spans], np.int32)
        return Span(batches, rates, first, np.array([len(span) for span in spans], np.int32))


class _Record:
    """Metrics, read one chunk late: reading earlier would make the host wait for the device."""

    def __init__(self, members: Sequence[Member], lost: dict[int, NotFinite], on_step):
        self._members, self._lost, self._on_step = members, lost, on_step
        self._pending: tuple[tuple[range, ...], Metrics] | None = None
        self._steps = [0] * len(members)
        batch = members[0].batches[0]["tokens"]
        self._tokens = np.asarray(batch).size
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


@contextlib.contextmanager
def _saves_finished(stores: Sequence[Store]) -> Iterator[None]:
    """However the run ends, what it began to save is saved."""
    try:
        yield
    finally:
        for store in stores:
            store.wait()


@contextlib.contextmanager
def _stop_requests(stores: Sequence[Store]) -> Iterator[list[BaseException]]:
    """A list that a first SIGTERM or Ctrl-C enters; a second one acts at once, as without us."""
    requests: list[BaseException] = []
    answers = {signal.SIGTERM: SystemExit(0), signal.SIGINT: KeyboardInterrupt()}
    if not stores or threading.current_thread() is not threading.main_thread():
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
