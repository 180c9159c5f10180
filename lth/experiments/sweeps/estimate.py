"""How long the cells of a sweep may train on this machine."""
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lth.experiments.sweeps.cells import Cell
from lth.experiments.time_estimate import StepTimes
from lth.system import processes


class SweepTimes(NamedTuple):
    """Seconds of training of all seeds of some cells: one after another, and with as many at the same time as this
    machine has cores for.
    """

    core_seconds: float
    seconds: float


def estimate_times(cells: Sequence[Cell]) -> SweepTimes:
    """The times of these cells at the speed of dense steps: pruned networks may take less. LthError if the images
    cannot be read.
    """

    times: StepTimes | None = None
    seconds = 0.
    for cell in cells:
        planned = cell.planned
        times = times or StepTimes(replace(planned.target, executor='local', executor_settings={}))
        seconds += times.seconds(planned.plan) * cell.iterations
    seeds = sum(len(cell.seeds) for cell in cells)
    slots = processes.available_slots(cells[0].planned.target.threads or 1) if cells else 1
    return SweepTimes(seconds, seconds * math.ceil(seeds / slots) / max(1, seeds))
