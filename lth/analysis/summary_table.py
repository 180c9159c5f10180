"""The table of a run, or of all draws of a control: a row for each round, with means and intervals over seeds."""
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from lth.algorithms import ALGORITHMS
from lth.analysis.operation_counts import Operations, round_operations
from lth.analysis.statistics import Interval, confidence_interval
from lth.pruning.effective_sparsity import ConnectedTotals
from lth.recipes.schema import AlgorithmSettings
from lth.runs.collapsed_layers import collapse_note, empty_layers
from lth.runs.events_file import MovesRecord
from lth.runs.metrics_file import MetricsLine
from lth.runs.round_record import RoundRecord
from lth.runs.unpruned import unpruned_sentence
from lth.system.yaml_text import Raw
from lth.training.engines.names import current_engine_name


class RecordedRun(Protocol):
    """A run whose rounds have records: opened with its network (Run) or from its files alone (StoredRun)."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def recipe(self) -> Raw:
        """The complete recipe."""

    def round_count(self, seed: int) -> int:
        """Number of completed rounds of a seed."""

    def record(self, seed: int, number: int) -> RoundRecord:
        """The facts about a round and its main results."""

    def metrics(self, seed: int, number: int) -> list[MetricsLine]:
        """The measurements of a round."""


class RoundResult(NamedTuple):
    """One round of one seed, in one draw: test accuracy at the end and at the early stop, the iteration of least
    validation loss. `connected` and `operations`, the multiply-adds for an image, are None where they are unknown;
    `drawn_test_accuracy`, the mean test accuracy of masks sampled from the scores, where none were sampled;
    `selected`, the number of weights that the scores select without a given count, where it is not recorded; `moves`,
    how the mask moved, where it did not. `empty_layers` keep no weights.
    """

    seed: int
    kept: int
    density: float
    test_accuracy: float
    early_stop: int
    early_stop_accuracy: float
    engine: str = ''
    connected: ConnectedTotals | None = None
    draw: int = 1
    drawn_test_accuracy: float | None = None
    operations: Operations | None = None
    selected: int | None = None
    moves: MovesRecord | None = None
    empty_layers: Sequence[str] = ()


class RoundSummary(NamedTuple):
    """One round over seeds; accuracies are shares in [0, 1]. `source_number` is the number that tables show: that of
    the source's round in a run that trains tickets of chosen rounds of another run, otherwise the same.
    """

    number: int
    source_number: int
    kept: int
    density: float
    test_accuracy: Interval
    early_stop: Interval
    early_stop_accuracy: Interval
    results: list[RoundResult]


def algorithm_settings(run: RecordedRun) -> AlgorithmSettings:
    """The settings of the algorithm that made the run, see `ALGORITHMS.stored_settings`."""

    return ALGORITHMS.stored_settings(run.recipe['algorithm'])


def has_early_stops(run: RecordedRun) -> bool:
    """Whether each round is a training of its own, under one mask: otherwise the iteration of the lowest validation
    loss may belong to another mask.
    """

    return algorithm_settings(run).trains == 'each'


def unpruned_note(run: RecordedRun, seed: int) -> str:
    """Which tensors of the network of a run no algorithm prunes; '' if there are none."""

    return unpruned_sentence(run.record(seed, 0).unpruned)


def collapse_note_of(run: RecordedRun, seeds: Sequence[int], numbers: Collection[int] | None = None) -> str:
    """Which layers keep no weights in rounds of these seeds, by default in all of them; '' if all layers keep some."""

    records = (run.record(seed, number) for seed in seeds for number in range(run.round_count(seed))
               if numbers is None or number in numbers)
    return collapse_note(run.folder, records)


def round_result(run: RecordedRun, seed: int, number: int, draw: int = 1) -> RoundResult:
    """The result of one round of one seed, from its files."""

    record = run.record(seed, number)
    stop = record.early_stop
    return RoundResult(
        seed, record.kept, record.density, record.last.test_accuracy, stop.iteration, stop.test_accuracy,
        current_engine_name(record.engine), record.connected_totals, draw, record.drawn_test_accuracy,
        round_operations(record), record.selected, record.moves, empty_layers(record))


def summary_rows(draws: Sequence[RecordedRun], seeds: Sequence[int]) -> list[RoundSummary]:
    """A row for every round that at least one of these seeds has. Networks of one seed are not independent, so each
    seed counts once: by its mean over the draws.
    """

    count = max((run.round_count(seed) for run in draws for seed in seeds), default=0)
    settings = algorithm_settings(draws[0])
    return [_summary(number, settings.table_round(number), _results(draws, seeds, number)) for number in range(count)]


def control_rows(draws: Sequence[RecordedRun], seeds: Sequence[int]) -> dict[int, RoundSummary]:
    """The rows of all draws of a control by round. Round 0 is left out if it is the dense network of the search."""

    settings = algorithm_settings(draws[0])
    first = 1 if settings.copies_dense_round else 0
    return {row.number: row for row in summary_rows(draws, seeds)[first:]}


def values_by_seed(results: Sequence[RoundResult], value: Callable[[RoundResult], float]) -> dict[int, float]:
    """A value of each seed: its mean over the draws."""

    by_seed: dict[int, list[float]] = {}
    for result in results:
        by_seed.setdefault(result.seed, []).append(value(result))
    return {seed: math.fsum(values) / len(values) for seed, values in by_seed.items()}


def _results(draws: Sequence[RecordedRun], seeds: Sequence[int], number: int) -> list[RoundResult]:
    """The results of a round in all draws, of the seeds that have it."""

    return [round_result(run, seed, number, draw) for draw, run in enumerate(draws, 1) for seed in seeds
            if number < run.round_count(seed)]


def _summary(number: int, source_number: int, results: list[RoundResult]) -> RoundSummary:
    return RoundSummary(
        number, source_number, results[0].kept, results[0].density,
        _over_seeds(results, lambda result: result.test_accuracy),
        _over_seeds(results, lambda result: result.early_stop),
        _over_seeds(results, lambda result: result.early_stop_accuracy), results)


def _over_seeds(results: Sequence[RoundResult], value: Callable[[RoundResult], float]) -> Interval:
    """Mean and interval of a value over seeds, each counted by its mean over the draws."""

    return confidence_interval(list(values_by_seed(results, value).values()))
