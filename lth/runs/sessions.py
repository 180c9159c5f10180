"""environment.json of a run: one entry for each session, with versions, device, engine, data and times."""
import json
from pathlib import Path

from lth.errors import LthError
from lth.system import files
from lth.system.files import Raw


def read(folder: Path) -> list[Raw]:
    """The entries of a run folder, in order."""

    path = folder / 'environment.json'
    entries = files.read_json(path) if path.exists() else []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LthError(f'{path} is not a list of sessions. Restore it from a copy, or delete it: it only records where '
                       'the run was computed.')
    return entries


def add(folder: Path, entry: Raw) -> None:
    """Append the entry of a new session."""

    _write(folder, [*read(folder), entry])


def update(folder: Path, entry: Raw) -> None:
    """Replace the last entry."""

    _write(folder, [*read(folder)[:-1], entry])


def _write(folder: Path, entries: list[Raw]) -> None:
    files.write(folder / 'environment.json', json.dumps(entries, indent=2).encode())
