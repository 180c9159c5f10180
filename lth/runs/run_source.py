"""From which run another one starts, according to its recipe.yaml, which may be damaged. Imports no torch."""
import contextlib
import os
from pathlib import Path

from lth.errors import LthError
from lth.system import yaml_text
from lth.system.yaml_text import Raw


def algorithm_settings(folder: Path) -> Raw:
    """The settings of the algorithm in the recipe of a run folder, {} if it has no readable recipe."""

    with contextlib.suppress(LthError):
        settings = yaml_text.read_yaml(folder / 'recipe.yaml').get('algorithm')
        if isinstance(settings, dict):
            return settings
    return {}


def source_folder(folder: Path, settings: Raw) -> Path | None:
    """The folder of the run from which a run starts whose algorithm has these settings; None for a search."""

    source = settings.get('source')
    if not isinstance(source, str) or not _is_possible_path(source):
        return None
    return Path(os.path.normpath(folder / source))


def _is_possible_path(text: str) -> bool:
    """Whether a text could be the path of a folder: longer ones and those with a null character are errors to ask for.
    """

    return '\0' not in text and len(os.fsencode(text)) < 4096 and all(
        len(os.fsencode(part)) < 256 for part in text.split('/'))
