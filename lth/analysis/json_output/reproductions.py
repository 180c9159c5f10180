"""A published experiment that was repeated: the output of `lth reproduce`, also in a file in its folder."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from lth.analysis.json_output.values import Mean, percent

if TYPE_CHECKING:
    from lth.analysis.reproduction.claims import ClaimResult
    from lth.analysis.reproduction.reproduce import ReproductionPlan, Reproduction
    from lth.analysis.reproduction.tables import RowResult, TableResult


@dataclass(frozen=True, kw_only=True)
class TestedClaim:
    """A claim of the paper and what was measured, both in `unit`."""

    claim: str
    section: str
    published: float | None
    ours: Mean | None
    unit: Literal['%', 'points', 'iterations']
    agreement: Literal['agrees', 'does not agree', 'cannot tell']
    reason: str

    @classmethod
    def of(cls, result: 'ClaimResult') -> Self:
        """The output for a claim."""

        return cls(**{**result._asdict(), 'ours': Mean.of(result.ours) if result.ours else None})


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """What a method reached, and for one seed its training steps, multiply-adds and seconds."""

    name: str
    accuracy_percent: Mean
    kept: int
    density_percent: float
    steps: int | None
    multiply_adds: float | None
    seconds: float

    @classmethod
    def of(cls, row: 'RowResult') -> Self:
        """The output for a row."""

        return cls(name=row.name, accuracy_percent=Mean.of(row.accuracy), kept=row.kept,
                   density_percent=percent(row.density), steps=row.steps, multiply_adds=row.operations,
                   seconds=round(row.seconds, 3))


@dataclass(frozen=True, kw_only=True)
class MethodTable:
    """A table of methods, and those whose runs failed."""

    title: str
    rows: list[MethodRow]
    missing: list[str]

    @classmethod
    def of(cls, table: 'TableResult') -> Self:
        """The output for a table."""

        return cls(title=table.title, rows=list(map(MethodRow.of, table.rows)), missing=list(table.missing))


@dataclass(frozen=True, kw_only=True)
class GridEntry:
    """A run of the experiment."""

    name: str
    command: str
    model: str | None
    dataset: str | None
    source: str | None
    controls: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class PlannedReproduction:
    """The output of `lth reproduce --dry-run`."""

    experiment: str
    title: str
    paper: str
    budget: Literal['smoke', 'small', 'full']
    seeds: list[int]
    scaled_down: list[str]
    runs: list[GridEntry]

    @classmethod
    def of(cls, plan: 'ReproductionPlan') -> Self:
        """The output for a plan."""

        runs = [GridEntry(name=name, command=run.command, model=run.model, dataset=run.dataset, source=run.source,
                          controls=run.controls) for name, run in plan.runs.items()]
        paper = f'{plan.experiment.paper.title}, {plan.experiment.paper.section}'
        return cls(experiment=plan.name, title=plan.experiment.title, paper=paper, budget=plan.budget,
                   seeds=list(plan.seeds), scaled_down=list(plan.scale), runs=runs)


@dataclass(frozen=True, kw_only=True)
class ReproductionReport(PlannedReproduction):
    """The output of `lth reproduce`."""

    folder: Path
    claims: list[TestedClaim]
    tables: list[MethodTable]
    figures: list[Path]
    seconds: float
    training_seconds: float

    @classmethod
    def of_reproduction(cls, done: 'Reproduction') -> Self:
        """The output for a reproduction."""

        return cls(**vars(PlannedReproduction.of(done.plan)), folder=done.folder,
                   claims=list(map(TestedClaim.of, done.claims)), tables=list(map(MethodTable.of, done.tables)),
                   figures=done.figures, seconds=round(done.seconds, 3),
                   training_seconds=round(done.training_seconds, 3))
