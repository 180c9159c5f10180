"""Benchmarks: the time per step of the baseline and of each engine, measured in turns, each in its own process."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.benchmark import (
        baseline_loop, contenders, convolutions, expert_loop, json_output, mask_selection, step_profile, sweep_overhead,
        timing, trainers, whole_search)
else:
    __getattr__ = submodules(__name__)
