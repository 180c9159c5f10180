"""The figures of `lth plot`: their files, and the series of points in them."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from lth.analysis.plotting import series as contents


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point with the ends of its 95% confidence interval, null if it has none; a mean over n values."""

    x: float
    y: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points with one label; `kind` says how they are drawn, `intervals` along which axis their intervals lie."""

    label: str
    kind: Literal['line', 'points', 'steps']
    intervals: Literal['x', 'y']
    points: list[Point]

    @classmethod
    def of(cls, drawn: 'contents.Series') -> Self:
        """A series of a figure."""

        return cls(label=drawn.label, kind=drawn.kind, intervals=drawn.intervals,
                   points=[Point(**point._asdict()) for point in drawn.points])


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A value to compare with, on this axis."""

    label: str
    axis: Literal['x', 'y']
    value: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series with common axes, whose labels name the units."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    references: list[Reference]

    @classmethod
    def of(cls, panel: 'contents.Panel') -> Self:
        """A panel of a figure."""

        references = [Reference(label=line.label, axis=line.axis, value=line.value) for line in panel.references]
        return cls(title=panel.title, x_label=panel.x.label, y_label=panel.y.label,
                   series=list(map(Series.of, panel.series)), references=references)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure. `notes` says what is missing, such as rounds of an unfinished run."""

    name: str
    title: str
    file: Path
    caption: str
    panels: list[Panel]
    notes: list[str]

    @classmethod
    def of(cls, data: 'contents.FigureData', file: Path) -> Self:
        """A figure that was saved in a file."""

        return cls(name=data.name, title=data.title, file=file, caption=data.caption,
                   panels=list(map(Panel.of, data.panels)), notes=list(data.notes))


@dataclass(frozen=True, kw_only=True)
class FigureFiles:
    """The output of `lth plot`."""

    figures: list[Figure]

    @classmethod
    def of(cls, figures: Sequence['contents.FigureData'], files: Sequence[Path]) -> Self:
        """The output for figures, each saved in one of these files."""

        return cls(figures=[Figure.of(data, file) for data, file in zip(figures, files, strict=True)])
