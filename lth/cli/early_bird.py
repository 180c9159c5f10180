"""`lth early-bird`: when do the masks of a network stop changing while it trains?"""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import print_json, print_text
from lth.cli.options import EarlyBirdThreshold, Json
from lth.cli.tables import number, print_table
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.early_bird import EarlyBirds, Emergence


@command
def early_bird(
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False,
            help='A run of `lth find-ticket --early-bird`, or one of its seeds (RUN/seed-S).')],
        *,
        threshold: EarlyBirdThreshold = 0.2,
        as_json: Json = False,
) -> None:
    """Show when the masks to which one would prune stop changing, while the dense network trains (You et al. 2020).

    At each measurement of round 0, `lth find-ticket --early-bird` compares the mask of the largest weights with the
    last four. By the published test an early bird has emerged when it differs from each in at most 10% of all places;
    the normalised distance divides the number of differing weights by that of random masks.

    [bold]Examples[/bold]

        lth find-ticket lenet-300-100 mnist --early-bird --run watched

        lth early-bird watched
    """

    view = analysis.run_view.view_run(parse_run_path(run))
    found = analysis.early_bird.early_birds(view.run, view.seeds, threshold)
    if as_json:
        print_json(analysis.json_output.early_bird.EarlyBirdReport.of(view.run.folder, found))
        return
    _print_table(found)


def _print_table(found: 'EarlyBirds') -> None:
    columns: dict[str, Callable[[Emergence], str]] = {
        'density %': lambda row: f'{100 * row.density:.2f}', 'kept': lambda row: f'{row.kept:,}',
        'random masks differ in %': lambda row: f'{100 * row.chance:.2f}',
        'published test': lambda row: 'void' if row.void else _iterations(row.published),
        f'distance ≤ {found.threshold:g}': lambda row: _iterations(row.normalised),
        'training left %': lambda row: _left(row.normalised, found.iterations),
        'distance at the end': lambda row: number(row.final_distance)}
    print_table(f'Early birds in {found.iterations:,} iterations, {_seeds(found.seeds)}', columns, found.densities)
    print_text('Iterations at which the mask is close to each of the last four, by the published test (at most 10% of '
               'all places differ) and by the distance divided by that of random masks. training left: what the second '
               'test saves.')
    if any(row.void for row in found.densities):
        print_text('void: masks that keep at most 5% of the weights, or at least 95%, cannot differ in more than 10% '
                   'of all places, so that the published test never fails there.')


def _seeds(seeds: Sequence[int]) -> str:
    return f'seed {seeds[0]}' if len(seeds) == 1 else f'mean over {len(seeds)} seeds'


def _iterations(found: Sequence[int | None]) -> str:
    """The mean over the seeds that have an early bird, and how many these are if not all."""

    iterations = [iteration for iteration in found if iteration is not None]
    if not iterations:
        return 'none'
    of_all = '' if len(iterations) == len(found) else f' ({len(iterations)} of {len(found)})'
    return f'{sum(iterations) / len(iterations):,.0f}{of_all}'


def _left(found: Sequence[int | None], length: int) -> str:
    iterations = [iteration for iteration in found if iteration is not None]
    return f'{100 * (1 - sum(iterations) / len(iterations) / length):.1f}' if iterations else ''
