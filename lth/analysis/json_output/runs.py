"""The table of a run with its controls, and the plan of a run (--dry-run)."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lth import analysis
from lth.analysis.json_output.answers import Answer
from lth.analysis.json_output.averages import PoolRow, SoupRow
from lth.analysis.json_output.values import Mean, percent, percent_or_none

if TYPE_CHECKING:
    from lth.analysis.answers import answer
    from lth.analysis.planned_operations import PlannedOperations
    from lth.analysis.summary_table import RecordedRun, RoundResult, RoundSummary
    from lth.experiments.plan import Plan
    from lth.experiments.ticket_facts import TicketFacts
    from lth.pruning.effective_sparsity import ConnectedTotals
    from lth.runs.events_file import MovesRecord


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
class MaskMoves:
    """The events of a round in which the mask moved: their number, the weights that they deactivated and activated, the
    mean share of the active weights that an event changed, None without events, and the share that was ever active.
    """

    events: int
    dropped: int
    grown: int
    churn_percent: float | None
    ever_active_percent: float

    @classmethod
    def of(cls, moves: 'MovesRecord | None') -> Self | None:
        """The moves of a round; None if its mask does not move."""

        if moves is None:
            return None
        return cls(
            events=moves.events, dropped=moves.dropped, grown=moves.grown, churn_percent=percent_or_none(moves.churn),
            ever_active_percent=percent(moves.ever_active))


@dataclass(frozen=True, kw_only=True)
class SeedResult:  # pylint: disable=too-many-instance-attributes # each is a field of the output
    """A round of one seed, in one draw of a control."""

    seed: int
    draw: int
    kept: int
    density_percent: float
    test_accuracy_percent: float
    early_stop_iteration: int
    early_stop_accuracy_percent: float
    sampled_masks_accuracy_percent: float | None
    selected_weights: int | None
    connected: Connected | None
    multiply_adds: int | None
    dense_multiply_adds: int | None
    mask_moves: MaskMoves | None
    empty_layers: list[str]
    engine: str

    @classmethod
    def of(cls, result: 'RoundResult') -> Self:
        """The result of a round of one seed."""

        operations = result.operations
        return cls(
            seed=result.seed, draw=result.draw, kept=result.kept, density_percent=percent(result.density),
            test_accuracy_percent=percent(result.test_accuracy), early_stop_iteration=result.early_stop,
            early_stop_accuracy_percent=percent(result.early_stop_accuracy),
            sampled_masks_accuracy_percent=percent_or_none(result.drawn_test_accuracy),
            selected_weights=result.selected, connected=Connected.of(result.connected),
            multiply_adds=operations.surviving if operations else None,
            dense_multiply_adds=operations.dense if operations else None, mask_moves=MaskMoves.of(result.moves),
            empty_layers=list(result.empty_layers), engine=result.engine)


@dataclass(frozen=True, kw_only=True)
class RoundValues:
    """One round over all seeds. `round` is the number that tables show, `stored_round` that of the folder. They differ
    if the run trains tickets of chosen rounds of another run.
    """

    round: int
    stored_round: int
    kept: int
    density_percent: float
    test_accuracy_percent: Mean
    early_stop_iteration: Mean
    early_stop_accuracy_percent: Mean

    @classmethod
    def of_summary(cls, summary: 'RoundSummary', **more: Any) -> Self:
        """The means of a round, with more fields of a subclass."""

        return cls(
            round=summary.source_number, stored_round=summary.number, kept=summary.kept,
            density_percent=percent(summary.density), test_accuracy_percent=Mean.of_shares(summary.test_accuracy),
            early_stop_iteration=Mean.of(summary.early_stop),
            early_stop_accuracy_percent=Mean.of_shares(summary.early_stop_accuracy), **more)


@dataclass(frozen=True, kw_only=True)
class RoundMeans(RoundValues):
    """A row of the table of a run."""

    seeds: list[SeedResult]

    @classmethod
    def of(cls, summary: 'RoundSummary') -> Self:
        """The row of a round."""

        return cls.of_summary(summary, seeds=list(map(SeedResult.of, summary.results)))


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """The table of a run. `training_multiply_adds` is the mean over the seeds, None if it is unknown."""

    run: Path
    model: str
    dataset: str
    seeds: list[int]
    training_multiply_adds: Mean | None
    rounds: list[RoundMeans]
    soups: list[SoupRow]
    pools: list[PoolRow]


@dataclass(frozen=True, kw_only=True)
class RunReport(RunTable):
    """The output of find-ticket, find-gem, train-sparse, finetune, transfer and `show run`: the table of a run with its
    controls, the run that finetuned its last round, None if there is none or it was not requested, and what each of the
    two says.
    """

    controls: dict[str, list[RoundMeans]]
    finetuned: RunTable | None
    answers: list[Answer]


def run_report(
        run: 'RecordedRun', seeds: Sequence[int], controls: Mapping[str, Sequence['RecordedRun']],
        answers: Sequence['answer.Answer'], finetuned: 'RecordedRun | None' = None) -> RunReport:
    """The output for a run, all draws of its controls, what they say, and the run that finetuned its last round."""

    rows = {name: analysis.summary_table.control_rows(draws, seeds) for name, draws in controls.items()}
    return RunReport(
        **vars(_run_table(run, seeds)),
        controls={name: list(map(RoundMeans.of, summaries.values())) for name, summaries in rows.items()},
        finetuned=_run_table(finetuned, seeds) if finetuned else None, answers=list(map(Answer.of, answers)))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the network."""

    name: str
    shape: list[int]
    weights: int
    kind: str
    prunable: bool
    multiply_adds: int | None


@dataclass(frozen=True, kw_only=True)
class PlannedRound:
    """A round that would be trained."""

    round: int
    kept: int
    density_percent: float
    multiply_adds: int | None


@dataclass(frozen=True, kw_only=True)
class Outline:  # pylint: disable=too-many-instance-attributes # each is a field of the output
    """The output of commands that train with --dry-run. The multiply-adds of rounds and of training are estimated where
    only the search shows which layers the kept weights are in; those that cannot be counted are None.
    """

    model: str
    dataset: str
    prunable: int
    weights: int
    iterations: int
    multiply_adds: int | None
    estimated: bool
    training_multiply_adds: int | None
    finetuning_multiply_adds: int | None
    layers: list[Layer]
    rounds: list[PlannedRound]
    controls: list[str]
    recipe: dict[str, Any]

    @classmethod
    def of(cls, plan: 'Plan', controls: Sequence[str], facts: 'TicketFacts') -> Self:
        """The outline of a plan and of the controls that are trained after it. `facts` are those about tickets of
        another run, if the plan trains them.
        """

        recipe, layout = plan.recipe, plan.network.layout
        operations = analysis.planned_operations.planned_operations(plan, facts)
        return cls(
            model=recipe.model.name, dataset=recipe.data.name, prunable=layout.prunable_count,
            weights=layout.weight_count, iterations=plan.steps, multiply_adds=operations and operations.dense,
            estimated=bool(operations and not operations.exact),
            training_multiply_adds=operations and operations.training,
            finetuning_multiply_adds=operations and operations.finetuning, layers=_layers(plan, operations),
            rounds=_planned_rounds(plan, operations), controls=list(controls), recipe=recipe.dump())


def _layers(plan: 'Plan', operations: 'PlannedOperations | None') -> list[Layer]:
    counts = {layer.name: layer.dense for layer in operations.layers} if operations else {}
    return [Layer(name=slot.name, shape=list(slot.shape), weights=slot.size, kind=slot.kind, prunable=slot.prunable,
                  multiply_adds=counts.get(slot.name))
            for slot in plan.network.layout.slots if slot.kind != 'other']


def _planned_rounds(plan: 'Plan', operations: 'PlannedOperations | None') -> list[PlannedRound]:
    table_round, density = plan.recipe.algorithm.table_round, plan.network.layout.density
    return [PlannedRound(round=table_round(number), kept=kept, density_percent=percent(density(kept)),
                         multiply_adds=operations.rounds[number] if operations else None)
            for number, kept in enumerate(plan.kept)]


def _run_table(run: 'RecordedRun', seeds: Sequence[int]) -> RunTable:
    rows = analysis.summary_table.summary_rows([run], seeds)
    training = analysis.training_operations.mean_training_operations(run, seeds)
    return RunTable(run=run.folder, model=run.recipe['model']['name'], dataset=run.recipe['data']['name'],
                    seeds=list(seeds), training_multiply_adds=Mean.of(training) if training else None,
                    rounds=list(map(RoundMeans.of, rows)),
                    soups=list(map(SoupRow.of, analysis.averages.soup_rows(run, seeds))),
                    pools=list(map(PoolRow.of, analysis.averages.pool_rows(run, seeds))))
