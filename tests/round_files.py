"""Read files of a run without lth's checks, and change them together with their checksums, as a forger would."""
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import Tensor

from lth.runs import integrity, sessions
from lth.system import tensor_files


def contents(folder: Path, *, without: Collection[str] = ('sessions',)) -> dict[str, bytes]:
    """The bytes of all files below a folder by their paths there, without what has one of these names or is in a folder
    that has: records of sessions contain times.
    """

    files = (path.relative_to(folder) for path in folder.rglob('*') if path.is_file())
    return {str(file): (folder / file).read_bytes() for file in files if set(without).isdisjoint(file.parts)}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a tensor file."""

    return tensor_files.decode(path.read_bytes(), path, '')


def header(path: Path) -> dict[str, Any]:
    """The header of a tensor file."""

    return read(path)[0]


def forge(path: Path, content: bytes) -> None:
    """Replace a file of a round, and its checksum if it has one."""

    path.write_bytes(content)
    sums = path.with_name('SHA256SUMS')
    if sums.exists():
        lines = [line for line in sums.read_text().splitlines() if not line.endswith(f'  {path.name}')]
        lines.append(f'{hashlib.sha256(content).hexdigest()}  {path.name}')
        sums.write_text(''.join(f'{line}\n' for line in lines))


def sign(round_: Path) -> None:
    """Write the checksums of a round again, as somebody may who edits its files."""

    contents = {path.name: path.read_bytes() for path in round_.iterdir() if path.name != 'SHA256SUMS'}
    (round_ / 'SHA256SUMS').write_bytes(integrity.with_sums(contents)['SHA256SUMS'])


def forge_tensors(path: Path, tensors: dict[str, Tensor], **changes: Any) -> None:
    """Replace the tensors of a file, and the entries of its header that are given; None removes one."""

    changed = {key: value for key, value in (header(path) | changes).items() if value is not None}
    forge(path, tensor_files.encode(tensors, changed))


def forge_json(path: Path, **changes: Any) -> None:
    """Replace entries of a JSON file of a round."""

    forge(path, json.dumps(json.loads(path.read_text()) | changes).encode())


def session_entries(run: Path | str) -> list[dict[str, Any]]:
    """The entries of the sessions of a run."""

    return sessions.read(Path(run))


def add_session(run: Path, facts: dict[str, Any]) -> None:
    """Record another session, a second after the last one, with these facts."""

    start = f'2026-11-27T00:00:{len(sessions.session_files(run)):02d}.000+00:00'
    sessions.write(run, {'start': start, 'host': 'here', 'process': 1} | facts)
