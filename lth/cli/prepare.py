"""`lth prepare`: pictures written once in the form that streams fast."""
import json
from pathlib import Path
from typing import Annotated

import typer

from lth.cli.options import DatasetName, Datasets, Json, command, err, out
from lth.errors import LthError


@command
def prepare(
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        size: Annotated[int | None, typer.Option(
            min=1, metavar='PIXELS', show_default=False,
            help='Side of the pictures as they are kept; else as the data set has them (imagenet: 256).')] = None,
        channels: Annotated[int | None, typer.Option(
            metavar='1|3', show_default=False, help='Grey or colour; else as the data set has them.')] = None,
        undecodable: Annotated[str, typer.Option(
            metavar='refuse|skip', help='What to do about pictures that do not decode.')] = 'refuse',
        as_json: Json = False,
) -> None:
    """Write a data set once as .beton files, which FFCV streams at full speed; needed for ImageNet-size data only.

    Pictures are scaled, cut to a square and kept as JPEG of quality 95. Training takes them from there by itself.

    [bold]Examples[/bold]

        lth prepare imagenet ./datasets

        lth prepare folder:./flowers --size 128
    """

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.cli.progress import CountDisplay  # pylint: disable=import-outside-toplevel
    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel
    from lth.recipes.schema import DataSettings, merge, validate_section  # pylint: disable=import-outside-toplevel
    source = DATASETS.find(dataset)
    if source.prepare is None:
        raise LthError(f'{dataset} lives in memory, so there is nothing to prepare: train on it as it is.')
    asked = {'name': dataset, 'undecodable': undecodable, 'size': size, 'channels': channels}
    settings = validate_section(DataSettings, merge(source.settings, asked), 'lth prepare')
    with CountDisplay('pictures') as display:
        files = source.prepare(datasets, settings, display.tell)
    if as_json:
        print(json.dumps({'files': [str(file) for file in files]}, indent=2))
        return
    for file in files:
        out.print(f'{file}  {file.stat().st_size / 2 ** 20:,.1f} MiB', highlight=False, soft_wrap=True)
    wanted = {'size': size, 'channels': channels, 'storage': 'stream' if source.streams == 'large' else None,
              'undecodable': 'skip' if undecodable == 'skip' else None}
    told = ''.join(f' --set data.{key}={value}' for key, value in wanted.items() if value)
    err.print(f'To train on them: lth find-ticket MODEL {dataset}{told}', highlight=False, soft_wrap=True)
