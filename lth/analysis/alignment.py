"""Tickets on aligned masks: is there less of a barrier between aligned dense networks, and are the tickets better?

Before masks are trained, the error barrier at the middle between the dense network with the mask and each other one is
measured, with and without its permutation. If the permutation does not lower it, the matching failed (Adnan et al.
2025, section 3).
"""
import itertools
from collections.abc import Sequence
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from lth.algorithms.retraining.align import match_dense_networks
from lth.analysis.alignment_files import ALIGNMENTS, SeedBarriers, SeedPair
from lth.analysis.answers import words
from lth.analysis.measured_run import missing_items
from lth.analysis.statistics import Comparison, compare_paired, verdict
from lth.experiments import provenance
from lth.experiments.align_plans import AlignedPlans, AlignedSource
from lth.experiments.folders import control_folder
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.models.channel_groups import channel_groups
from lth.pruning.alignment import permute_parameters, permute_tensors
from lth.training.loop import accuracy
from lth.training.state import State
from lth.training.task import Task


class AlignmentBarrier(NamedTuple):
    """Barriers to the dense network of a seed: the test error at the middle minus the mean of both ends, of the dense
    network with the mask as it is, and permuted. Shares in [−1, 1].
    """

    seed: int
    naive: float
    aligned: float

    def sentence(self, mask_seed: int) -> str:
        """The barriers in words."""

        text = (f'Error barrier between the dense networks of seeds {mask_seed} and {self.seed}: '
                f'{100 * self.naive:.2f} points, aligned {100 * self.aligned:.2f} points')
        lower = self.aligned < self.naive
        return text if lower else f'{text}. It is not lower, so the matching of their channels failed'


class AlignedRow(NamedTuple):
    """The aligned mask of a round next to another one: aligned - other, paired by seed."""

    round: int
    other: str
    comparison: Comparison

    def sentence(self) -> str:
        """The comparison in words."""

        return (f'Round {self.round}: the aligned mask is {words.compared(self.comparison, self.other)}: '
                f'{verdict(self.comparison)}')


def measure_barriers(source: AlignedSource, target: RunTarget) -> list[AlignmentBarrier]:
    """The barriers to the dense network of each seed of the run that the source will be aligned to. Those that were
    measured before are read from RUN-stability.
    """

    folder = source.run.folder
    pairs = [SeedPair(source.mask_seed, seed) for seed in source.seeds]
    path, read = partial(ALIGNMENTS.path, folder), partial(ALIGNMENTS.read, folder)
    missing = missing_items(pairs, path, read)
    if missing:
        # A round that is damaged would end the training that follows: notice it before a file is written.
        for seed, number in itertools.product((source.mask_seed, *source.seeds), source.numbers):
            source.run.check(seed, number)
        _measure(source, target, missing)
    return [AlignmentBarrier(pair.seed, *astuple(read(pair))) for pair in pairs]


def _measure(source: AlignedSource, target: RunTarget, pairs: Sequence[SeedPair]) -> None:
    """Measure the barriers of pairs, and save each."""

    plan, run = source.plan, source.run
    engine = set_up_engine(plan, target.resumed(run))
    data = plan.load(target.datasets, engine.device)
    provenance.refuse_changed_run(run, provenance.inputs(plan, data))
    donor = run.load_round(source.mask_seed, 0).to(engine.device).trained
    for pair in pairs:
        own = run.load_round(pair.seed, 0).to(engine.device).trained
        task = plan.for_data(data).task(data, [pair.seed], engine)
        ALIGNMENTS.write(run.folder, pair, _barriers(task, donor, own))


def aligned_rows(source: AlignedSource, planned: AlignedPlans, folder: Path) -> list[AlignedRow]:
    """The trained aligned masks in `folder` next to each control, in every round."""

    rows, aligned = list[AlignedRow](), planned.aligned.run(folder)
    controls = {name: plan.run(control_folder(folder, name)) for name, plan in planned.controls.items()}
    for (number, searched), (name, control) in itertools.product(enumerate(source.numbers), controls.items()):
        accuracies = ([run.record(seed, number).test_accuracy for seed in source.seeds] for run in (aligned, control))
        rows.append(AlignedRow(searched, name, compare_paired(*accuracies)))
    return rows


def _barriers(task: Task, donor: State, own: State) -> SeedBarriers:
    groups = channel_groups(task.network)
    (order,) = match_dense_networks(task, groups, donor, own)
    weights = permute_parameters(task.network.layout, groups, order, donor.weights[0])[None]
    buffers = permute_tensors(groups, order, {name: buffer[0] for name, buffer in donor.buffers.items()})
    aligned = replace(donor, weights=weights, buffers={name: buffer[None] for name, buffer in buffers.items()})
    return SeedBarriers(_middle(task, donor, own), _middle(task, aligned, own))


def _middle(task: Task, first: State, second: State) -> float:
    """The error at the middle, with BatchNorm estimated again, minus the mean error of the ends."""

    middle = replace(first, weights=torch.lerp(first.weights, second.weights, 0.5))
    ends = (1 - accuracy(task, state)[0] for state in (first, second))
    return 1 - accuracy(task, task.engine.reestimate_batch_norm(task, middle))[0] - sum(ends) / 2
