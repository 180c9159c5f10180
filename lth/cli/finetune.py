"""`lth finetune`: train what was found."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.options import (
    Datasets, Device, DryRun, EngineChoice, Epochs, Json, LearningRate, Overrides, Threads, explained)
from lth.cli.planning import gem_schedule, overridden
from lth.cli.searching import Way, carried_out
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.plan import Plan
    from lth.runs import Run


@explained
def finetune(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN; a name below ./runs, or a path. Without a '
                                'round the last one.')],
        datasets: Datasets = Path('datasets'),
        *,
        number_of_epochs: Epochs = None,
        learning_rate: LearningRate = None,
        round_: Annotated[int | None, typer.Option(
            '--round', min=0, metavar='N', show_default=False, help='The round whose ticket is trained.')] = None,
        override: Overrides = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The new run folder; else RUN-finetuned.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        engine: EngineChoice = None,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Train a ticket or a gem from its own weights under its mask.

    A gem as its recipe says (algorithm.finetune), a ticket as it was trained when it was found; then the options.

    [bold]Examples[/bold]

        lth finetune lenet-300-100-mnist-gem-5

        lth finetune lenet-300-100-mnist/seed-0/round-07 -e 20
    """

    from lth import evaluation  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    where = evaluation.place(run)
    plan, source = evaluation.opened(where)
    seeds = source.seeds() if where.seed is None else [where.seed]
    number = _number(plan, source, seeds, where.round, round_)
    options: dict[str, Any] = {'training.optimizer.learning_rate': learning_rate}
    if number_of_epochs is not None:
        options['training.length'] = f'{number_of_epochs} epochs'
        if 'finetune' in plan.recipe.dump()['algorithm']:
            options['training.schedule'] = gem_schedule(number_of_epochs)
    raw = _recipe(plan, source, seeds, number, options, override or [])
    from lth.plan import planned  # pylint: disable=import-outside-toplevel # as above
    chosen = planned(raw, f'{run} to be finetuned')
    iteration = source.header(seeds[0], number)['iteration']
    if iteration >= chosen.steps:
        raise LthError(f'The ticket starts at iteration {iteration} of its schedule, which ends at {chosen.steps}: '
                       'nothing would be trained. Train for more epochs (-e counts from iteration 0).')
    beside = f'{where.folder}-finetuned' + ('' if where.seed is None else f'-seed-{where.seed}')
    beside += f'-round-{number:02d}' if number < len(plan.kept) - 1 else ''
    numbers = ','.join(map(str, seeds))
    carried_out(chosen, Way(datasets, to or beside, numbers, device, threads, as_json, dry_run, engine))


def _number(plan: 'Plan', source: 'Run', seeds: list[int], placed: int | None, asked: int | None) -> int:
    """The round to finetune: the one that was named, else the last, if the search is complete."""

    if placed is not None and asked not in (None, placed):
        raise LthError(f'--round {asked}: the run was given as its round {placed}. Leave one out.')
    number = placed if placed is not None else asked
    if number is None and any(source.rounds(seed) < len(plan.kept) for seed in seeds):
        done = min(source.rounds(seed) for seed in seeds)
        raise LthError(f'{source.folder} is not complete: {done} of {len(plan.kept)} rounds are there. Let the search '
                       f'go on, or choose one of them, such as --round {done - 1}.')
    return len(plan.kept) - 1 if number is None else number


def _recipe(
        plan: 'Plan', source: 'Run', seeds: list[int], number: int, options: dict[str, Any], overrides: list[str],
) -> dict[str, Any]:
    """The recipe of the source with its way to finetune, on top of that the options."""

    if any(source.rounds(seed) <= number for seed in seeds):
        raise LthError(f'{source.folder} has no round {number} of all seeds {seeds}: let the search go on, or choose '
                       'an earlier round.')
    kept = {source.header(seed, number)['kept'] for seed in seeds}
    if len(kept) > 1:
        raise LthError(f'The tickets of round {number} of {source.folder} keep different numbers of weights, '
                       f'{sorted(kept)}: finetune one seed at a time, as RUN/seed-S.')
    raw = plan.recipe.dump()
    keep_out = raw['algorithm']['keep_out']
    precision = raw['training']['precision']
    raw['training'] = raw['algorithm'].get('finetune', raw['training']) | {'precision': precision}
    raw['algorithm'] = {'name': 'finetune', 'keep_out': keep_out, 'source': str(source.folder), 'round': number,
                        'kept': kept.pop()}
    raw['source'] = f'{source.folder}, round {number}'
    return overridden(raw, options, overrides)
