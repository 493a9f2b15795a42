"""Ensembles as jobs of a cluster: `python -m experiments.run NAME --launch slurm`.

One job for all stages that can train together; it splits them again where its machine's memory
says so. Stages that start from others are submitted when those are done, so the command stays until
the end (run it under tmux; started again, it finds what is done, and its jobs wait for those of
before that are still at it).

Jobs are given what the site wants by sbatch's own variables: SBATCH_PARTITION, SBATCH_ACCOUNT,
SBATCH_GPUS, SBATCH_TIMELIMIT (a day without it). Their logs are in OUT/jobs. Before its time is up,
or when it must make room, a job is sent SIGUSR2: the training saves, submitit puts the job back
into the queue, and it goes on from there, as often as it takes. At a SIGTERM alone it saves and
goes on: what follows, be it SLURM's own requeue or scancel, is not for the job to decide.

"local" runs the jobs here, one process each, all at once, without a limit of time; submitit shows
them no GPU.
"""

import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import Literal

import submitit

from experiments import stage
from experiments.display import Display
from train.lock import Held
from train.store import identity, keep_compiled

Cluster = Literal["slurm", "local"]
DAY = 24 * 60  # minutes
# submitit lets a job be put back so many times, and counts being preempted late in its time as one.
AGAIN = 10_000
PAUSE = 60.0  # seconds between two looks at a folder that another job is at


class Failed(RuntimeError):
    """A job ended in another way than by a loss that is not finite."""


class Job(submitit.helpers.Checkpointable):
    """Stages to be completed in one folder; a job that is put back is the same job."""

    def __init__(self, group: Sequence[stage.Stage], folder: pathlib.Path):
        self.group, self.folder = tuple(group), folder

    def __call__(self) -> dict[stage.Stage, str]:
        """The stages that were lost, and why."""
        keep_compiled()
        with _saved_before() as put_back:
            while True:
                try:
                    return self._completed()
                except Held as error:
                    print(error, file=sys.stderr, flush=True)
                    time.sleep(PAUSE)
                except SystemExit as end:
                    if end.code != 0:  # submitit's own, from outside of a training
                        raise
                    put_back()

    def _completed(self) -> dict[stage.Stage, str]:
        lost = {}
        with Display(self.group) as display:
            for part in stage.groups(self.group, stage.room):
                lost |= stage.complete(part, self.folder, display)
        return {each: str(error) for each, error in lost.items()}


@contextlib.contextmanager
def _saved_before():
    """Within, submitit's signal first becomes the SIGTERM at which a training saves and exits; what
    this yields then does as submitit would have done at once, if that is how it came to exit."""
    number = submitit.JobEnvironment._usr_sig()
    before, outside = signal.getsignal(number), signal.getsignal(signal.SIGTERM)
    asked = []

    def save(*which):
        if signal.getsignal(signal.SIGTERM) == outside:  # nobody is training
            before(*which)
        else:
            asked.append(which)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(number, save)
    try:
        yield lambda: before(*asked[0]) if asked else None
    finally:
        signal.signal(number, before)


def complete(
    stages: Sequence[stage.Stage], folder: pathlib.Path, cluster: Cluster
) -> dict[stage.Stage, FloatingPointError]:
    """All stages, as jobs; those that were lost, with the reason.

    Failed: there is no such cluster, or a job ended in another way; the last line of its log is in
    it. ValueError: SBATCH_TIMELIMIT is no time.
    """
    try:
        executor = submitit.AutoExecutor(
            folder.absolute() / "jobs", cluster, slurm_max_num_timeout=AGAIN,
            local_max_num_timeout=AGAIN,
        )  # fmt: skip
    except RuntimeError as error:  # no srun on this machine
        raise Failed(f"{error} Without one, launch='local' runs the same jobs here") from error
    # submitit's own limits are minutes. A local job is stopped by nobody else's clock.
    limit = minutes(os.environ.get("SBATCH_TIMELIMIT", "")) if cluster == "slurm" else 365 * DAY
    lost: dict[stage.Stage, FloatingPointError] = {}
    waiting = stage.groups(stages, lambda _: len(stages))
    done: set[stage.Stage] = set()
    while waiting:
        lost |= {s: lost[n] for group in waiting for s in group for n in s.needs if n in lost}
        ready, names = [], set()
        for group in waiting:
            own = {identity(each) for each in group}  # two jobs at one training would meet
            if names.isdisjoint(own) and all(done.issuperset(s.needs) for s in group):
                ready.append(group)
                names |= own
        waiting = [group for group in waiting if group not in ready]
        jobs = []
        for group in ready:
            left = [each for each in group if each not in lost]
            if left:
                executor.update_parameters(name=left[0].title or "diglossia", timeout_min=limit)
                jobs.append(executor.submit(Job(left, folder.absolute())))
                print(f"job {jobs[-1].job_id}: {len(left)} stages", file=sys.stderr)
            done |= {*group}
        for job in jobs:
            lost |= {each: FloatingPointError(why) for each, why in _result(job).items()}
    return lost


def minutes(limit: str) -> int:
    """Of a time as sbatch takes it, full ones; a day if it says nothing, or no limit.

    >>> [minutes(limit) for limit in ("90", "90:00", "1:30:00", "2-0", "2-12:30", "1-0:0:30", "")]
    [90, 90, 90, 2880, 3630, 1440, 1440]
    """
    if limit.upper() in ("", "UNLIMITED", "INFINITE", "0", "-1"):
        return DAY
    days, dash, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if dash else []))) or len(parts) > 3:
        raise ValueError(
            f"SBATCH_TIMELIMIT={limit} is no time; sbatch takes minutes, hours:minutes:seconds or "
            "days-hours, as 90, 1:30:00 or 2-0"
        )
    first = 60 if dash or len(parts) == 3 else 1  # minutes of the first part
    found = int(days or 0) * DAY + int(parts[0]) * first
    return max(1, found + (int(parts[1]) if first == 60 and len(parts) > 1 else 0))


def _result(job: submitit.Job) -> dict[stage.Stage, str]:
    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError as error:
        last = str(error).partition("\n---")[2].partition("\n---")[0] or str(error)
        last = last.strip().splitlines()[-1]  # of submitit's trace, or of why there is none
        raise Failed(f"job {job.job_id} failed: {last}; see {job.paths.stderr}") from error
