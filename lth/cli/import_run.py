"""`lth import`: masks and weights that another program found, as a run."""
from pathlib import Path
from typing import Annotated

import typer

from lth import experiments
from lth.cli.arguments import changes, parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import Datasets, Device, DryRun, Json, Margin, Overrides, Restart, Threads
from lth.cli.trust_code import accepts_trust_code
from lth.registry import trust


@command
@accepts_data_dir
@accepts_trust_code
def import_run(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        form: Annotated[str, typer.Argument(
            metavar='FORM', show_default=False, help='What wrote the files: open_lth, torch-prune or rare-gems.')],
        path: Annotated[Path, typer.Argument(
            metavar='PATH', show_default=False, help='The folder or the file to import.')],
        datasets: Datasets = Path('datasets'),
        *,
        model: Annotated[str | None, typer.Option(
            '--model', metavar='MODEL', callback=trust.add, show_default=False,
            help='The model. Default: the one that the files name.')] = None,
        dataset: Annotated[str | None, typer.Option(
            '--dataset', metavar='DATASET', callback=trust.add, show_default=False,
            help='The data set. Default: the one that the files name.')] = None,
        names: Annotated[str | None, typer.Option(
            '--names', metavar='OLD=NEW,…', show_default=False,
            help='Names of layers in the files and in the model. Default: the same names, or else the same order.')
        ] = None,
        rewind: Annotated[Path | None, typer.Option(
            '--rewind', metavar='FILE', show_default=False,
            help='State dict with the weights from before training, if PATH has none.')] = None,
        seeds: Annotated[str | None, typer.Option(
            '--seeds', metavar='SEEDS', show_default=False,
            help='Replicates to import, such as 0-4. Default: all.')] = None,
        override: Overrides = None,
        run_name: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The new run folder. Default: MODEL-DATASET-imported.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        margin: Margin = 0.2,
        restart: Restart = False,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Import masks and weights that another program found, as a run on which the other commands work.

    Reads the folders of open_lth, state dicts of modules that were pruned with torch.nn.utils.prune, and checkpoints of
    the rare-gems program. Code in these files is never executed. Each round is measured on the test images; nothing is
    trained.

    [bold]Examples[/bold]

        lth import open_lth lottery_0123456789 ./datasets

        lth import torch-prune pruned/ --model lenet-300-100 --dataset mnist --rewind initial.pt

        lth import rare-gems results/ --model resnet20 --dataset cifar10
    """

    wanted = experiments.import_plans.Import(form, path, model, dataset, _pairs(names), rewind)
    plan, found = experiments.import_plans.import_plan(
        wanted, changes({}, override), device=device,
        seeds=None if seeds is None else parse_numbers(seeds, '--seeds'))
    folder = experiments.folders.run_folder(run_name, experiments.import_plans.import_folder(plan))
    target = experiments.run_target.RunTarget(folder, datasets, device, threads)
    execute(plan, target, found, output=Output(as_json, margin), keep='all', restart=restart, dry_run=dry_run)


def _pairs(names: str | None) -> list[str]:
    return parse_names(names) or []
