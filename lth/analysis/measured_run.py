"""Measurements of the rounds of a run that take long: on a CPU they are shared among processes.

A measurement is a function `measure(target, items, on_item)` at the top level of its module, so that other processes
can import it. It opens the run with `open_measured`, saves the result of each item, and calls `on_item`.
"""
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from lth.datasets import Dataset
from lth.errors import LthError
from lth.experiments import open_run, provenance
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.registry import trust
from lth.runs.folder import Run
from lth.runs.run_path import RunPath
from lth.system import processes, worker_pool
from lth.training.engines import select
from lth.training.task import Engine

Item = TypeVar('Item')
Measure = Callable[[RunTarget, Sequence[Item], Callable[[Item], None]], None]


class MeasuredRun(NamedTuple):
    """A run with the plan for its data, its images on the device, and the engine that evaluates there."""

    plan: Plan
    run: Run
    data: Dataset
    engine: Engine


def open_measured(target: RunTarget, *, number: int) -> MeasuredRun:
    """Open the run of the target in this process, which is configured for it. The engine is one for the training of
    round `number`. LthError if the images or the network are not those of the run.
    """

    trust.set_current(target.trusted)
    plan, run = open_run.open_run(RunPath(target.folder))
    training = plan.for_round(number).recipe.training
    obstacle = select.sparse_obstacle(plan.network, plan.recipe.data, training, streamed=plan.streamed)
    engine = select.select_engine(target.device, capturable=plan.capturable, obstacle=obstacle)
    select.refuse_unsupported_precision(engine.device, training.precision)
    target.resumed(run).configure_process(engine.device)
    data = plan.load(target.datasets, engine.device)
    provenance.refuse_changed_run(run, provenance.inputs(plan, data))
    return MeasuredRun(plan.for_data(data), run, data, engine)


def refuse_missing_rounds(run: Run, rounds: Sequence[int], count: int) -> None:
    """LthError if one of the rounds is not among the `count` first ones, which all seeds have."""

    if missing := [number for number in rounds if number >= count]:
        raise LthError(f'--rounds: {run.folder} has no round {missing[0]} of all seeds {run.seeds()}; its rounds are 0 '
                       f'to {count - 1}.')


def missing_items(
        requested: Sequence[Item], path: Callable[[Item], Path], read: Callable[[Item], object]) -> list[Item]:
    """The items without a saved result. `path` is the file of an item, and `read` raises LthError if its result is not
    of the run as it is now: before anything is measured.
    """

    missing = [item for item in requested if not path(item).exists()]
    for item in requested:
        if item not in missing:
            read(item)
    return missing


def count_measured(on_progress: Callable[[int, int], None], missing: int, total: int) -> Callable[[object], None]:
    """Report how many of `total` items are measured while so many are missing, and return a function that reports one
    more at each call.
    """

    done = itertools.count(total - missing + 1)
    on_progress(total - missing, total)
    return lambda _item: on_progress(next(done), total)


def share_among_processes(
        measure: Measure[Item], target: RunTarget, items: Sequence[Item], on_item: Callable[[Item], None], *,
        describe: Callable[[Sequence[Item]], str]) -> None:
    """Measure the items, on a CPU in as many processes as there are cores for. `describe` names the items of a process
    in messages.
    """

    parallel = select.resolve_device(target.device).type == 'cpu' and not target.in_process
    count = min(processes.available_slots(target.threads or 1), len(items)) if parallel else 1
    if count == 1:
        measure(target, items, on_item)
        return
    worker = replace(target, threads=target.threads or 1)
    shares = [items[first::count] for first in range(count)]
    jobs = [(worker, share) for share in shares]
    worker_pool.run_in_parallel(measure, jobs, count, on_item, names=list(map(describe, shares)))
