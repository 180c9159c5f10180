"""`lth stability`: does training from a ticket end in one place?"""
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import experiments
from lth.cli.options import Datasets, Device, Json, Threads, command, out, parse_seeds
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.analysis.mode_connectivity import CopyPair, MaskOverlap, PairErrors

_STABLE = 0.02


@command
def stability(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        run: Annotated[str, typer.Argument(metavar='RUN', help='A run: a name below ./runs, or a path.')],
        datasets: Datasets = Path('datasets'),
        *,
        rounds: Annotated[str | None, typer.Option(
            metavar='ROUNDS', show_default=False, help='Rounds, such as 0,5-7; else the first and the last.')] = None,
        part_at: Annotated[str | None, typer.Option(
            '--part-at', metavar='ITERATIONS', show_default=False,
            help='Iterations at which the copies part, such as 0,500; else where each ticket starts.')] = None,
        pairs: Annotated[int, typer.Option(min=1, help='Pairs of copies of each ticket.')] = 1,
        points: Annotated[int, typer.Option(min=2, help='Where the error is measured, ends included.')] = 30,
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
) -> None:
    """Train two copies of each ticket in different orders, and measure the error on the line between them.

    The barrier is the highest error on the line less the mean of both ends; below 2 points training counts as stable
    (Frankle et al. 2020). Pairs that were measured are kept: the same command goes on where it was stopped.

    [bold]Examples[/bold]

        lth stability lenet-300-100-mnist --rounds 0,7

        lth stability resnet20-cifar10 --rounds 0 --part-at 0,500,2000
    """

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.analysis import mode_connectivity as measuring  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.progress import CountDisplay  # pylint: disable=import-outside-toplevel # as above
    from lth.experiments import open_run, runner  # pylint: disable=import-outside-toplevel
    where = open_run.parse_run_path(run)
    if where.seed is not None:
        raise LthError(f'{run} is a part of a run, but stability compares its seeds: give {where.folder}.')
    plan, opened = open_run.open_run(where)
    last = min(opened.round_count(seed) for seed in opened.seeds()) - 1
    chosen = [0, last] if rounds is None else parse_seeds(rounds, '--rounds')
    iterations = [] if part_at is None else parse_seeds(part_at, '--part-at')
    asked = measuring.plan_pairs(plan, opened, chosen, iterations, pairs=pairs, points=points)
    place = runner.RunTarget(where.folder, datasets, device, threads)
    with CountDisplay('pairs') as counting:
        found = measuring.measure_pairs(opened, place, asked, counting.tell)
    shared = list(measuring.mask_overlaps(opened, chosen))
    if as_json:
        print(json.dumps({
            'run': str(where.folder),
            'pairs': [{**asdict(question), **asdict(answer), 'barrier': answer.barrier}
                      for question, answer in zip(asked, found, strict=True)],
            'overlaps': [overlap._asdict() for overlap in shared]}, indent=2))
        return
    _print(asked, found, shared)
    out.print(f'Measurements: {experiments.folders.sibling_folder(where.folder, "stability")}', highlight=False, soft_wrap=True)


def _print(asked: Sequence['CopyPair'], found: Sequence['PairErrors'], shared: Sequence['MaskOverlap']) -> None:
    """A row for every round and place of parting; then what masks share."""

    from lth.analysis.statistics import confidence_interval  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.tables import number, percent, simple_table  # pylint: disable=import-outside-toplevel # as above
    groups: dict[tuple[int, int], list[PairErrors]] = {}
    for question, answer in zip(asked, found, strict=True):
        groups.setdefault((question.round, question.iteration), []).append(answer)
    rows = []
    for (round_, iteration), alike in groups.items():
        barrier = confidence_interval([one.barrier for one in alike])
        ends = confidence_interval([(one.errors[0] + one.errors[-1]) / 2 for one in alike])
        rows.append([str(round_), f'{iteration:,}', str(len(alike)), percent(ends), percent(barrier),
                     'yes' if barrier.mean < _STABLE else 'no', number(confidence_interval([one.distance for one in alike])),
                     number(confidence_interval([one.angle for one in alike])), percent(confidence_interval([one.signs for one in alike]))])
    headings = ['round', 'part at', 'pairs', 'error %', 'barrier', 'stable', 'distance', 'angle °', 'equal signs %']
    out.print(simple_table('Copies trained apart, mean ± 95% interval over pairs', headings, rows))
    masks: dict[tuple[str, str], list[MaskOverlap]] = {}
    for one in shared:
        seeds = 'seeds' if one.seeds[0] != one.seeds[1] else 'rounds'
        masks.setdefault((seeds, ' and '.join(map(str, sorted(set(one.rounds))))), []).append(one)
    headings = ['between', 'round', 'pairs', '%', 'by chance %']
    out.print(simple_table('What masks share, of what either keeps', headings, [
        [between, round_, str(len(alike)), percent(confidence_interval([one.shared for one in alike])),
         percent(confidence_interval([one.chance for one in alike]))] for (between, round_), alike in masks.items()]))
