"""The sessions of a run: one file in `sessions` for each command that saved something, with versions, device, engine,
data and times. Next to it is the log of the session, which nothing reads.

A session records the digest of the recipe of its run, so that a file of another run is noticed. Version 0.1.0 kept the
entries of all sessions in environment.json. A new fact is a field of `_Session` with a default.
"""
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from lth.errors import LthError
from lth.runs import integrity
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Count, ShortText, Stored, validate_stored
from lth.system import files
from lth.system.json_text import read_json
from lth.system.yaml_text import Raw

FOLDER = 'sessions'
OLD_FILE = 'environment.json'
_MOST_BYTES = 2 ** 20  # of an entry; one has about 2,000
_MOST_BYTES_OF_OLD_FILE = 2 ** 24
_Names = Annotated[list[ShortText], Field(max_length=10_000)]


class _Session(Stored):
    """An entry. Other versions may record further facts, so unknown keys are kept."""

    model_config = ConfigDict(extra='allow')

    lth: ShortText | None = None
    torch: ShortText | None = None
    python: ShortText | None = None
    machine: ShortText | None = None
    cpu: ShortText | None = None
    cores: Count | None = None
    memory_mib: Count | None = None
    gpus: _Names = []
    packages: dict[ShortText, ShortText] = {}
    lth_commit: ShortText | None = None
    directory_commit: ShortText | None = None
    host: ShortText | None = None
    process: Count | None = None
    job: ShortText | None = None
    command: _Names | None = None
    engine: ShortText | None = None
    device: ShortText | None = None
    choice: ShortText | None = None
    compile: ShortText | None = None
    replicates: ShortText | None = None
    deterministic: bool = False
    threads: Count | None = None
    ranks: Annotated[int, Field(ge=1)] = 1
    sync_batch_norm: bool = False
    reader: ShortText | None = None
    pictures: ShortText | None = None
    images: ShortText | None = None
    network: ShortText | None = None
    code: dict[ShortText, dict[ShortText, ShortText]] = {}
    directory: ShortText | None = None
    start: ShortText | None = None
    seconds: Annotated[float, Field(ge=0)] = 0.
    rounds: Count = 0
    recipe: ShortText | None = None
    planned_rounds: Count | None = None
    seeds: Annotated[list[Count], Field(max_length=100_000)] = []


def read(folder: Path, recipe: str | None = None) -> list[Raw]:
    """The entries of a run folder, in the order of their start. LthError if a file was changed, or is of a run whose
    recipe has another digest than this one, if one is given.
    """

    advice = integrity.repair_advice(folder)
    entries = (read_entry(path, advice, recipe) for path in session_files(folder))
    return [*read_old(folder / OLD_FILE, advice), *entries]


def total_seconds(entries: Iterable[Raw]) -> float:
    """How long the sessions with these entries took."""

    return math.fsum(entry.get('seconds', 0.) for entry in entries)


def read_old(path: Path, advice: str) -> list[Raw]:
    """The entries in the file of version 0.1.0, which has no checksum; none if it does not exist."""

    if not path.exists():
        return []
    entries = read_json(path, at_most=_MOST_BYTES_OF_OLD_FILE, advice=advice)
    if not isinstance(entries, list):
        raise LthError(f'{path} is not a list of sessions. {advice}')
    return [_validated(entry, f'{path}, entry {number},', advice) for number, entry in enumerate(entries)]


def session_files(folder: Path) -> list[Path]:
    """The files of the sessions of a run folder, in the order of their start."""

    return sorted(path for path in (folder / FOLDER).glob('*.json') if not path.name.startswith('.'))


def read_entry(path: Path, advice: str, recipe: str | None = None) -> Raw:
    """The entry in the file of a session. LthError, which ends with the advice, if it was changed, or is of a run whose
    recipe has another digest.
    """

    entry = _validated(read_checked(path, at_most=_MOST_BYTES, advice=advice), str(path), advice)
    recorded = entry.get('recipe')
    if None not in (recipe, recorded) and recorded != recipe:
        raise LthError(f'{path} does not belong there: it is of a run with another recipe ({recorded}, not {recipe}). '
                       f'If recipe.yaml was edited, restore that file. {advice}')
    return entry


def write(folder: Path, entry: Raw) -> None:
    """Create or replace the file of the session with this entry."""

    path = entry_file(folder, entry)
    files.create_folder(path.parent)
    files.write(path, encode_checked(entry))


def entry_file(folder: Path, entry: Raw) -> Path:
    """The file of the session with this entry, which has its `start`, `host` and `process`."""

    start = datetime.fromisoformat(entry['start']).astimezone(UTC)
    host = re.sub(r'[^\w.]+', '_', entry['host'], flags=re.ASCII)
    name = f'{start:%Y%m%dT%H%M%S}.{start.microsecond // 1000:03d}Z-{host}-{entry["process"]}.json'
    return folder / FOLDER / name


def _validated(entry: Any, origin: str, advice: str) -> Raw:
    validate_stored(_Session, entry, origin, advice)
    return dict(entry)
