"""Runs that start from a round of another run: how they are trained, and that round, made to fit where it goes."""
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lth import files, masks, recipes, streams
from lth.errors import LthError
from lth.network import Network
from lth.plan import Plan, planned
from lth.recipe import Raw
from lth.runs import Run
from lth.task import Engine
from lth.tickets import Round, Ticket
from lth.vectors import Slot


class Source(NamedTuple):
    """The round of a run from which another starts, and the seeds that are meant."""

    plan: Plan
    run: Run
    seeds: Sequence[int]
    number: int

    @property
    def kept(self) -> int:
        """The prunable weights that its tickets keep, at most, as planned."""

        return self.plan.kept[self.number]


def recipe_of(
        source: Source, folder: Path, *, control: str = 'original', searched: Path | None = None,
        dataset: str | None = None) -> Raw:
    """The recipe of a run in `folder` that finetunes the source's tickets under a control: a gem as its recipe says, a
    ticket as it was trained. They may be those of the same round of another run, `searched`, and go to another data
    set.
    """

    raw = source.plan.of_round(source.number).recipe.dump()
    where = searched or source.run.folder
    keep_out = raw['algorithm']['keep_out']
    raw['training']['precision'] = source.plan.recipe.training.precision
    raw['algorithm'] = {
        'name': 'finetune', 'keep_out': keep_out, 'source': os.path.relpath(where, folder), 'round': source.number,
        'kept': source.plan.network.layout.prunable if control == 'dense' else source.kept, 'control': control}
    raw['source'] = f'{where}, round {source.number}'
    if dataset is not None:
        raw['data'] = {**recipes.default(raw['model']['name'], dataset)[0].get('data', {}), 'name': dataset}
    return raw


def kept_elsewhere(source: Source, ours: Network) -> int:
    """The prunable weights that its tickets keep in a network for other classes, where the output layer is drawn anew;
    as the first seed of the run has it.
    """

    layout = source.plan.network.layout
    masks_ = layout.unpack(source.run.load(source.run.seeds()[0], source.number).ticket.mask[0])
    sizes = {slot.name: slot.size for slot in ours.layout.prunable_slots}
    anew = [name for name in redrawn(source.plan.network, ours) if name in masks_]
    return source.kept + sum(_redrawn_count(masks_[name], sizes[name]) - int(masks_[name].sum()) for name in anew)


def finetuning(source: Source, raw: Raw, origin: str) -> Plan:
    """The plan of a recipe that finetunes the source's tickets; an LthError if nothing would be trained."""

    plan = planned(raw, origin)
    iteration = source.run.header(source.seeds[0], source.number)['iteration']
    if iteration >= plan.steps:
        raise LthError(f'The ticket starts at iteration {iteration} of its schedule, which ends at {plan.steps}: '
                       'nothing would be trained. Train for more epochs (-e counts from iteration 0).')
    return plan


def past_of(plan: Plan, folder: Path, seeds: Sequence[int], engine: Engine) -> Sequence[Round]:
    """The rounds of another run from which the run in `folder` starts: where it finetunes one, that and the first, made
    to fit; else the `rounds` that its settings name, or as many as there are here.
    """

    run, numbers = _begun_from(plan, folder)
    past = run.past(seeds, engine.device)
    if max(numbers) >= len(past):
        raise LthError(f'{run.folder} has no round {max(numbers)} of all seeds {list(seeds)}, and this run starts from '
                       'it. Let that search go on first.')
    if 'round' in plan.recipe.dump()['algorithm']:
        return [fitted(past[number], run.network, plan.network, seeds) for number in (0, *numbers)]
    return replace(past, rounds=tuple(past.rounds[number] for number in numbers))


def fingerprints(plan: Plan, folder: Path, seeds: Sequence[int], number: int) -> tuple[str, ...]:
    """Those of the tickets that round `number` of the run in `folder` is made from, one for each seed."""

    run, numbers = _begun_from(plan, folder)
    return tuple(run.load(seed, numbers[number]).ticket.fingerprints()[0] for seed in seeds)


def refuse_replaced(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """An LthError if the last round of a seed was made from another ticket than lies in the source now. All before it
    led there, so one tells, and is soon read.
    """

    source, numbers = _begun_from(plan, run.folder)
    for seed in seeds:
        last = run.rounds(seed) - 1
        if last < 0 or source.rounds(seed) <= numbers[last]:
            continue
        recorded = run.header(seed, last).get('source')  # none in runs of an earlier version
        if recorded and (recorded,) != fingerprints(plan, run.folder, [seed], last):
            raise LthError(
                f'{run.folder} was made from another ticket than round {numbers[last]} of seed {seed} in '
                f'{source.folder} is now: that run was replaced. Put it back; or move {run.folder} away, and the same '
                'command makes it from what is there now.')


def _begun_from(plan: Plan, folder: Path) -> tuple[Run, Sequence[int]]:
    """The run from which the one in `folder` starts, and from which of its rounds each round here is made."""

    settings = plan.recipe.dump()['algorithm']
    where = Path(os.path.normpath(folder / settings['source']))
    theirs = planned(files.read_yaml(where / 'recipe.yaml'), str(where / 'recipe.yaml'))
    numbers = [settings['round']] if 'round' in settings else settings.get('rounds', range(len(plan.kept)))
    return Run(where, theirs.recipe.dump(), theirs.network), numbers


def redrawn(theirs: Network, ours: Network) -> list[str]:
    """The parameters of the output layer that must be drawn anew, since classes differ; an LthError if another layer
    does not fit.
    """

    mine = {slot.name: slot.shape for slot in ours.layout.slots}
    outputs = {slot.name.rpartition('.')[0] for slot in theirs.layout.slots if slot.kind == 'output'}
    differing = [slot.name for slot in theirs.layout.slots if mine.get(slot.name) != slot.shape]
    inputs = {slot.name: slot.shape[1:] for slot in theirs.layout.slots}
    for name in differing:
        if name.rpartition('.')[0] not in outputs or mine.get(name, (0,))[1:] != inputs[name]:
            raise LthError(
                f'A ticket found on pictures of {_shown(theirs.shape)} does not fit pictures of {_shown(ours.shape)}: '
                f'{name} is {_sides(theirs, name)} there and {_sides(ours, name)} here. Show the new pictures in the '
                f'old shape: --set data.size={theirs.shape[1]} --set data.channels={theirs.shape[0]}.')
    return differing


def fitted(one: Round, theirs: Network, ours: Network, seeds: Sequence[int]) -> Round:
    """The round in a network for other classes, or itself if nothing differs. The new output layer is drawn by each
    seed; where the old one was pruned it keeps as many weights, at random, or all that it has.
    """

    anew = redrawn(theirs, ours)
    if not anew:
        return one
    rows = [_fitted(one.ticket, row, theirs, ours, seed, anew) for row, seed in enumerate(seeds)]
    mask, weights = (torch.stack(part) for part in zip(*rows, strict=True))
    ticket = Ticket(mask, weights, one.ticket.buffers, one.ticket.iteration)
    return Round(one.number, ticket, replace(one.trained, weights=weights, history=()))


def _fitted(
        ticket: Ticket, row: int, theirs: Network, ours: Network, seed: int, anew: Sequence[str],
) -> tuple[Tensor, Tensor]:
    """Mask (P,) and weights (N,) of one seed in the other network."""

    device = ticket.mask.device
    drawn = ours.layout.unpack(ours.fresh(streams.number(seed, 'output')).to(device))
    old_mask, old_weights = theirs.layout.unpack(ticket.mask[row]), theirs.layout.unpack(ticket.weights[row])
    kept = {slot.name: _redrawn_mask(slot, old_mask[slot.name], seed).to(device) if slot.name in anew
            else old_mask[slot.name] for slot in ours.layout.prunable_slots}
    weights = {name: drawn[name] if name in anew else old_weights[name] for name in old_weights}
    packed = ours.layout.pack({name: weights[name] * kept[name] if name in kept else weights[name] for name in weights})
    return ours.layout.pack(kept), packed


def _redrawn_mask(slot: Slot, old: Tensor, seed: int) -> Tensor:
    """As many weights as the old output layer keeps, at random: bool of the slot's shape."""

    count = _redrawn_count(old, slot.size)
    return masks.spread([slot.size], [count], seeds=[streams.number(seed, 'output')])[0].view(slot.shape)


def _redrawn_count(old: Tensor, size: int) -> int:
    """As many as the old layer keeps, or all that there are, as of a dense one."""

    return size if bool(old.all()) else min(size, int(old.sum()))


def _sides(network: Network, name: str) -> str:
    shapes = {slot.name: slot.shape for slot in network.layout.slots}
    return '×'.join(map(str, shapes[name])) if name in shapes else 'absent'


def _shown(shape: Sequence[int]) -> str:
    return '×'.join(map(str, shape))
