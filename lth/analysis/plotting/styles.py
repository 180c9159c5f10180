"""How large a figure is, and how its text and lines look.

To add a style, add it to STYLES.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lth.errors import LthError, quote, suggestion


@dataclass(frozen=True, kw_only=True)
class Style:
    """A style: width and height of a panel in inches, how many panels are side by side at most, the resolution of PNG
    files in dots per inch, the width of an entry of the legend in inches, whether title and caption are drawn (a paper
    sets its own), and settings of matplotlib.
    """

    panel_width: float
    panel_height: float
    columns: int
    resolution: int
    legend_width: float
    with_text: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


STYLES = {
    # Panels side by side, with a title and a caption.
    'screen': Style(
        panel_width=4.2, panel_height=3.4, columns=3,
        resolution=150, legend_width=2, with_text=True, settings={
            'font.size': 10, 'axes.titlesize': 10, 'legend.fontsize': 9, 'lines.linewidth': 1.6,
            'lines.markersize': 4.5}),
    # In the width of a column of a paper, panels below each other.
    'paper': Style(
        panel_width=3.25, panel_height=2.1, columns=1, resolution=300, legend_width=1.1, with_text=False, settings={
            'font.family': 'STIXGeneral', 'font.size': 8, 'axes.titlesize': 8, 'axes.labelsize': 8,
            'legend.fontsize': 7, 'xtick.labelsize': 7, 'ytick.labelsize': 7, 'lines.linewidth': 1,
            'lines.markersize': 3, 'axes.linewidth': 0.6, 'xtick.major.width': 0.6, 'ytick.major.width': 0.6})}


def find_style(name: str) -> Style:
    """The style with this name; an LthError if there is none."""

    if name not in STYLES:
        raise LthError(f'Unknown style {quote(name)}{suggestion(name, STYLES)}')
    return STYLES[name]
