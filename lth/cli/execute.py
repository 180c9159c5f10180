"""What the commands that search for subnetworks do alike: show the plan, or carry it out and print what was found."""
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lth import experiments
from lth.cli.options import err, parse_seeds

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.runs.folder import Run
    from lth.training.engines.names import EngineChoice


class ExecutionOptions(NamedTuple):
    """Where and how a search runs, and what is printed."""

    folder: Path
    datasets: Path
    seeds: str
    device: str
    threads: int
    as_json: bool
    dry_run: bool
    engine: 'EngineChoice | None' = None


def execute(plan: 'Plan', way: ExecutionOptions, controls: Mapping[str, Sequence['Plan']] | None = None) -> None:
    """Searches and prints the result, or with `dry_run` what would be done; every draw of each control is a run of its
    own in RUN-controls.
    """

    numbers = parse_seeds(way.seeds)
    if way.dry_run:
        _remark(plan)
        _print_outline(plan, as_json=way.as_json)
        if controls:
            draws = max(map(len, controls.values()))
            each = 'each control' if draws == 1 else f'{draws} draws of each control'
            err.print(f'Then as many pruned rounds of {each}: {", ".join(controls)}.', highlight=False)
        return
    from lth.cli.tables import print_run  # pylint: disable=import-outside-toplevel # as below
    found = run_with_progress(plan, way)
    beside: dict[str, list[Run]] = {}
    for control, plans in (controls or {}).items():
        for draw, one in enumerate(plans, 1):
            err.print(f'Control: {control}' + f', draw {draw} of {len(plans)}' * (len(plans) > 1), highlight=False)
            there = way._replace(folder=experiments.folders.control_folder(way.folder, control, draw))
            beside.setdefault(control, []).append(run_with_progress(one, there))
    print_run(found, numbers, beside, as_json=way.as_json)


def run_with_progress(plan: 'Plan', way: ExecutionOptions) -> 'Run':
    """The run, complete, with a display while it goes on."""

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.cli.progress import ProgressDisplay  # pylint: disable=import-outside-toplevel
    from lth.experiments import runner  # pylint: disable=import-outside-toplevel
    numbers = parse_seeds(way.seeds)
    place = runner.RunTarget(way.folder, way.datasets, way.device, way.threads, way.engine)
    with ProgressDisplay(plan, numbers) as display:
        return runner.run_plan(plan, place, numbers, display)


def options_for(plan: 'Plan', folder: Path, way: ExecutionOptions) -> ExecutionOptions:
    """The way of one of several runs: the sparse engine is not meant where no weights train."""

    meant = way.engine != 'sparse' or plan.recipe.algorithm.trains == 'each'
    return way._replace(folder=folder, engine=way.engine if meant else None)


def _remark(plan: 'Plan') -> None:
    for note in plan.notes:
        err.print(f'Note: {note}.', highlight=False, soft_wrap=True)


def _print_outline(plan: 'Plan', *, as_json: bool) -> None:
    """What would be done, all counts included; for people a recipe that can be saved, with the counts as comments."""

    from lth.cli.tables import commented, simple_table  # pylint: disable=import-outside-toplevel # as above
    from lth.system.files import dump_yaml  # pylint: disable=import-outside-toplevel # as above
    outline: dict[str, Any] = plan.outline()
    if as_json:
        print(json.dumps(outline, indent=2))
        return
    print(dump_yaml(outline['recipe']))
    print(commented(simple_table('Layers', ['name', 'shape', 'weights', 'kind', 'pruned'], [
        [layer['name'], '×'.join(map(str, layer['shape'])), f'{layer["weights"]:,}', layer['kind'],
         'yes' if layer['prunable'] else 'no'] for layer in outline['layers']])))
    print(commented(simple_table('Rounds', ['round', 'kept', 'left %'], [
        [str(row['round']), f'{row["kept"]:,}', f'{100 * row["density"]:.2f}'] for row in outline['rounds']])))
    span = {'each': 'A round trains', 'throughout': 'All rounds together train',
            'never': 'Nothing is trained in the search; what it finds is finetuned'}[plan.recipe.algorithm.trains]
    print(f'# {span} for {outline["iterations"]:,} iterations. {outline["prunable"]:,} of '
          f'{outline["weights"]:,} weights can be pruned;\n# left % counts the others too.')
