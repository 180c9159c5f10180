"""Runs that start from a round of another run: how they are trained, and that round, made to fit where it goes."""
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lth import files, recipes, streams
from lth.errors import LthError
from lth.plan import Plan, planned
from lth.recipe import Raw
from lth.runs import Run
from lth.task import Engine
from lth.tickets import Round, drawn
from lth.transplant import transplanted


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

    raw = source.plan.recipe.dump()
    where = searched or source.run.folder
    keep_out, precision = raw['algorithm']['keep_out'], raw['training']['precision']
    raw['training'] = raw['algorithm'].get('finetune', raw['training']) | {'precision': precision}
    raw['algorithm'] = {
        'name': 'finetune', 'keep_out': keep_out, 'source': os.path.relpath(where, folder), 'round': source.number,
        'kept': source.plan.network.layout.prunable if control == 'dense' else source.kept, 'control': control}
    raw['source'] = f'{where}, round {source.number}'
    if dataset is not None:
        raw['data'] = {**recipes.default(raw['model']['name'], dataset)[0].get('data', {}), 'name': dataset}
    return raw


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

    settings = plan.recipe.dump()['algorithm']
    where = Path(os.path.normpath(folder / settings['source']))
    theirs = planned(files.read_yaml(where / 'recipe.yaml'), str(where / 'recipe.yaml'))
    past = Run(where, theirs.recipe.dump(), theirs.network).past(seeds, engine.device)
    numbers = [0, settings['round']] if 'round' in settings else settings.get('rounds', range(len(plan.kept)))
    if max(numbers) >= len(past):
        raise LthError(f'{where} has no round {max(numbers)} of all seeds {list(seeds)}, and this run starts from it. '
                       'Let that search go on first.')
    if 'round' in settings:
        anew = drawn(plan.network, [streams.number(seed, 'output') for seed in seeds], engine.device)
        return [replace(one, ticket=transplanted(one.ticket, theirs.network, plan.network, anew))
                for one in (past[number] for number in numbers)]
    return replace(past, rounds=tuple(past.rounds[number] for number in numbers))
