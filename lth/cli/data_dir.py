"""The option --data-dir of all commands that read images: the folder DATASETS by name instead of by position."""
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lth.cli.added_options import add_option
from lth.cli.options import refuse_run
from lth.errors import LthError, quote

_DataDir = Annotated[Path | None, typer.Option(
    '--data-dir', metavar='FOLDER', show_default=False, callback=refuse_run,
    help='The folder of the data sets, as DATASETS, but by name.')]


def accepts_data_dir(function: Callable[..., None]) -> Callable[..., None]:
    """The command, which has an argument `datasets`, with the option --data-dir in addition."""

    return add_option(function, 'data_dir', _DataDir, default=None, handle=_use)


def _use(folder: Path | None, arguments: dict[str, Any]) -> None:
    """Let the folder of the option be that of the command. LthError if the command line gives another one too."""

    if folder is None:
        return
    given = arguments.get('datasets')
    if given not in (None, folder, Path('datasets'), Path(os.environ.get('LTH_DATASETS', 'datasets'))):
        raise LthError(f'DATASETS is {quote(str(given))}, and --data-dir is {quote(str(folder))}. Leave one of them '
                       'out.')
    arguments['datasets'] = folder
