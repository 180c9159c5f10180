"""A run that was measured again: the output of `lth evaluate`."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.analysis.json_output.answers import Answer
from lth.analysis.json_output.runs import Connected
from lth.analysis.json_output.values import Mean, percent, percent_or_none

if TYPE_CHECKING:
    from lth.analysis import evaluation


@dataclass(frozen=True, kw_only=True)
class LayerDensity:
    """A layer of a round."""

    name: str
    kept: int
    weights: int
    density_percent: float
    above_threshold: int | None
    multiply_adds: int | None
    dense_multiply_adds: int | None

    @classmethod
    def of(cls, layer: 'evaluation.LayerDensity') -> Self:
        """The kept weights of a layer."""

        return cls(**layer._asdict(), density_percent=percent(layer.kept / layer.weights))


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The distribution of the active scores of a round."""

    active: int
    above_threshold: int
    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float
    zeros: int
    sampled_masks_accuracy_percent: float | None
    selected_weights: int | None
    penalty: float | None

    @classmethod
    def of(cls, scores: 'evaluation.ScoreSummary | None') -> Self | None:
        """The scores of a round; None if it has none."""

        if scores is None:
            return None
        return cls(
            active=scores.active, above_threshold=scores.above_threshold, minimum=scores.least,
            lower_quartile=scores.lower, median=scores.median, upper_quartile=scores.upper, maximum=scores.largest,
            zeros=scores.zeros, sampled_masks_accuracy_percent=percent_or_none(scores.drawn),
            selected_weights=scores.selected, penalty=scores.penalty)


@dataclass(frozen=True, kw_only=True)
class ConnectedLayer(Connected):
    """Connected inputs and units of a layer."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A round of one seed, measured again. `round` and `stored_round` as in the table of a run."""

    seed: int
    round: int
    stored_round: int
    kept: int
    density_percent: float
    test_accuracy_percent: float
    recorded_accuracy_percent: float
    multiply_adds: int | None
    dense_multiply_adds: int | None
    layers: list[LayerDensity]
    scores: Scores | None
    connected: list[ConnectedLayer]

    @classmethod
    def of(cls, measured: 'evaluation.Evaluation') -> Self:
        """A measured round."""

        operations = measured.operations
        return cls(
            seed=measured.seed, round=measured.source_round, stored_round=measured.round, kept=measured.kept,
            density_percent=percent(measured.density), test_accuracy_percent=percent(measured.test_accuracy),
            recorded_accuracy_percent=percent(measured.recorded),
            multiply_adds=operations.surviving if operations else None,
            dense_multiply_adds=operations.dense if operations else None,
            layers=list(map(LayerDensity.of, measured.layers)),
            scores=Scores.of(measured.scores),
            connected=[ConnectedLayer(**layer._asdict()) for layer in measured.connected])


@dataclass(frozen=True, kw_only=True)
class FinetunedEvaluation:
    """A run that finetuned the last round, measured again."""

    run: Path
    evaluations: list[Evaluation]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """The output of `lth evaluate`. `notes` says which finetuned runs could not be measured, `answers` what the run
    and the run that finetuned its last round say, by their recorded accuracies.
    """

    run: Path
    training_multiply_adds: Mean | None
    evaluations: list[Evaluation]
    finetuned: list[FinetunedEvaluation]
    notes: list[str]
    answers: list[Answer]

    @classmethod
    def of(cls, report: 'evaluation.EvaluationReport') -> Self:
        """The output for a run that was measured again."""

        finetuned = [FinetunedEvaluation(run=folder, evaluations=list(map(Evaluation.of, measured)))
                     for folder, measured in report.finetuned.items()]
        return cls(run=report.run.folder, training_multiply_adds=Mean.of(report.training) if report.training else None,
                   evaluations=list(map(Evaluation.of, report.evaluations)), finetuned=finetuned, notes=report.notes,
                   answers=list(map(Answer.of, report.answers)))
