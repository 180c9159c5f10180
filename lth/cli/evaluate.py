"""`lth evaluate`: measure a run from its files."""
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.options import Datasets, Device, Json, Threads, command, err, out
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.analysis.evaluation import Evaluation
    from lth.runs.folder import Run


@command
def evaluate(
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN; a name below ./runs, or a path.')],
        datasets: Datasets = Path('datasets'),
        *,
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
) -> None:
    """Measure test accuracy afresh from a run's files, and show where its weights are.

    [bold]Examples[/bold]

        lth evaluate lenet-300-100-digits

        lth evaluate runs/lenet-300-100-mnist/seed-0/round-07 ./datasets
    """

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.analysis import evaluation  # pylint: disable=import-outside-toplevel
    from lth.experiments import open_run  # pylint: disable=import-outside-toplevel
    from lth.training.engines import select  # pylint: disable=import-outside-toplevel
    where = open_run.parse_run_path(run)
    plan, opened = open_run.open_run(where)
    engine = select.select_engine(
        device, choice=opened.engine_choice() or 'auto', capturable=plan.capturable, obstacle=plan.obstacle)
    select.configure_process(threads=threads, device=engine.device)
    data = plan.read(datasets).to(engine.device)
    seeds = opened.seeds() if where.seed is None else [where.seed]
    found = list(evaluation.evaluate_rounds(plan, opened, data, engine, seeds, where.round))
    trained: dict[Path, list[Evaluation]] = {}
    for folder in evaluation.finetuned_runs(where.folder, found[-1].round):
        try:
            trained[folder] = evaluation.evaluate_finetuned(folder, datasets, engine, seeds)
        except LthError as error:
            err.print(f'Note: {folder} could not be measured: {error}', highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps({'run': str(where.folder), 'evaluations': list(map(_object, found)), 'finetuned': [
            {'run': str(folder), 'evaluations': list(map(_object, after))} for folder, after in trained.items()]},
            indent=2))
        return
    _print(opened, found, seeds)
    _print_scores(found)
    _print_finetuned(found, trained)
    for one in found:
        if one.test_accuracy != one.recorded:
            err.print(f'Note: seed {one.seed}, round {one.round}: recorded {one.recorded:.2%}, measured '
                      f'{one.test_accuracy:.2%} now; another device or number of threads rounds differently, '
                      'a larger difference means other files, or a recipe.yaml that was edited.',
                      highlight=False, soft_wrap=True)


def _object(one: 'Evaluation') -> dict[str, Any]:
    return {**one._asdict(), 'layers': [layer._asdict() for layer in one.layers],
            'scores': one.scores._asdict() if one.scores else None,
            'carrying': [layer._asdict() for layer in one.carrying]}


def _print(run: 'Run', found: Sequence['Evaluation'], seeds: Sequence[int]) -> None:
    """Rounds and seeds, then the layers of the last round shown."""

    from lth.analysis.statistics import confidence_interval  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.tables import percent, simple_table, title  # pylint: disable=import-outside-toplevel # as above
    rows = []
    for number in sorted({one.round for one in found}):
        alike = [one for one in found if one.round == number]
        each = {one.seed: f'{100 * one.test_accuracy:.2f}' for one in alike}
        mean = percent(confidence_interval([one.test_accuracy for one in alike]))
        rows.append([str(number), f'{100 * alike[0].density:.2f}', f'{alike[0].kept:,}', mean,
                     *[each.get(seed, '') for seed in seeds if len(seeds) > 1]])
    headings = ['round', 'left %', 'kept', 'test %', *[f'seed {seed}' for seed in seeds if len(seeds) > 1]]
    out.print(simple_table(title(run, seeds), headings, rows))
    last = found[-1]
    carries = {layer.name: [f'{layer.inputs:,} of {layer.total_inputs:,}', f'{layer.units:,} of {layer.total_units:,}']
               for layer in last.carrying}
    headings = ['layer', 'kept', 'of', 'left %', *['in force'] * (last.scores is not None),
                *['inputs that carry', 'units that carry'] * bool(carries)]
    out.print(simple_table(f'Layers of seed {last.seed}, round {last.round}', headings, [
        [layer.name, f'{layer.kept:,}', f'{layer.weights:,}', f'{100 * layer.kept / layer.weights:.2f}',
         *(['' if layer.above_threshold is None else f'{layer.above_threshold:,}'] if last.scores else []),
         *carries.get(layer.name, [])] for layer in last.layers]))


def _print_scores(found: Sequence['Evaluation']) -> None:
    """How trained scores are spread, in the rounds of the last seed."""

    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel # as above
    rows = [(one.round, one.scores) for one in found if one.seed == found[-1].seed and one.scores]
    if not rows:
        return
    out.print(simple_table(
        f'Scores of seed {found[-1].seed}: those that are active, and of the weights those in force',
        ['round', 'active', 'in force', 'least', '25%', 'median', '75%', 'largest', 'at 0',
         *['test % of drawn masks'] * any(spread.drawn is not None for _, spread in rows)],
        [[str(number), f'{spread.active:,}', f'{spread.above_threshold:,}',
          *[f'{value:.3g}' for value in spread[2:7]], f'{spread.zeros:,}',
          *([] if spread.drawn is None else [f'{100 * spread.drawn:.2f}'])] for number, spread in rows]))


def _print_finetuned(found: Sequence['Evaluation'], trained: Mapping[Path, Sequence['Evaluation']]) -> None:
    """The tickets of the last round before and after they were finetuned."""

    from lth.analysis.statistics import (  # pylint: disable=import-outside-toplevel # as above
        compare_paired, confidence_interval)
    from lth.cli.tables import percent, simple_table  # pylint: disable=import-outside-toplevel # as above
    before = {one.seed: one.test_accuracy for one in found if one.round == found[-1].round}
    rows = []
    for folder, after in ((folder, after) for folder, after in trained.items() if after):
        accuracies, same = [one.test_accuracy for one in after], [before[one.seed] for one in after]
        rows.append([str(folder), percent(confidence_interval(same)), percent(confidence_interval(accuracies)),
                     percent(compare_paired(accuracies, same).difference)])
    if rows:
        out.print(simple_table(f'Round {found[-1].round} before and after finetuning',
                               ['run', 'before, test %', 'after', 'gain'], rows))
