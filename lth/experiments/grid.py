"""A grid of runs, from YAML: searches, and runs that start from their tickets, each in its own folder.

A reproduction declares `GridRun`s. `expand` gives one for each combination of the values in `grid`,
`reduced` lays the smaller scale of a budget over them, and `run_search` and `run_derived` train one, or resume it.
"""
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from lth.algorithms.retraining.transfer import Carried
from lth.experiments import derived_plans, folders, gem_plans, open_run, resolve, runner, transfer_plans
from lth.experiments.changes import Changes
from lth.experiments.plan import Plan
from lth.experiments.reporter import OpenReporter
from lth.experiments.run_target import RunTarget, supported_target
from lth.recipes.section import Section
from lth.runs.folder import Run
from lth.runs.run_path import RunPath

Command = Literal['find-ticket', 'find-gem', 'train-sparse', 'finetune', 'transfer', 'sanity-check', 'stability']
SEARCHES: tuple[Command, ...] = ('find-ticket', 'find-gem', 'train-sparse')
_Draws = Annotated[int, Field(ge=1, le=1000)]


class GridRun(Section):
    """One run. `settings` are dotted settings of its recipe, `grid` lists of values for some of them. `controls` maps
    names to numbers of draws. All but searches start from the run called `source`, from its round `round` (by default
    the last), or from `rounds` if there can be several. With `finetune`, the settings of a training, there is also the
    run NAME-finetuned of each gem.
    """

    command: Command
    model: str | None = None
    dataset: str | None = None
    recipe: str | None = None
    settings: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    density: Annotated[float, Field(gt=0, le=1)] | None = None
    algorithm: str | None = None
    method: str | None = None
    controls: dict[str, _Draws] = {}
    finetune: dict[str, Any] | None = None
    source: str | None = None
    round: Annotated[int, Field(ge=0)] | None = None
    rounds: list[int] | None = None
    random_tickets: bool = False
    carry: Carried = 'weights'
    checks: list[str] | None = None
    part_at: list[int] = []

    @pydantic.model_validator(mode='after')
    def _has_what_its_command_needs(self) -> 'GridRun':
        needed = ('model', 'dataset') if self.command in SEARCHES else ('source',)
        if any(getattr(self, name) is None for name in needed):
            raise ValueError(f'{self.command} needs a {" and a ".join(needed)}')
        if self.command == 'transfer' and self.dataset is None:
            raise ValueError('transfer needs a dataset')
        return self

    @pydantic.model_validator(mode='after')
    def _finetunes_gems_only(self) -> 'GridRun':
        if self.command != 'find-gem' and self.finetune is not None:
            raise ValueError('finetune belongs to find-gem: add a run with the command finetune')
        return self


class Reduction(Section):
    """How a budget makes runs smaller: other data sets and models, settings for each command, at most `draws` draws of
    a control, and other rounds of the source.
    """

    datasets: dict[str, str] = {}
    models: dict[str, str] = {}
    settings: dict[Command, dict[str, Any]] = {}
    runs: dict[str, dict[str, Any]] = {}
    draws: _Draws | None = None


def expand(runs: Mapping[str, GridRun]) -> dict[str, GridRun]:
    """The runs by name, with one for each combination of the values of `grid`, NAME-VALUE-VALUE, and one that finetunes
    each gem that has `finetune`.
    """

    singles = {name: single for stem, run in runs.items() for name, single in _combinations(stem, run)}
    finetuned = {f'{name}-finetuned': GridRun(command='finetune', source=name, settings=run.finetune)
                 for name, run in singles.items() if run.finetune is not None}
    return singles | finetuned


def reduced(name: str, run: GridRun, reduction: Reduction) -> GridRun:
    """The run at a smaller scale; `reduction.runs` has the settings of single runs, which are applied last. The recipe
    of a model or data set that is replaced does not hold for the other one.
    """

    settings = {**run.settings, **reduction.settings.get(run.command, {}), **reduction.runs.get(name, {})}
    draws = reduction.draws
    controls = {control: count if draws is None else min(count, draws) for control, count in run.controls.items()}
    model = run.model and reduction.models.get(run.model, run.model)
    dataset = run.dataset and reduction.datasets.get(run.dataset, run.dataset)
    recipe = run.recipe if (model, dataset) == (run.model, run.dataset) else None
    return run.model_copy(update={
        'settings': settings, 'controls': controls, 'model': model, 'dataset': dataset, 'recipe': recipe})


def search_plan(run: GridRun, *, device: str = 'auto') -> Plan:
    """The plan of a search. LthError if a setting is wrong."""

    changes = changes_of(run)
    model, dataset = run.model or '', run.dataset or ''
    if run.command == 'find-ticket':
        return resolve.ticket_plan(model, dataset, changes, recipe=run.recipe, device=device)
    if run.command == 'train-sparse':
        return resolve.sparse_plan(model, dataset, changes, density=run.density, method=run.method, recipe=run.recipe,
                                   device=device)
    return gem_plans.gem_plan(model, dataset, changes, density=run.density, algorithm=run.algorithm, recipe=run.recipe,
                              device=device)


def control_plans(run: GridRun, plan: Plan, folder: Path) -> dict[Path, Plan]:
    """The plans of all draws of the controls of a search in this folder, by their folders."""

    plans: dict[Path, Plan] = {}
    for control, draws in run.controls.items():
        (drawn,) = derived_plans.control_plans([control], plan, folder, draws=draws).values()
        plans |= {folders.control_folder(folder, control, draw): one for draw, one in enumerate(drawn, 1)}
    return plans


def run_search(run: GridRun, target: RunTarget, seeds: Sequence[int], open_reporter: OpenReporter) -> Run:
    """Train a search in `target.folder` and its controls next to it, as far as they are not on disk."""

    plan = search_plan(run, device=target.device)
    planned = {target.folder: plan, **control_plans(run, plan, target.folder)}
    return _train(planned, target, seeds, open_reporter)


def run_derived(
        run: GridRun, source: Path, target: RunTarget, seeds: Sequence[int], open_reporter: OpenReporter) -> Run:
    """Train a run that finetunes or transfers tickets of the run in the folder `source`."""

    if run.command == 'finetune':
        ticket = open_run.open_source(RunPath(source), seeds=seeds, number=run.round)
        plan = derived_plans.finetune_plan(ticket, target.folder, changes_of(run), dataset=run.dataset)
        return _train({target.folder: plan}, target, seeds, open_reporter)
    return _train(_transfer_plans(run, source, target), target, seeds, open_reporter)


def _transfer_plans(run: GridRun, source: Path, target: RunTarget) -> dict[Path, Plan]:
    """The plans of a transfer, and of random tickets if the run has them, by their folders."""

    tickets = open_run.open_source_rounds(RunPath(source), run.rounds)
    kinds: dict[Path, Literal['found', 'random']] = {target.folder: 'found'}
    if run.random_tickets:
        kinds[folders.control_folder(target.folder, 'random')] = 'random'
    return {folder: transfer_plans.transfer_plan(
        tickets, run.dataset or '', folder, changes_of(run), ticket=kind, carry=run.carry, recipe=run.recipe,
        device=target.device)
        for folder, kind in kinds.items()}


def _train(
        plans: Mapping[Path, Plan], target: RunTarget, seeds: Sequence[int], open_reporter: OpenReporter) -> Run:
    """Train the runs of the plans in their folders, and return the first one."""

    runs = []
    for folder, plan in plans.items():
        with open_reporter(plan, seeds) as reporter:
            runs.append(runner.run_plan(plan, supported_target(plan, replace(target, folder=folder)), seeds, reporter))
    return runs[0]


def changes_of(run: GridRun) -> Changes:
    """What a run changes in its recipe."""

    return Changes(overrides=list(run.settings.items()))


def _combinations(stem: str, run: GridRun) -> Iterable[tuple[str, GridRun]]:
    for values in itertools.product(*run.grid.values()):
        settings = {**run.settings, **dict(zip(run.grid, values, strict=True))}
        name = '-'.join([stem, *(folders.file_name(str(value)) for value in values)])
        yield name, run.model_copy(update={'settings': settings, 'grid': {}})
