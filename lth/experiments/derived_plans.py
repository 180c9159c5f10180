"""Plans of runs that start from another run: its tickets finetuned, under controls, or on another data set."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lth.algorithms.retraining.transfer import Carried
from lth.datasets import DATASETS
from lth.errors import LthError
from lth.experiments import folders, setting_checks
from lth.experiments.changes import Changes, training_length
from lth.experiments.derived_runs import derived_plan, derived_recipe
from lth.experiments.folders import control_folder, file_name
from lth.experiments.gem_plans import gem_schedule
from lth.experiments.open_run import SourceRound, open_run
from lth.experiments.plan import Plan, make_plan
from lth.experiments.resolve import canonical_pair, plan_for
from lth.models.channel_groups import channel_groups
from lth.pruning import output_layer
from lth.pruning.changed_tickets import control_obstacle
from lth.pruning.controls import CONTROLS, STANDARDS, available_controls
from lth.recipes import presets
from lth.recipes.schema import layer_settings
from lth.runs.folder import Run
from lth.runs.run_path import RunPath

OptimizerName = Literal['adam', 'sgd']
# Another optimizer starts with the defaults of its papers: Adam's learning rate, SGD with momentum.
_OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    'adam': {'name': 'adam', 'learning_rate': 1e-3}, 'sgd': {'name': 'sgd', 'learning_rate': 0.01, 'momentum': 0.9}}


class SourceRounds(NamedTuple):
    """The rounds of a run whose tickets are transferred, and the seeds."""

    plan: Plan
    run: Run
    seeds: Sequence[int]
    numbers: Sequence[int]


class AlignedSource(NamedTuple):
    """The rounds of a run whose masks of one seed are carried to the initial weights of its other seeds."""

    plan: Plan
    run: Run
    mask_seed: int
    seeds: Sequence[int]
    numbers: Sequence[int]


class AlignedPlans(NamedTuple):
    """The plan of a run of aligned masks, and those of its controls: the masks as they are, and the seeds' own."""

    aligned: Plan
    controls: dict[str, Plan]


def open_aligned(path: RunPath, rounds: Sequence[int] | None) -> AlignedSource:
    """The rounds to align, by default all that have a mask, from the seed of the path, by default the first. LthError
    if the run has no other seed, or no tickets of trained weights.
    """

    plan, run = open_run(path)
    _refuse_unalignable(plan, path.folder)
    seeds = run.seeds()
    mask_seed = seeds[0] if path.seed is None else path.seed
    others = [seed for seed in seeds if seed != mask_seed]
    if not others:
        raise LthError(f'{path.folder} has only seed {mask_seed}, but masks are carried from one seed to another. Add '
                       'seeds to the search, such as --seeds 0-2.')
    masked = range(1, min(run.round_count(seed) for seed in seeds))
    numbers = _selected_rounds(path, rounds, masked)
    if not numbers or not set(numbers) <= set(masked):
        raise LthError(f'--rounds: {path.folder} has {masked.stop} rounds of all seeds {seeds}; those from 1 on '
                       'have a mask. Choose among them, or prune more often (-i).')
    return AlignedSource(plan, run, mask_seed, others, numbers)


def _refuse_unalignable(plan: Plan, folder: Path) -> None:
    """LthError if a run has no trained dense networks to align, or if channels of its network cannot be aligned."""

    settings = plan.recipe.algorithm
    if settings.finds != 'tickets' or settings.trains != 'each' or settings.needs_source:
        raise LthError(f'{folder} is not a search for tickets, so it has no trained dense networks to align. Give '
                       'a run of lth find-ticket.')
    if plan.network.has_fixed_weights:
        raise LthError(f'All seeds of {folder} start from the weights of the given module, so there are no other '
                       'initial weights. Choose an initializer with the setting model.initializer.')
    channel_groups(plan.network)


def aligned_folder(source: AlignedSource) -> Path:
    """The default folder of a run of aligned masks."""

    suffix = f'aligned-from-seed-{source.mask_seed}-round-{max(source.numbers):02d}'
    return folders.sibling_folder(source.run.folder, suffix)


def align_plans(source: AlignedSource, folder: Path, changes: Changes = Changes()) -> AlignedPlans:
    """The plans that train the masks of one seed on the weights of the others at the rewind point, by the recipe of the
    search: aligned in `folder`, the controls next to it.
    """

    setting_checks.refuse_computed(changes.overrides)
    controls: dict[str, Plan] = {}
    for mask in ('naive', 'own'):
        controls[mask] = _align_plan(source, control_folder(folder, mask), changes, mask)
    return AlignedPlans(_align_plan(source, folder, changes, 'aligned'), controls)


def _align_plan(source: AlignedSource, folder: Path, changes: Changes, mask: str) -> Plan:
    raw = source.plan.recipe.dump()
    kept = [int(source.run.load_mask(source.mask_seed, number).sum()) for number in source.numbers]
    raw['algorithm'] = {
        'name': 'align', **layer_settings(raw), 'source': os.path.relpath(source.run.folder, folder),
        'mask_seed': None if mask == 'own' else source.mask_seed, 'rounds': list(source.numbers), 'kept': kept,
        'mask': mask}
    raw['source'] = f'{mask} masks of {source.run.folder}, seed {source.mask_seed}'
    return make_plan(changes.apply(raw, training_length(changes.epochs)), f'alignment of {source.run.folder}')


def control_plans(names: Sequence[str], plan: Plan, folder: Path, *, draws: int = 1) -> dict[str, list[Plan]]:
    """For each control the plans of all its draws, for the search by `plan` in this folder. LthError if a control is
    unknown or cannot be compared with these tickets.
    """

    if draws > 1 and not names:
        raise LthError(f'--control-draws {draws}: no controls are given. Name them, such as --controls reinit.')
    controls = list(dict.fromkeys(map(partial(CONTROLS.canonical, unlisted=STANDARDS), names)))
    for control in controls:
        if control not in available_controls():
            raise LthError(f'--controls: controls are compared with {control}. Choose among '
                           f'{", ".join(available_controls())}.')
        if obstacle := control_obstacle(control, plan.recipe.algorithm, plan.network):
            raise LthError(f'--controls: {control} cannot be compared with these tickets: {obstacle}. Leave it '
                           'out, or change that setting.')
    if controls and len(plan.kept) == 1:
        raise LthError('--controls: round 0 is the only round, so there are no tickets to compare controls with. Prune '
                       'at least once (-i).')
    return {control: [_control_plan(plan, folder, control, draw) for draw in range(1, draws + 1)]
            for control in controls}


def finetune_plan(
        source: SourceRound, folder: Path, changes: Changes = Changes(), *, optimizer: OptimizerName | None = None,
        dataset: str | None = None, then_prune: float | None = None) -> Plan:
    """The plan of a run in `folder` that trains the source's tickets from their weights under their masks: a gem as its
    recipe says (algorithm.finetune), a ticket as in its search. `optimizer` and `dataset` replace those of the source.
    With `then_prune` the result is pruned to this share of the weights and trained for one more cycle (SCULPT).
    """

    setting_checks.refuse_computed(changes.overrides)
    settings: dict[str, Any] = {'training.optimizer': _OPTIMIZERS[optimizer]} if optimizer else {}
    changes = replace(changes, options={**settings, **changes.options})
    recipe = derived_recipe(source, folder, dataset=None if dataset is None else DATASETS.canonical(dataset))
    if then_prune is not None:
        recipe['algorithm'] |= {'name': 'sculpt', 'then_prune': then_prune}
        del recipe['algorithm']['control']
    raw, origin = changes.apply(recipe, finetune_length(source, changes.epochs)), f'finetuning of {source.run.folder}'
    plan = derived_plan(source, raw, origin)
    new = output_layer.reinitialized_parameters(source.plan.network, plan.network)
    if not new:
        return plan
    mask = source.run.load_mask(source.run.seeds()[0], source.number)[0]
    raw['algorithm']['kept'] = output_layer.transplanted_count(mask, source.plan.network, plan.network)
    plan = derived_plan(source, raw, origin)
    note = (f'the numbers of classes differ ({source.plan.network.classes} / {plan.network.classes}), so the output '
            f'layer is re-initialized, dense: {", ".join(new)}')
    return replace(plan, notes=(*plan.notes, note))


def finetune_suffix(dataset: str | None, cycles: int | None, then_prune: float | None) -> str:
    """What the default name of a finetuned run has between the name of its source and the round."""

    parts = ['finetuned' if then_prune is None else f'sculpted-to-{100 * then_prune:.6g}']
    if dataset is not None:
        parts.append(file_name(dataset))
    if (cycles or 1) > 1:
        parts.append(f'{cycles}-cycles')
    return '-'.join(parts)


def finetune_length(source: SourceRound, epochs: int | None) -> dict[str, Any]:
    """The settings that a number of epochs changes: the length, and where a gem's learning rate drops."""

    settings = training_length(epochs)
    schedule = source.plan.for_round(source.number).recipe.training.schedule
    if epochs is not None and source.plan.recipe.algorithm.finds == 'gems' and schedule.name == 'multistep':
        settings['training.schedule'] = gem_schedule(epochs)
    return settings


def transfer_plan(
        source: SourceRounds, dataset: str, folder: Path, changes: Changes = Changes(), *,
        ticket: Literal['found', 'random'] = 'found', carry: Carried = 'weights', recipe: str | None = None,
        device: str = 'auto') -> Plan:
    """The plan of a run in `folder` that trains the source's tickets, or random ones of their densities, on another
    data set, by the recipe of their model and that data set. `carry`: what of a ticket is kept besides its mask.
    """

    setting_checks.refuse_computed(changes.overrides)
    _refuse_untrained_signs(source, carry)
    settings = {'name': 'transfer', **layer_settings(source.plan.recipe.dump()), 'ticket': ticket,
                'carry': carry,
                'source': os.path.relpath(source.run.folder, folder), 'rounds': list(source.numbers),
                'shape': list(source.plan.network.shape), 'classes': source.plan.network.classes}
    model = source.plan.recipe.dump()['model']
    pair = canonical_pair(model['name'], dataset)
    selected = presets.select_recipe(recipe, presets.default_recipe(*pair))

    def plan(kept: Sequence[int]) -> Plan:
        raw = {**selected.settings, 'model': model, 'algorithm': {**settings, 'kept': list(kept)}}
        return plan_for(replace(selected, settings=raw), pair, changes, training_length(changes.epochs), device=device)

    # How many weights a ticket keeps on the other data set depends on the network there.
    network = plan([0] * len(source.numbers)).network
    if ticket == 'random' and network.has_fixed_weights:
        raise LthError('Random tickets have re-initialized weights, but all seeds start from the weights of the given '
                       'module. Choose an initializer with the setting model.initializer, or leave random tickets out.')
    if carry != 'weights' and network.has_fixed_weights:
        raise LthError(f'Carrying {carry} needs new weights, but all seeds start from the weights of the given module. '
                       'Choose an initializer with the setting model.initializer, or carry the weights.')
    masks = (source.run.load_mask(source.seeds[0], number)[0] for number in source.numbers)
    return plan([output_layer.transplanted_count(mask, source.plan.network, network) for mask in masks])


def transfer_suffix(dataset: str, optimizer: str | None = None, carry: Carried = 'weights') -> str:
    """What follows the source in the default name of a transferred run: the data set, and what is not the default."""

    parts = ['to', folders.file_name(dataset), optimizer or '', '' if carry == 'weights' else carry]
    return '-'.join(filter(None, parts))


def open_transferred(path: RunPath, rounds: Sequence[int] | None) -> SourceRounds:
    """The rounds to transfer: the one of the path, the given ones, or all that the seeds have in common; of the seed
    of the path, or of all seeds.
    """

    plan, run = open_run(path)
    seeds = run.seeds() if path.seed is None else [path.seed]
    count = min(run.round_count(seed) for seed in seeds)
    numbers = _selected_rounds(path, rounds, range(count))
    if max(numbers) >= count:
        raise LthError(f'--rounds: {run.folder} has no round {max(numbers)} of all seeds {seeds}; its rounds are '
                       f'0 to {count - 1}.')
    return SourceRounds(plan, run, seeds, numbers)


def _selected_rounds(path: RunPath, rounds: Sequence[int] | None, default: Sequence[int]) -> list[int]:
    """The round of the path of a run, or the given ones; LthError if both are given."""

    if path.round is None:
        return list(default if rounds is None else rounds)
    if rounds is not None:
        raise LthError(f'--rounds: the path of the run names round {path.round} already. Leave one of them out.')
    return [path.round]


def _refuse_untrained_signs(source: SourceRounds, carry: Carried) -> None:
    """LthError if trained signs are to be carried, but the algorithm of the source trains no weights of its tickets."""

    settings = source.plan.recipe.algorithm
    if carry == 'signs' and settings.trains != 'each':
        raise LthError(f'--carry signs: {settings.name} does not train the weights of each round under its mask, so '
                       'there are no trained signs. Carry start-signs, the signs of the weights themselves.')


def _control_plan(plan: Plan, folder: Path, control: str, draw: int) -> Plan:
    """The search's recipe with the algorithm `control`."""

    raw = plan.recipe.dump()
    source = os.path.relpath(folder, control_folder(folder, control, draw))
    raw['algorithm'] = {'name': 'control', **layer_settings(raw), 'control': control, 'draw': draw,
                        'source': source, 'kept': plan.kept}
    raw['source'] = f'{control}, control of {folder}'
    return make_plan(raw, f'{control}, control of {folder}')
