"""Ensembles as jobs of a cluster: `python -m experiments.run NAME --launch slurm`.

One job for all stages that can train together; it splits them again where its machine's memory
says so. Stages that start from others are submitted when those are done, so the command stays until
the end (run it under tmux; started again, it finds what is done). What SLURM preempts or stops for
time is put back into the queue by submitit, and goes on from its newest checkpoint.

Jobs are given what the site wants by sbatch's own variables: SBATCH_PARTITION, SBATCH_ACCOUNT,
SBATCH_GPUS, SBATCH_TIMELIMIT. Their logs are in OUT/jobs. "local" runs the jobs here, one process
each, all at once.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Literal

import submitit

from experiments import stage

Cluster = Literal["slurm", "local"]


class Failed(RuntimeError):
    """A job ended in another way than by a loss that is not finite."""


class Job(submitit.helpers.Checkpointable):
    """Stages to be completed in one folder; a job that is put back is the same job."""

    def __init__(self, group: Sequence[stage.Stage], folder: pathlib.Path):
        self.group, self.folder = tuple(group), folder

    def __call__(self) -> dict[stage.Stage, str]:
        """The stages that were lost, and why."""
        lost = {}
        with stage.Display(self.group) as display:
            for part in stage.groups(self.group, stage.room):
                lost |= stage.complete(part, self.folder, display)
        return {each: str(error) for each, error in lost.items()}


def complete(
    stages: Sequence[stage.Stage], folder: pathlib.Path, cluster: Cluster
) -> dict[stage.Stage, FloatingPointError]:
    """All stages, as jobs; those that were lost, with the reason.

    Failed: there is no such cluster, or a job ended in another way; the last line of its log is in
    it.
    """
    try:
        executor = submitit.AutoExecutor(folder=folder.absolute() / "jobs", cluster=cluster)
    except RuntimeError as error:  # no srun on this machine
        raise Failed(f"{error} Without one, launch='local' runs the same jobs here") from error
    lost: dict[stage.Stage, FloatingPointError] = {}
    waiting = stage.groups(stages, lambda _: len(stages))
    done: set[stage.Stage] = set()
    while waiting:
        lost |= {s: lost[n] for group in waiting for s in group for n in s.needs if n in lost}
        ready = [group for group in waiting if all(done.issuperset(s.needs) for s in group)]
        waiting = [group for group in waiting if group not in ready]
        jobs = []
        for group in ready:
            left = [each for each in group if each not in lost]
            if left:
                executor.update_parameters(name=left[0].title or "diglossia")
                jobs.append(executor.submit(Job(left, folder.absolute())))
                print(f"job {jobs[-1].job_id}: {len(left)} stages", file=sys.stderr)
            done |= {*group}
        for job in jobs:
            lost |= {each: FloatingPointError(why) for each, why in _result(job).items()}
    return lost


def _result(job: submitit.Job) -> dict[stage.Stage, str]:
    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError as error:
        last = str(error).partition("\n---")[2].partition("\n---")[0] or str(error)
        last = last.strip().splitlines()[-1]  # of submitit's trace, or of why there is none
        raise Failed(f"job {job.job_id} failed: {last}; see {job.paths.stderr}") from error
