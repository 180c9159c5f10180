"""What figures consist of, and how they are drawn and saved. The figures themselves are in lth/analysis/figures."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.plotting import (
        axes, curves, drawing, figure_set, image_files, palette, plot, registry, runs, series, styles)
else:
    __getattr__ = submodules(__name__)
