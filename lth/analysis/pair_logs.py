"""`lth stability --log`: the errors of each measured pair reach TensorBoard and trackio, a curve for each pair."""
import contextlib
from collections.abc import Callable, Iterator, Sequence

from lth.analysis import pair_files
from lth.analysis.pair_files import CopyPair, PairErrors
from lth.experiments import folders
from lth.experiments.metric_logs import LoggedFolder, LoggedPart, OpenLogs, opened_logs
from lth.recipes.flat_settings import flat_settings
from lth.runs.folder import Run


@contextlib.contextmanager
def logged_pairs(
        run: Run, names: Sequence[str], on_message: Callable[[str], None],
) -> Iterator[Callable[[CopyPair, PairErrors], None]]:
    """A function that logs the errors of a pair in RUN-stability. The step of a curve is the number of the point on the
    line, from 0.
    """

    folder = LoggedFolder(
        folders.sibling_folder(run.folder, 'stability'), flat_settings(run.recipe), lambda _part: False)
    with opened_logs(folder, names, on_message) as logs:
        yield lambda pair, errors: _log(run, logs, pair, errors)


def _log(run: Run, logs: OpenLogs, pair: CopyPair, errors: PairErrors) -> None:
    seed, rest = f'seed-{pair.seed}', pair_files.PAIRS.path(run.folder, pair).stem
    part = LoggedPart(f'{seed}/{rest.removeprefix(f"{seed}-")}', {
        'seed': pair.seed, 'round': pair.round, 'iteration': pair.iteration, 'pair': pair.pair})
    for point, error in enumerate(errors.errors):
        logs.measured(part, point, {'error/test': error})
    logs.completed(part, run.record(pair.seed, pair.round).density, {
        'barrier': errors.barrier, 'distance': errors.distance, 'angle': errors.angle, 'equal_signs': errors.signs})
