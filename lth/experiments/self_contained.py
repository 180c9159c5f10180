"""Runs on an executor whose tasks are self-contained: this process submits and follows them, and trains nothing.

It takes no lock, reads no images and selects no engine: those who train do, perhaps on a machine with other devices.
"""
from collections.abc import Sequence

from lth.errors import LthError
from lth.experiments import provenance
from lth.experiments.executors.protocol import Ended, Executor, Task
from lth.experiments.plan import Plan
from lth.experiments.reporter import seed_names
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import Report
from lth.experiments.unfinished_seeds import refuse_missing_rounds, report_starts, unfinished_seeds
from lth.system import signals


def train_seeds(plan: Plan, target: RunTarget, seeds: Sequence[int], executor: Executor, report: Report) -> None:
    """Let the executor train the missing rounds of the seeds. A task that fails does not end the others; its error is
    raised in the end.
    """

    run = plan.run(target.folder)
    report_starts(plan, run, seeds, report)
    if not unfinished_seeds(plan, run, seeds):
        return
    errors = list[LthError | RuntimeError]()
    with signals.deferred(), executor.open(target) as session:
        for task in self_contained_tasks(plan, target, seeds, executor):
            session.submit(task)
        for _, event in session.events():
            if not isinstance(event, Ended):
                report(event)
            elif event.error:
                errors.append(event.error)
    for error in errors[1:]:
        report(f'{error}')
    if errors:
        raise errors[0]
    refuse_missing_rounds(plan, run, seeds)


def self_contained_tasks(plan: Plan, target: RunTarget, seeds: Sequence[int], executor: Executor) -> list[Task]:
    """The tasks that train the missing rounds of these seeds. LthError for a model or data given as Python objects,
    which exist only in this process.
    """

    if target.in_process:
        raise LthError(f'--executor {target.executor} trains in other processes, in which a model or data given as '
                       'Python objects do not exist. Give them by their names, such as path/to/file.py:function, or '
                       'train with the executor local.')
    run, there = plan.run(target.folder), executor.task_target(target)
    recipe, expected = plan.recipe.dump(), provenance.code_inputs(plan)
    groups = executor.groups(plan, run, unfinished_seeds(plan, run, seeds))
    return [Task(recipe, there, group, expected, seed_names(group)) for group in groups]
