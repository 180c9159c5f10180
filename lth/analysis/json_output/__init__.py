"""What commands print with --json: a data class for each output, in the units of the tables.

The names of fields say their unit: `_percent` is a percentage, `_points` a difference of two percentages. Everything
else is a count, an iteration, or what the name says. `values.encode` adds the version. docs/json.md
describes all fields. Importing these modules does not import torch.

To add a field, add it to its class and to docs/json.md. A change of a field that exists also raises the version.
"""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.json_output import (
        alignments, answers, averages, checks, comparisons, curvature, early_bird, early_bird_tickets, evaluations,
        exports, figures, listings, other_data, repairs, reproductions, round_barriers, run_lists, runs, sharing,
        sign_flips, stability, sweeps, values)
else:
    __getattr__ = submodules(__name__)
