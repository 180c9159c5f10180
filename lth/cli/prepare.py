"""`lth prepare`: write a data set in the format that FFCV streams."""
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import analysis, experiments
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_message
from lth.cli.data_dir import accepts_data_dir
from lth.cli.options import DatasetName, Datasets, Json
from lth.cli.progress import CountDisplay
from lth.cli.trust_code import accepts_trust_code
from lth.cli.option_values import whole_number


@command
@accepts_data_dir
@accepts_trust_code
def prepare(
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        size: Annotated[int | None, typer.Option(
            '--size', parser=whole_number(smallest=1, largest=65_535), metavar='PIXELS', show_default=False,
            help='Height and width of the stored images. Default: as in the data set (imagenet: 256).')] = None,
        channels: Annotated[int | None, typer.Option(
            '--channels', parser=whole_number(), metavar='1|3', show_default=False,
            help='1 stores gray images, 3 stores color images. Default: as in the data set.')] = None,
        undecodable: Annotated[Literal['refuse', 'skip'], typer.Option(
            '--undecodable', help='What to do with image files that cannot be decoded.')] = 'refuse',
        as_json: Json = False,
) -> None:
    """Write a data set as .beton files, which FFCV reads fast. Only data sets as large as ImageNet need this.

    Images are resized, cropped to a square and stored as JPEG of quality 95. Training then reads these files.

    [bold]Examples[/bold]

        lth prepare imagenet ./datasets

        lth prepare folder:./flowers --size 128
    """

    requested = {'size': size, 'channels': channels, 'undecodable': undecodable}
    with CountDisplay('images') as display:
        prepared = experiments.prepared_data.prepare(dataset, datasets, requested, display.update)
    if as_json:
        print_json(analysis.json_output.listings.PreparedFiles(files=list(prepared.files)))
        return
    for file in prepared.files:
        print_line(f'{file}  {file.stat().st_size / 2 ** 20:,.1f} MiB')
    settings = ''.join(f' --set data.{key}={value}' for key, value in prepared.settings.items())
    print_message(f'To train on these images, run: lth find-ticket MODEL {dataset}{settings}')
