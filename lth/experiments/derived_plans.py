"""Plans of runs that start from tickets of another run: finetuned, or under the controls of a search."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lth.datasets import DATASETS
from lth.errors import LthError
from lth.experiments import setting_checks
from lth.experiments.changes import Changes, training_length
from lth.experiments.derived_runs import derived_plan, derived_recipe
from lth.experiments.folders import control_folder, file_name
from lth.experiments.gem_plans import gem_schedule
from lth.experiments.open_run import SourceRound
from lth.experiments.plan import Plan, make_plan
from lth.pruning import output_layer
from lth.pruning.changed_tickets import control_obstacle
from lth.pruning.controls import CONTROLS, STANDARDS, available_controls
from lth.recipes.schema import layer_settings

OptimizerName = Literal['adam', 'sgd']
# Another optimizer starts with the defaults of its papers: Adam's learning rate, SGD with momentum.
_OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    'adam': {'name': 'adam', 'learning_rate': 1e-3}, 'sgd': {'name': 'sgd', 'learning_rate': 0.01, 'momentum': 0.9}}


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


def _control_plan(plan: Plan, folder: Path, control: str, draw: int) -> Plan:
    """The search's recipe with the algorithm `control`, which trains as many copies as the search."""

    raw = plan.recipe.dump()
    soup = {key: raw['algorithm'][key] for key in ('copies', 'soup') if key in raw['algorithm']}
    source = os.path.relpath(folder, control_folder(folder, control, draw))
    raw['algorithm'] = {'name': 'control', **layer_settings(raw), **soup, 'control': control, 'draw': draw,
                        'source': source, 'kept': plan.kept}
    raw['source'] = f'{control}, control of {folder}'
    return make_plan(raw, f'{control}, control of {folder}')
