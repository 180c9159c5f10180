"""Runs side by side: the output of `lth compare`."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.runs import RoundValues
from lth.analysis.json_output.values import Mean

if TYPE_CHECKING:
    from lth.analysis import comparison


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run that is compared. `training_multiply_adds` is a mean over its seeds, None if it is unknown."""

    run: Path
    label: str
    model: str
    algorithm: str
    seeds: list[int]
    completed_rounds: int
    training_multiply_adds: float | None
    seconds: float

    @classmethod
    def of(cls, compared: 'comparison.ComparedRun') -> Self:
        """The entry of a run."""

        recipe = compared.run.recipe
        return cls(run=compared.run.folder, label=compared.label, model=recipe['model']['name'],
                   algorithm=recipe['algorithm']['name'], seeds=list(compared.seeds),
                   completed_rounds=len(compared.rows), training_multiply_adds=compared.training,
                   seconds=compared.seconds)


@dataclass(frozen=True, kw_only=True)
class RoundDifference:
    """A round minus that of the first run."""

    paired: bool
    test_accuracy_points: Mean
    test_accuracy_p: float | None
    early_stop_iteration: Mean
    early_stop_accuracy_points: Mean
    early_stop_accuracy_p: float | None

    @classmethod
    def of(cls, difference: 'comparison.RoundDifference | None') -> Self | None:
        """The entry of a difference, None if one of the runs has no such round."""

        if difference is None:
            return None
        return cls(
            paired=difference.paired,
            test_accuracy_points=Mean.of_shares(difference.test_accuracy.difference),
            test_accuracy_p=difference.test_accuracy.p,
            early_stop_iteration=Mean.of(difference.early_stop.difference),
            early_stop_accuracy_points=Mean.of_shares(difference.early_stop_accuracy.difference),
            early_stop_accuracy_p=difference.early_stop_accuracy.p)


@dataclass(frozen=True, kw_only=True)
class ComparedLevel:
    """The rounds of all runs at a density, and the differences of all but the first to the first."""

    rounds: list[RoundValues | None]
    differences: list[RoundDifference | None]


@dataclass(frozen=True, kw_only=True)
class SettingDifference:
    """A setting in which the runs differ, and its value in each."""

    name: str
    values: list[str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """The output of `lth compare`."""

    runs: list[ComparedRun]
    levels: list[ComparedLevel]
    settings: list[SettingDifference]
    notes: list[str]

    @classmethod
    def of(cls, compared: 'comparison.RunComparison') -> Self:
        """The output for runs that were compared."""

        return cls(
            runs=list(map(ComparedRun.of, compared.runs)),
            levels=[ComparedLevel(rounds=[row and RoundValues.of_summary(row) for row in level.rounds],
                                  differences=list(map(RoundDifference.of, level.differences)))
                    for level in compared.levels],
            settings=[SettingDifference(name=row.name, values=list(row.values)) for row in compared.settings],
            notes=list(compared.notes))
