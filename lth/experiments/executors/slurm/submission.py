"""Job arrays of submitit: on a Slurm cluster, or as processes on this machine."""
import contextlib
import io
import os
import queue as queues
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.experiments.executors.slurm import queue
from lth.experiments.executors.slurm.queue import Job

T = TypeVar('T')


@dataclass(frozen=True)
class JobSettings:
    """What each job gets. `needs` are parameters of submitit by name, `sbatch` further options of sbatch."""

    minutes: int
    warning_seconds: int
    cpus: int
    gpus: int
    needs: Mapping[str, Any]
    parallel: int
    setup: tuple[str, ...]
    sbatch: Mapping[str, Any]
    answer_seconds: int


class Jobs(Protocol):
    """Where jobs run."""

    @property
    def settings(self) -> JobSettings:
        """What each job gets."""

    def submit(self, name: str, files: Path, tasks: Sequence[Path]) -> None:
        """Submit an array of jobs with this name, one for each task folder. Submitit's files, such as the logs of the
        jobs, get into the folder `files`. LthError if they are refused.
        """

    def known(self) -> dict[tuple[str, int], Job]:
        """The jobs by name and index."""

    def forgotten(self, name: str, index: int, number: str) -> Job | None:
        """A job that is not among the known ones any more."""

    def exit_code(self, job: Job) -> str:
        """The exit code of a job that has ended, as EXIT:SIGNAL; '' if it is not known."""


@dataclass(frozen=True)
class SlurmJobs:
    """Jobs of Slurm."""

    settings: JobSettings

    def submit(self, name: str, files: Path, tasks: Sequence[Path]) -> None:
        """See Jobs."""

        import submitit  # pylint: disable=import-outside-toplevel # an extra

        settings = self.settings
        executor = submitit.SlurmExecutor(files)
        executor.update_parameters(
            job_name=name, time=settings.minutes, cpus_per_task=settings.cpus, signal_delay_s=settings.warning_seconds,
            array_parallelism=settings.parallel, stderr_to_stdout=True, wckey=None,
            # Threads that spin while they wait make training 4 to 40 times slower.
            setup=['export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"', *settings.setup],
            # Since Slurm 22.05, srun does not take the number from sbatch.
            srun_args=[f'--cpus-per-task={settings.cpus}'],
            additional_parameters={'requeue': True, **settings.sbatch}, **settings.needs)
        try:
            with _outside_of_jobs(), contextlib.redirect_stderr(io.StringIO()):  # submitit prints errors of sbatch
                _within(settings.answer_seconds, lambda: executor.map_array(start_on_node, list(map(str, tasks))))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise LthError(f'Slurm refused the jobs: {excerpt(_refusal(str(error)))}. Change the settings of the '
                           'executor (--executor-set, --executor-config).', exit_code=ENVIRONMENT_ERROR) from None

    def known(self) -> dict[tuple[str, int], Job]:
        """See Jobs."""

        return queue.jobs(seconds=self.settings.answer_seconds)

    def forgotten(self, name: str, index: int, number: str) -> Job | None:
        """See Jobs."""

        return queue.finished_job(name, index, number, seconds=self.settings.answer_seconds)

    def exit_code(self, job: Job) -> str:
        """See Jobs."""

        return queue.exit_code(job.number, seconds=self.settings.answer_seconds)


@dataclass(frozen=True)
class LocalJobs:
    """Processes of submitit on this machine, which continue when this one ends."""

    settings: JobSettings
    _jobs: dict[tuple[str, int], Any] = field(default_factory=dict)

    def submit(self, name: str, files: Path, tasks: Sequence[Path]) -> None:
        """See Jobs."""

        import submitit  # pylint: disable=import-outside-toplevel # an extra

        executor = submitit.LocalExecutor(files)
        executor.update_parameters(
            timeout_min=self.settings.minutes, signal_delay_s=self.settings.warning_seconds, stderr_to_stdout=True,
            gpus_per_node=self.settings.gpus, setup=list(self.settings.setup))
        jobs = executor.map_array(start_on_node, [str(task) for task in tasks])
        self._jobs.update(((name, index), job) for index, job in enumerate(jobs))

    def known(self) -> dict[tuple[str, int], Job]:
        """See Jobs."""

        return {(name, index): Job(name, index, job.job_id, 'COMPLETED' if job.done() else 'RUNNING')
                for (name, index), job in self._jobs.items()}

    def forgotten(self, name: str, index: int, number: str) -> Job | None:  # pylint: disable=useless-return
        """See Jobs."""

        del name, index, number
        return None

    def exit_code(self, job: Job) -> str:
        """See Jobs."""

        del job
        return ''


def start_on_node(folder: str) -> None:
    """Train the task in a folder. Submitit sends this function to the node by its name."""

    from lth.experiments.executors.slurm import node  # pylint: disable=import-outside-toplevel # imports the runner
    node.run_task(folder)


def _within(seconds: int, function: Callable[[], T]) -> T:
    """What a function returns or raises, which runs sbatch. LthError if it takes longer."""

    results = queues.SimpleQueue[tuple[T | None, BaseException | None]]()

    def run() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:  # pylint: disable=broad-exception-caught # raised in the other thread
            results.put((None, error))
    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queues.Empty:
        raise queue.unanswered('sbatch', seconds) from None
    if error:
        raise error
    return result  # type: ignore[return-value]


def _refusal(text: str) -> str:
    """The errors of sbatch among the lines that it printed."""

    lines = [line.partition('error: ')[2].rstrip('.') for line in text.splitlines() if 'sbatch: error: ' in line]
    return '; '.join(lines) or text


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """In this block, sbatch does not inherit Slurm's variables of this process, which may run in a job itself."""

    hidden = {name: os.environ.pop(name) for name in list(os.environ)
              if name.startswith(('SLURM_', 'SRUN_')) and name != 'SLURM_CONF'}
    try:
        yield
    finally:
        os.environ.update(hidden)
