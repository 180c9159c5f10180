"""lth.json of a repository: the run that was pushed, and size and checksum of each file.

A repository holds a run and the runs that start from it as they lie next to each other, `RUN/recipe.yaml` and so on.
Only names of files that a run has are accepted. A new kind of file is an entry of `_KINDS`.
"""
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from lth import __version__
from lth.errors import LthError, quote
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Count, ShortText, Stored, validate_stored
from lth.system import files
from lth.system.memory import total_memory

MANIFEST = 'lth.json'
CARD, FIGURE = 'README.md', 'README-accuracy.png'
# Ten thousand rounds with six files each, at about 150 bytes.
MOST_BYTES = 2 ** 24
_MIB = 2 ** 20
_NAME = r'[A-Za-z0-9_][A-Za-z0-9_ .+=,@()-]{0,199}'
_ROUND = rf'{_NAME}(?:/{_NAME})?/seed-(?:0|[1-9]\d{{0,17}})/round-\d{{2,6}}'
_CHUNK = 2 ** 20


class _Kind(NamedTuple):
    """Files whose names match the pattern, with at most so many bytes; None for the memory of the machine."""

    pattern: re.Pattern[str]
    at_most: int | None


_KINDS = tuple(_Kind(re.compile(pattern, re.ASCII), at_most) for pattern, at_most in (
    (re.escape(CARD), 4 * _MIB), (re.escape(FIGURE), 16 * _MIB),
    (rf'{_NAME}(?:/{_NAME})?/recipe\.yaml', _MIB),
    (rf'{_NAME}(?:/{_NAME})?/environment\.json', 16 * _MIB),
    (rf'{_NAME}(?:/{_NAME})?/sessions/[\w.-]{{1,200}}\.json', _MIB),
    (rf'{_NAME}/checks\.json', 16 * _MIB),
    (rf'{_NAME}-stability/[\w.-]{{1,200}}\.json', _MIB),
    (rf'{_ROUND}/(?:round\.json|SHA256SUMS)', 64 * _MIB),
    (rf'{_ROUND}/(?:metrics|events)\.jsonl', None),
    (rf'{_ROUND}/[\w-]{{1,100}}\.safetensors', None)))


class SharedFile(Stored):
    """Number of bytes and checksum of a file."""

    size: Count
    sha256: Annotated[str, Field(pattern='^[0-9a-f]{64}$')]


class Manifest(Stored):
    """The run that was pushed, and all files by their paths in the repository, without lth.json itself."""

    format: Literal[1]
    lth: ShortText
    run: ShortText
    files: dict[str, SharedFile]

    @property
    def size(self) -> int:
        """Number of bytes of all files."""

        return sum(file.size for file in self.files.values())


def is_run_name(name: str) -> bool:
    """Whether the folder of a run can be shared under this name."""

    return bool(re.fullmatch(_NAME, name, re.ASCII))


def write_manifest(root: Path, run: str) -> Manifest:
    """Write lth.json for all files below a folder, about the run with this name."""

    paths = sorted(path for path in root.rglob('*') if path.is_file())
    entries = {path.relative_to(root).as_posix(): {'size': path.stat().st_size, 'sha256': file_checksum(path)}
               for path in paths}
    content = {'format': 1, 'lth': __version__, 'run': run, 'files': entries}
    files.write(root / MANIFEST, encode_checked(content))
    return Manifest.model_validate(content)


def read_manifest(path: Path, repository: str) -> Manifest:
    """The content of lth.json of a repository. LthError if it is damaged, or names a file that no run has, or one that
    is larger than expected.
    """

    advice = 'Ask its owner to push the run again with lth push.'
    content = read_checked(path, at_most=MOST_BYTES, advice=advice)
    if content.get('format') != 1:
        raise LthError(f'{repository} was pushed by lth {quote(content.get("lth"))} in the format '
                       f'{quote(content.get("format"))}, which lth {__version__} cannot read. Update lth.')
    manifest = validate_stored(Manifest, content, f'{MANIFEST} of {repository}', advice)
    for name, file in manifest.files.items():
        _check_file(name, file, repository)
    return manifest


def run_folders(names: Iterable[str]) -> list[str]:
    """The folders of runs among the paths of files, each with a recipe.yaml."""

    return sorted(name.removesuffix('/recipe.yaml') for name in names if name.endswith('/recipe.yaml'))


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file."""

    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_file(name: str, file: SharedFile, repository: str) -> None:
    kind = next((kind for kind in _KINDS if kind.pattern.fullmatch(name)), None)
    # A name such as a../b passes the pattern, and is harmless.
    if kind is None or '..' in name.split('/'):
        raise LthError(f'{repository} is refused: its {MANIFEST} names {quote(name)}, which is not a file of a run.')
    at_most = total_memory() if kind.at_most is None else kind.at_most
    if file.size > at_most:
        raise LthError(f'{repository} is refused: {quote(name)} is too large: it has {file.size:,} bytes, and at most '
                       f'{at_most:,} are expected.')
