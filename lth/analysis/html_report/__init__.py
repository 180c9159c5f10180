"""`lth report`: one self-contained HTML page about runs: verdicts, interactive figures, tables, all settings."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.html_report import (
        cells, content, markup, origin, page, plotly_panels, report, run_tables)
else:
    __getattr__ = submodules(__name__)
