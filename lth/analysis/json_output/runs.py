"""The table of a run with its controls, and the plan of a run (--dry-run)."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lth import analysis
from lth.analysis.json_output.values import Mean, percent, percent_or_none

if TYPE_CHECKING:
    from lth.analysis.summary_table import RecordedRun, RoundResult, RoundSummary
    from lth.experiments.plan import Plan
    from lth.pruning.effective_sparsity import ConnectedTotals


@dataclass(frozen=True, kw_only=True)
class Connected:
    """Numbers of inputs and units that are still connected to the output, and of all of them."""

    inputs: int
    total_inputs: int
    units: int
    total_units: int

    @classmethod
    def of(cls, totals: 'ConnectedTotals | None') -> Self | None:
        """The totals of a ticket; None if they are unknown."""

        return cls(**totals._asdict()) if totals else None


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """A round of one seed, in one draw of a control."""

    seed: int
    draw: int
    kept: int
    density_percent: float
    test_accuracy_percent: float
    early_stop_iteration: int
    early_stop_accuracy_percent: float
    sampled_masks_accuracy_percent: float | None
    connected: Connected | None
    engine: str

    @classmethod
    def of(cls, result: 'RoundResult') -> Self:
        """The result of a round of one seed."""

        return cls(
            seed=result.seed, draw=result.draw, kept=result.kept, density_percent=percent(result.density),
            test_accuracy_percent=percent(result.test_accuracy), early_stop_iteration=result.early_stop,
            early_stop_accuracy_percent=percent(result.early_stop_accuracy),
            sampled_masks_accuracy_percent=percent_or_none(result.drawn_test_accuracy),
            connected=Connected.of(result.connected), engine=result.engine)


@dataclass(frozen=True, kw_only=True)
class RoundMeans:
    """A row of the table of a run: one round over all seeds. `round` is the number that the table shows, `stored_round`
    that of the folder. They differ if the run trains tickets of chosen rounds of another run.
    """

    round: int
    stored_round: int
    kept: int
    density_percent: float
    test_accuracy_percent: Mean
    early_stop_iteration: Mean
    early_stop_accuracy_percent: Mean
    seeds: list[SeedResult]

    @classmethod
    def of(cls, summary: 'RoundSummary') -> Self:
        """The row of a round."""

        return cls(
            round=summary.source_number, stored_round=summary.number, kept=summary.kept,
            density_percent=percent(summary.density), test_accuracy_percent=Mean.of_shares(summary.test_accuracy),
            early_stop_iteration=Mean.of(summary.early_stop),
            early_stop_accuracy_percent=Mean.of_shares(summary.early_stop_accuracy),
            seeds=list(map(SeedResult.of, summary.results)))


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """The table of a run."""

    run: Path
    model: str
    dataset: str
    seeds: list[int]
    rounds: list[RoundMeans]


@dataclass(frozen=True, kw_only=True)
class RunReport(RunTable):
    """The output of find-ticket, find-gem, finetune, transfer and `show run`: the table of a run with its controls, and
    the run that finetuned its last round, None if there is none or it was not requested.
    """

    controls: dict[str, list[RoundMeans]]
    finetuned: RunTable | None


def run_report(
        run: 'RecordedRun', seeds: Sequence[int], controls: Mapping[str, Sequence['RecordedRun']],
        finetuned: 'RecordedRun | None' = None) -> RunReport:
    """The output for a run, all draws of its controls, and the run that finetuned its last round."""

    rows = {name: analysis.summary_table.control_rows(draws, seeds) for name, draws in controls.items()}
    return RunReport(
        **vars(_run_table(run, seeds)),
        controls={name: list(map(RoundMeans.of, summaries.values())) for name, summaries in rows.items()},
        finetuned=_run_table(finetuned, seeds) if finetuned else None)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the network."""

    name: str
    shape: list[int]
    weights: int
    kind: str
    prunable: bool


@dataclass(frozen=True, kw_only=True)
class PlannedRound:
    """A round that would be trained."""

    round: int
    kept: int
    density_percent: float


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The output of commands that train with --dry-run."""

    model: str
    dataset: str
    prunable: int
    weights: int
    iterations: int
    layers: list[Layer]
    rounds: list[PlannedRound]
    controls: list[str]
    recipe: dict[str, Any]

    @classmethod
    def of(cls, plan: 'Plan', controls: Sequence[str]) -> Self:
        """The outline of a plan and of the controls that are trained after it."""

        recipe, layout = plan.recipe, plan.network.layout
        layers = [Layer(name=slot.name, shape=list(slot.shape), weights=slot.size, kind=slot.kind,
                        prunable=slot.prunable) for slot in layout.slots if slot.kind != 'other']
        rounds = [PlannedRound(round=recipe.algorithm.source_round(number), kept=kept,
                               density_percent=percent(layout.density(kept)))
                  for number, kept in enumerate(plan.kept)]
        return cls(model=recipe.model.name, dataset=recipe.data.name, prunable=layout.prunable_count,
                   weights=layout.weight_count, iterations=plan.steps, layers=layers, rounds=rounds,
                   controls=list(controls), recipe=recipe.dump())


def _run_table(run: 'RecordedRun', seeds: Sequence[int]) -> RunTable:
    rows = analysis.summary_table.summary_rows([run], seeds)
    return RunTable(run=run.folder, model=run.recipe['model']['name'], dataset=run.recipe['data']['name'],
                    seeds=list(seeds), rounds=list(map(RoundMeans.of, rows)))
