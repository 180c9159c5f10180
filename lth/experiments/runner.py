"""Run a plan: train the missing rounds of each seed, save each round when it is complete, report progress.

On the CPU every seed is trained by its own process with one thread: several seeds in one process would not be faster,
and threads that wait for each other are slower.
"""
import contextlib
from collections.abc import Iterator, Sequence

from lth.errors import USER_ERROR, LthError
from lth.experiments.data_cache import DataCache
from lth.experiments.distributed import leader
from lth.experiments.executors import make_executor
from lth.experiments.executors.protocol import Ended, Executor, Task
from lth.experiments.plan import Plan
from lth.experiments.prepared_run import LockedRun, PreparedRun, prepare_run
from lth.experiments.reporter import Reporter
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import Report, train_seeds
from lth.experiments.session_log import SessionLog
from lth.runs.folder import Run
from lth.system import signal_handlers, signals


def run_plan(plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: Reporter) -> Run:
    """Train the rounds that the run still lacks. Completed rounds are never changed, so an interrupted call can be
    repeated. LthError if the folder belongs to another recipe, or to other data, code or source tickets.
    """

    target = leader.ranked_target(target)
    executor = make_executor(target.executor, target.executor_settings)
    with SessionLog(reporter) as log, prepare_run(plan, target, seeds, log, DataCache()) as prepared:
        if prepared.unfinished:
            with signal_handlers.recorded(), _explain_completed_rounds(prepared.run), prepared.reports() as report:
                _train(prepared, executor, report)
    return prepared.run


def _train(prepared: PreparedRun, executor: Executor, report: Report) -> None:
    """Train the unfinished seeds: in this process, or where the executor does."""

    if isinstance(prepared, LockedRun) and executor.leaves_to_caller(
            prepared.target, prepared.training.engine.device, tasks=len(prepared.stacks())):
        for stack in prepared.stacks():
            train_seeds(prepared.training, stack, report)
    else:
        _run_tasks(executor, prepared.tasks(), report)


def _run_tasks(executor: Executor, tasks: Sequence[Task], report: Report) -> None:
    """Let the executor train all tasks of a run. The first error ends the others, unless tasks outlive this process:
    then it is raised in the end.
    """

    errors = list[LthError | RuntimeError]()
    with signals.deferred(), executor.open(tasks[0].target) as session:
        for task in tasks:
            session.submit(task)
        for _, event in session.events():
            if not isinstance(event, Ended):
                report(event)
            elif event.error and not executor.self_contained:
                raise event.error
            elif event.error:
                errors.append(event.error)
    for error in errors[1:]:
        report(f'{error}')
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _explain_completed_rounds(run: Run) -> Iterator[None]:
    """Let an error of training that the user can fix say that completed rounds stay, and how to start over."""

    try:
        yield
    except LthError as error:
        if error.exit_code != USER_ERROR or not run.seeds():
            raise
        raise error.extended(f'The completed rounds stay in {run.folder}. To start over with other settings, add '
                             '--restart, which moves them aside.') from None
