"""What `lth bench` prints for people."""
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lth.cli.console import print_text
from lth.cli.progress import duration
from lth.cli.tables import print_table

if TYPE_CHECKING:
    from lth.benchmark.convolutions import ConvolutionTime
    from lth.benchmark.mask_selection import SelectionTime
    from lth.benchmark.step_profile import StepProfile
    from lth.benchmark.timing import StepTime
    from lth.benchmark.whole_search import Study


def print_times(rows: Sequence['StepTime'], caption: str) -> None:
    """Print one row per engine. R and columns of ratios are left out where they say nothing."""

    ratios: dict[str, Callable[[StepTime], float | None]] = {
        '× baseline': lambda row: row.ratio, '× expert': lambda row: row.over_expert,
        '× eager': lambda row: row.over_eager, '× sparselab': lambda row: row.over_sparselab,
        '× one seed': lambda row: row.over_one}
    shown = {heading: partial(_ratio, value) for heading, value in ratios.items() if any(map(value, rows))}
    stacked = any(row.replicates > 1 for row in rows)
    print_table(caption, {
        'engine': lambda row: row.engine,
        'density': lambda row: f'{100 * row.density:.4g}%',
        **({'R': lambda row: str(row.replicates)} if stacked else {}),
        'ms per step': lambda row: f'{row.ms_per_step:.3f}',
        '±': lambda row: f'{row.spread:.0%}',
        **shown,
        'MiB': lambda row: f'{row.peak_memory:,.0f}'}, rows)
    print_text('R: networks that train together. ' * stacked + '±: half the range over turns. ×: times as fast, for '
               'each network. MiB: memory at the peak.')


def print_study(study: 'Study', caption: str) -> None:
    """Print the times of steps, then the times of the whole search."""

    print_times(study.rows, caption)
    print_text(f'{study.rounds} rounds, {study.steps:,} steps. Baseline: {duration(study.baseline_seconds)}, expert: '
               f'{duration(study.expert_seconds)}, estimated from their steps. lth: '
               f'{duration(study.estimated_seconds)}, estimated without measurements of accuracy.')
    if study.real_seconds:
        print_text(f'The whole search with measurements and files took {duration(study.real_seconds)}, '
                   f'{study.baseline_seconds / study.real_seconds:.1f} times as fast as the baseline and '
                   f'{study.expert_seconds / study.real_seconds:.1f} times as fast as the expert.')


def print_profile(one: 'StepProfile') -> None:
    """Print the time of an engine's step by kind."""

    together = f', {one.replicates} networks together' if one.replicates > 1 else ''
    calls = f'{one.kernels:.0f} {"kernels" if one.on_gpu else "operators"}'
    caption = (f'{one.engine}, {100 * one.density:.4g}% of the weights{together}: {one.ms_per_step:.3f} ms per step, '
               f'{calls}, {one.memory_share:.1%} of the memory limit, '
               f'{one.arithmetic_share:.1%} of the arithmetic limit')
    print_table(caption, {
        'kind': lambda row: row[0], 'ms per step': lambda row: f'{row[1]:.3f}',
        'share': lambda row: f'{row[1] / one.ms_per_step:.0%}'}, list(one.ms_by_kind.items()))


def print_selection(rows: Sequence['SelectionTime'], caption: str) -> None:
    """Print time and memory of selecting masks."""

    print_table(caption, {
        'scores': lambda row: row.scores,
        'weights': lambda row: f'{row.weights:,}',
        'seconds': lambda row: f'{row.seconds:.3f}',
        'extra MiB': lambda row: 'unknown' if row.extra_memory is None else f'{row.extra_memory:,.0f}'}, rows)


def print_convolutions(rows: Sequence['ConvolutionTime'], caption: str) -> None:
    """Print the time of convolutions of several seeds by each method."""

    print_table(caption, {
        'layer': lambda row: f'{row.layer.channels} → {row.layer.units}, {row.layer.side} × {row.layer.side}',
        'method': lambda row: row.method,
        'forward': lambda row: f'{1e6 * row.forward:.0f}',
        'inputs': lambda row: f'{1e6 * row.inputs:.0f}',
        'weights': lambda row: f'{1e6 * row.weights:.0f}',
        'error': lambda row: f'{row.error:.0e}'}, rows)
    print_text('inputs, weights: their gradients. error: largest relative difference from fp32.')


def _ratio(value: 'Callable[[StepTime], float | None]', row: 'StepTime') -> str:
    ratio = value(row)
    return '' if ratio is None else f'{ratio:.2f}'
