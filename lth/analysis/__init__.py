"""Analysis of runs: evaluation, sanity checks, mode connectivity, and statistics over seeds."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis import (
        alignment, answers, averages, catalog, comparison, early_bird, early_bird_tickets, evaluation, figures,
        html_report, json_output, loss_landscape, mask_overlap, metric_export, metric_table, mode_connectivity,
        model_card, number_text, operation_counts, other_data, papers, planned_operations, plotting, repair,
        reproduction, result_tables, run_checks, run_list, run_results, run_view, sanity_checks, sanity_report,
        sign_flips, stability_table, statistics, summary_table, sweep_status, training_operations)
else:
    __getattr__ = submodules(__name__)
