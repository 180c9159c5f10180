"""`lth finetune`: train what was found."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.options import Datasets, Device, DryRun, Epochs, Json, LearningRate, Overrides, Threads, explained
from lth.cli.planning import overridden
from lth.cli.searching import Way, carried_out
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.plan import Plan
    from lth.runs import Run


@explained
def finetune(  # pylint: disable=too-many-arguments # a command has as many as it has flags
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
    number = where.round if where.round is not None else round_
    number = min(source.rounds(seed) for seed in seeds) - 1 if number is None else number
    raw = _recipe(plan, source, seeds, number, {
        'training.optimizer.learning_rate': learning_rate,
        'training.length': None if number_of_epochs is None else f'{number_of_epochs} epochs'}, override or [])
    from lth.plan import planned  # pylint: disable=import-outside-toplevel # as above
    beside = f'{where.folder}-finetuned' + (f'-round-{number:02d}' if number < source.rounds(seeds[0]) - 1 else '')
    way = Way(datasets, to or beside, ','.join(map(str, seeds)), device, threads, as_json, dry_run)
    carried_out(planned(raw, f'{run} to be finetuned'), way)


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
    raw['training'] = raw['algorithm'].get('finetune', raw['training'])
    raw['algorithm'] = {'name': 'finetune', 'keep_out': keep_out, 'source': str(source.folder), 'round': number,
                        'kept': kept.pop()}
    raw['source'] = f'{source.folder}, round {number}'
    return overridden(raw, options, overrides)
