"""A run that was measured on other images: the output of `lth evaluate --on`."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis import other_data


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """The accuracy of a round on the images with one corruption; `severities` from the weakest to the strongest."""

    corruption: str
    in_mean: bool
    accuracy_percent: Mean
    severities_percent: list[Mean]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The accuracies of one seed in a round, on its own test images and on the others."""

    seed: int
    test_accuracy_percent: float
    accuracy_percent: float


@dataclass(frozen=True, kw_only=True)
class Round:
    """A round; means are over seeds. `round` and `stored_round` as in the table of a run."""

    round: int
    stored_round: int
    density_percent: float
    test_accuracy_percent: Mean
    accuracy_percent: Mean
    corruptions: list[Corruption]
    seeds: list[Accuracy]

    @classmethod
    def of(cls, report: 'other_data.OtherDataReport', shown: 'other_data.Network') -> Self:
        """The measurements of the round of this network."""

        return cls(
            round=shown.source_round, stored_round=shown.round, density_percent=percent(shown.density),
            test_accuracy_percent=Mean.of_shares(report.own(shown.round)),
            accuracy_percent=Mean.of_shares(report.mean(shown.round)),
            corruptions=[_corruption(report, shown.round, name) for name in report.corruptions],
            seeds=_seeds(report, shown.round))


@dataclass(frozen=True, kw_only=True)
class OtherDataReport:
    """The output of `lth evaluate --on`."""

    run: Path
    dataset: str
    images: int
    digest: str
    rounds: list[Round]

    @classmethod
    def of(cls, report: 'other_data.OtherDataReport') -> Self:
        """The output for a run that was measured on other images."""

        return cls(run=report.run.folder, dataset=report.data, images=report.images, digest=report.digest,
                   rounds=[Round.of(report, shown) for shown in report.rounds])


def _corruption(report: 'other_data.OtherDataReport', number: int, name: str) -> Corruption:
    parts = [part for part in report.parts if part.corruption == name]
    return Corruption(
        corruption=name, in_mean=parts[0].counts, accuracy_percent=Mean.of_shares(report.mean(number, name)),
        severities_percent=[Mean.of_shares(report.mean(number, name, part.severity)) for part in parts])


def _seeds(report: 'other_data.OtherDataReport', number: int) -> list[Accuracy]:
    return [Accuracy(seed=network.seed, test_accuracy_percent=percent(network.test_accuracy),
                     accuracy_percent=percent(report.seed_mean(row)))
            for row, network in enumerate(report.networks) if network.round == number]
