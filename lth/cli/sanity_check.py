"""`lth sanity-check`: try to disprove what was found."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.execute import ExecutionOptions, options_for, run_with_progress
from lth.cli.options import (
    Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Threads, command, err, out,
    parse_seeds)
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.analysis.sanity_checks import CheckRun
    from lth.analysis.sanity_report import CheckOutcome, SanityReport
    from lth.experiments.open_run import SourceRound
    from lth.runs.folder import Run


@command
def sanity_check(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN, of a ticket or a gem. Without a round the '
                                'last one.')],
        datasets: Datasets = Path('datasets'),
        *,
        checks: Annotated[str | None, typer.Option(
            metavar='NAMES', show_default=False,
            help='Which, such as reinit,shuffle-mask; else all that apply to the run. `lth list checks` tells '
                 'them.')] = None,
        seeds: Annotated[str | None, typer.Option(
            metavar='SEEDS', show_default=False, help='Seeds of the run, such as 0-4; else its first three.')] = None,
        round_: Annotated[int | None, typer.Option(
            '--round', min=0, metavar='N', show_default=False, help='The round that is checked.')] = None,
        number_of_epochs: Epochs = None,
        learning_rate: LearningRate = None,
        override: Overrides = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The folder of the checks; else RUN-checks.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        engine: EngineOption = None,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Try to disprove a ticket or gem: change one thing at a time, finetune each exactly like the original, compare.

    Each check is a run of its own below RUN-checks, on the same seeds and data order, and proves that it changed what
    it claims. The same command resumes. `-e`, `-l` and `--set` change how all of them are finetuned.

    [bold]Examples[/bold]

        lth sanity-check lenet-300-100-mnist-gem-5

        lth sanity-check lenet-300-100-mnist/seed-0/round-07 --checks reinit,shuffle-mask

        lth sanity-check resnet20-cifar10-gem-0.59 --seeds 0-4 --dry-run
    """

    from lth.analysis import \
        sanity_checks as rooms  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    from lth.analysis import sanity_report  # pylint: disable=import-outside-toplevel # as above
    path = experiments.open_run.parse_run_path(run)
    source = rooms.open_checked(path, seeds=None if seeds is None else parse_seeds(seeds), number=round_)
    if len(source.seeds) == 1:
        err.print('Note: with one seed no interval can be given and nothing be decided; three or more would. Add them '
                  'with the command of the search, such as --seeds 0-2.', highlight=False, soft_wrap=True)
    names, left_out = rooms.select_checks(None if checks is None else [name.strip() for name in checks.split(',')], source)
    default = experiments.folders.derived_folder(path, source.plan, source.number, 'checks')
    folder = default if to is None else experiments.folders.run_folder(to, '')
    changed = changes({'training.optimizer.learning_rate': learning_rate}, override, number_of_epochs)
    steps = list(rooms.check_runs(source, folder, names, changed))
    for note in left_out:
        err.print(f'Note: {note}.', highlight=False, soft_wrap=True)
    if dry_run:
        _print_steps(steps, source, as_json=as_json)
        return
    way = ExecutionOptions(folder, datasets, ','.join(map(str, source.seeds)), device, threads, as_json, dry_run, engine)
    runs = _done(steps, way)
    done = [name for name in names if name in runs]
    _told(sanity_report.make_report(source, done, runs.__getitem__), source, folder, as_json=as_json)


def _done(steps: Sequence['CheckRun'], way: ExecutionOptions) -> dict[str, 'Run']:
    """The runs of all steps, but for checks that come to nothing, such as those whose search collapsed: they end there,
    and a note says how.
    """

    runs: dict[str, Run] = {}
    left_out: set[str] = set()
    for number, step in enumerate(steps, 1):
        if step.check in left_out:
            continue
        err.print(f'{number} of {len(steps)}: {step.what}', highlight=False)
        try:
            runs[step.what] = run_with_progress(step.plan, options_for(step.plan, step.folder, way))
        except LthError as error:
            if step.check in ('original', 'dense'):
                raise
            left_out.add(step.check)
            err.print(f'Note: {step.what} came to nothing, so {step.check} is left out: {error}', highlight=False,
                      markup=False, soft_wrap=True)
    return runs


def _told(report: 'SanityReport', source: 'SourceRound', folder: Path, *, as_json: bool) -> None:
    """The report on disk, and on the screen."""

    from lth.analysis import sanity_report  # pylint: disable=import-outside-toplevel # as above
    from lth.system import files  # pylint: disable=import-outside-toplevel # as above
    thing = 'gem' if source.plan.recipe.algorithm.finds == 'gems' else 'ticket'
    content = json.dumps(sanity_report.as_dict(report, source, thing), indent=2)
    files.write(folder / 'checks.json', content.encode())
    if as_json:
        print(content)
        return
    _print_table(report, source, thing)
    for one in report.checks:
        out.print(f'{one.check} {sanity_report.verdict_sentence(one, thing)}.', highlight=False, soft_wrap=True)
    out.print(f'{sanity_report.dense_sentence(report, thing)}.', highlight=False, soft_wrap=True)
    out.print(f'Report: {folder / "checks.json"}', highlight=False, soft_wrap=True)


def _print_table(report: 'SanityReport', source: 'SourceRound', thing: str) -> None:
    from lth.cli.tables import percent, simple_table  # pylint: disable=import-outside-toplevel # as above
    recipe, layout = source.plan.recipe, source.plan.network.layout
    count = len(source.seeds)
    over = f'mean ± 95% interval over {count} seeds' if count > 1 else 'one seed: no interval'
    caption = (f'{recipe.model.name} on {recipe.data.name}, {thing} of {source.kept:,} weights '
               f'({100 * layout.density(source.kept):.2f}% kept), {over}')
    rows = [[f'the {thing}', percent(report.original), *[''] * 4], *map(_row, [*report.checks, report.dense])]
    out.print(simple_table(caption, ['finetuned', 'test %', 'better by', 'p', 'moved', 'changed'], rows))
    out.print(f'better by: the {thing}, seed by seed. p: of a paired t-test, each check alone. moved: weights no more '
              'in the mask; changed: those still in it with another value; means.', highlight=False, soft_wrap=True)
    for one in report.checks:
        if emptied := sorted({name for change in one.changes for name in change.emptied}):
            err.print(f'Note: {one.check} leaves no weight in {", ".join(emptied)} of some seed.', highlight=False)


def _row(one: 'CheckOutcome') -> list[str]:
    from lth.cli.tables import percent  # pylint: disable=import-outside-toplevel # as above
    p = '' if one.comparison.p is None else f'{one.comparison.p:.2g}'
    moved, changed = (sum(counts) / len(counts) for counts in zip(*(
        (change.positions, change.weights) for change in one.changes), strict=True))
    return [one.check, percent(one.accuracy), percent(one.comparison.difference), p, f'{moved:,.0f}', f'{changed:,.0f}']


def _print_steps(steps: Sequence['CheckRun'], source: 'SourceRound', *, as_json: bool) -> None:
    """What would be run, with its iterations."""

    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel # as above
    rows: list[dict[str, Any]] = [
        {'step': step.what, 'folder': str(step.folder), 'kept': step.plan.kept[-1],
         'iterations': step.plan.total_steps} for step in steps]
    if as_json:
        print(json.dumps({'seeds': list(source.seeds), 'steps': rows}, indent=2))
        return
    out.print(simple_table(f'Seeds {list(source.seeds)}, iterations of each seed', ['step', 'kept', 'iterations'], [
        [row['step'], f'{row["kept"]:,}', f'{row["iterations"]:,}'] for row in rows]))
