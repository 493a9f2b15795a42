"""fit: the one training loop. Chunks of steps of all members, evaluation, saving, stopping.

While a chunk runs, the batches of the next are made on the host and the metrics of the one before
are read: the device does not wait. Every member has its own place: it may resume, end, be stopped
or be lost at another step than the rest, and lies still from then on.
"""

import contextlib
import functools
import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from model.lm import LM
from train.member import Ahead, Member, NotFinite, Progress, Record
from train.mesh import Layout, moved, placed, put, spread
from train.step import Metrics, Span, State, begin, chunk, constants, divided, keys, parameters
from train.store import Store, describe, dump


def fit(
    cfg: LM,
    members: Sequence[Member],
    *,
    params: Any = None,
    layout: Layout = Layout(),
    steps_per_call: int = 20,
    on_step: Callable[[Progress], None] | None = None,
) -> tuple[State, dict[int, NotFinite]]:
    """Train the members together; their states at the end, and why those that were lost were.

    Their recipes may differ in numbers, not in structure. They start from `params` (leading axis
    S), or fresh from their seeds. `steps_per_call` changes no bit of the result.

    A member whose loss or gradient is not finite stays as it was before that step and the others
    go on; NotFinite names member and step, and the batch and the state are in its store's
    not-finite-<step>.npz. That alone is divergence here: a loss that rises and stays finite is
    trained on, and seen in the metrics.

    SIGTERM and Ctrl-C end the run after the call or the evaluation in progress, once the members
    with a store are saved; evaluations that this leaves out come when the run continues. Of several
    processes one may be asked alone, and all end after the same step. Without a store, or outside
    of the main thread (where Python lets nobody listen), nothing is saved and they act as in any
    program.
    """
    if steps_per_call < 1:
        raise ValueError(f"steps_per_call={steps_per_call} must be at least 1")
    with contextlib.ExitStack() as stack:
        ensemble = _Ensemble(cfg, members, params, layout)
        stores = [member.store for member in members if member.store is not None]
        ensemble.start()
        rounds = ensemble.rounds(steps_per_call)
        stack.enter_context(_saves_finished(stores))
        requests = stack.enter_context(_stop_requests(stores))
        ahead = stack.enter_context(Ahead(members, rounds, steps_per_call))
        record = Record(members, ensemble.done, ensemble.lost, on_step)
        for spans, feed in ahead:
            spans = ensemble.moving(spans)
            record.add(spans, ensemble.advance(spans, feed))
            ends = _agreed(requests) or ensemble.pass_marks(spans, record, requests)
            if ends is not None:
                ensemble.save(spans, record, now=True)
                raise ends
    ends = _agreed(requests)  # asked after the last step, while it was saved
    if ends is not None:
        raise ends
    return ensemble.state, ensemble.lost


class _Ensemble:
    """The members' common state, and who of them still trains."""

    def __init__(self, cfg, members, params, layout):
        _check(cfg, members, params, layout)
        self.cfg, self.members, self.layout, self.mesh = cfg, members, layout, layout.mesh()
        self.lost: dict[int, NotFinite] = {}
        self.stopped: set[int] = set()
        self.saved: dict[int, int] = {}  # the last step
        recipes = tuple(member.recipe for member in members)
        seeds = tuple(recipe.seed for recipe in recipes)
        params = parameters(cfg, seeds, self.mesh) if params is None else moved(params, self.mesh)
        trained, self.still = divided(params, recipes, keys(seeds))
        self.state, self.constants = (
            begin(recipes[0], trained, self.mesh),
            moved(constants(recipes), self.mesh),
        )
        self.run = chunk(cfg, recipes[0], layout, self.mesh)

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
        for member, done in zip(self.members, self.done, strict=True):
            if done > member.recipe.steps:
                raise ValueError(
                    f"{member.name}: {member.store.folder} holds step {done} of a longer run, and "
                    f"steps={member.recipe.steps}; choose another folder, or {done} steps or more"
                )

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
        with contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh):
            self.state, metrics = self.run(self.state, self.still, self.constants, span)
        return metrics

    def pass_marks(
        self, spans: tuple[range, ...], record: Record, requests: Sequence[BaseException]
    ) -> BaseException | None:
        """Save who is due, then evaluate whose step it is, until somebody asks for the end: the
        step that a run continues from is evaluated again."""
        self.save(spans, record)
        for s, span in enumerate(spans):
            if span and span.stop in self.members[s].evaluate_at:
                record.read()  # nothing that is not finite is judged
                if s not in self.lost:
                    self._judge(s, span.stop)
                if (ends := _agreed(requests)) is not None:
                    return ends
        self.save(spans, record)  # who stops here
        return None

    def save(self, spans: tuple[range, ...], record: Record, now: bool = False) -> None:
        """Save who is due (`now`: everybody) where the span ends, once, and nobody who is lost."""
        due = [s for s, span in enumerate(spans) if span and (now or self._due(s, span.stop))]
        if due:
            record.read()
        self._dump()
        for s in due:
            store, step = self.members[s].store, spans[s].stop
            if store is not None and s not in self.lost and self.saved.get(s) != step:
                store.save(step, self._own(s), loss=record.loss[s])
                self.saved[s] = step

    def _due(self, s: int, step: int) -> bool:
        member = self.members[s]
        saves = member.store is not None and step % member.store.every == 0
        return saves or step == member.recipe.steps or s in self.stopped

    def _judge(self, s: int, step: int) -> None:
        member = self.members[s]
        if member.evaluate is None or step not in member.evaluate_at:
            return
        own = jax.tree.map(lambda leaf: leaf[s], (self.state.trained, self.still.frozen))
        if self.mesh is not None and jax.process_count() == 1:
            own = jax.device_put(own, jax.devices()[0])
        if member.evaluate(step, member.recipe.adapter.join(*own)):
            self.stopped.add(s)

    def _dump(self) -> None:
        """A lost member as it was before the bad step (no later step moved it), and its batch."""
        for s, error in self.lost.items():
            store = self.members[s].store
            if store is None or hasattr(error, "__notes__"):
                continue
            own = lambda tree, s=s: jax.tree.map(lambda leaf: leaf[s], tree)
            path = store.folder / f"not-finite-{error.step}.npz"
            spec = {"model": self.cfg, "recipe": self.members[s].recipe, "layout": self.layout}
            spec = {name: describe(part) for name, part in spec.items()}
            rows = self.members[s].rows(error.step)
            dump(path, spec, state=own(self.state), still=own(self.still), batch=rows)
            error.add_note(
                f"its batch and the state before it are in {path}; `python -m train.replay "
                f"{store.folder}` does the step again"
            )


def _check(cfg: LM, members: Sequence[Member], params: Any, layout: Layout) -> None:
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
    folders = [member.store.folder for member in members if member.store is not None]
    twice = {str(folder) for folder in folders if folders.count(folder) > 1}
    if twice:
        raise ValueError(f"two members write to {', '.join(twice)}; give each a folder of its own")
    shape = np.shape(members[0].rows(0)["tokens"])
    for member in members:
        _check_rows(cfg, member, shape)
    layout.check(len(members), *shape)


def _check_rows(cfg: LM, member: Member, shape: tuple[int, ...]) -> None:
    """ValueError unless the rows of the first step are what recipe, ensemble and model say."""
    batch = member.batches[0]
    rows, B = member.recipe.objective.rows(batch, 0), len(batch["tokens"])
    if member.recipe.batch != B:
        raise ValueError(
            f"{member.name}: batch={member.recipe.batch} in its recipe and {B} in its batches; "
            "change either"
        )
    own = {name: np.shape(rows[name]) for name in ("tokens", "weights", "segments")}
    if set(own.values()) != {shape}:
        raise ValueError(
            f"{member.name}: its rows are {own}, and the first member's tokens {shape}; members "
            "of one ensemble read rows of one shape"
        )
    low, high = np.min(rows["tokens"]), np.max(rows["tokens"])
    if low < 0 or high >= cfg.W:
        raise ValueError(
            f"{member.name}: tokens from {low} to {high}, and of W={cfg.W} words the last is "
            f"{cfg.W - 1}; give the model more, or the corpus it is for"
        )


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


@contextlib.contextmanager
def _saves_finished(stores: Sequence[Store]) -> Iterator[None]:
    """However the run ends, what it began to save is saved."""
    with contextlib.ExitStack() as stack:
        for store in stores:
            stack.callback(store.wait)  # also after one that fails
        yield


def _agreed(requests: Sequence[BaseException]) -> BaseException | None:
    """What ends the run now, the same step for all processes: whoever saves needs the others."""
    asked = bool(requests)
    if jax.process_count() > 1:
        asked = bool(multihost_utils.process_allgather(np.array(asked)).any())
    return (requests[0] if requests else SystemExit(0)) if asked else None


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
