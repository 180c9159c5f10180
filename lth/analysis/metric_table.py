"""The measurements of runs as one tidy table: a row for each value, with where it was measured and all settings.

    run  seed  round  density  iteration  split       metric    value  early_stop  ...  training.batch_size
    ...     0      3   0.5136        210  validation  accuracy  0.951        True  ...                   60

A new column is a field of MetricRow.
"""
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from lth.analysis.summary_table import RecordedRun
from lth.analysis.training_operations import RoundOperations, rounds_operations
from lth.recipes.flat_settings import Setting, flat_settings
from lth.runs.metrics_file import MetricsLine

Split = Literal['train', 'validation', 'test']
Metric = Literal['loss', 'accuracy']


class MetricRow(NamedTuple):
    """A value that was measured in a round of one seed: loss, or accuracy, a share in [0, 1]. Training values are means
    since the measurement before, so the start has none. `early_stop` is True in the rows of the measurement of least
    validation loss in the round. Multiply-adds are those for an image, of the kept and of all weights, and those of the
    training of this seed from the start of the run to this measurement; None if they are unknown. `settings` are the
    settings of the recipe by their dotted names; lists are JSON.
    """

    run: str
    seed: int
    round: int
    density: float
    iteration: int
    split: Split
    metric: Metric
    value: float
    early_stop: bool
    multiply_adds: int | None
    dense_multiply_adds: int | None
    training_multiply_adds: int | None
    settings: Mapping[str, Setting]


def metric_rows(run: RecordedRun, rounds: Iterable[tuple[int, int]]) -> Iterator[MetricRow]:
    """The rows of these seeds and rounds, in their order."""

    settings = flat_settings(run.recipe)
    operations: dict[int, list[RoundOperations]] = {}
    for seed, number in rounds:
        if seed not in operations:
            operations[seed] = rounds_operations(run, seed)
        known = operations[seed][number] if operations[seed] else None
        yield from _round_rows(run, seed, number, known, settings)


def completed_rounds(run: RecordedRun, seeds: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The seed and the number of each completed round of these seeds."""

    return ((seed, number) for seed in seeds for number in range(run.round_count(seed)))


def _round_rows(
        run: RecordedRun, seed: int, number: int, operations: RoundOperations | None,
        settings: Mapping[str, Setting]) -> Iterator[MetricRow]:
    density, lines = run.record(seed, number).density, run.metrics(seed, number)
    for line in lines:
        counts: tuple[int | None, int | None, int | None] = None, None, None
        if operations:
            network, steps = operations.network, line.iteration - lines[0].iteration
            counts = network.surviving, network.dense, operations.before + operations.per_step * steps
        for split, metric, value in _values(line):
            yield MetricRow(str(run.folder), seed, number, density, line.iteration, split, metric, value,
                            line.early_stop, *counts, settings)


def _values(line: MetricsLine) -> Iterator[tuple[Split, Metric, float]]:
    if line.train_loss is not None and line.train_accuracy is not None:
        yield 'train', 'loss', line.train_loss
        yield 'train', 'accuracy', line.train_accuracy
    yield 'validation', 'loss', line.validation_loss
    yield 'validation', 'accuracy', line.validation_accuracy
    yield 'test', 'loss', line.test_loss
    yield 'test', 'accuracy', line.test_accuracy
