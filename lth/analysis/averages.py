"""Rounds whose trained weights are averages: soups next to their copies, pooled tickets before and after."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lth.analysis.statistics import Interval, compare_paired, confidence_interval
from lth.analysis.summary_table import RecordedRun, algorithm_settings
from lth.runs.round_record import RoundRecord


class SoupRow(NamedTuple):
    """The soups of a round over seeds, as shares of the test images: the copy that is best on the validation images,
    the mean of the copies, the soup, and the soup minus each of the two, paired by seed. `used` is the mean number of
    copies in the soup, of `copies`.
    """

    round: int
    density: float
    copies: int
    used: float
    best_copy: Interval
    mean_of_copies: Interval
    soup: Interval
    over_best: Interval
    over_mean: Interval


class PoolRow(NamedTuple):
    """The pooled tickets of a round over seeds: test and validation accuracy before and after as shares, the gains
    paired by seed, and the mean number of rounds that were interpolated into the ticket.
    """

    round: int
    density: float
    members: float
    before: Interval
    after: Interval
    gain: Interval
    validation_before: Interval
    validation_after: Interval
    validation_gain: Interval


def soup_rows(run: RecordedRun, seeds: Sequence[int]) -> list[SoupRow]:
    """A row for each round of soups; [] if the run trains single networks."""

    return [_soup_row(number, records) for number, records in _rounds(run, seeds) if all(
        record.copies for record in records)]


def pool_rows(run: RecordedRun, seeds: Sequence[int]) -> list[PoolRow]:
    """A row for each pooled round; [] if the run is not a pool."""

    return [_pool_row(number, records) for number, records in _rounds(run, seeds) if all(
        record.pool for record in records)]


def _rounds(run: RecordedRun, seeds: Sequence[int]) -> Iterator[tuple[int, list[RoundRecord]]]:
    """The rounds that at least one of the seeds has: their numbers in tables, and their records."""

    settings = algorithm_settings(run)
    for number in range(max(map(run.round_count, seeds), default=0)):
        yield settings.table_round(number), [
            run.record(seed, number) for seed in seeds if number < run.round_count(seed)]


def _soup_row(number: int, records: Sequence[RoundRecord]) -> SoupRow:
    copies = [record.copies for record in records if record.copies]
    best, mean = [one.best_test for one in copies], [one.mean_test for one in copies]
    soup = [record.last.test_accuracy for record in records]
    used = sum(sum(one.in_soup) for one in copies) / len(copies)
    return SoupRow(
        number, records[0].density, len(copies[0].test), used, confidence_interval(best), confidence_interval(mean),
        confidence_interval(soup), compare_paired(soup, best).difference, compare_paired(soup, mean).difference)


def _pool_row(number: int, records: Sequence[RoundRecord]) -> PoolRow:
    pools = [record.pool for record in records if record.pool]
    before, after = [pool.test_before for pool in pools], [record.last.test_accuracy for record in records]
    validation = [pool.validation_before for pool in pools]
    validation_after = [record.last.validation_accuracy for record in records]
    return PoolRow(
        number, records[0].density, sum(len(pool.rounds) for pool in pools) / len(pools), confidence_interval(before),
        confidence_interval(after), compare_paired(after, before).difference, confidence_interval(validation),
        confidence_interval(validation_after), compare_paired(validation_after, validation).difference)
