"""How many kept weights change their sign in the training of a round: by layer, by start magnitude, in each round.

    report = sign_report(StoredRun.open(Path('runs/lenet-300-100-digits')), seeds=[0, 1])
"""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RoundSummary, algorithm_settings, summary_rows
from lth.errors import LthError
from lth.runs.removed_weights import MissingWeights, start_and_end
from lth.runs.stored_run import StoredRun
from lth.runs.stored_tensors import KeptWeights, stored_kept_weights

DECILES = 10


class SignFlips(NamedTuple):
    """The share of kept weights whose sign differs between the ticket and the trained network, of one seed: in all
    layers together, in each layer, and in each tenth of the weights by start magnitude, the smallest first. A share of
    no weights is None.
    """

    share: float | None
    layers: dict[str, float | None]
    deciles: list[float | None]


class SignRow(NamedTuple):
    """The same for a round over seeds, of `kept` weights. `round` is the number that tables show."""

    round: int
    density: float
    kept: int
    share: Interval | None
    layers: dict[str, Interval | None]
    deciles: list[Interval | None]


class SignReport(NamedTuple):
    """A row for each round, and sentences about the rounds whose weights the option --keep removed."""

    rows: list[SignRow]
    notes: list[str]


def sign_report(run: StoredRun, seeds: Sequence[int], number: int | None = None) -> SignReport:
    """The sign flips in round `number`, or for None in all rounds, of these seeds. LthError if the run does not train
    weights, if a file was changed, or if --keep removed the weights of all these rounds.
    """

    _refuse_untrained(run)
    summaries = [one for one in summary_rows([run], seeds) if number in (None, one.number)]
    rows = [row for row in (_row(run, summary) for summary in summaries) if row]
    missing = _missing_weights(run, ((one.seed, summary.number) for summary in summaries for one in summary.results))
    consequence = ', whose signs cannot be compared'
    if not rows:
        raise missing.error(consequence)
    return SignReport(rows, [f'{missing.sentence()}{consequence}.'] if missing else [])


def is_comparable(run: StoredRun, seeds: Sequence[int]) -> bool:
    """Whether each round trains weights, and those of at least one round of these seeds are still there."""

    return _trains_weights(run) and any(
        not _missing_weights(run, [(seed, number)]) for seed in seeds for number in range(run.round_count(seed)))


def sign_flips(weights: Sequence[KeptWeights]) -> SignFlips:
    """The shares of the kept weights of one round of one seed. A weight that is 0 has a sign of its own."""

    flipped = {layer.layer: layer.start.sign() != layer.trained.sign() for layer in weights}
    everything = torch.cat(list(flipped.values()))
    magnitudes = torch.cat([layer.start for layer in weights]).abs()
    ranked = everything[magnitudes.argsort(stable=True)]
    return SignFlips(_share(everything), {name: _share(part) for name, part in flipped.items()},
                     list(map(_share, ranked.tensor_split(DECILES))))


def _share(flipped: Tensor) -> float | None:
    return float(flipped.double().mean()) if len(flipped) else None


def _row(run: StoredRun, summary: RoundSummary) -> SignRow | None:
    """The row of a round over the seeds whose weights are there, None if there are none."""

    present = [one.seed for one in summary.results if not _missing_weights(run, [(one.seed, summary.number)])]
    if not present:
        return None
    flips = [sign_flips(stored_kept_weights(run, seed, summary.number)) for seed in present]
    layers = {name: _mean([one.layers[name] for one in flips]) for name in flips[0].layers}
    deciles = [_mean([one.deciles[index] for one in flips]) for index in range(DECILES)]
    return SignRow(summary.source_number, summary.density, summary.kept, _mean([one.share for one in flips]), layers,
                   deciles)


def _mean(shares: Sequence[float | None]) -> Interval | None:
    """The mean over the seeds that have weights there, None if none has."""

    known = [share for share in shares if share is not None]
    return confidence_interval(known) if known else None


def _missing_weights(run: StoredRun, rounds: Iterable[tuple[int, int]]) -> MissingWeights:
    """The weights that are missing of these seeds and rounds, before or after training."""

    return MissingWeights.of(run.folder, start_and_end(rounds))


def _refuse_untrained(run: StoredRun) -> None:
    if not _trains_weights(run):
        raise LthError(f'{run.folder} has no signs to compare: {algorithm_settings(run).name} does not train '
                       'each round from a ticket on. Give a run of lth find-ticket, finetune or transfer.')


def _trains_weights(run: StoredRun) -> bool:
    """Whether each round trains weights, from a ticket on."""

    settings = algorithm_settings(run)
    return settings.finds != 'gems' and settings.trains == 'each'
