"""Experiments: a recipe becomes a plan, a plan is run for each seed, and runs start from the rounds of other runs."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.experiments import (
        align_plans, changes, complete_recipe, derived_plans, derived_runs, distributed, early_bird_plans,
        executors, folders, gem_plans, import_plans, memory_needs, metric_logs, open_run, plan, pool_plans,
        prepared_data, provenance, python_arguments, recipe_schema, reporter, resolve, restart, run_target, runner,
        sweeps, thinning, ticket_facts, transfer_plans)
else:
    __getattr__ = submodules(__name__)
