"""Sanity checks as a forest plot: how much better the ticket is than each variant, with intervals."""
from collections.abc import Sequence
from pathlib import Path

from lth.analysis.checks_file import CHECKS, StoredCheck, StoredReport, read_checks
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import interval_caption, percent_label
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title, printable
from lth.analysis.plotting.series import Axis, FigureData, Marker, NoData, Panel, Point, Reference, Series, Tick

# What the verdict of a check looks like; the dense network has none.
_LOOKS: dict[str, tuple[int, Marker]] = {
    'survives': (2, 'circle'), 'undecided': (4, 'diamond'), 'fails': (1, 'cross'), 'dense network': (0, 'square')}


@FIGURES.register('sanity-checks')
def sanity_checks(request: FigureRequest) -> FigureData | NoData:
    """How much better the ticket or gem is than each variant of `lth sanity-check`: paired differences with intervals.
    """

    runs = [run for run in request.runs if _check_folders(run)]
    if not runs:
        return NoData(f'there are no sanity checks of it, see: lth sanity-check {request.runs[0].run.folder}')
    several = len(request.runs) > 1
    panels = [_panel(run, read_checks(folder), several=several) for run in runs for folder in _check_folders(run)]
    return FigureData(
        name='sanity-checks', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
        caption=f'difference of the test accuracies, paired by seed; {interval_caption(panels)}')


def _check_folders(run: PlottedRun) -> list[Path]:
    """The folders with a report on checks of the tickets that the run has now."""

    return [folder for folder in run.view.derived if (folder / CHECKS).is_file()]


def _panel(run: PlottedRun, report: StoredReport, *, several: bool) -> Panel:
    checks = [*report.checks, report.dense]
    heights = {check.check: len(checks) - number for number, check in enumerate(checks)}
    by_verdict = {verdict: [check for check in checks if (check.verdict or 'dense network') == verdict]
                  for verdict in _LOOKS}
    series = tuple(_series(verdict, found, heights) for verdict, found in by_verdict.items() if found)
    ticks = tuple(Tick(height, printable(name)) for name, height in heights.items())
    density = percent_label(100 * report.kept / run.first_record.prunable)
    title = f'round {report.round}, {density}%'
    return Panel(x=Axis(label='better by (percentage points)'),
                 y=Axis(label='', ticks=ticks, padded=True), series=series,
                 references=(Reference(label='no difference', value=0, axis='x'),),
                 title=f'{run.label}, {title}' if several else title)


def _series(verdict: str, checks: Sequence[StoredCheck], heights: dict[str, int]) -> Series:
    """The checks with one verdict."""

    color, marker = _LOOKS[verdict]
    points = [_point(check, heights[check.check]) for check in checks]
    return Series(label=verdict, points=tuple(points), color=palette.color(color), kind='points', marker=marker,
                  intervals='x')


def _point(check: StoredCheck, height: float) -> Point:
    mean, margin, count = check.difference_points.mean, check.difference_points.margin, check.difference_points.n
    if margin is None:
        return Point(mean, height, n=count)
    return Point(mean, height, mean - margin, mean + margin, count)
