"""What all commands that train do: run a plan, or with --dry-run only print it, and print the table of the run."""
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lth import analysis, experiments
from lth.cli.answers import print_answers
from lth.cli.console import print_json, print_message, print_note
from lth.cli.outline import print_outline
from lth.cli.progress import ProgressDisplay
from lth.cli.run_table import print_run

if TYPE_CHECKING:
    from pathlib import Path

    from lth.analysis.json_output.runs import RunReport
    from lth.experiments.plan import Plan
    from lth.experiments.run_target import RunTarget
    from lth.experiments.sweeps.cells import PlannedCell
    from lth.experiments.thinning import Keep
    from lth.runs.folder import Run


class Output(NamedTuple):
    """How a command that trains prints its results: as JSON or as tables, with the margin of its answer in points.
    `complete_report` adds to the JSON what only the command knows once everything is trained.
    """

    as_json: bool
    margin: float
    complete_report: 'Callable[[RunReport], RunReport]' = lambda report: report


def execute(
        plan: 'Plan', target: 'RunTarget', seeds: Sequence[int], controls: Mapping[str, Sequence['Plan']] | None = None,
        *, output: Output, keep: 'Keep', restart: bool, dry_run: bool) -> None:
    """Run the plan, then every draw of each control in its own folder in RUN-controls, and print one table and the
    answer. With `restart`, move the old run aside first. In the end, remove the weights that `keep` does not name.
    """

    controls = controls or {}
    refuse_removed_sources(plan, target, seeds, controls, restart=restart)
    if _Collected.plans is not None:
        _Collected.plans.append(_planned(_plans_by_folder(plan, target, controls), target, seeds, keep))
        return
    experiments.metric_logs.require_logs(target.logs)
    collapse_notes = experiments.derived_runs.collapse_notes(_plans_by_folder(plan, target, controls), seeds)
    for note in collapse_notes:
        print_note(note)
    if dry_run:
        experiments.memory_needs.refuse_too_much_for_one(plan, target.device)
        facts = experiments.ticket_facts.ticket_facts(plan, target.folder, seeds)
        print_outline(plan, controls, facts, as_json=output.as_json)
        return
    if restart:
        experiments.restart.set_aside(target.folder, print_message)
    run = run_with_progress(plan, target, seeds)
    control_runs = {control: _run_draws(control, plans, target, seeds) for control, plans in controls.items()}
    answer = analysis.answers.answer.make_answer(run, seeds, control_runs, output.margin / 100)
    if output.as_json:
        report = analysis.json_output.runs.run_report(run, seeds, control_runs, [answer])
        print_json(output.complete_report(report))
    else:
        print_run(run, seeds, control_runs, with_collapse=not collapse_notes)
        print_answers([answer])
    experiments.thinning.thin_runs(itertools.chain([run], *control_runs.values()), seeds, keep)


def refuse_removed_sources(
        plan: 'Plan', target: 'RunTarget', seeds: Sequence[int], controls: Mapping[str, Sequence['Plan']], *,
        restart: bool) -> None:
    """LthError if weights are missing from which the run or a control of it starts, see derived_runs. `execute` does
    this before anything else; a command that does something before it, does this first.
    """

    plans = _plans_by_folder(plan, target, controls)
    experiments.derived_runs.refuse_removed_sources(plans, seeds, restart=restart)


@contextlib.contextmanager
def collected_plans() -> 'Iterator[list[PlannedCell]]':
    """In this block `execute` runs nothing and adds what it would train to the list."""

    before, _Collected.plans = _Collected.plans, list['PlannedCell']()
    try:
        yield _Collected.plans
    finally:
        _Collected.plans = before


class _Collected:
    """Where `execute` adds plans instead of running them."""

    plans: 'list[PlannedCell] | None' = None


def _planned(
        plans: 'Mapping[Path, Plan]', target: 'RunTarget', seeds: Sequence[int], keep: 'Keep') -> 'PlannedCell':
    """What a cell of a sweep trains."""

    experiments.metric_logs.require_logs(target.logs)
    return experiments.sweeps.cells.PlannedCell(plans, target, seeds, keep)


def _plans_by_folder(
        plan: 'Plan', target: 'RunTarget', controls: Mapping[str, Sequence['Plan']]) -> 'dict[Path, Plan]':
    """The plans of a run and of all draws of its controls, by their folders."""

    plans = {target.folder: plan}
    for control, draws in controls.items():
        for draw, control_plan in enumerate(draws, 1):
            plans[experiments.folders.control_folder(target.folder, control, draw)] = control_plan
    return plans


def run_with_progress(plan: 'Plan', target: 'RunTarget', seeds: Sequence[int]) -> 'Run':
    """Run the plan and show its progress. Returns the completed run."""

    with ProgressDisplay(plan, seeds) as display:
        return experiments.runner.run_plan(plan, target, seeds, display)


def _run_draws(control: str, plans: Sequence['Plan'], target: 'RunTarget', seeds: Sequence[int]) -> list['Run']:
    runs = []
    for draw, plan in enumerate(plans, 1):
        draws = f', draw {draw} of {len(plans)}' if len(plans) > 1 else ''
        print_message(f'Control: {control}{draws}')
        folder = experiments.folders.control_folder(target.folder, control, draw)
        runs.append(run_with_progress(plan, dataclasses.replace(target, folder=folder), seeds))
    return runs
