"""What a training step spends its time on: GPU kernels, or operators on a CPU, by kind."""
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch._C._autograd import DeviceType  # pylint: disable=import-error # compiled
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from lth.benchmark.contenders import BASELINE, SPARSE, SPARSELAB, Contender
from lth.benchmark.kernel_kinds import OUTSIDE, kernel_kind, kernel_kinds
from lth.benchmark.limits import device_limits, step_work
from lth.benchmark.trainers import Trainer, make_trainer, refuse_streamed
from lth.experiments.plan import Plan, make_plan
from lth.system import worker_pool
from lth.system.yaml_text import Raw
from lth.training.engines.process_settings import check_threads

_WARMUP_STEPS = 5
_SECONDS = 0.5
_MOST_STEPS = 50


@dataclass(frozen=True)
class StepProfile:
    """Where the time of a step goes.

    ms_per_step: time without the profiler. kernels: number of kernels, on a CPU of calls of torch's operators.
    ms_by_kind: for each kind, time in kernels or operators. `outside` is the rest of the step: Python, launches, an
    idle GPU; for the sparse engine its compiled loops.
    memory_share, arithmetic_share: the time that the step's work takes at the limits of the device, as shares of the
    step's time. limits: where these limits are from.
    """

    engine: str
    density: float
    replicates: int
    ms_per_step: float
    on_gpu: bool
    kernels: float
    ms_by_kind: dict[str, float]
    memory_share: float
    arithmetic_share: float
    limits: str


def profile_contenders(
        plan: Plan, datasets: Path, contenders: Sequence[Contender], *, threads: int) -> list[StepProfile]:
    """Profile each contender but the baseline, one after the other, each in its own process."""

    refuse_streamed(plan)
    check_threads(threads)
    profiles = list[StepProfile]()
    jobs = [(contender, plan.recipe.dump(), datasets, threads) for contender in contenders
            if contender.engine != BASELINE]
    worker_pool.run_in_parallel(profile_contender, jobs, 1, profiles.append)
    return profiles


def profile_contender(
        contender: Contender, recipe: Raw, datasets: Path, threads: int, send: Callable[[StepProfile], None]) -> None:
    """Profile a contender in a process of its own, and send the result."""

    os.environ.setdefault('KINETO_LOG_LEVEL', '9')  # the profiler writes its own steps to stderr
    trainer, plan = make_trainer(contender, recipe, datasets, threads=threads), make_plan(recipe, 'bench')
    device, training = torch.device(contender.device), plan.recipe.training
    limits = device_limits(device, training.precision)
    kept = contender.density if contender.engine in (SPARSE, SPARSELAB) else 1.
    work = step_work(plan.network, training, kept=kept)
    trainer(_WARMUP_STEPS)
    steps = min(_MOST_STEPS, max(3, round(_SECONDS / _seconds(trainer, _WARMUP_STEPS) * _WARMUP_STEPS)))
    seconds = _seconds(trainer, steps) / steps
    events = _events(trainer, steps, device)
    share = contender.replicates / seconds
    send(StepProfile(
        str(contender), contender.density, contender.replicates, 1000 * seconds, device.type == 'cuda',
        sum(event.count for event in events) / steps, milliseconds_by_kind(events, steps, 1000 * seconds),
        share * work.bytes / limits.bytes_per_second, share * work.flops / limits.flops_per_second, limits.source))


def milliseconds_by_kind(events: Sequence[FunctionEventAvg], steps: int, step: float) -> dict[str, float]:
    """The time of each kind that occurs, in ms per step, and the rest of a step that takes `step` ms."""

    times = dict.fromkeys(kernel_kinds(), 0.)
    for event in events:
        times[kernel_kind(event.key or '')] += _microseconds(event) / 1000 / steps
    times[OUTSIDE] = max(0., step - sum(times.values()))
    return {kind: time for kind, time in times.items() if time > 0}


def _events(trainer: Trainer, steps: int, device: torch.device) -> list[FunctionEventAvg]:
    """All kernels, or all operators on a CPU, of some steps."""

    kind, activity = (DeviceType.CUDA, ProfilerActivity.CUDA) if device.type == 'cuda' else (
        DeviceType.CPU, ProfilerActivity.CPU)
    with profile(activities=[activity]) as profiler:
        trainer(steps)
    return [event for event in profiler.key_averages() if event.device_type == kind and not event.is_user_annotation]


def _microseconds(event: FunctionEventAvg) -> float:
    on_gpu = event.device_type == DeviceType.CUDA
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)


def _seconds(trainer: Trainer, steps: int) -> float:
    start = time.perf_counter()
    trainer(steps)
    return time.perf_counter() - start
