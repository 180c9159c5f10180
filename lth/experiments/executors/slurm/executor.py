"""The executor's settings, and what it checks before anything is submitted."""
import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lth.errors import LthError, quote
from lth.experiments.executors.protocol import Executor, Session
from lth.experiments.executors.registry import EXECUTORS
from lth.experiments.executors.slurm import queue, task_file
from lth.experiments.executors.slurm.session import SlurmSession
from lth.experiments.executors.slurm.settings import Line, Memory, SbatchOptions, TimeLimit, in_minutes
from lth.experiments.executors.slurm.submission import JobSettings, LocalJobs, SlurmJobs
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.runs.folder import Run
from lth.training.engines import select


@EXECUTORS.register('slurm')
class SlurmExecutor(Executor):
    """Jobs of a Slurm cluster whose nodes share a file system.

    Settings: `partition`, `account`, `qos` and `constraint` as in sbatch; `time`, the limit of a job, which saves a
    checkpoint `warning_seconds` before and is queued again; `gpus` of a job, and their `gpu_type`; `cpus` (default: the
    threads of the command); `memory`; `seeds_per_job`; at most `array_size` jobs in an array, and `parallel` of them at
    the same time; `setup`, lines of shell before the start; further options of `sbatch`; how long Slurm may take to
    answer, and how often it is asked. `cluster: local` starts all jobs at once on this machine, without Slurm.
    """

    self_contained: ClassVar[bool] = True

    cluster: Literal['slurm', 'local'] = 'slurm'
    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    time: TimeLimit = '4 hours'
    warning_seconds: int = Field(120, ge=1, le=36_000)
    gpus: int = Field(0, ge=0, le=1)
    gpu_type: Line | None = None
    cpus: int | None = Field(None, ge=1, le=4096)
    memory: Memory | None = None
    seeds_per_job: int | None = Field(None, ge=1, le=64)
    array_size: int = Field(1000, ge=1, le=1_000_000)
    parallel: int = Field(256, ge=1, le=1_000_000)
    setup: list[Line] = []
    sbatch: SbatchOptions = {}
    answer_seconds: int = Field(30, ge=1, le=3600)
    poll_seconds: int = Field(15, ge=1, le=3600)

    @model_validator(mode='after')
    def _check(self) -> 'SlurmExecutor':
        if self.gpu_type and not self.gpus:
            raise ValueError('gpu_type has no effect without gpus: set gpus to 1, or leave it out')
        if self.warning_seconds >= 60 * in_minutes(self.time):
            raise ValueError(f'warning_seconds ({self.warning_seconds}) should be less than time, {self.time}')
        return self

    @contextlib.contextmanager
    def open(self, target: RunTarget) -> Iterator[Session]:
        """See Executor. Jobs continue after the end of the session."""

        _require_submitit()
        settings = self._job_settings(target)
        if self.cluster == 'local':
            yield SlurmSession(LocalJobs(settings), self.array_size, self.poll_seconds)
            return
        queue.refuse_unknown_partition(self.partition, minutes=settings.minutes, seconds=self.answer_seconds)
        yield SlurmSession(SlurmJobs(settings), self.array_size, self.poll_seconds)

    def task_target(self, target: RunTarget) -> RunTarget:
        """See Executor. The device decides the precision, so it is known here whether jobs have a GPU."""

        if self.gpus and target.device == 'cuda':
            return target
        if self.gpus:
            raise LthError(f'gpus: jobs with a GPU train on cuda, and --device is {quote(target.device)}. Add '
                           '--device cuda, or leave out gpus.')
        if target.device not in ('auto', 'cpu'):
            raise LthError(f'--device {target.device}: jobs have no GPU. Ask for one with --executor-set gpus=1.')
        return replace(target, device='cpu')

    def groups(self, plan: Plan, run: Run, unfinished: Sequence[int]) -> list[tuple[int, ...]]:
        """See Executor: seeds of jobs that are in the queue stay together."""

        groups = [tuple(seed for seed in task.stored().seeds if seed in unfinished) for task in self._live_tasks(run)]
        others = [seed for seed in unfinished if not any(seed in group for group in groups)]
        size = self.seeds_per_job or (select.most_replicates(plan.network) if self.gpus else 1)
        groups += [tuple(others[start:start + size]) for start in range(0, len(others), size)]
        return list(filter(None, groups))

    def _live_tasks(self, run: Run) -> list[task_file.TaskFolder]:
        """The tasks of a run that are in the queue. Slurm is asked only if there can be any."""

        if self.cluster == 'local' or all(task.has_ended() for task in task_file.task_folders(run.folder)):
            return []
        jobs = queue.jobs(seconds=self.answer_seconds)
        return [folder for folder, _ in task_file.live_folders(run.folder, jobs)]

    def _job_settings(self, target: RunTarget) -> JobSettings:
        gpus = f'{self.gpu_type}:{self.gpus}' if self.gpu_type else self.gpus
        needs = {'partition': self.partition, 'account': self.account, 'qos': self.qos, 'constraint': self.constraint,
                 'gpus_per_node': gpus or None, 'mem': self.memory}
        return JobSettings(
            minutes=in_minutes(self.time), warning_seconds=self.warning_seconds, cpus=self.cpus or target.threads or 1,
            needs={name: value for name, value in needs.items() if value is not None}, parallel=self.parallel,
            setup=tuple(self.setup), sbatch=dict(self.sbatch), answer_seconds=self.answer_seconds,
            gpus=self.gpus)


def _require_submitit() -> None:
    if importlib.util.find_spec('submitit') is None:
        raise LthError("--executor slurm needs the package submitit. Install it with: pip install 'lth[slurm]'")
