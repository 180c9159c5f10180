"""Lists of names, recipes, and files that were written."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from lth.analysis.html_report.report import HtmlReport
    from lth.analysis.metric_export import MetricExport


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A name that can be chosen."""

    name: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class RecipeEntry(Entry):
    """A recipe, and what it is for."""

    role: Literal['default', 'variant', 'gem', 'sparse', 'fallback']
    model: str | None
    dataset: str | None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The output of `lth list KIND`."""

    kind: str
    entries: list[Entry]


@dataclass(frozen=True, kw_only=True)
class RecipeListing:
    """The output of `lth list recipes`."""

    kind: Literal['recipes']
    entries: list[RecipeEntry]


@dataclass(frozen=True, kw_only=True)
class ShownRecipe:
    """The output of `lth show recipe`."""

    name: str
    recipe: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PreparedFiles:
    """The output of `lth prepare`."""

    files: list[Path]


@dataclass(frozen=True, kw_only=True)
class ExportedMetrics:
    """The output of `lth export-metrics`: the file, how many rows it has, and of which runs."""

    file: Path
    rows: int
    runs: list[Path]

    @classmethod
    def of(cls, export: 'MetricExport') -> Self:
        """The output for a file that was written."""

        return cls(file=export.file, rows=export.rows, runs=list(export.runs))


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """The output of `lth report`: the page, of which runs it is, its figures, and what is missing."""

    file: Path
    runs: list[Path]
    figures: list[str]
    notes: list[str]

    @classmethod
    def of(cls, report: 'HtmlReport') -> Self:
        """The output for a page that was written."""

        return cls(file=report.file, runs=list(report.runs), figures=list(report.figures), notes=list(report.notes))


@dataclass(frozen=True, kw_only=True)
class ConvertedRecipe:
    """The output of `lth convert-config`."""

    recipe: dict[str, Any]
    notes: list[str]
    seeds: list[int]
    datasets: Path | None
